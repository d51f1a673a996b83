"""The energy counters of the processor (RAPL), where the kernel shows them under ``/sys/class/powercap``.

Whole packages are counted, and memory where it has a counter of its own. Since 2020 only root may read them
(CVE-2020-8694), and virtual machines have none. A counter starts again from zero at its end, after minutes under load;
one start between two readings is seen, two are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from yibu.core.errors import InputError
from yibu.core.recipe import Settings as _Settings


class Settings(_Settings):
    """Table ``{kind: rapl}``."""

    kind: Literal["rapl"] = "rapl"
    folder: str = Field("/sys/class/powercap", description="where the kernel shows the counters")


class Meter:
    """See `yibu.meters`."""

    modelled = False

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            InputError: no counters, or such as we may not read.
        """
        missing = available(settings)
        if missing is not None:
            raise InputError(
                "The energy of the processor cannot be measured here.",
                got=missing,
                do="bench.meter={kind: modelled, watts: ...}, which is then said to be modelled",
            )
        self._counters = [_Counter(zone) for zone in _zones(Path(settings.folder))]
        self.covers = f"measured: {', '.join(counter.name for counter in self._counters)} (RAPL); GPUs and rest not"

    def joules(self) -> float:
        """All counters together."""
        return sum(counter.microjoules() for counter in self._counters) / 1e6


class _Counter:
    """One zone, whose starts from zero are added up."""

    def __init__(self, zone: Path) -> None:
        self.name = (zone / "name").read_text().strip()
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last, self._before = int(self._file.read_text()), 0

    def microjoules(self) -> int:
        now = int(self._file.read_text())
        if now < self._last:
            self._before += self._range
        self._last = now
        return self._before + now


def available(settings: Settings) -> str | None:
    """Whether there are counters that we may read."""
    zones = _zones(Path(settings.folder))
    if not zones:
        return f"the kernel shows no counters under {settings.folder}"
    try:
        for zone in zones:
            int((zone / "energy_uj").read_text())
    except (OSError, ValueError):
        return "only root may read the counters of the processor"
    return None


def _zones(folder: Path) -> list[Path]:
    """Packages, and memory where it is counted apart; parts of a package (core, uncore) are in it already."""
    found = []
    for zone in sorted(folder.glob("*rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
        except OSError:
            continue
        # intel-rapl-mmio shows the packages a second time.
        if not zone.name.startswith("intel-rapl-mmio") and (name.startswith("package") or name == "dram"):
            found.append(zone)
    return found
