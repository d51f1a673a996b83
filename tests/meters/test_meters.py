"""Joules of phases, with counters that a test turns by hand."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from yibu import meters
from yibu.core.errors import InputError, MissingExtra
from yibu.meters import Phases, modelled, nvml, rapl


class ByHand:
    """A counter that stands at what it is told."""

    modelled = False
    covers = "a test"
    now = 100.0

    def joules(self) -> float:
        return self.now


def zone(folder: Path, name: str, title: str, microjoules: int, end: int = 10_000_000) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    (place / "name").write_text(title + "\n")
    (place / "energy_uj").write_text(str(microjoules))
    (place / "max_energy_range_uj").write_text(str(end))
    return place


def test_phases_and_what_lies_between_them_make_up_the_whole() -> None:
    meter = ByHand()
    phases = Phases(meter)
    for name, used in (("load", 5.0), ("rate 1", 7.0), ("load", 1.0)):
        with phases.phase(name):
            meter.now += used
        meter.now += 2.0  # nobody's
    found = phases.as_dict()
    assert {name: energy["joules"] for name, energy in found["phases"].items()} == {"load": 6.0, "rate 1": 7.0}
    assert found["total"]["joules"] == 17.0  # what comes after the last phase is not part of the work
    parts = sum(energy["joules"] for energy in found["phases"].values()) + found["between_phases"]["joules"]
    assert parts == found["total"]["joules"]
    assert found["modelled"] is False
    assert found["total"]["short"] is True  # too short for a counter
    assert phases.joules_of("rate 1") == 7.0
    assert phases.joules_of("rate 2") is None


def test_a_phase_that_fails_is_counted_and_phases_do_not_nest() -> None:
    meter = ByHand()
    phases = Phases(meter)

    def work() -> None:
        with phases.phase("a"):
            meter.now += 3
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        work()
    assert phases.joules_of("a") == 3
    with pytest.raises(AssertionError, match="twice"), phases.phase("a"), phases.phase("b"):
        pass


def test_modelled_is_watts_times_seconds_and_says_so() -> None:
    phases = Phases(modelled.Meter(modelled.Settings(watts=50)))
    with phases.phase("a"):
        time.sleep(0.05)
    found = phases.as_dict()
    assert found["modelled"] is True
    assert "nothing was measured" in found["covers"]
    assert found["total"]["joules"] == pytest.approx(50 * found["total"]["seconds"], rel=0.01)
    assert "kwh" not in str(found).lower()


def test_nothing_is_chosen_where_nothing_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    for plug in (nvml, rapl):
        monkeypatch.setattr(plug, "available", lambda settings: "not here")
    assert meters.choose(None) is None
    chosen = meters.choose(modelled.Settings(watts=1))
    assert chosen is not None
    assert chosen.modelled


def test_the_first_that_measures_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "available", lambda settings: "not here")
    monkeypatch.setattr(rapl, "available", lambda settings: None)
    monkeypatch.setattr(rapl, "Meter", lambda settings: ByHand())
    assert isinstance(meters.choose(None), ByHand)


def test_rapl_adds_packages_and_memory_and_not_their_parts(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 500_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 2_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    meter = rapl.Meter(rapl.Settings(folder=str(tmp_path)))
    before = meter.joules()
    (package / "energy_uj").write_text("4000000")
    assert meter.joules() - before == 3.0
    (package / "energy_uj").write_text("1000000")  # it has started again: 6 to its end, 1 from zero
    assert meter.joules() - before == 10.0


def test_rapl_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shows no counters"):
        rapl.Meter(rapl.Settings(folder=str(tmp_path)))
    place = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (place / "energy_uj").unlink()
    assert "root" in str(rapl.available(rapl.Settings(folder=str(tmp_path))))


class Gpus:
    """What zeus gives: two GPUs, the second without a counter."""

    def __init__(self) -> None:
        self.millijoules = [5_000, 0]

    def __len__(self) -> int:
        return 2

    def supports_get_total_energy_consumption(self, number: int) -> bool:
        return number == 0

    def get_total_energy_consumption(self, number: int) -> int:
        return self.millijoules[number]


def fake_zeus(monkeypatch: pytest.MonkeyPatch, get_gpus: Any) -> None:
    package, device, gpu = ModuleType("zeus"), ModuleType("zeus.device"), ModuleType("zeus.device.gpu")
    device.get_gpus = get_gpus  # type: ignore[attr-defined]
    gpu.ZeusGPUInitError = RuntimeError  # type: ignore[attr-defined]
    for module in (package, device, gpu):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_nvml_reads_the_counters_of_the_chosen_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus()
    fake_zeus(monkeypatch, lambda: gpus)
    meter = nvml.Meter(nvml.Settings(gpus=[0]))
    before = meter.joules()
    gpus.millijoules[0] += 2_500
    assert meter.joules() - before == 2.5
    with pytest.raises(InputError, match="no energy counter"):
        nvml.Meter(nvml.Settings())
    with pytest.raises(InputError, match="no such GPU"):
        nvml.Meter(nvml.Settings(gpus=[7]))


def test_nvml_without_gpu_or_zeus(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Gpus:
        raise RuntimeError("no driver")

    fake_zeus(monkeypatch, none)
    with pytest.raises(InputError, match="sees no GPU"):
        nvml.Meter(nvml.Settings())
    monkeypatch.setitem(sys.modules, "zeus.device", None)
    with pytest.raises(MissingExtra, match="energy"):
        nvml.Meter(nvml.Settings())
