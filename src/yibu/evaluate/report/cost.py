"""Plots of cost: latency over rates, joules over rates, and the task over what was forgotten for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from yibu.evaluate.report.results import metric_name
from yibu.evaluate.report.shapes import ReportData, Table
from yibu.evaluate.report.text import Text
from yibu.pages.figures import amount, count, figure, number, percent
from yibu.pages.layout import NARROW, WIDE, Plot
from yibu.pages.svg import Canvas, Scale, nice_ticks, text_width

LEVELS = ("p50", "p90", "p99")
MEASURES = ("ttft", "per_token", "e2e")
_PANEL_HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 262.0, 44.0, 216.0, 52.0, 18.0


def latency(data: ReportData, t: Text) -> Plot | None:
    """Three panels over the rate of requests; None where no rate has an answer."""
    load = data.metrics.get("load")
    rates = [] if load is None else [one for one in load["latency"]["rates"] if one["arrived_rate"] and one["e2e"]]
    if not rates:
        return None
    return Plot(_latency(rates, t, WIDE), _latency(rates, t, NARROW))


def _latency(rates: Sequence[Table], t: Text, width: float) -> Markup:
    beside = width == WIDE
    panel = width / 3 if beside else width
    rows = 1 if beside else len(MEASURES)
    canvas = Canvas(width, rows * _PANEL_HEIGHT + 22, _told(rates, t))
    for place, measure in enumerate(MEASURES):
        left, top = (place * panel, 0.0) if beside else (0.0, place * _PANEL_HEIGHT)
        _panel(canvas, (left, top), panel, rates, measure, t)
    for place, level in enumerate(LEVELS):
        x, y = _LEFT + 64 * place, rows * _PANEL_HEIGHT + 10
        canvas.line(x, y, x + 18, y, f"level {level}")
        canvas.text(x + 24, y + 4, level, "t small")
    return canvas.svg()


def _panel(
    canvas: Canvas, corner: tuple[float, float], width: float, rates: Sequence[Table], measure: str, t: Text
) -> None:
    left, top = corner
    right, bottom = left + width - _RIGHT, top + _BOTTOM
    points = [(float(one["arrived_rate"]), one[measure]) for one in rates if one[measure] is not None]
    canvas.text(left + _LEFT, top + 14, t(f"latency.{measure}"), "t strong")
    known = [value for _, found in points for value in _values(found)]
    if not known:
        canvas.text(left + _LEFT, top + 32, t("latency.none"), "t small")
        return
    factor, unit = (1.0, t("unit.s")) if max(known) >= 1 else (1000.0, "ms")
    canvas.text(left + _LEFT, top + 32, unit, "t small")
    lowest = min(found[level]["value"] for _, found in points for level in LEVELS if found[level]["value"] is not None)
    y, y_ticks = _up(lowest, max(known), factor, top)
    x_ticks = nice_ticks(0.0, max(rate for rate, _ in points), 4)
    x = Scale(0.0, x_ticks[-1], left + _LEFT, right)
    for tick in y_ticks:
        canvas.line(left + _LEFT, y(tick), right, y(tick), "grid")
        canvas.text(left + _LEFT - 6, y(tick) + 4, f"{tick * factor:.4g}", "t small", "end")
    for tick in x_ticks:
        canvas.text(x(tick), bottom + 16, f"{tick:.3g}", "t small", "middle")
    canvas.line(left + _LEFT, bottom, right, bottom, "axis")
    canvas.text((left + _LEFT + right) / 2, bottom + 33, t("latency.rate"), "t small", "middle")
    for level in LEVELS:
        shown = [(x(rate), found[level]) for rate, found in points if found[level]["value"] is not None]
        for place, entry in shown:
            if entry["low"] is not None and entry["high"] is not None:
                canvas.line(place, y(entry["low"]), place, y(entry["high"]), f"level thin {level}")
        canvas.path([(place, y(entry["value"])) for place, entry in shown], f"level {level}")
        for place, entry in shown:
            canvas.add("circle", f"level ring {level}", cx=place, cy=y(entry["value"]), r=3.2)


def _values(found: Table) -> list[float]:
    entries = [found[level][key] for level in LEVELS for key in ("value", "high")]
    return [entry for entry in entries if entry is not None]


def _up(lowest: float, highest: float, factor: float, top: float) -> tuple[Any, list[float]]:
    """Seconds to pixels and ticks: from zero, or by powers where a queue makes the last rate much slower."""
    ends = top + _BOTTOM, top + _TOP
    if not 0 < 20 * lowest < highest:
        ticks = [tick / factor for tick in nice_ticks(0.0, highest * factor, 5)]
        return Scale(0.0, ticks[-1], *ends), ticks
    low = 0.5 * lowest
    scale = Scale(math.log10(low), math.log10(highest), *ends)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(highest)) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= highest]
    return (lambda seconds: scale(math.log10(max(seconds, low)))), ticks


def _told(rates: Sequence[Table], t: Text) -> str:
    said = [
        t("latency.told", rate=f"{one['rate']:g}", seconds=f"{one['e2e']['p50']['value']:.3g}")
        for one in rates
        if one["e2e"]["p50"]["value"] is not None
    ]
    return t("latency.title") + ": " + "; ".join(said)


def energy(data: ReportData, t: Text) -> Plot | None:
    """Joules of one answer at every rate; None where nothing told joules."""
    efficiency = (data.metrics.get("load") or {}).get("efficiency")
    if not efficiency or efficiency["energy"] is None:
        return None
    rates = [one for one in efficiency["rates"] if number(one["joules_per_answer"]) is not None]
    if not rates:
        return None
    title = t("energy.modelled" if efficiency["energy"]["modelled"] else "energy.measured")
    return Plot(_bars(rates, title, t, WIDE), _bars(rates, title, t, NARROW))


def _bars(rates: Sequence[Table], title: str, t: Text, width: float) -> Markup:
    """A bar a rate, with joules of an answer and tokens of a joule in words."""
    names = [t("energy.rate", rate=f"{one['rate']:g}") for one in rates]
    joules = [float(one["joules_per_answer"]) for one in rates]
    said = [
        t(
            "energy.value",
            joules=f"{value:.3g}" if value < 1000 else amount(value),
            tokens=amount(float(one["tokens_per_joule"])),
        )
        for value, one in zip(joules, rates, strict=True)
    ]
    left = max(text_width(name) for name in names) + 12
    room = max(text_width(words) for words in said) + 14
    row, top = 28.0, 26.0
    canvas = Canvas(width, top + row * len(rates) + 4, f"{title}: " + "; ".join(map(": ".join, zip(names, said))))  # noqa: B905
    canvas.text(0, 14, title, "t strong")
    longest = max(*joules, 1e-12)
    beside = width - left - room > 80
    for place, (name, value, words) in enumerate(zip(names, joules, said, strict=True)):
        y = top + row * (place + 0.5)
        wide = max(1.0, (width - left - (room if beside else 0)) * value / longest)
        canvas.text(0, y + 4.5, name)
        canvas.add("rect", "bar", x=left, y=y - 9, width=wide, height=18)
        canvas.text(left + wide + 8 if beside else left + 6, y + 4.5, words, "t" if beside else "t halo")
    return canvas.svg()


def forgetting(data: ReportData, t: Text) -> Plot | None:
    """The task's headline over what is kept of general abilities, before and after; None where one is missing."""
    kept = (data.metrics.get("retention") or {}).get("retention")
    table = next(
        (one for one in data.metrics.get("metrics", ()) if {"base", "tuned"} <= set(one.get("values", {}))), None
    )
    if not kept or table is None or number(kept["value"]) is None:
        return None
    return Plot(_scatter(table, kept, t, WIDE), _scatter(table, kept, t, NARROW))


