"""The matrix of proof as the page shows it: figures with intervals, gates beside them, and how far folds differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from yibu.evaluate.report import cost
from yibu.evaluate.report.marks import draw_mark, system_class
from yibu.evaluate.report.results import difference, metric_name
from yibu.evaluate.report.rows import Part, gate_line, parts
from yibu.evaluate.report.shapes import ReportData, Table
from yibu.evaluate.report.text import Text
from yibu.pages.figures import count, figure, limits, number, p_value
from yibu.pages.layout import NARROW, WIDE, Plot
from yibu.pages.svg import Canvas, Scale, nice_ticks, shorten, text_width


@dataclass(frozen=True)
class FoldPanel:
    """One metric over folds: the plot, and the corrected test of tuned against each other system in words."""

    name: str
    plot: Plot
    tests: list[str]


@dataclass(frozen=True)
class ProofView:
    """What the section is drawn from."""

    parts: list[Part]
    with_folds: bool
    about: str
    verdict: str
    all_passed: bool | None
    panels: list[FoldPanel] = field(default_factory=list)
    latency: Plot | None = None
    latency_note: str = ""
    forgetting: Plot | None = None
    energy: Plot | None = None


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
        parts(data.metrics, data.folds is not None, t),
        data.folds is not None,
        about,
        verdict,
        not missed if gates else None,
        _panels(data, t),
        cost.latency(data, t),
        cost.load_note(data, t),
        cost.forgetting(data, t),
        cost.energy(data, t),
    )


def gate_lines(gates: Sequence[Table], t: Text) -> list[tuple[bool, str]]:
    """(passed, sentence) of every gate, as a terminal shows them."""
    lines = []
    for gate in gates:
        line = gate_line(gate, gate["gate"], t)
        text = f"{gate['gate']} {line.limit}: {line.measured}"
        lines.append((line.passed, f"{text}; {line.more}" if line.more else text))
    return lines


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
                difference=_with_points(test["difference"], str(table["unit"]), t),
                interval=limits(test["low"], test["high"], str(table["unit"])),
                p=p_value(test["p"]),
            )
            for test in table["tests_over_folds"]
        ]
        panels.append(FoldPanel(name, plot, tests))
    return panels


def _with_points(value: float, unit: str, t: Text) -> str:
    """A difference; that of shares is no share but points."""
    found = difference(value, unit)
    return f"{found} {t('points')}" if unit == "share" else found


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
