"""Latency against rate, as one SVG file that needs nothing but itself; light and dark as the viewer likes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from yibu.pages.svg import Canvas, Scale, nice_ticks

_STYLE = """<style>
svg { background: var(--paper); font: 12.5px system-ui, sans-serif; --paper: #ffffff; --ink: #1a1f26; --muted: #59626e;
  --line: #dfe3e8; --p50: #11766b; --p90: #0a62b5; --p99: #b4540a; }
@media (prefers-color-scheme: dark) { svg { --paper: #13161a; --ink: #e6e9ee; --muted: #a2acb8; --line: #2e343c;
  --p50: #5cc9b8; --p90: #6db3f7; --p99: #f0a45c; } }
.t { fill: var(--ink); } .small { fill: var(--muted); font-size: 11.5px; } .strong { font-weight: 600; }
.grid { stroke: var(--line); } .axis { stroke: var(--muted); } .full { stroke: var(--muted); stroke-dasharray: 4 4; }
path { fill: none; stroke-width: 2; }
.p50 { stroke: var(--p50); } .p90 { stroke: var(--p90); } .p99 { stroke: var(--p99); }
circle { fill: var(--paper); stroke-width: 2; } .whisker { stroke-width: 1.2; opacity: 0.7; }
</style>"""
_TITLES = {"ttft": "time to first token", "per_token": "time per token", "e2e": "end to end"}
_LEVELS = ("p50", "p90", "p99")
_PANEL, _TOP, _BOTTOM, _LEFT, _RIGHT = 300.0, 58.0, 250.0, 52.0, 16.0


def drawn(rates: Sequence[dict[str, Any]]) -> str:
    """Three panels over the achieved rate, whiskers where there are limits; the rate at which it is full is dashed."""
    canvas = Canvas(3 * _PANEL, _BOTTOM + 58, _told(rates))
    for place, (measure, title) in enumerate(_TITLES.items()):
        _panel(canvas, place * _PANEL, rates, measure, title)
    for place, level in enumerate(_LEVELS):
        x = _LEFT + 64 * place
        canvas.path([(x, _BOTTOM + 50), (x + 18, _BOTTOM + 50)], level)
        canvas.text(x + 24, _BOTTOM + 54, level, "t small")
    canvas.text(3 * _PANEL - _RIGHT, _BOTTOM + 54, "whiskers: 95 %, order statistics", "t small", "end")
    opened, _, rest = str(canvas.svg()).partition(">")
    # A file of its own needs the name space that a page gives to what stands in it.
    named = opened.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{named}>{_STYLE}{rest}\n"


def _panel(canvas: Canvas, left: float, rates: Sequence[dict[str, Any]], measure: str, title: str) -> None:
    points = [(item, item[measure]) for item in rates if item[measure] is not None and item["arrived_rate"]]
    canvas.text(left + _LEFT, 20, title, "t strong")
    if not points:
        canvas.text(left + _LEFT, 38, "no answers", "t small")
        return
    known = [
        entry[key]
        for _, found in points
        for entry in (found[level] for level in _LEVELS)
        for key in ("value", "high")
        if entry[key] is not None
    ]
    unit, factor = ("s", 1.0) if max(known, default=1.0) >= 1 else ("ms", 1000.0)
    canvas.text(left + _LEFT, 38, unit, "t small")
    lowest = min((found["p50"]["value"] or math.inf for _, found in points), default=0.0)
    logarithmic = bool(known) and 0 < lowest < math.inf and max(known) > 20 * lowest
    y = _Up(0.5 * lowest if logarithmic else 0.0, max(known, default=1.0), logarithmic, factor)
    x_ticks = nice_ticks(0.0, max(item["arrived_rate"] for item, _ in points), 4)
    x = Scale(0.0, x_ticks[-1], left + _LEFT, left + _PANEL - _RIGHT)
    for tick in y.ticks:
        canvas.line(left + _LEFT, y(tick), left + _PANEL - _RIGHT, y(tick), "grid")
        canvas.text(left + _LEFT - 6, y(tick) + 4, f"{tick * factor:.4g}", "t small", "end")
    for tick in x_ticks:
        canvas.text(x(tick), _BOTTOM + 16, f"{tick:.3g}", "t small", "middle")
    canvas.line(left + _LEFT, _BOTTOM, left + _PANEL - _RIGHT, _BOTTOM, "axis")
    canvas.text(left + (_LEFT + _PANEL - _RIGHT) / 2, _BOTTOM + 33, "requests/s that came", "t small", "middle")
    full = next((item["achieved_rate"] for item, _ in points if item["saturated"] and item["achieved_rate"]), None)
    if full is not None and full <= x_ticks[-1]:
        canvas.line(x(full), _TOP - 8, x(full), _BOTTOM, "full")
    for level in _LEVELS:
        line = [(x(item["arrived_rate"]), found[level]) for item, found in points]
        shown = [(place, entry) for place, entry in line if entry["value"] is not None]
        for place, entry in shown:
            if entry["low"] is not None and entry["high"] is not None:
                canvas.line(place, y(entry["low"]), place, y(entry["high"]), f"whisker {level}")
        canvas.path([(place, y(entry["value"])) for place, entry in shown], level)
        for place, entry in shown:
            canvas.add("circle", level, cx=place, cy=y(entry["value"]), r=3.2)


class _Up:
    """Seconds to pixels: straight from zero, or by powers where a queue makes the last rate much slower."""

    def __init__(self, low: float, high: float, logarithmic: bool, factor: float) -> None:
        self._log = logarithmic
        if logarithmic:
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            self.ticks = [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power]
            self.ticks = [tick for tick in self.ticks if tick <= high]
            self._scale = Scale(math.log10(low), math.log10(high), _BOTTOM, _TOP)
        else:
            self.ticks = [tick / factor for tick in nice_ticks(0.0, high * factor, 5)]
            self._scale = Scale(0.0, self.ticks[-1], _BOTTOM, _TOP)
        self._low = low

    def __call__(self, seconds: float) -> float:
        return self._scale(math.log10(max(seconds, self._low))) if self._log else self._scale(seconds)


def _told(rates: Sequence[dict[str, Any]]) -> str:
    """The plot in words, for those who cannot see it."""
    said = []
    for item in rates:
        if item["e2e"] is not None and item["e2e"]["p50"]["value"] is not None:
            said.append(f"{item['rate']:g} requests/s: median {item['e2e']['p50']['value']:.3g} s end to end")
    return "Latency against rate. " + ("; ".join(said) or "no answers")
