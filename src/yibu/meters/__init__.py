"""Meters: what a piece of work costs in joules, measured or modelled, and never one under the other's name.

One file is one source. A plug defines

- ``Settings``: its table, with a literal ``kind``;
- ``available(settings)``: None if this machine has the source, else a sentence that says what is missing;
- ``Meter(settings)``: ``joules()``, a reading that only rises; ``modelled``, False where a counter of the hardware is
  read; ``covers``, what the joules are those of, in words.

`Phases` turns readings into joules of named phases and of the whole. Joules are said, kilowatt-hours are not: a bill or
a carbon figure that was made from a stated wattage looks like one that was measured.

A counter of the hardware covers all that runs on it: on a machine that is shared, the others' work, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from yibu.core.plugs import Family
from yibu.core.recipe import Settings

FAMILY = Family(__name__, requires=("Settings", "Meter", "available"))

BY_ITSELF = ("nvml", "rapl")
"""Tried in this order where a recipe names no meter; a model needs a wattage, which nobody can guess."""

SHORTEST = 2.0
"""Seconds below which a measured phase is not to be trusted: counters are updated every 20 to 100 ms."""


class MeterLike(Protocol):
    """What `Phases` calls."""

    modelled: bool
    covers: str

    def __init__(self, settings: Any) -> None: ...

    def joules(self) -> float:
        """A reading that only rises; differences are joules."""
        ...


@dataclass(frozen=True)
class Energy:
    """Joules of one phase, or of the whole.

    Attributes:
        short: a measured phase of less than `SHORTEST` seconds.
    """

    joules: float
    seconds: float
    short: bool

    @property
    def watts(self) -> float:
        """The mean."""
        return self.joules / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"joules": self.joules, "seconds": self.seconds, "watts": self.watts, "short": self.short}


class Phases:
    """Joules by phase, from one meter.

    The whole is read on its own, from the first phase's beginning to the last one's end; what lies between phases is
    told as ``between_phases``, so that the parts always make up the whole.
    """

    def __init__(self, meter: MeterLike) -> None:
        self.meter = meter
        self._phases: dict[str, Energy] = {}
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._open: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what runs in the block; the same name again is added. Phases do not nest."""
        assert self._open is None, f"{name!r} inside of {self._open!r} would be counted twice"
        self._open = name
        begun = self._read()
        if self._first is None:
            self._first = begun
        try:
            yield
        finally:
            self._open = None
            self._last = self._read()
            before = self._phases.get(name, Energy(0.0, 0.0, False))
            self._phases[name] = self._between(begun, self._last, before)

    def as_dict(self) -> dict[str, Any]:
        """JSON values: ``modelled``, ``covers``, ``total``, ``phases`` and ``between_phases``."""
        if self._first is None or self._last is None:
            total = Energy(0.0, 0.0, False)
        else:
            total = self._between(self._first, self._last, Energy(0.0, 0.0, False))
        named = sum(energy.joules for energy in self._phases.values())
        return {
            "modelled": self.meter.modelled,
            "covers": self.meter.covers,
            "total": total.as_dict(),
            "phases": {name: energy.as_dict() for name, energy in self._phases.items()},
            "between_phases": {"joules": total.joules - named},
        }

    def joules_of(self, name: str) -> float | None:
        """Of a phase that is over; None where there was none."""
        found = self._phases.get(name)
        return None if found is None else found.joules

    def _read(self) -> tuple[float, float]:
        return self.meter.joules(), time.monotonic()

    def _between(self, begun: tuple[float, float], ended: tuple[float, float], before: Energy) -> Energy:
        seconds = before.seconds + ended[1] - begun[1]
        return Energy(before.joules + ended[0] - begun[0], seconds, not self.meter.modelled and seconds < SHORTEST)


def choose(settings: Settings | None) -> MeterLike | None:
    """The meter of a table, or the first that this machine has by itself; None where there is none.

    Raises:
        InputError, MissingExtra: the one that was named cannot measure here.
    """
    if settings is not None:
        meter: MeterLike = FAMILY.load(settings.kind).Meter(settings)  # type: ignore[attr-defined]
        return meter
    for name in BY_ITSELF:
        plug = FAMILY.load(name)
        wanted = plug.Settings()
        if plug.available(wanted) is None:
            found: MeterLike = plug.Meter(wanted)
            return found
    return None
