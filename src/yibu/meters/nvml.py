"""The total energy counter of NVIDIA's GPUs, through zeus (extra ``energy``).

The counter itself is read and not sampled power: ``nvidia-smi`` looks at a quarter of the time on an A100 or H100 (Yang
et al. 2023, arXiv 2312.02741). Volta and later have it.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

from pydantic import Field

from yibu.core.errors import InputError, MissingExtra
from yibu.core.machine import has_nvidia_gpu
from yibu.core.recipe import Settings as _Settings


class Settings(_Settings):
    """Table ``{kind: nvml, gpus: [0]}``."""

    kind: Literal["nvml"] = "nvml"
    gpus: list[int] | None = Field(None, min_length=1, description="as zeus numbers them; default: all it sees")


class Meter:
    """See `yibu.meters`."""

    modelled = False

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            MissingExtra: zeus is not installed.
            InputError: no GPU, one of another number, or one without the counter.
        """
        self._gpus, self._numbers = _open(settings)
        self.covers = f"measured: GPU {', '.join(map(str, self._numbers))} (NVML total energy); processor and rest not"

    def joules(self) -> float:
        """All chosen GPUs together."""
        return float(sum(self._gpus.get_total_energy_consumption(number) for number in self._numbers)) / 1000


def available(settings: Settings) -> str | None:
    """Whether zeus and a GPU are here; zeus is imported only where a driver is."""
    if importlib.util.find_spec("zeus") is None:
        return "zeus is not installed"
    if not has_nvidia_gpu():
        return "there is no NVIDIA GPU"
    try:
        _open(settings)
    except InputError as error:
        return error.what
    return None


def _open(settings: Settings) -> tuple[Any, list[int]]:
    try:
        from zeus.device import get_gpus
        from zeus.device.gpu import ZeusGPUInitError
    except ImportError as error:
        raise MissingExtra("zeus", extra="energy", use="measuring the energy of GPUs") from error
    try:
        gpus = get_gpus()
    except ZeusGPUInitError as error:
        raise InputError("zeus sees no GPU here.", do="bench.meter={kind: modelled, watts: ...}") from error
    numbers = list(range(len(gpus))) if settings.gpus is None else settings.gpus
    unknown = [number for number in numbers if not 0 <= number < len(gpus)]
    if unknown or not numbers:
        raise InputError("There is no such GPU.", got=unknown, allowed=list(range(len(gpus))))
    without = [number for number in numbers if not gpus.supports_get_total_energy_consumption(number)]
    if without:
        raise InputError("A GPU has no energy counter.", got=without, allowed="Volta or later")
    return gpus, numbers
