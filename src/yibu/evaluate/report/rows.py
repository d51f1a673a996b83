"""The rows of the matrix of proof, in one order for every recipe: task, latency, cost, energy, what is kept.

A figure that should stand there and was not measured has its row all the same, which says what to add to the recipe: a
matrix with holes must look like one. Only what was measured can pass a gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yibu.evaluate.beside import COST, ENERGY, LOAD, MODELLED, RETENTION
from yibu.evaluate.report.results import difference
from yibu.evaluate.report.shapes import Table
from yibu.evaluate.report.text import Text
from yibu.pages.figures import amount, count, figure, limits, number, percent

ON_TEST = "test."
_OVER = ".over."
_OF_TRAINING = ("trainable_ratio", "training_tokens_per_second")
_ROWS = {  # of each part, those that are always there
    "load": ("p50_ms", "p99_ms", "ttft_p50_ms", "ttft_p99_ms", "tokens_per_s", "max_rate"),
    "cost": ("trainable_ratio", "flops_per_token", "training_flops_per_token"),
    "energy": ENERGY,
    "retention": (RETENTION,),
}
_SHOWN = {  # and those that are there where they were measured
    "load": (*_ROWS["load"][:4], "per_token_p50_ms", "per_token_p99_ms", *_ROWS["load"][4:], "failed_requests"),
    "cost": ("trainable_ratio", "activated_parameters", *_ROWS["cost"][1:], "training_tokens_per_second"),
}
_OWN = {"load": LOAD, "cost": (*COST, *_OF_TRAINING), "energy": (*ENERGY, *MODELLED)}
_HIDDEN = ("trainable_parameters", "total_parameters")
_PERCENT = ("share", "ratio")


@dataclass(frozen=True)
class Cell:
    """One figure, ready to print; without a value there is none."""

    value: str = ""
    unit: str = ""
    interval: str = ""
    n: str = ""


@dataclass(frozen=True)
class GateLine:
    """One gate and what it found; `more` says how many rows would decide it, or why nothing was measured."""

    limit: str
    measured: str
    passed: bool
    more: str


@dataclass(frozen=True)
class MatrixRow:
    """One figure.

    Attributes:
        cells: cross-validated and on the test split; or one, of the model.
        note: why there is no value or no limit; of a row without a part of its own, what to add to the recipe.
    """

    name: str
    cells: list[Cell]
    gates: list[GateLine] = field(default_factory=list)
    note: str = ""

    @property
    def measured(self) -> bool:
        return any(cell.value for cell in self.cells)


@dataclass(frozen=True)
class Part:
    """Rows under one heading; `note` says how they were measured, or what to add to the recipe."""

    name: str
    note: str
    rows: list[MatrixRow]


def parts(metrics: Table, with_folds: bool, t: Text) -> list[Part]:
    """Every figure once, the gates that ask for it beside it; differences to other systems only where a gate asks.

    Args:
        metrics: ``metrics.json``.
        with_folds: whether there is a cross-validation.
    """
    figures: Mapping[str, Table] = metrics["matrix"]
    asked: dict[str, list[Table]] = {}
    for gate in metrics.get("gates") or ():
        asked.setdefault(figure_of(gate["gate"], figures), []).append(gate)
    found = [Part(t("part.task"), "", _of_task(figures, asked, with_folds, t))]
    of_training = [name_of(name, t) for name in _OF_TRAINING]  # without the base's shapes, too
    for part in _ROWS:
        rows = [_model_row(name, figures, asked.get(name, ()), t) for name in _names(part, figures, asked)]
        measured = any(row.measured or row.note for row in rows if row.name not in of_training)
        note = _note(part, metrics, t) if measured else t(f"add.{part}")
        found.append(Part(t(f"part.{part}"), note, rows))
    return found


def figure_of(gate: str, figures: Mapping[str, Table]) -> str:
    """The figure that a gate asks for, without the bound of its interval."""
    name, _, bound = gate.rpartition(".")
    return name if gate not in figures and bound in ("low", "high") and name else gate


def gate_line(gate: Table, name: str, t: Text) -> GateLine:
    """What a gate on the figure of this name asked for and found."""
    measured = number(gate["measured"])
    bound = gate["gate"].removeprefix(name).lstrip(".")
    side = t.known("bound", bound) + " " if bound in ("low", "high") else ""
    more, why = gate.get("rows_to_decide"), gate.get("why")
    told = "" if more is None else t("proof.more", n=count(more))
    return GateLine(
        side + gate["limit"].replace(">=", "≥").replace("<=", "≤"),
        t("proof.unmeasured") if measured is None else f"{measured:.4g}",
        bool(gate["passed"]) and measured is not None,
        reason(str(why), t) if measured is None and why else told,
    )


def reason(why: str, t: Text) -> str:
    """Why something was not measured, in the page's language where the words are known."""
    head, colon, rest = why.partition(": ")
    if colon:
        return t("why.of", why=t.known("why", head), what=t.known("why", rest))
    first, _, last = why.partition(" answers give ")
    return t("why.few_answers", n=first, level=last.split(" ")[0]) if last else t.known("why", why)


def _part_of(name: str) -> str:
    if name == RETENTION or name.startswith(f"{RETENTION}."):
        return "retention"
    return next((part for part, names in _OWN.items() if name in names), "task")


