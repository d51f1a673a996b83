"""The plots of the report, as inline SVG written by hand.

Not by matplotlib: its colours are fixed where these follow light, dark and paper, its text is measured with fonts that
the reader may not have, and its output changes from version to version. Each plot is drawn for a width in pixels and
shown at that size, so the page asks for a wide and a narrow one and lets CSS choose: nothing shrinks to unreadable
letters on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from markupsafe import Markup

from yibu.evaluate.report.claims import validation_points
from yibu.evaluate.report.marks import draw_mark, system_class
from yibu.evaluate.report.shapes import Table
from yibu.evaluate.report.text import Text
from yibu.pages.figures import amount, count, figure, number
from yibu.pages.layout import WIDE
from yibu.pages.svg import Canvas, Scale, nice_ticks, shorten, text_width

_MOST_POINTS = 400  # of one line; more cannot be told apart


# --- dots and whiskers ------------------------------------------------------------------------------------------------


def dot_whisker(metric: Table, systems: Sequence[str], title: str, t: Text, width: float = 430) -> Markup:
    """One metric: a dot and its 95 % interval per system.

    Args:
        metric: an entry of ``metrics["metrics"]``.
        systems: order of the rows; those without a value are left out.
        title: what the plot is of, for those who cannot see it.
    """
    values = metric["values"]
    shown = [name for name in systems if name in values and number(values[name].get("value")) is not None]
    unit = str(metric.get("unit", ""))
    labels = {name: t.system(name) for name in shown}
    left = min(max((text_width(label) for label in labels.values()), default=0) + 26, width * 0.36)
    right = 62.0
    ticks = _value_ticks([values[name] for name in shown], unit)
    scale = Scale(ticks[0], ticks[-1], left + 6, width - right)
    row, top = 30.0, 10.0
    bottom = top + row * len(shown)
    told = "; ".join(f"{labels[name]} {figure(values[name]['value'], unit)}" for name in shown)
    canvas = Canvas(width, bottom + 26, f"{title}: {told}")
    for tick in ticks:
        canvas.line(scale(tick), top, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 17, figure(tick, unit, short=True), "t small", "middle")
    for place, name in enumerate(shown):
        y = top + row * (place + 0.5)
        entry = values[name]
        low, high, value = number(entry.get("low")), number(entry.get("high")), float(entry["value"])
        kind = system_class(name, systems)
        if low is not None and high is not None:
            canvas.line(scale(low), y, scale(high), y, f"whisker {kind}")
            for end in (low, high):
                canvas.line(scale(end), y - 4, scale(end), y + 4, f"whisker {kind}")
        draw_mark(canvas, scale(value), y, kind)
        draw_mark(canvas, 7, y, kind)
        canvas.text(20, y + 4.5, shorten(labels[name], left - 24), "t strong" if name == "tuned" else "t")
        canvas.text(width, y + 4.5, figure(value, unit), "t strong" if name == "tuned" else "t", "end")
    return canvas.svg("plot panel")


def _value_ticks(entries: Sequence[Table], unit: str) -> list[float]:
    numbers = [number(entry.get(key)) for entry in entries for key in ("value", "low", "high")]
    known = [value for value in numbers if value is not None] or [0.0]
    if min(known) >= 0 and max(known) <= 1 and unit != "nats":
        ticks = nice_ticks(0.0, max(max(known), 0.1), 5)
        return [tick for tick in ticks if tick <= 1.0]
    spread = max(known) - min(known)
    low = min(known) - 0.05 * spread
    return nice_ticks(max(low, 0.0) if min(known) >= 0 else low, max(known) + 0.05 * spread, 4)


# --- loss curves ------------------------------------------------------------------------------------------------------


def loss_curves(history: Sequence[Table], best_step: int | None, t: Text, width: float = WIDE) -> Markup:
    """Training loss, raw and smoothed, validation loss, and the step whose weights were kept; empty without losses."""
    raw = sorted((int(item["step"]), loss) for item in history if (loss := number(item.get("loss"))) is not None)
    valid = validation_points(history)
    if not raw and not valid:
        return Markup("")
    smooth = smoothed(raw)
    steps = [step for step, _ in raw + valid]
    x_ticks = nice_ticks(0, max(steps), 8 if width > 600 else 4)
    y_ticks = nice_ticks(*_loss_range(raw, valid), 5)
    top, bottom, left, right = 52.0, 300.0, 46.0, 14.0
    x = Scale(0, max(max(steps), 1), left, width - right)
    y = Scale(y_ticks[0], y_ticks[-1], bottom, top)
    canvas = Canvas(width, bottom + 40, _told(smooth, valid, best_step, t))
    for tick in y_ticks:
        canvas.line(left, y(tick), width - right, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, f"{tick:g}", "t small", "end")
    for tick in x_ticks:
        if tick <= max(steps):
            canvas.text(x(tick), bottom + 17, count(tick), "t small", "middle")
    canvas.line(left, bottom, width - right, bottom, "axis")
    canvas.text((left + width - right) / 2, bottom + 35, t("plot.step"), "t small", "middle")
    for kind, line in (("raw", raw), ("smooth", smooth)):
        canvas.path([(x(step), min(max(y(loss), top), bottom)) for step, loss in thinned(line)], kind)
    canvas.path([(x(step), y(loss)) for step, loss in valid], "valid")
    for step, loss in valid:
        canvas.add("circle", "valid-dot", cx=x(step), cy=y(loss), r=3.6)
    _mark_best(canvas, x, y, (top, bottom), dict(valid), best_step, t)
    _loss_legend(canvas, bool(raw), bool(valid), left, t)
    return canvas.svg()


def smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Mean over a window of about a twentieth of the run around each step: unlike a running mean it does not lag."""
    half = max(2, len(points) // 40)
    sums = [0.0, *accumulate(value for _, value in points)]
    result = []
    for place, (step, _) in enumerate(points):
        begin, end = max(0, place - half), min(len(points), place + half + 1)
        result.append((step, (sums[end] - sums[begin]) / (end - begin)))
    return result


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most about `_MOST_POINTS` points: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    size = math.ceil(len(points) / (_MOST_POINTS // 2))
    kept: list[tuple[int, float]] = []
    for begin in range(0, len(points), size):
        stretch = points[begin : begin + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def _loss_range(raw: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """What the axis covers: all validation points, and all steps but rare spikes, which are cut at its end."""
    values = [value for _, value in valid]
    steps = sorted(value for _, value in raw)
    if steps:
        values += [steps[0], steps[int(0.99 * (len(steps) - 1))]]
    low, high = min(values), max(values)
    # From zero unless that would press the curve flat against the top.
    return (0.0 if 0 <= low < 0.6 * high else low), high


def _mark_best(
    canvas: Canvas,
    x: Scale,
    y: Scale,
    span: tuple[float, float],
    valid: Mapping[int, float],
    best_step: int | None,
    t: Text,
) -> None:
    if best_step is None or not valid:
        return
    place = x(best_step)
    canvas.line(place, span[0], place, span[1], "best")
    if best_step in valid:
        canvas.add("circle", "best-dot", cx=place, cy=y(valid[best_step]), r=6.5)
        words = t("plot.best", step=count(best_step), loss=amount(valid[best_step]))
    else:
        words = t("plot.best_step", step=count(best_step))
    over = place > canvas.width / 2
    canvas.text(place - 8 if over else place + 8, span[0] + 12, words, "t strong halo", "end" if over else "start")


def _loss_legend(canvas: Canvas, has_raw: bool, has_valid: bool, left: float, t: Text) -> None:
    entries = [("raw", "plot.raw"), ("smooth", "plot.smooth")] if has_raw else []
    entries += [("valid", "plot.valid")] if has_valid else []
    place, line = left, 14.0
    for kind, key in entries:
        words = t(key)
        if place + 30 + text_width(words) > canvas.width:
            place, line = left, line + 18
        canvas.line(place, line, place + 22, line, kind)
        if kind == "valid":
            canvas.add("circle", "valid-dot", cx=place + 11, cy=line, r=3.6)
        canvas.text(place + 28, line + 4.5, words)
        place += 28 + text_width(words) + 22


def _told(
    smooth: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]], best_step: int | None, t: Text
) -> str:
    said = [t("plot.loss")]
    for key, line in (("plot.smooth", smooth), ("plot.valid", valid)):
        if line:
            said.append(t("plot.from_to", name=t(key), first=amount(line[0][1]), last=amount(line[-1][1])))
    if best_step is not None:
        said.append(t("plot.best_step", step=count(best_step)))
    return "; ".join(said)


# --- lengths ----------------------------------------------------------------------------------------------------------


def length_histogram(lengths: Table, too_long: int, t: Text, width: float = WIDE) -> Markup:
    """Train rows by tokens, with the longest that is let in; empty where the lengths were not recorded."""
    values = [float(value) for value in lengths.get("histogram", ())]
    if not values:
        return Markup("")
    limit = number(lengths.get("max_length"))
    ticks = nice_ticks(0, max(max(values), limit or 0.0), 8 if width > 600 else 4)
    bins = 44 if width > 600 else 24
    # Whole tokens to a bar, or some bars would hold more of the possible lengths than their neighbours.
    size = max(1, math.ceil(ticks[-1] / bins))
    counts = [0] * (int(ticks[-1] // size) + 1)
    for value in values:
        counts[int(value // size)] += 1
    y_ticks = [tick for tick in nice_ticks(0, max(counts), 4) if tick == int(tick)]
    top, bottom, left, right = 40.0, 216.0, 46.0, 14.0
    x = Scale(0, max(ticks[-1], len(counts) * size), left, width - right)
    y = Scale(0, y_ticks[-1], bottom, top)
    label = t("plot.lengths", n=count(len(values)), p50=_tokens(lengths, "p50"), max=_tokens(lengths, "max"))
    canvas = Canvas(width, bottom + 40, label)
    for tick in y_ticks:
        canvas.line(left, y(tick), width - right, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, count(tick), "t small", "end")
    for place, height in enumerate(counts):
        if height:
            begin = x(place * size)
            kind = "bar over" if limit is not None and place * size > limit else "bar"
            wide = max(1.0, x((place + 1) * size) - begin - 1)
            canvas.add("rect", kind, x=begin + 0.5, y=y(height), width=wide, height=bottom - y(height))
    canvas.line(left, bottom, width - right, bottom, "axis")
    for tick in ticks:
        canvas.text(x(tick), bottom + 17, count(tick), "t small", "middle")
    canvas.text((left + width - right) / 2, bottom + 35, t("plot.tokens"), "t small", "middle")
    if limit is not None:
        words = t("plot.limit", n=count(limit)) + (" · " + t("plot.too_long", n=count(too_long)) if too_long else "")
        over = x(limit) > width / 2
        canvas.line(x(limit), 22, x(limit), bottom, "limit")
        canvas.text(x(limit) + (-6 if over else 6), 16, words, "t strong", "end" if over else "start")
    return canvas.svg()


def _tokens(lengths: Table, key: str) -> str:
    value = number(lengths.get(key))
    return "?" if value is None else count(value)


# --- confusion --------------------------------------------------------------------------------------------------------


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str], t: Text, width: float = WIDE) -> Markup:
    """Truth down, answer across; shade is the share of the row, so that rare classes are as readable as common ones.

    Args:
        counts: K rows of K or K + 1 columns; the last one is "no class of these".
        names: K class names; on the narrow plot only their numbers, which the table below it explains.
    """
    rows, columns = len(counts), len(counts[0])
    name_room = min(330.0, max(text_width(name, 12) for name in names) + 14) if width > 600 else 0.0
    number_room = max(24.0, text_width(t("plot.truth"), 12) + 8)
    left = name_room + number_room
    cell = min(30.0, (width - left - 2) / columns)
    top = 40.0
    # The canvas is as wide as the matrix, or a caption over a small one would be cut off.
    total = max(left + columns * cell + 2, left + text_width(t("plot.answered")) + 4, 240.0)
    canvas = Canvas(total, top + rows * cell + 4, t("plot.confusion"))
    canvas.text(left, 12, t("plot.answered"), "t small")
    canvas.text(left - 6, 32, t("plot.truth"), "t small", "end")
    for column in range(columns):
        head = str(column + 1) if column < rows else "?"
        canvas.text(left + (column + 0.5) * cell, 32, head, "t small tiny" if cell < 18 else "t small", "middle")
    for place, line in enumerate(counts):
        y = top + place * cell
        total_row = sum(line)
        if name_room:
            canvas.text(name_room - 2, y + cell / 2 + 4, shorten(names[place], name_room - 6, 12), "t small", "end")
        canvas.text(left - 6, y + cell / 2 + 4, str(place + 1), "t small strong", "end")
        for column, size in enumerate(line):
            share = size / total_row if total_row else 0.0
            x = left + column * cell
            canvas.add("rect", "cell", x=x + 0.5, y=y + 0.5, width=cell - 1, height=cell - 1)
            if size:
                kind = "hit" if column == place else "miss"
                strength = 0.12 + 0.88 * share
                canvas.add("rect", kind, x=x + 0.5, y=y + 0.5, width=cell - 1, height=cell - 1, fill_opacity=strength)
                contrast = "strong-shade" if strength > 0.8 else "middle-shade" if strength > 0.55 else "weak-shade"
                small = " tiny" if cell < 18 or size > 99 else ""
                canvas.text(x + cell / 2, y + cell / 2 + 3.8, str(size), f"cellnumber {contrast}{small}", "middle")
    return canvas.svg()
