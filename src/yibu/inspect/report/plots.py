"""The plots of the data report: where rows went, how long they are, bars with names.

Each is drawn for a width in pixels, wide and narrow (see `yibu.pages.layout`). On a narrow one names stand above their
bars, since beside them neither would have room, least of all a Chinese one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from yibu.inspect.report.shapes import Lengths, Table
from yibu.pages.figures import MINUS, count, percent
from yibu.pages.layout import NARROW, WIDE, Plot
from yibu.pages.svg import Canvas, Scale, nice_ticks, shorten, text_width
from yibu.pages.text import Text

LEAST = 2.0  # pixels of a bar that is not nothing
_LONGEST_TAIL = 1.6  # lengths beyond so many times the largest 99th percentile share one step
SPLIT_KINDS = {"train": "f-train", "valid": "f-valid", "test": "f-test"}


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length, what is written behind it, and its CSS class."""

    name: str
    value: float
    words: str
    kind: str = "bar"


# --- where rows went --------------------------------------------------------------------------------------------------


def funnel(steps: Sequence[Table], t: Text) -> Plot | None:
    """From read to kept: what is left after each step, and what the step took out."""
    if len(steps) < 2 or not steps[0]["n"]:
        return None
    return Plot(_funnel(steps, t, WIDE), _funnel(steps, t, NARROW))


def _funnel(steps: Sequence[Table], t: Text, width: float) -> Markup:
    read = int(steps[0]["n"])
    names = [t.known("step", str(step["step"])) for step in steps]
    numbers = [count(step["n"]) if place in (0, len(steps) - 1) else _minus(step["n"]) for place, step in
               enumerate(steps)]  # fmt: skip
    wide = width > 600
    left = max(text_width(name, 13.5) for name in names) + 22 if wide else 0.0
    right = max(text_width(n) for n in numbers) + 14
    row, high, top = (38.0, 22.0, 4.0) if wide else (48.0, 16.0, 0.0)
    told = "; ".join(f"{name} {n}" for name, n in zip(names, numbers, strict=True))
    canvas = Canvas(width, top + row * len(steps), f"{t('plot.funnel')}: {told}")
    scale = Scale(0, read, left, width - right)
    rest = read
    for place, step in enumerate(steps):
        y = top + row * place + ((row - high) / 2 if wide else 22)
        strong = place in (0, len(steps) - 1)
        text_y = y + high / 2 + 4.5
        canvas.text(0, text_y if wide else y - 6, names[place], "t strong" if strong else "t")
        if strong:
            size = max(scale(int(step["n"])) - left, LEAST)
            canvas.add("rect", "bar", x=left, y=y, width=size, height=high, rx=3)
        else:
            rest -= int(step["n"])
            lost = max(scale(rest + int(step["n"])) - scale(rest), LEAST if step["n"] else 0.0)
            begin = min(scale(max(rest, 0)), width - right - lost)
            canvas.add("rect", "rest", x=left, y=y, width=max(begin - left, 0.0), height=high, rx=3)
            if lost:
                canvas.add("rect", "lost", x=begin, y=y, width=lost, height=high)
        kind = "t strong" if strong else "t" if step["n"] else "t small"
        canvas.text(width, text_y, numbers[place], kind, "end")
    return canvas.svg()


def _minus(n: int) -> str:
    return MINUS + count(n) if n else "0"


