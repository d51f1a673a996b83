"""Where rows went, in figures: what was taken out and where it is; duplicates, leaks, contamination."""

from __future__ import annotations

import re
from dataclasses import dataclass

from yibu.core.record import SPLITS
from yibu.inspect.report.plots import Bar, bars
from yibu.inspect.report.shapes import DataFigures
from yibu.pages.figures import count, number, percent
from yibu.pages.layout import Pairs, Plot
from yibu.pages.text import Text

_QUOTED = re.compile("'[^']*'")


@dataclass(frozen=True)
class LossRow:
    """One reason for which rows were taken out; ``step`` is empty where the line above has the same."""

    step: str
    reason: str
    n: str
    share: float
    places: list[str]
    more: int


def losses(data: DataFigures, t: Text) -> list[LossRow]:
    """Every reason of every step, with a few places to look at."""
    read = int(data.summary.get("rows_read") or 0) or 1
    rows = []
    before = ""
    for loss in data.losses:
        if not loss.n:
            continue
        others = list(loss.others) or [""] * len(loss.places)
        places = [
            t("loss.repeats", place=place, other=other) if other else place
            for place, other in zip(loss.places, others, strict=True)
        ]
        rows.append(
            LossRow(
                step="" if loss.step == before else t.known("step", loss.step),
                reason=reason(loss.reason, t),
                n=count(loss.n),
                share=loss.n / read,
                places=places,
                more=loss.n - len(places),
            )
        )
        before = loss.step
    return rows


def reason(text: str, t: Text) -> str:
    """Why a row was taken out. Names in quotes stay; a reason that nobody translated stands as it is."""
    names = _QUOTED.findall(text)
    words = t.known("reason", _QUOTED.sub("…", text)) if text else ""
    for name in names:
        words = words.replace("…", name, 1)
    return words


@dataclass(frozen=True)
class Contamination:
    """One named benchmark: items, and how many of them stood in train."""

    name: str
    items: str
    hits: str
    share: float
    percent: str


@dataclass(frozen=True)
class Repeats:
    """What was found more than once."""

    facts: Pairs
    contamination: list[Contamination]
    clusters: Plot | None


def repeats(data: DataFigures, t: Text) -> Repeats | None:
    """Exact and near duplicates, leaks, contamination; None where nobody looked."""
    summary = data.summary
    taken = {str(step["step"]): int(step["n"]) for step in data.funnel[1:-1]}
    facts: Pairs = [
        (t(f"repeats.{step}"), count(taken[step])) for step in ("duplicate", "near_duplicate", "leak") if step in taken
    ]
    near = summary.get("near") or {}
    if near.get("mode") not in (None, "off") or near.get("clusters"):
        for key in ("clusters", "rows", "largest"):
            if near.get(key) is not None:
                facts.append((t(f"near.{key}"), count(near[key])))
        threshold = number(near.get("threshold"))
        if threshold is not None:
            facts.append((t("near.threshold"), f"{threshold:g}"))
        if near.get("mode"):
            facts.append((t("near.mode"), t.known("near.mode", str(near["mode"]))))
    if summary.get("groups"):
        facts.append((t("repeats.groups"), count(summary["groups"])))
    if summary.get("target_in_train") is not None:
        facts.append((t("repeats.known"), count(summary["target_in_train"])))
    table = [
        _contamination(benchmark(str(name), t), int(found.get("items") or 0), int(found.get("hits") or 0))
        for name, found in (summary.get("contamination") or {}).items()
    ]
    return Repeats(facts, table, _shares(data, t)) if facts or table else None


def benchmark(name: str, t: Text) -> str:
    """A file that train must not hold: its name, or that of the split."""
    return t.known("split", name) if name in SPLITS else name


def _contamination(name: str, items: int, hits: int) -> Contamination:
    share = hits / items if items else 0.0
    return Contamination(name, count(items), count(hits), share, percent(share))


def _shares(data: DataFigures, t: Text) -> Plot | None:
    """How much of what was read was there before in one way or another."""
    read = int(data.summary.get("rows_read") or 0)
    taken = {str(step["step"]): int(step["n"]) for step in data.funnel[1:-1]}
    near = data.summary.get("near") or {}
    found = {step: taken[step] for step in ("duplicate", "near_duplicate", "leak", "contaminated") if taken.get(step)}
    if near.get("rows") and near.get("mode") != "drop":
        found["near_kept"] = int(near["rows"])
    if not read or not found:
        return None
    items = [Bar(t(f"repeats.{key}"), n, f"{count(n)} · {percent(n / read)}", "bar") for key, n in found.items()]
    return bars(items, t("plot.repeats"))
