"""The tuned model on parts of the rows and on changed rows, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yibu.evaluate.report.results import difference, metric_name
from yibu.evaluate.report.shapes import ReportData, Table
from yibu.evaluate.report.text import Text
from yibu.pages.figures import count, figure, limits, number, percent


@dataclass(frozen=True)
class Line:
    """One row: (text, interval) in each cell behind its name and n.

    `tone` is ``better`` or ``worse`` where the interval of its gap leaves out 0, else empty.
    """

    name: str
    n: str
    cells: list[tuple[str, str]]
    tone: str = ""


@dataclass(frozen=True)
class Block:
    """One table."""

    title: str
    columns: list[str]
    lines: list[Line]
    note: str = ""


@dataclass(frozen=True)
class Robust:
    """What the section is drawn from."""

    slices: list[Block]
    changed: list[Block]


def robust(data: ReportData, t: Text) -> Robust | None:
    """The section; None where the report has neither parts nor changed rows."""
    slices = [_slices(table, t) for table in data.metrics.get("slices") or () if table["slices"]]
    found = data.metrics.get("robustness") or {}
    changed = []
    if found.get("noise"):
        changed.append(_noise(found["noise"], t))
    if found.get("swaps"):
        lines = [
            Line(t.known("swap", one["swap"]), count(one["n"]), [_share(one["changed"], one["low"], one["high"])])
            for one in found["swaps"]
        ]
        changed.append(Block(t("robust.swaps"), [t("robust.answers_changed")], lines, t("robust.swaps_note")))
    return Robust(slices, changed) if slices or changed else None


def _slices(table: Table, t: Text) -> Block:
    lines = []
    for one in table["slices"]:
        if one["value"] is None:
            cells = [(t("robust.too_few", n=table["fewest"]), ""), ("", "")]
        else:
            cells = [_figure(one["value"], table), _gap(one["gap"], table, t)]
        name = t.known("robust.language", one["name"]) if table["by"] == "language" else one["name"]
        lines.append(Line(name, count(one["n"]), cells, _tone(one["gap"], table)))
    note = t("robust.more", n=count(table["more"])) if table["more"] else ""
    return Block(
        t("robust.by", metric=metric_name(table, t), by=t.known("robust.part", table["by"])),
        [t("robust.value"), t("robust.gap")],
        lines,
        note,
    )


def _noise(tables: Sequence[Table], t: Text) -> Block:
    lines = []
    for one in tables:
        test = one["test"]
        kind = t.known("robust.noise", one["kind"])
        rate = "" if one["rate"] is None else f", {percent(one['rate'], 0)}"
        gap = None if test is None else {"value": test["difference"], "low": test["low"], "high": test["high"]}
        cells = [_figure(one["clean"], one), _figure(one["changed"], one), _gap(gap, one, t)]
        name = f"{kind}{rate} · {metric_name(one, t)}"
        lines.append(Line(name, count(one["changed"]["n"]), cells, _tone(gap, one)))
    return Block(
        t("robust.noise_title"),
        [t("robust.clean"), t("robust.changed"), t("robust.difference")],
        lines,
        t("robust.noise_note"),
    )


def _figure(entry: Table, table: Table) -> tuple[str, str]:
    unit, value = str(table["unit"]), number(entry["value"])
    if value is None:
        return "–", ""
    return figure(value, unit), limits(number(entry["low"]), number(entry["high"]), unit)


def _gap(gap: Table | None, table: Table, t: Text) -> tuple[str, str]:
    if gap is None:
        return "–", ""
    unit = str(table["unit"])
    shown = difference(float(gap["value"]), unit) + (f" {t('points')}" if unit == "share" else "")
    return shown, limits(number(gap["low"]), number(gap["high"]), unit)


def _tone(gap: Table | None, table: Table) -> str:
    """``worse`` or ``better`` where the interval of the gap leaves out zero."""
    low, high = (None, None) if gap is None else (number(gap["low"]), number(gap["high"]))
    if gap is None or low is None or high is None or low <= 0 <= high:
        return ""
    return "better" if (gap["value"] > 0) == bool(table["higher_is_better"]) else "worse"


def _share(value: float, low: float | None, high: float | None) -> tuple[str, str]:
    return percent(value), limits(number(low), number(high), "share")
