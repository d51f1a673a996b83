"""Plots of classes: how many rows each has in each split, and which lengths it lacks.

Few classes are drawn by name. Many (banking77 has 77, a department list 171) are drawn by rank, on a scale of powers
of ten, since names could not be read and the rare ones would be invisible; the table below has the names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from yibu.core.record import SPLITS
from yibu.inspect.report.plots import LEAST, SPLIT_KINDS
from yibu.pages.figures import count
from yibu.pages.layout import NARROW, WIDE, Plot
from yibu.pages.svg import Canvas, Scale, shorten, text_width
from yibu.pages.text import Text

MOST_BY_NAME = 24
MOST_IN_HEAT = 24
_LANE = 14  # pixels from one line of crosses to the next

Classes = Mapping[str, Mapping[str, int]]
"""label -> split -> rows"""


def in_order(classes: Classes) -> list[str]:
    """Labels, the most frequent first."""
    return sorted(classes, key=lambda label: (-sum(classes[label].values()), label))


def class_plot(classes: Classes, t: Text) -> Plot | None:
    """Rows of each class, split by split; None where there are no classes."""
    if not any(sum(row.values()) for row in classes.values()):
        return None
    draw = _by_name if len(classes) <= MOST_BY_NAME else _by_rank
    return Plot(draw(classes, t, WIDE), draw(classes, t, NARROW))


def _by_name(classes: Classes, t: Text, width: float) -> Markup:
    """A bar for each class, its parts the splits."""
    order = in_order(classes)
    wide = width > 600
    words = {label: count(sum(classes[label].values())) for label in order}
    left = min(max(text_width(label) for label in order) + 16, width * 0.36) if wide else 0.0
    right = max(text_width(text) for text in words.values()) + 14
    row, high, top = (28.0, 16.0, 28.0) if wide else (42.0, 12.0, 28.0)
    told = "; ".join(f"{label} {words[label]}" for label in order)
    canvas = Canvas(width, top + row * len(order) + 4, f"{t('plot.classes')}: {told}")
    _legend(canvas, left, t)
    scale = Scale(0, max(sum(row.values()) for row in classes.values()), 0, width - right - left)
    for place, label in enumerate(order):
        y = top + row * place + (6 if wide else 22)
        if wide:
            canvas.text(left - 10, y + high / 2 + 4.5, shorten(label, left - 12), "t", "end")
        else:
            canvas.text(0, y - 5, shorten(label, width))
        begin = left
        for split in SPLITS:
            n = classes[label].get(split, 0)
            if n:
                size = max(scale(n), LEAST)
                canvas.add("rect", f"part {SPLIT_KINDS[split]}", x=begin, y=y, width=max(size - 1, 1), height=high)
                begin += size
        canvas.text(width, y + high / 2 + 4.5, words[label], "t", "end")
    return canvas.svg()


def _by_rank(classes: Classes, t: Text, width: float) -> Markup:
    """Classes side by side, the most frequent first: train as bars, the others as marks; a class without is marked."""
    order = in_order(classes)
    most = max(max(row.values(), default=0) for row in classes.values())
    tops = max(1, math.ceil(math.log10(max(most, 2)) - 1e-9))
    top, bottom, left, right = 34.0, 250.0, 46.0, 8.0
    x = Scale(0, len(order), left, width - right)
    y = Scale(-0.3, tops, bottom, top)  # the axis lies a little below one row, or one would be nothing
    told = t("plot.ranks", n=count(len(order)), most=count(most), label=order[0], rarest=order[-1])
    canvas = Canvas(width, bottom + 70, told)
    for power in range(tops + 1):
        canvas.line(left, y(power), width - right, y(power), "grid")
        canvas.text(left - 8, y(power) + 4, count(10**power), "t small", "end")
    step = x(1) - x(0)
    for place, label in enumerate(order):
        row = classes[label]
        begin, middle = x(place), x(place + 0.5)
        if row.get("train"):
            height = bottom - y(math.log10(row["train"]))
            wide = max(step - (1 if step > 4 else 0.3), 0.8)
            canvas.add("rect", "part rank", x=begin, y=bottom - height, width=wide, height=height)
        _missing(canvas, row, middle, bottom)
    for split in ("test", "valid"):  # validation is dashed, so that test shows through where both are equal
        for run in _runs([classes[label].get(split, 0) for label in order]):
            points = [(x(place + side), y(math.log10(n))) for place, n in run for side in (0, 1)]
            canvas.path(points, f"outline {SPLIT_KINDS[split]}" + (" solid" if split == "test" else ""))
    canvas.line(left, bottom, width - right, bottom, "axis")
    for lane, split in enumerate(SPLITS):
        canvas.text(left - 8, bottom + 15 + _LANE * lane, t(f"short.{split}"), "t small", "end")
    canvas.text((left + width - right) / 2, bottom + 66, t("plot.by_rank"), "t small", "middle")
    _legend(canvas, left, t)
    return canvas.svg()


def _runs(sizes: Sequence[int]) -> list[list[tuple[int, int]]]:
    """(place, size) of neighbours that are not empty."""
    runs: list[list[tuple[int, int]]] = [[]]
    for place, n in enumerate(sizes):
        if n:
            runs[-1].append((place, n))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _missing(canvas: Canvas, row: Mapping[str, int], middle: float, bottom: float) -> None:
    """A cross under the axis for each split that has no row of the class."""
    for lane, split in enumerate(SPLITS):
        if not row.get(split):
            y = bottom + 11 + _LANE * lane
            canvas.line(middle - 2.6, y - 2.6, middle + 2.6, y + 2.6, "cross")
            canvas.line(middle - 2.6, y + 2.6, middle + 2.6, y - 2.6, "cross")


def _legend(canvas: Canvas, left: float, t: Text) -> None:
    place = left
    for split in SPLITS:
        name = t.known("split", split)
        canvas.add("rect", f"key {SPLIT_KINDS[split]}", x=place, y=4, width=12, height=12, rx=3)
        canvas.text(place + 18, 14.5, name)
        place += text_width(name) + 42


# --- what a class lacks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeatRow:
    """One class: its rows in each of B lengths, and whether test has such rows."""

    name: str
    counts: Sequence[int]
    asked: Sequence[bool]


def heat(rows: Sequence[HeatRow], buckets: Sequence[str], t: Text) -> Plot | None:
    """Rows by class and length; the darker, the more rows (on a scale of powers of ten), and empty cells are marked.

    Args:
        rows: classes.
        buckets: names of the B lengths.
    """
    if not rows or not buckets:
        return None
    return Plot(_heat(rows, buckets, t, WIDE), _heat(rows, buckets, t, NARROW))


def _heat(rows: Sequence[HeatRow], buckets: Sequence[str], t: Text, width: float) -> Markup:
    wide = width > 600
    left = min(max(text_width(item.name) for item in rows) + 16, width * 0.4) if wide else 0.0
    cell = min((width - left) / len(buckets), 110.0)
    row, high, top = (28.0, 26.0, 26.0) if wide else (44.0, 24.0, 24.0)
    most = max(max(item.counts) for item in rows) or 1
    # Headings that do not fit beside each other stand in two lines, by turns.
    turns = any(text_width(name, 12) > cell - 4 for name in buckets)
    top += 14 if turns else 0
    empty = sum(n == 0 for item in rows for n in item.counts)
    canvas = Canvas(width, top + row * len(rows) + 4, t("plot.heat", empty=count(empty)))
    for column, name in enumerate(buckets):
        y = 14.0 + (14 if turns and column % 2 else 0)
        name = shorten(name, cell * (2 if turns else 1), 12)
        half = text_width(name, 12) / 2
        canvas.text(min(left + (column + 0.5) * cell, width - half), y, name, "t small", "middle")
    for place, item in enumerate(rows):
        y = top + row * place + (0 if wide else 18)
        if wide:
            canvas.text(left - 10, y + high / 2 + 4.5, shorten(item.name, left - 12), "t", "end")
        else:
            canvas.text(0, y - 5, shorten(item.name, width))
        for column, (n, asked) in enumerate(zip(item.counts, item.asked, strict=True)):
            x = left + column * cell
            if not n:
                kind = "gap asked" if asked else "gap"
                canvas.add("rect", kind, x=x + 2, y=y + 1, width=cell - 4, height=high - 2, rx=3)
                words = "gapnumber asked" if asked else "gapnumber"
                canvas.text(x + cell / 2, y + high / 2 + 4.5, "0", words, "middle")
                continue
            strength = 0.12 + 0.88 * (math.log(n + 1) / math.log(most + 1))
            canvas.add("rect", "hit", fill_opacity=strength, x=x + 1, y=y, width=cell - 2, height=high, rx=3)
            shade = "strong-shade" if strength > 0.8 else "middle-shade" if strength > 0.55 else "weak-shade"
            canvas.text(x + cell / 2, y + high / 2 + 4.5, count(n), f"cellnumber {shade}", "middle")
    return canvas.svg()
