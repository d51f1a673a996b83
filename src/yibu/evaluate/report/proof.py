"""The matrix of proof as the page shows it: figures with intervals, gates beside them, and how far folds differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from yibu.evaluate.report.marks import draw_mark, system_class
from yibu.evaluate.report.results import metric_name
from yibu.evaluate.report.shapes import ReportData, Table
from yibu.evaluate.report.text import Text
from yibu.pages.figures import amount, count, figure, limits, number, p_value, percent
from yibu.pages.layout import NARROW, WIDE, Plot
from yibu.pages.svg import Canvas, Scale, nice_ticks, shorten, text_width

ON_TEST = "test."
_OVER = ".over."
_SHARES = ("share", "F1")


@dataclass(frozen=True)
class Cell:
    """One figure, ready to print."""

    value: str = ""
    interval: str = ""
    n: str = ""


@dataclass(frozen=True)
class GateLine:
    """One gate and what it found; `more` says how many rows would decide it."""

    limit: str
    measured: str
    passed: bool
    more: str


@dataclass(frozen=True)
class MatrixRow:
    """One figure: cross-validated, on the test split, and the gates that ask for it."""

    name: str
    pooled: Cell
    test: Cell
    gates: list[GateLine]


@dataclass(frozen=True)
class FoldPanel:
    """One metric over folds: the plot, and the corrected test of tuned against each other system in words."""

    name: str
    plot: Plot
    tests: list[str]


@dataclass(frozen=True)
class ProofView:
    """What the section is drawn from."""

    rows: list[MatrixRow]
    with_folds: bool
    about: str
    verdict: str
    all_passed: bool | None
    panels: list[FoldPanel] = field(default_factory=list)


def proof(data: ReportData, t: Text) -> ProofView | None:
    """The section, or None for a report that was made before there was a matrix."""
    figures: Mapping[str, Table] = data.metrics.get("matrix") or {}
    if not figures:
        return None
    gates: Sequence[Table] = data.metrics.get("gates") or ()
    missed = [gate for gate in gates if not gate["passed"]]
    verdict = ""
    if gates:
        verdict = t("proof.missed", n=len(missed), all=len(gates)) if missed else t("proof.passed", n=len(gates))
    about = ""
    if data.folds is not None:
        about = t("proof.about", k=data.folds["k"], seeds=data.folds["seeds"], n=count(data.folds["n"]))
    return ProofView(
        _rows(figures, gates, data.folds is not None, t),
        data.folds is not None,
        about,
        verdict,
        not missed if gates else None,
        _panels(data, t),
    )


def gate_lines(gates: Sequence[Table], t: Text) -> list[tuple[bool, str]]:
    """(passed, sentence) of every gate, as a terminal shows them."""
    lines = []
    for gate in gates:
        line = _gate(gate, gate["gate"], t)
        text = f"{gate['gate']} {line.limit}: {line.measured}"
        lines.append((line.passed, f"{text}; {line.more}" if line.more else text))
    return lines


def _rows(figures: Mapping[str, Table], gates: Sequence[Table], with_folds: bool, t: Text) -> list[MatrixRow]:
    """Every figure once, what a gate asks for beside it; differences to other systems only where a gate asks."""
    asked: dict[str, list[Table]] = {}
    for gate in gates:
        asked.setdefault(_figure_of(gate["gate"], figures), []).append(gate)
    rows = []
    for name, entry in figures.items():
        hidden = _OVER in name or name.startswith(ON_TEST) or name in ("trainable_parameters", "total_parameters")
        alias = "." in name and name.split(".")[0] in figures and _OVER not in name
        if (hidden or alias) and name not in asked:
            continue
        test = figures.get(ON_TEST + name) if with_folds else None
        own = _cell(entry)
        pooled, tested = (own, _cell(test)) if entry["where"] == "folds" else (Cell(), own)
        rows.append(MatrixRow(_name(name, t), pooled, tested, [_gate(gate, name, t) for gate in asked.pop(name, [])]))
    for name, unmeasured in asked.items():
        rows.append(MatrixRow(_name(name, t), Cell(), Cell(), [_gate(gate, name, t) for gate in unmeasured]))
    return rows


def _figure_of(gate: str, figures: Mapping[str, Table]) -> str:
    """The figure that a gate asks for, without the bound of its interval."""
    name, _, bound = gate.rpartition(".")
    return name if gate not in figures and bound in ("low", "high") and name else gate


def _gate(gate: Table, name: str, t: Text) -> GateLine:
    measured = number(gate["measured"])
    bound = gate["gate"].removeprefix(name).lstrip(".")
    side = t.known("bound", bound) + " " if bound in ("low", "high") else ""
    limit = f"{side}{gate['limit']}"
    more = gate.get("rows_to_decide")
    return GateLine(
        limit,
        t("proof.unmeasured") if measured is None else f"{measured:.4g}",
        bool(gate["passed"]),
        "" if more is None else t("proof.more", n=count(more)),
    )


def _name(name: str, t: Text) -> str:
    """``Accuracy of chapter``, ``Accuracy: difference to Base``; a name without a text of its own as it is."""
    if name.startswith(ON_TEST):
        return f"{_name(name.removeprefix(ON_TEST), t)} ({t.known('split', 'test')})"
    if _OVER in name:
        metric, _, other = name.partition(_OVER)
        return t("proof.over", metric=_name(metric, t), system=t.system(other))
    metric, _, of_field = name.partition(".")
    known = t.known("metric", metric)
    return t("metric.of_field", metric=known, field=of_field.replace("_", " ")) if of_field else known


def _cell(entry: Table | None) -> Cell:
    value = None if entry is None else number(entry.get("value"))
    if entry is None or value is None:
        return Cell()
    unit = str(entry["unit"])
    if unit.startswith("share of"):
        return Cell(percent(value, 2))
    if unit not in (*_SHARES, "nats", "probability"):
        return Cell(amount(value))
    shown = "" if unit == "probability" else unit
    n = entry.get("n")
    return Cell(
        figure(value, shown),
        limits(number(entry.get("low")), number(entry.get("high")), shown),
        "" if n is None else f"n = {count(n)}",
    )


# --- folds ------------------------------------------------------------------------------------------------------------


def _panels(data: ReportData, t: Text) -> list[FoldPanel]:
    if data.folds is None:
        return []
    panels = []
    for table in data.folds["metrics"]:
        if len(next(iter(table["by_fold"].values()), ())) < 2:
            continue
        name = metric_name(table, t)
        plot = Plot(fold_dots(table, name, t, WIDE), fold_dots(table, name, t, NARROW))
        tests = [
            t(
                "proof.over_folds",
                system=t.system(test["b"]),
                difference=figure(test["difference"], str(table["unit"])),
                interval=limits(test["low"], test["high"], str(table["unit"])),
                p=p_value(test["p"]),
            )
            for test in table["tests_over_folds"]
        ]
        panels.append(FoldPanel(name, plot, tests))
    return panels


def fold_dots(table: Table, title: str, t: Text, width: float) -> Markup:
    """One metric: a mark per fold and system, and a bar over the mark of all folds pooled."""
    by_fold: Mapping[str, Sequence[float | None]] = table["by_fold"]
    systems = list(by_fold)
    unit = str(table.get("unit", ""))
    values = [value for row in by_fold.values() for value in row if value is not None]
    pooled = {name: number(table["values"][name]["value"]) for name in systems}
    labels = {name: t.system(name) for name in systems}
    left = min(max(text_width(label) for label in labels.values()) + 26, width * 0.36)
    ticks = nice_ticks(min(values), max(max(values), min(values) + 0.01), 5)
    scale = Scale(ticks[0], max(ticks[-1], max(values)), left + 8, width - 66)
    row, top = 30.0, 8.0
    bottom = top + row * len(systems)
    told = "; ".join(
        f"{labels[name]} " + ", ".join("–" if value is None else figure(value, unit) for value in by_fold[name])
        for name in systems
    )
    canvas = Canvas(width, bottom + 26, f"{title}. {told}")
    for tick in ticks:
        canvas.line(scale(tick), top, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 17, figure(tick, unit, short=True), "t small", "middle")
    for place, name in enumerate(systems):
        y, kind = top + row * (place + 0.5), system_class(name, systems)
        mean = pooled[name]
        if mean is not None:
            canvas.line(scale(mean), y - 11, scale(mean), y + 11, f"whisker {kind}")
            canvas.text(width, y + 4.5, figure(mean, unit), "t strong" if name == "tuned" else "t", "end")
        for value in by_fold[name]:
            if value is not None:
                draw_mark(canvas, scale(value), y, kind)
        draw_mark(canvas, 7, y, kind)
        canvas.text(20, y + 4.5, shorten(labels[name], left - 24), "t strong" if name == "tuned" else "t")
    return canvas.svg()