# --- lengths ----------------------------------------------------------------------------------------------------------


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The length that so large a share of the rows does not exceed (nearest rank); 0 without rows."""
    total, seen = sum(counts.values()), 0
    for length in sorted(counts):
        seen += counts[length]
        if seen >= share * total:
            return length
    return 0


def tail(lengths: Lengths) -> int | None:
    """The longest row, where it is so long that the plot of all would be a needle; None where it is not."""
    splits = [counts for counts in lengths.counts.values() if counts]
    longest = max((max(counts) for counts in splits), default=0)
    usual = max((quantile(counts, 0.99) for counts in splits), default=0)
    return longest if longest > _LONGEST_TAIL * usual and longest > usual + 20 else None


def length_lines(lengths: Lengths, t: Text) -> Plot | None:
    """Share of the rows of each split by length: the splits should lie upon each other."""
    if not any(sum(counts.values()) for counts in lengths.counts.values()):
        return None
    return Plot(_length_lines(lengths, t, WIDE), _length_lines(lengths, t, NARROW))


def _length_lines(lengths: Lengths, t: Text, width: float) -> Markup:
    splits = {split: counts for split, counts in lengths.counts.items() if sum(counts.values())}
    longest = max(max(counts) for counts in splits.values())
    usual = max(quantile(counts, 0.99) for counts in splits.values())
    ticks = nice_ticks(0, max(usual * 1.1 if tail(lengths) else longest, 5), 8 if width > 600 else 4)
    size = max(1, math.ceil(ticks[-1] / (40 if width > 600 else 20)))
    bins = math.ceil((ticks[-1] + 1) / size)
    shares = {split: _shares(counts, size, bins) for split, counts in splits.items()}
    y_ticks = nice_ticks(0, max(max(line) for line in shares.values()), 4)
    top, bottom, left, right = 34.0, 236.0, 52.0, 14.0
    x, y = Scale(0, bins * size, left, width - right), Scale(0, y_ticks[-1], bottom, top)
    half = "; ".join(f"{t.known('split', split)} {count(quantile(counts, 0.5))}" for split, counts in splits.items())
    canvas = Canvas(width, bottom + 40, t("plot.lengths", unit=t(f"unit.{lengths.unit}"), half=half))
    for tick in y_ticks:
        canvas.line(left, y(tick), width - right, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, percent(tick, 0 if y_ticks[-1] >= 0.05 else 1), "t small", "end")
    for split, line in shares.items():
        _steps(canvas, x, y, line, size, SPLIT_KINDS.get(split, "f-train"))
    canvas.line(left, bottom, width - right, bottom, "axis")
    for tick in ticks:
        if tick <= bins * size:
            canvas.text(x(tick), bottom + 17, count(tick), "t small", "middle")
    canvas.text((left + width - right) / 2, bottom + 35, t(f"unit.{lengths.unit}"), "t small", "middle")
    place = left
    for split in shares:
        name = t.known("split", split)
        canvas.add("rect", f"key {SPLIT_KINDS.get(split, 'f-train')}", x=place, y=6, width=12, height=12, rx=3)
        canvas.text(place + 18, 16.5, name)
        place += text_width(name) + 42
    return canvas.svg()


def _shares(counts: Mapping[int, int], size: int, bins: int) -> list[float]:
    """Share of the rows in each bin; the last bin takes all that is longer."""
    line = [0.0] * bins
    total = sum(counts.values())
    for length, n in counts.items():
        line[min(length // size, bins - 1)] += n / total
    return line


def _steps(canvas: Canvas, x: Scale, y: Scale, line: Sequence[float], size: int, kind: str) -> None:
    points = [(x(0), y(0))]
    for place, share in enumerate(line):
        points += [(x(place * size), y(share)), (x((place + 1) * size), y(share))]
    points.append((points[-1][0], y(0)))
    if kind == "f-train":
        canvas.path(points, "area")
    canvas.path(points, f"outline {kind}")


# --- bars with names --------------------------------------------------------------------------------------------------


def bars(items: Sequence[Bar], label: str) -> Plot | None:
    """Horizontal bars against the longest of them; None where there is none."""
    if not items:
        return None
    return Plot(_bars(items, label, WIDE), _bars(items, label, NARROW))


def _bars(items: Sequence[Bar], label: str, width: float) -> Markup:
    wide = width > 600
    left = min(max(text_width(item.name) for item in items) + 16, width * 0.36) if wide else 0.0
    right = max(text_width(item.words) for item in items) + 14
    row, high = (26.0, 14.0) if wide else (40.0, 11.0)
    told = "; ".join(f"{item.name} {item.words}" for item in items)
    canvas = Canvas(width, row * len(items) + 4, f"{label}: {told}")
    scale = Scale(0, max(max(item.value for item in items), 1e-9), left, width - right)
    for place, item in enumerate(items):
        y = row * place + (6 if wide else 22)
        name = shorten(item.name, left - 12 if wide else width)
        canvas.text(left - 10 if wide else 0, y + high / 2 + 4.5 if wide else y - 5, name, "t", "end" if wide else
                    "start")  # fmt: skip
        canvas.add("rect", "track", x=left, y=y, width=width - right - left, height=high, rx=2)
        size = max(scale(item.value) - left, LEAST) if item.value else 0.0
        if size:
            canvas.add("rect", item.kind, x=left, y=y, width=size, height=high, rx=2)
        canvas.text(width, y + high / 2 + 4.5, item.words, "t", "end")
    return canvas.svg()
