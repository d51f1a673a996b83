"""What the template is given: words and plots that need no more than to be put in their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from yibu.evaluate.report import examples, plots, results
from yibu.evaluate.report.claims import Caution, adjusted, cautions, headline, left_out, validation_points
from yibu.evaluate.report.proof import proof
from yibu.evaluate.report.robust import robust
from yibu.evaluate.report.shapes import ReportData
from yibu.evaluate.report.text import Text
from yibu.evaluate.report.trust import trust
from yibu.pages import lineage
from yibu.pages.figures import amount, count, figure, number, percent
from yibu.pages.layout import NARROW, Pairs, Plot, Tile
from yibu.pages.svg import bar, stacked

MOST_CLASSES = 30
_PARTS = ("train", "valid", "test", "rejected", "duplicate", "leak", "limit")


@dataclass(frozen=True)
class PlanRow:
    """One class of trained modules."""

    name: str
    num_modules: str
    shape: str
    parameters: str
    share: float
    percent: str


@dataclass(frozen=True)
class ClassBalance:
    """One class: (count, length of its bar) per split."""

    name: str
    cells: list[tuple[str, float]]


def context(data: ReportData, t: Text) -> dict[str, Any]:
    """All variables of ``page.html.j2``."""
    found_robust = robust(data, t)
    return {
        "t": t,
        "bar": bar,
        "data": data,
        "title": t("title", recipe=data.recipe),
        "headline": data.recipe,
        "sections": (
            *(("proof",) if data.metrics.get("matrix") else ()),
            "results",
            *(("robust",) if found_robust else ()),
            "examples",
            "training",
            "data",
            "provenance",
        ),
        "command": data.lineage.command,
        "meta": _meta(data, t),
        "verdicts": results.verdicts(data, t),
        "tiles": _tiles(data, t),
        "cautions": [(caution.serious, _caution(caution, t)) for caution in cautions(data)],
        "split": t.known("split", str(data.metrics.get("split", "test"))),
        "n": count(data.metrics.get("n", 0)),
        "groups": results.result_groups(data, t),
        "methods": results.methods(data, t),
        "p_note": t("results.adjusted_p" if adjusted(data.metrics) else "results.raw_p"),
        "remarks": results.remarks(data, t),
        "panels": results.panels(data, t),
        "classes": results.classes(data, t),
        "trust": trust(data, t),
        "proof": proof(data, t),
        "robust": found_robust,
        "loss": _loss(data, t),
        "loss_marks_best": data.model.get("best_step") is not None and bool(validation_points(data.history)),
        "lengths": _lengths(data, t),
        "length_line": _length_line(data, t),
        "training": _training(data, t),
        "plan": _plan(data),
        "plan_total": _plan_total(data, t),
        "examples": examples.examples(data, t),
        "flow": _flow(data, t),
        "facts": _facts(data, t),
        "reasons": [(str(reason), count(n)) for reason, n in data.data.get("reject_reasons", {}).items()],
        "balance": _balance(data, t),
        "stages": lineage.stages(data.lineage, t),
        "machine": _machine(data, t),
    }


def _meta(data: ReportData, t: Text) -> Pairs:
    pairs = [
        (t("meta.base"), data.base),
        (t("meta.task"), t.known("task", data.task)),
        (t("meta.rows"), t.known("language", data.language)),
        (t("meta.date"), data.lineage.date),
    ]
    return [(name, value) for name, value in pairs if value]


def _tiles(data: ReportData, t: Text) -> list[Tile]:
    tiles = []
    for claim in headline(data.metrics)[:1]:
        values, unit = claim.metric["values"], str(claim.metric.get("unit", ""))
        value, before = number(values["tuned"].get("value")), number(values.get("base", {}).get("value"))
        if value is not None:
            note = "" if before is None else t("tile.before", value=figure(before, unit))
            name = t("tile.tuned", metric=results.metric_name(claim.metric, t))
            tiles.append(Tile(figure(value, unit), name, note))
    trained_on = data.data.get("splits", {}).get("train")
    note = "" if trained_on is None else t("tile.train_rows", n=count(trained_on))
    tiles.append(Tile(count(data.metrics.get("n", 0)), t("tile.test_rows"), note))
    ratio = number(data.model.get("trainable_ratio"))
    if ratio is not None:
        n, total = data.model["trainable_parameters"], data.model["total_parameters"]
        tiles.append(
            Tile(percent(ratio, 2), t("tile.trained"), t("tile.parameters", n=_millions(n), total=_millions(total)))
        )
    seconds, speed = number(data.model.get("seconds")), number(data.model.get("tokens_per_second"))
    if seconds is not None:
        note = "" if speed is None else t("tile.speed", n=count(round(speed)))
        tiles.append(Tile(t.seconds(seconds), t("tile.time"), note))
    return tiles


def _millions(parameters: float) -> str:
    """4884480 -> ``4.9M``."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= size:
            return f"{parameters / size:.3g}{letter}"
    return count(parameters)


