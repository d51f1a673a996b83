from pathlib import Path

import pytest

from yibu.core import machine


def test_figures_of_this_machine_are_possible() -> None:
    total, available = machine.memory_bytes()
    assert 0 < available <= total
    assert 0 < machine.resident_bytes() < total
    assert machine.num_cores() >= 1


def test_a_container_limit_counts_where_it_is_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("1000000\n")
    used.write_text("400000\n")
    monkeypatch.setattr(machine, "_CGROUP_LIMITS", (str(limit),))
    monkeypatch.setattr(machine, "_CGROUP_USED", (str(used),))
    assert machine.memory_bytes() == (1_000_000, 600_000)
    limit.write_text("max\n")
    assert machine.memory_bytes()[0] > 1_000_000


def test_disk_of_a_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    total, free = machine.disk_bytes(tmp_path / "not" / "yet" / "there")
    assert 0 < free <= total


def test_flags_of_intel_and_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"intel": "model name\t: X\nflags\t\t: fpu avx512_bf16\n", "arm": "Features\t: fp asimd bf16\n"}

    def lines(path: str) -> list[str]:
        return texts[current].splitlines()

    monkeypatch.setattr(machine, "_lines", lines)
    current = "intel"
    assert machine.cpu_flags() == {"fpu", "avx512_bf16"}
    assert machine.cpu_name() == "X"
    current = "arm"
    assert "bf16" in machine.cpu_flags()
    assert machine.cpu_name() == ""
