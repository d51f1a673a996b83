"""What leaves is proven in its engine, signed, and stopped by every gate; the command line says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from tuned import Tuned, tuned
from yibu import pipeline
from yibu.cli import app
from yibu.core.disk import digest_file
from yibu.core.errors import GateRefused
from yibu.exporters import safetensors
from yibu.model.resolve import load_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tuned(tmp_path_factory.mktemp("tuned"), num_rows=240)


def yibu(made: Tuned, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--store", str(made.store.root)])


def test_a_bundle_is_signed_and_plain(made: Tuned, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = yibu(made, "export", str(made.path), "--to", "safetensors", "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    exported = next(line for line in told if line.get("event") == "exported")
    assert exported["parity"]["engine"].startswith("transformers")
    manifest = json.loads((out / "MANIFEST.json").read_text())
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} - {"MANIFEST.json"}
    assert found == set(manifest["files"])
    assert all(digest_file(out / name) == file["sha256"] for name, file in manifest["files"].items())
    assert manifest["made_from"]["data"] == made.data.id
    assert manifest["base"]["licence"]
    assert manifest["gates_forced"] is None
    assert all(check["ok"] for check in manifest["parity"]["export"]["checks"])
    assert {check["name"].partition(":")[0] for check in manifest["parity"]["export"]["checks"]} >= {"model", "adapter"}
    assert "chest pain" not in json.dumps(manifest) + (out / "README.md").read_text(), "no text of a row"
    assert AutoModelForCausalLM.from_pretrained(out / "model").dtype == torch.float32

    again = yibu(made, "export", "tiny", "--to", "safetensors", "--out", str(out))
    assert again.exit_code == 2
    assert "already" in again.output
    assert yibu(made, "export", "tiny", "--to", "safetensors", "--out", str(out), "--replace").exit_code == 0
    assert not made.store.verify()


def test_wrong_input_is_refused_before_anything_is_made(made: Tuned, tmp_path: Path) -> None:
    before = len(made.store.artifacts())
    unknown = yibu(made, "export", str(made.path), "--to", "safetensor")
    assert unknown.exit_code == 2
    assert "did you mean 'safetensors'" in " ".join(unknown.output.split())
    nothing = yibu(made, "export", str(made.path))
    assert nothing.exit_code == 2
    assert "--to" in nothing.output
    nobody = yibu(made, "export", "tinny", "--to", "safetensors")
    assert nobody.exit_code == 1
    assert "did you mean 'tiny'" in nobody.output
    nowhere = yibu(made, "export", "tiny", "--to", "safetensors", "--out", str(tmp_path / "no" / "such"))
    assert nowhere.exit_code == 2
    assert len(made.store.artifacts()) == before


def test_files_of_another_model_do_not_leave(made: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(source: Any, folder: Path, settings: Any) -> None:
        real(source, folder, settings)
        load_model(source.base, torch.float32).save_pretrained(folder / "model")

    real = safetensors.write
    monkeypatch.setattr(safetensors, "write", write)
    recipe = made.with_sections("export=[{kind: safetensors, what: model}]")
    with pytest.raises(GateRefused, match="The export to safetensors changes the model"):
        pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())
    assert not [path for path in (made.store.root / "work").iterdir() if path.name.startswith("export-")]


def test_a_missed_gate_stops_it_and_force_is_written_down(made: Tuned, tmp_path: Path) -> None:
    gate = 'evaluate.gates={accuracy: ">= 1.1"}'
    command = ("export", str(made.path), gate, "--to", "safetensors", "--out", str(tmp_path / "out"))
    refused = yibu(made, *command)
    assert refused.exit_code == 3, refused.output
    assert "accuracy is" in refused.output
    assert not (tmp_path / "out").exists()
    assert "tiny/passed" not in made.store.refs()
    forced = yibu(made, *command, "--force")
    assert forced.exit_code == 0, forced.output
    moved = next(entry for entry in made.store.ledger() if entry.ref == "tiny/passed")
    assert "forced past missed gates: accuracy is" in moved.why
    assert "accuracy is" in json.loads((tmp_path / "out" / "MANIFEST.json").read_text())["gates_forced"]


def test_run_exports_what_the_recipe_names(made: Tuned) -> None:
    done = yibu(made, "run", str(made.path), "export=[safetensors]", "--json")
    assert done.exit_code == 0, done.output
    events = [json.loads(line).get("event") for line in done.stdout.splitlines() if line.startswith("{")]
    assert {"results", "small", "exported"} <= set(events)


def test_compress_stops_before_the_export(made: Tuned) -> None:
    done = yibu(made, "compress", str(made.path))
    assert done.exit_code == 0, done.output
    assert "gain kept" in done.output
    assert "MB on disk" in done.output