def _caution(caution: Caution, t: Text) -> str:
    values = dict(caution.values)
    if "labels" in values:
        values["labels"] = t.some([str(label) for label in values["labels"]])
    if caution.key == "worse":
        values["metric"] = results.metric_name(values["metric"], t)
        values["systems"] = t.join([t.known("said", name) for name in values["systems"]])
    for key in ("best", "last"):
        if key in values:
            values[key] = amount(values[key])
    if "share" in values:
        values["share"] = percent(values["share"])
    shown = {key: count(value) if isinstance(value, int) else value for key, value in values.items()}
    return t(f"caution.{caution.key}", **shown)


def _loss(data: ReportData, t: Text) -> Plot | None:
    best = data.model.get("best_step")
    wide = plots.loss_curves(data.history, best, t)
    return Plot(wide, plots.loss_curves(data.history, best, t, NARROW)) if wide else None


def _lengths(data: ReportData, t: Text) -> Plot | None:
    lengths = data.model.get("lengths", {})
    too_long = left_out(lengths) + int(lengths.get("split", 0))
    wide = plots.length_histogram(lengths, too_long, t)
    return Plot(wide, plots.length_histogram(lengths, too_long, t, NARROW)) if wide else None


def _length_line(data: ReportData, t: Text) -> str:
    lengths = data.model.get("lengths", {})
    if any(number(lengths.get(key)) is None for key in ("p50", "p99", "max")):
        return ""
    return t("training.length_line", **{key: count(lengths[key]) for key in ("p50", "p99", "max")})


def _training(data: ReportData, t: Text) -> Pairs:
    model = data.model
    pairs: Pairs = []
    for key, name in (("steps", "steps"), ("epochs", "epochs"), ("best_step", "best")):
        if number(model.get(key)) is not None:
            pairs.append((t(f"training.{name}"), count(model[key])))
    if number(model.get("best_valid_loss")) is not None:
        pairs.append((t("training.best_loss"), amount(model["best_valid_loss"])))
    for key, name in (("tokens", "tokens"), ("target_tokens", "targets")):
        if number(model.get(key)) is not None:
            pairs.append((t(f"training.{name}"), count(model[key])))
    if number(model.get("seconds")) is not None:
        pairs.append((t("training.time"), t.seconds(model["seconds"])))
    return pairs


def _plan(data: ReportData) -> list[PlanRow]:
    """Modules by class; the share is of what is trained, whatever the plan itself relates it to."""
    total = sum(item["parameters"] for item in data.plan) or 1
    return [
        PlanRow(
            name=str(item["role"]),
            num_modules=count(item["num_modules"]),
            shape=_shapes(item.get("shapes", item.get("shape", ()))),
            parameters=count(item["parameters"]),
            share=item["parameters"] / total,
            percent=percent(item["parameters"] / total),
        )
        for item in data.plan
    ]


def _shapes(value: Any) -> str:
    """``576 × 1536``; several examples are parted by commas."""
    if isinstance(value, str):
        return value
    if value and all(isinstance(size, int) for size in value):
        return " × ".join(str(size) for size in value)
    return ", ".join(_shapes(shape) for shape in value)


