"""What the rows do not cover: the heat map of classes and lengths, terms that nobody mentions, what to collect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from yibu.inspect.coverage import say
from yibu.inspect.report.balance import MOST_IN_HEAT, HeatRow, heat
from yibu.inspect.report.plots import Bar, bars
from yibu.inspect.report.shapes import DataFigures
from yibu.pages.figures import count, percent
from yibu.pages.layout import Plot
from yibu.pages.text import Text

MOST_GROUPS = 12
MOST_TERMS = 8


@dataclass(frozen=True)
class TermGroup:
    """One group of the dictionary: how many of its terms no train row mentions, and the first of them."""

    name: str
    missing: str
    total: str
    share: float
    first: str


@dataclass(frozen=True)
class Coverage:
    """Heat map, terms, suggestions."""

    heat: Plot | None
    notes: list[str]
    terms_line: str
    terms: list[TermGroup]
    suggestions: list[str]


def coverage(data: DataFigures, t: Text) -> Coverage | None:
    """What is not covered; None where nobody looked."""
    table = data.coverage
    if not table:
        return None
    labels: Sequence[Mapping[str, Any]] = table.get("labels") or ()
    buckets = _buckets(table.get("edges") or (), t)
    rows = [_row(str(item["label"]), item["train_lengths"], item["test_lengths"]) for item in labels]
    notes = [t("coverage.heat"), t("coverage.characters")]
    if not rows and table.get("lengths"):
        rows = [_row(t("coverage.all"), table["lengths"]["train"], table["lengths"]["test"])]
    # Lengths that nobody has are left out; those that test has and train lacks are what is looked for.
    used = [place for place in range(len(buckets)) if any(row.counts[place] or row.asked[place] for row in rows)]
    rows = [HeatRow(row.name, [row.counts[at] for at in used], [row.asked[at] for at in used]) for row in rows]
    if len(rows) > MOST_IN_HEAT:
        notes.append(t("coverage.shown", shown=count(MOST_IN_HEAT), n=count(len(rows))))
        rows = sorted(rows, key=_emptiness)[:MOST_IN_HEAT]
    plot = heat(rows, [buckets[place] for place in used], t)
    lang = "en" if t.lang == "en" else "zh"
    suggestions = [say(item, lang) for item in table.get("suggestions") or ()]  # type: ignore[arg-type]
    return Coverage(plot, notes, *_terms(table.get("terms"), t), suggestions)


def _buckets(edges: Sequence[int], t: Text) -> list[str]:
    """``≤ 50``, ``51–100``, ``> 100``."""
    if not edges:
        return []
    names = [f"≤ {count(edges[0])}"]
    names += [f"{count(low + 1)}–{count(high)}" for low, high in pairwise(edges)]
    return [*names, t("coverage.beyond", low=count(edges[-1]))]


def _row(name: str, train: Sequence[int], test: Sequence[int]) -> HeatRow:
    return HeatRow(name, list(train), [n > 0 for n in test])


def _emptiness(row: HeatRow) -> tuple[int, int, int, str]:
    """Classes that lack what test asks for first, then those with most empty cells, then the rarest."""
    lacking = sum(asked and not n for n, asked in zip(row.counts, row.asked, strict=True))
    return -lacking, -sum(not n for n in row.counts), sum(row.counts), row.name


def _terms(found: Mapping[str, Any] | None, t: Text) -> tuple[str, list[TermGroup]]:
    if not found:
        return "", []
    line = t("coverage.terms", missing=count(found.get("missing") or 0), total=count(found.get("total") or 0))
    groups = []
    for group in [group for group in found.get("groups") or () if group.get("missing")][:MOST_GROUPS]:
        names = [str(term["preferred"]) for term in group.get("first") or ()]
        listed = t("list.comma").join(names[:MOST_TERMS])
        more = group["missing"] - min(len(names), MOST_TERMS)
        first = t("list.more", items=listed, n=count(more)) if more > 0 and listed else listed
        share = group["missing"] / (group.get("total") or 1)
        groups.append(TermGroup(str(group["group"]), count(group["missing"]), count(group["total"]), share, first))
    return line, groups


@dataclass(frozen=True)
class Augmented:
    """Rows added to train by kind: plot, and (kind, rows, refused, why); versions of rows to try the model on."""

    plot: Plot | None
    rows: list[tuple[str, str, str, str]]
    robust: list[tuple[str, str]]


def augmented(data: DataFigures, t: Text) -> Augmented | None:
    """What augmentation added and what it refused; None where it was not asked for."""
    found: Mapping[str, Mapping[str, Any]] = data.summary.get("augmented") or {}
    robust = _robust(data.summary.get("robustness") or {}, t)
    if not found and not robust:
        return None
    order = sorted(found, key=lambda kind: (-found[kind].get("rows", 0), kind))
    rows = [
        (
            t.known("augmented", kind),
            count(found[kind].get("rows", 0)),
            count(found[kind].get("refused", 0)),
            _why(found[kind].get("reasons") or {}, t),
        )
        for kind in order
    ]
    items = [
        Bar(name, found[kind].get("rows", 0), t("coverage.line", rows=made, refused=refused))
        for kind, (name, made, refused, _) in zip(order, rows, strict=True)
    ]
    return Augmented(bars(items, t("plot.augmented")), rows, robust)


def _why(reasons: Mapping[str, int], t: Text) -> str:
    order = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    return t.some([t("kind.times", kind=t.known("refused", name), n=count(reasons[name])) for name in order])


def _robust(found: Mapping[str, Any], t: Text) -> list[tuple[str, str]]:
    """(what was done, rows) for each kind and rate of noise, and for each attack."""
    rows = [
        (t("robust.rate", kind=t.known("augmented", kind), rate=percent(float(rate), 0)), count(n))
        for kind, rates in (found.get("noise") or {}).items()
        for rate, n in rates.items()
    ]
    rows += [
        (t("robust.attack", kind=kind.replace("_", " ")), count(figures.get("rows") or 0))
        for kind, figures in (found.get("attack") or {}).items()
    ]
    return rows