def _names(part: str, figures: Mapping[str, Table], asked: Mapping[str, Sequence[Table]]) -> list[str]:
    """Of one part: its rows in order, then what else a gate asks for."""
    if part == "energy":
        names = [f"{name}_modelled" if f"{name}_modelled" in figures else name for name in ENERGY]
    elif part == "retention":
        names = [RETENTION, *(name for name in figures if name.startswith(f"{RETENTION}."))]
    else:
        measured = any(name in figures for name in _OWN[part])
        names = [name for name in _SHOWN[part] if name in figures or name in _ROWS[part] or not measured]
        names = names if measured else list(_ROWS[part])
    return [*names, *(name for name in asked if _part_of(name) == part and name not in names)]


def _of_task(
    figures: Mapping[str, Table], asked: Mapping[str, list[Table]], with_folds: bool, t: Text
) -> list[MatrixRow]:
    rows = []
    for name, entry in figures.items():
        hidden = _OVER in name or name.startswith(ON_TEST) or name in _HIDDEN
        alias = "." in name and name.split(".")[0] in figures and _OVER not in name
        if _part_of(name) != "task" or ((hidden or alias) and name not in asked):
            continue
        own = cell(name, entry, t)
        if entry["where"] == "model" or not with_folds:
            cells = [own]
        elif entry["where"] == "folds":
            cells = [own, cell(name, figures.get(ON_TEST + name), t)]
        else:
            cells = [Cell(), own]
        rows.append(MatrixRow(name_of(name, t), cells, [gate_line(gate, name, t) for gate in asked.get(name, ())]))
    if not with_folds:
        rows.append(MatrixRow(t("proof.pooled"), [Cell()], note=t("add.folds")))
    missing = [name for name in asked if name not in figures and _part_of(name) == "task"]
    return rows + [
        MatrixRow(name_of(name, t), [Cell()], [gate_line(g, name, t) for g in asked[name]]) for name in missing
    ]


def _model_row(name: str, figures: Mapping[str, Table], gates: Sequence[Table], t: Text) -> MatrixRow:
    entry = figures.get(name)
    why = None if entry is None else entry.get("why")
    note = reason(str(why), t) if why else ""
    return MatrixRow(name_of(name, t), [cell(name, entry, t)], [gate_line(gate, name, t) for gate in gates], note)


def _note(part: str, metrics: Table, t: Text) -> str:
    """How a part was measured; empty where it was not."""
    load, kept = metrics.get("load"), metrics.get("retention")
    if part == "load" and load is not None and load["latency"]["at"] is not None:
        latency = load["latency"]
        item = next(one for one in latency["rates"] if one["rate"] == latency["at"])
        return t("part.load_at", rate=f"{latency['at']:g}", n=count(item["n"]))
    energy = None if load is None or load["efficiency"] is None else load["efficiency"]["energy"]
    if part == "energy" and energy is not None:
        return t("part.modelled" if energy["modelled"] else "part.measured", covers=energy["covers"])
    if part == "retention" and kept is not None:
        abilities = [one["name"] for one in kept["sets"] if one["kind"] != "refusals"]
        return t("part.sets", sets=t.join(abilities))
    return ""


def name_of(name: str, t: Text) -> str:
    """``Accuracy of chapter``, ``Accuracy: tuned less Base``; a name without a text of its own as it is."""
    if name.startswith(ON_TEST):
        return f"{name_of(name.removeprefix(ON_TEST), t)} ({t.known('split', 'test')})"
    if _OVER in name:
        metric, _, other = name.partition(_OVER)
        return t("proof.over", metric=name_of(metric, t), system=t.system(other))
    if name.startswith(f"{RETENTION}."):
        return t("metric.retention_on", set=name.removeprefix(f"{RETENTION}."))
    metric, _, of_field = name.partition(".")
    known = t.known("metric", metric)
    return t("metric.of_field", metric=known, field=of_field.replace("_", " ")) if of_field else known


def cell(name: str, entry: Table | None, t: Text) -> Cell:
    """A figure with its unit; a difference of shares is in points."""
    value = None if entry is None else number(entry.get("value"))
    if entry is None or value is None:
        return Cell()
    unit, low, high = str(entry["unit"]), number(entry.get("low")), number(entry.get("high"))
    n = "" if entry.get("n") is None else f"n = {count(entry['n'])}"
    if unit.startswith("share of"):
        return Cell(percent(value, 2), "", "", n)
    if _OVER in name:
        shown = t("points") if unit == "share" else t.known("unit", unit)
        return Cell(difference(value, unit), shown, limits(low, high, unit), n)
    if unit in _PERCENT:
        return Cell(figure(value, "share"), "", limits(low, high, "share"), n)
    if unit == "ms":
        interval = "" if low is None or high is None else f"[{_short(low)}, {_short(high)}]"
        return Cell(_short(value), "ms", interval, n)
    letter, size = _prefix(value) if unit.startswith(("FLOPs", "parameters")) else ("", 1.0)
    if unit == "probability":
        return Cell(amount(value), "", limits(low, high, ""), n)
    shown = f"{letter}{t.known('unit', unit)}" if unit.startswith("FLOPs") else t.known("unit", unit)
    counted = unit not in ("nats", "F1", "MCC")
    scaled = f"{value / size:.3g}" if letter else _short(value) if counted else amount(value)
    return Cell(scaled + ("" if unit.startswith("FLOPs") else letter), shown, limits(low, high, ""), n)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _prefix(value: float) -> tuple[str, float]:
    return next(((letter, size) for letter, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)) if value >= size), ("", 1.0))