def _scatter(table: Table, kept: Table, t: Text, width: float) -> Markup:
    """Base at 100 % of its own abilities, tuned where it is, with both intervals as whiskers."""
    unit, name = str(table.get("unit", "")), metric_name(table, t)
    before, after = table["values"]["base"], table["values"]["tuned"]
    whole = {"value": 1.0, "low": None, "high": None}
    points = [("base", whole, before), ("tuned", kept, after)]
    across = [v for _, x, _ in points for key in ("value", "low", "high") if (v := number(x[key])) is not None]
    up = [v for _, _, y in points for key in ("value", "low", "high") if (v := number(y.get(key))) is not None]
    x_ticks = nice_ticks(min(*across, 0.95), max(*across, 1.0), 6 if width == WIDE else 4)
    y_ticks = nice_ticks(min(up), max(*up, min(up) + 0.01), 4)
    left, right, top, bottom = 58.0, 18.0, 30.0, 236.0
    x, y = Scale(x_ticks[0], x_ticks[-1], left, width - right), Scale(y_ticks[0], y_ticks[-1], bottom, top)
    told = "; ".join(
        f"{t.system(one)}: {figure(float(b['value']), unit)}, {percent(float(a['value']))}" for one, a, b in points
    )
    canvas = Canvas(width, bottom + 40, f"{t('forgetting.title', metric=name)}: {told}")
    canvas.text(left, 14, name, "t strong")
    for tick in y_ticks:
        canvas.line(left, y(tick), width - right, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, figure(tick, unit, short=True), "t small", "end")
    for tick in x_ticks:
        canvas.text(x(tick), bottom + 17, percent(tick, 0), "t small", "middle")
    canvas.line(left, bottom, width - right, bottom, "axis")
    canvas.line(x(1.0), top, x(1.0), bottom, "best")
    canvas.text((left + width - right) / 2, bottom + 35, t("forgetting.kept"), "t small", "middle")
    for one, a, b in points:
        place, height, kind = x(float(a["value"])), y(float(b["value"])), f"s-{one}"
        if a["low"] is not None and a["high"] is not None:
            canvas.line(x(a["low"]), height, x(a["high"]), height, f"whisker {kind}")
        if number(b.get("low")) is not None and number(b.get("high")) is not None:
            canvas.line(place, y(b["low"]), place, y(b["high"]), f"whisker {kind}")
        canvas.add("circle", f"dot {kind}", cx=place, cy=height, r=5.4)
        over = place > (left + width - right) / 2
        words = t.system(one)
        canvas.text(place - 10 if over else place + 10, height - 9, words, "t strong halo", "end" if over else "start")
    return canvas.svg()


def load_note(data: ReportData, t: Text) -> str:
    """What the latency was measured on, and how busy the one who asked was."""
    load = data.metrics.get("load")
    if load is None:
        return ""
    found = load["latency"]
    busy = [share for one in found["rates"] if (share := number(one.get("client_cpu_share"))) is not None]
    said = [t("latency.note", n=count(sum(one["n"] for one in found["rates"])))]
    if busy:
        said.append(t("latency.client", share=percent(max(busy), 0)))
    if found["ended"]:
        said.append(t("latency.ended", how=t.known("why", str(found["ended"]))))
    return t("sentences").join(said)
