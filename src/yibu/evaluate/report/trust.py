"""How far the probabilities of a closed set of labels can be trusted, before and after their correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from yibu.evaluate.report.shapes import ReportData
from yibu.evaluate.report.text import Text
from yibu.pages.figures import amount, count, limits, number, percent
from yibu.pages.layout import NARROW
from yibu.pages.svg import Canvas, Scale, nice_ticks, text_width

COLUMNS = ("ece", "ece_classwise", "ece_rare_decisions", "brier", "nll", "average_precision")
_RADIUS = (2.5, 9.0)  # of the smallest and the largest bin
_WIDTH = 480.0


@dataclass(frozen=True)
class TrustRow:
    """One system's probabilities: (figure, its interval) in the order of `COLUMNS`."""

    name: str
    is_tuned: bool
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Trust:
    """What was done to the scores, in sentences; the table; and the plot in two widths."""

    done: list[str]
    columns: list[str]
    rows: list[TrustRow]
    wide: Markup
    narrow: Markup
    about: str


def trust(data: ReportData, t: Text) -> Trust | None:
    """The section's content; None where the report has no probabilities."""
    table = data.metrics.get("calibration")
    if not table or "tuned" not in table.get("systems", {}):
        return None
    rows = [
        TrustRow(_name(system, form, t), (system, form) == _headline(table), [_cell(figures.get(c)) for c in COLUMNS])
        for system, forms in table["systems"].items()
        for form, figures in forms.items()
    ]
    # After a remedy it is the rare label's probability that was moved; else the chosen label's is what people read.
    moved = table.get("remedy", "none") != "none"
    key = "reliability_rarest" if moved else "reliability"
    forms = {form: figures[key] for form, figures in table["systems"]["tuned"].items() if form != "prior"}
    about = t("trust.plot_label", label=table["rarest_in_train"]) if moved else t("trust.plot_chosen")
    plots = [reliability(forms, about, t, width) for width in (_WIDTH, NARROW)]
    return Trust(_done(table, t), [t(f"trust.{name}") for name in COLUMNS], rows, plots[0], plots[1], about)


def reliability(forms: Mapping[str, Sequence[Mapping[str, Any]]], title: str, t: Text, width: float) -> Markup:
    """Share that is right over the probability that was said, a dot a bin as large as its rows; right is the diagonal.

    Args:
        forms: ``raw`` and ``corrected``, each with its bins (confidence, accuracy, n).
        title: what the probability is of.
    """
    bins = [row for table in forms.values() for row in table]
    values = [float(row[key]) for row in bins for key in ("confidence", "accuracy")]
    low = min(*values, max(0.0, max(values) - 0.05))  # all bins may lie at one place
    ticks = [tick for tick in nice_ticks(low, max(*values, low + 0.05), 5) if tick <= 1.0 + 1e-9]
    ends = ticks[0], max(ticks[-1], max(values))
    top, left, right = 44.0, 52.0, 24.0  # half of "100%" stands right of the plot
    side = width - left - right
    x, y = Scale(*ends, left, left + side), Scale(*ends, top + side, top)
    told = "; ".join(
        f"{_form(form, t)}: " + ", ".join(f"{percent(row['confidence'])} → {percent(row['accuracy'])}" for row in table)
        for form, table in forms.items()
    )
    canvas = Canvas(width, top + side + 42, f"{title}. {told}")
    for tick in ticks:
        canvas.line(left, y(tick), left + side, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, percent(tick, 0 if ends[1] - ends[0] > 0.1 else 1), "t small", "end")
        canvas.text(x(tick), top + side + 17, percent(tick, 0 if ends[1] - ends[0] > 0.1 else 1), "t small", "middle")
    canvas.line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), "axis")
    canvas.text(left + side / 2, top + side + 37, t("trust.said"), "t small", "middle")
    canvas.text(left, top - 6, t("trust.right"), "t small")
    most = max(int(row["n"]) for row in bins)
    place = left
    for form, table in forms.items():
        kind = "dot s-base" if form == "raw" else "dot s-tuned"
        for row in table:
            radius = _RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * (int(row["n"]) / most) ** 0.5
            canvas.add("circle", kind, cx=x(float(row["confidence"])), cy=y(float(row["accuracy"])), r=radius)
        canvas.add("circle", kind, cx=place + 5, cy=10, r=4.6)
        canvas.text(place + 14, 14.5, _form(form, t))
        place += 14 + text_width(_form(form, t)) + 22
    return canvas.svg()


def _headline(table: Mapping[str, Any]) -> tuple[str, str]:
    """The form of tuned whose probabilities are the result."""
    return "tuned", "corrected" if "corrected" in table["systems"]["tuned"] else "raw"


def _done(table: Mapping[str, Any], t: Text) -> list[str]:
    correction = table.get("corrections", {}).get("tuned")
    said = []
    if table.get("remedy", "none") != "none":
        said.append(t("trust.remedy", remedy=t.known("remedy", table["remedy"])))
    if correction is not None:
        steps = correction["steps"]
        if "prior" in steps:
            said.append(t("trust.prior"))
        if len(steps) > ("prior" in steps):
            fitted = t.known("scaling", steps[-1])
            said.append(
                t(
                    "trust.fitted",
                    what=fitted,
                    n=count(correction["num_valid"]),
                    value=amount(correction["temperature"]),
                )
            )
        decided = table.get("decided_by", {}).get("tuned", "raw")
        said.append(t.known("decided", decided))
    return said


def _name(system: str, form: str, t: Text) -> str:
    return t.system(system) if system == "base_rate" else f"{t.system(system)} · {_form(form, t)}"


def _form(form: str, t: Text) -> str:
    return t.known("form", form)


def _cell(figures: Mapping[str, Any] | None) -> tuple[str, str]:
    value = None if figures is None else number(figures.get("value"))
    if figures is None or value is None:
        return "–", ""
    return amount(value), limits(number(figures.get("low")), number(figures.get("high")), "")