def _plan_total(data: ReportData, t: Text) -> str:
    model = data.model
    if number(model.get("trainable_ratio")) is None:
        return ""
    return t(
        "plan.total",
        trained=count(model["trainable_parameters"]),
        total=count(model["total_parameters"]),
        share=percent(model["trainable_ratio"], 2),
    )


@dataclass(frozen=True)
class Flow:
    """Where all rows went: a bar and its legend of (CSS class, name, count)."""

    title: str
    bar: Markup
    legend: list[tuple[str, str, str]]


def _flow(data: ReportData, t: Text) -> Flow | None:
    """Where every row that was read has gone."""
    summary = data.data
    if not summary.get("rows_read"):
        return None
    counts = {**summary.get("splits", {}), "rejected": summary.get("rejected", 0), **summary.get("dropped", {})}
    names = {part: t(f"split.{part}" if part in ("train", "valid", "test") else f"data.{part}") for part in _PARTS}
    parts = [(f"f-{part}", names[part], int(counts.get(part, 0))) for part in _PARTS]
    told = "; ".join(f"{name} {count(size)}" for _, name, size in parts if size)
    title = t("data.flow", n=count(summary["rows_read"]))
    legend = [(kind, name, count(size)) for kind, name, size in parts]
    return Flow(title, stacked(parts, f"{title}: {told}"), legend)


def _facts(data: ReportData, t: Text) -> Pairs:
    summary = data.data
    pairs: Pairs = []
    for key, name in (("rows_read", "read"), ("conflicts", "conflicts"), ("target_in_train", "known")):
        if summary.get(key) is not None:
            pairs.append((t(f"data.{name}"), count(summary[key])))
    if summary.get("groups"):  # 0 where rows have no group
        pairs.append((t("data.groups"), count(summary["groups"])))
    missing = summary.get("missing_labels", {}).get("test")
    if missing is not None:
        pairs.append((t("data.missing"), count(len(missing))))
    if summary.get("shape"):
        pairs.append((t("data.shape"), str(summary["shape"])))
    clean = summary.get("clean", {})
    if clean.get("rows_changed") is not None:
        pairs.append((t("data.cleaned", profile=clean.get("profile", "?")), count(clean["rows_changed"])))
    if clean.get("characters_removed") is not None:
        pairs.append((t("data.removed"), count(clean["characters_removed"])))
    for key, name in (("prompt_characters", "prompt_length"), ("target_characters", "target_length")):
        spread = summary.get("lengths", {}).get(key, {})
        if all(number(spread.get(part)) is not None for part in ("p50", "p99", "max")):
            said = {part: count(spread[part]) for part in ("p50", "p99", "max")}
            pairs.append((t(f"data.{name}"), t("data.quantiles", **said)))
    return pairs


def _balance(data: ReportData, t: Text) -> list[ClassBalance]:
    """Counts and shares by split, the most frequent classes first, those behind the thirtieth together."""
    table = data.data.get("classes") or {}
    splits = ("train", "valid", "test")
    totals = {split: sum(counts.get(split, 0) for counts in table.values()) for split in splits}
    order = sorted(table, key=lambda label: (-sum(table[label].get(split, 0) for split in splits), label))
    rows = [(label, [table[label].get(split, 0) for split in splits]) for label in order[:MOST_CLASSES]]
    rest = order[MOST_CLASSES:]
    if rest:
        together = [sum(table[label].get(split, 0) for label in rest) for split in splits]
        rows.append((t("classes.rest", n=len(rest)), together))
    shares = [[size / (totals[split] or 1) for size, split in zip(sizes, splits, strict=True)] for _, sizes in rows]
    # Bars are drawn against the largest share of any cell: with many classes all would be slivers otherwise.
    largest = max((share for line in shares for share in line), default=0) or 1
    return [
        ClassBalance(name, [(count(size), share / largest) for size, share in zip(sizes, line, strict=True)])
        for (name, sizes), line in zip(rows, shares, strict=True)
    ]


def _machine(data: ReportData, t: Text) -> Pairs:
    pairs = [
        (t(f"provenance.{key}"), str(data.model[key])) for key in ("device", "dtype", "threads") if data.model.get(key)
    ]
    return pairs + lineage.machine(data.lineage, t)
