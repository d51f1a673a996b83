"""How the kept rows are divided: classes, lengths, flags, folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from yibu.core.record import SPLITS
from yibu.inspect.report import balance
from yibu.inspect.report.plots import Bar, bars, length_lines, quantile, tail
from yibu.inspect.report.shapes import DataFigures
from yibu.pages.figures import count, number, percent
from yibu.pages.layout import Pairs, Plot
from yibu.pages.text import Text

MOST_CLASSES = 24  # shown at once; the rest can be opened


@dataclass(frozen=True)
class ClassRow:
    """One class: (count, length of its bar, whether it is missing) per split, and the largest deviation in points."""

    name: str
    cells: list[tuple[str, float, bool]]
    deviation: str
    far: bool


@dataclass(frozen=True)
class Classes:
    """Plot and table of the classes."""

    plot: Plot | None
    by_rank: bool
    rows: list[ClassRow]
    rest: list[ClassRow]
    line: str


def classes(data: DataFigures, t: Text) -> Classes | None:
    """Rows of each class in each split; None where the task has no classes."""
    table: Mapping[str, Mapping[str, int]] = data.summary.get("classes") or {}
    if not table:
        return None
    order = balance.in_order(table)
    totals = {split: sum(row.get(split, 0) for row in table.values()) for split in SPLITS}
    shares = {label: {split: table[label].get(split, 0) / (totals[split] or 1) for split in SPLITS} for label in order}
    # Bars are drawn against the largest share of any cell: with many classes all would be slivers otherwise.
    largest = max((share for row in shares.values() for share in row.values()), default=0) or 1
    total = sum(totals.values()) or 1
    rows = []
    for label in order:
        all_rows = sum(table[label].values()) / total
        deviation = max((abs(shares[label][split] - all_rows) for split in SPLITS if totals[split]), default=0.0)
        cells = [
            (count(table[label].get(split, 0)), shares[label][split] / largest, not table[label].get(split, 0))
            for split in SPLITS
        ]
        rows.append(ClassRow(label, cells, f"{100 * deviation:.2f}", deviation > 0.02))
    return Classes(
        plot=balance.class_plot(table, t),
        by_rank=len(table) > balance.MOST_BY_NAME,
        rows=rows[:MOST_CLASSES],
        rest=rows[MOST_CLASSES:],
        line=_line(data, table, order, t),
    )


def _line(data: DataFigures, table: Mapping[str, Mapping[str, int]], order: list[str], t: Text) -> str:
    """How uneven the classes are, and how much the splits differ, in words."""
    sizes = [sum(table[label].values()) for label in order]
    said = [t("classes.spread", n=count(len(order)), most=count(sizes[0]), least=count(sizes[-1]))]
    deviation = number((data.summary.get("balance") or {}).get("largest_deviation"))
    if deviation is not None:
        said.append(t("classes.deviation", points=f"{100 * deviation:.2f}"))
    return t("sentences").join(said)


@dataclass(frozen=True)
class LengthRow:
    """One split: rows, and how long they are."""

    name: str
    values: list[str]


@dataclass(frozen=True)
class LengthSection:
    """Plot and table of the lengths."""

    plot: Plot | None
    rows: list[LengthRow]
    note: str


def lengths(data: DataFigures, t: Text) -> LengthSection | None:
    """Lengths in tokens or characters by split; None where nothing was measured."""
    measured = data.lengths
    if measured is None or not any(measured.counts.values()):
        return None
    rows = []
    for split, counts in measured.counts.items():
        if counts:
            spread = [quantile(counts, share) for share in (0.5, 0.9, 0.99, 1.0)]
            rows.append(LengthRow(t.known("split", split), [count(value) for value in (sum(counts.values()), *spread)]))
    said = [t(f"lengths.in_{measured.unit}")]
    if measured.sampled:
        said.append(t("lengths.sampled"))
    longest = tail(measured)
    if longest is not None:
        said.append(t("lengths.tail", longest=count(longest)))
    return LengthSection(length_lines(measured, t), rows, t("sentences").join(said))


@dataclass(frozen=True)
class Folds:
    """Sizes of the folds, and what was checked."""

    plot: Plot | None
    facts: Pairs


def folds(data: DataFigures, t: Text) -> Folds | None:
    """Cross-validation folds; None where none were asked for."""
    found = data.summary.get("folds") or {}
    sizes = [int(n) for n in found.get("sizes") or ()]
    if not sizes:
        return None
    facts: Pairs = [(t("folds.k"), count(found.get("k", len(sizes))))]
    if number(found.get("largest_deviation")) is not None:
        facts.append((t("folds.deviation"), t("points.of", n=f"{100 * found['largest_deviation']:.2f}")))
    if found.get("groups_shared") is not None:
        facts.append((t("folds.shared"), count(found["groups_shared"])))
    total = sum(sizes) or 1
    items = [
        Bar(t("folds.fold", n=place + 1), n, f"{count(n)} · {percent(n / total)}") for place, n in enumerate(sizes)
    ]
    return Folds(bars(items, t("plot.folds")), facts)


def flags(data: DataFigures, t: Text) -> Plot | None:
    """Rows that carry a flag; they are kept, and evaluation can look at them apart."""
    found: Mapping[str, int] = data.summary.get("flags") or {}
    total = data.num_kept or 1
    items = [
        Bar(t.known("flag", name), n, f"{count(n)} · {percent(n / total)}", "bar warn")
        for name, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        if n
    ]
    return bars(items, t("plot.flags"))
