"""From metrics and answers to what the page says about them: verdict, result table, classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from yibu.evaluate.report import plots
from yibu.evaluate.report.claims import (
    OUTCOMES,
    SIGNIFICANT,
    Claim,
    Comparison,
    compare,
    headline,
    proven_best,
)
from yibu.evaluate.report.marks import legend_mark, system_class
from yibu.evaluate.report.shapes import ReportData, Table
from yibu.evaluate.report.text import Text
from yibu.metrics.scores import normalise
from yibu.pages.figures import MINUS, amount, count, figure, limits, number, p_value, percent
from yibu.pages.layout import NARROW

MOST_PANELS = 6
MOST_CLASSES = 30
MOST_IN_MATRIX = 25
_BETWEEN_SCRIPTS = re.compile(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[\u4e00-\u9fff])")


@dataclass(frozen=True)
class Verdict:
    """A sentence, what it is about, and its tone (`Claim.tone`)."""

    tone: str
    about: str
    sentence: str


def verdicts(data: ReportData, t: Text) -> list[Verdict]:
    """One sentence per field of the answer, the main one first."""
    claims = headline(data.metrics)
    if not any(item.comparisons for item in claims):
        return [Verdict("none", "", t("verdict.none"))]
    split = t.known("split", str(data.metrics.get("split", "test")))
    n = count(data.metrics.get("n", 0))
    return [
        Verdict(item.tone, t("verdict.about", metric=metric_name(item.metric, t), n=n, split=split), sentence(item, t))
        for item in claims
        if item.comparisons
    ]


def sentence(item: Claim, t: Text) -> str:
    """What the tests show, and no more: better, worse, unproven, untested, each with its p."""
    clauses: list[str] = []
    for outcome in OUTCOMES:
        found = item.others(outcome)
        if not found:
            continue
        names = [t.known("said", comparison.other) for comparison in found]
        listed = t.join(names, "or" if outcome in ("unproven", "untested") else "and")
        place = "next" if clauses else "first"
        clauses.append(t(f"verdict.{outcome}.{place}", systems=listed, p=_shared_p(found, t)))
    text = t("verdict.separator").join(clauses) + t("verdict.end")
    return _BETWEEN_SCRIPTS.sub(" ", text)


def _shared_p(found: Sequence[Comparison], t: Text) -> str:
    """What the p values of one clause have in common."""
    known = [comparison.p for comparison in found if comparison.p is not None]
    if not known:
        return ""
    open_interval = found[0].outcome == "unproven" and min(known) < SIGNIFICANT
    if len(known) == 1:
        p = p_value(known[0])
        return t("verdict.p_open" if open_interval else "verdict.p_one", p=p if p.startswith("<") else f"= {p}")
    if open_interval:
        return t("verdict.p_mixed")
    if max(known) < SIGNIFICANT:
        return t("verdict.p_each", p=f"< {next(bound for bound in (0.001, 0.01, SIGNIFICANT) if max(known) < bound):g}")
    return t("verdict.p_each", p=f"≥ {SIGNIFICANT:g}")


def metric_name(metric: Table, t: Text) -> str:
    """``Accuracy of chapter``."""
    name = t.known("metric", str(metric["metric"]))
    field = str(metric.get("field") or "").replace("_", " ")
    return t("metric.of_field", metric=name, field=field) if field else name


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ResultRow:
    """One system in one metric, ready to print; empty strings where there is nothing to say."""

    system: str
    mark: Markup
    is_tuned: bool
    value: str
    interval: str
    n: str
    best: bool
    difference: str
    unit: str
    difference_interval: str
    p: str
    outcome: str
    outcome_name: str


@dataclass(frozen=True)
class ResultGroup:
    """One metric; ``n`` is empty where systems differ in it, and then stands in their rows."""

    name: str
    n: str
    direction: str
    rows: list[ResultRow]


def result_groups(data: ReportData, t: Text) -> list[ResultGroup]:
    """The result table, a group of rows per metric."""
    systems = data.metrics.get("systems", ())
    groups = []
    for metric in data.metrics.get("metrics", ()):
        values = metric.get("values", {})
        shared = len({entry.get("n") for entry in values.values()}) == 1
        rows = [_result_row(metric, name, systems, shared, t) for name in systems if name in values]
        if not rows:
            continue
        direction = t("results.higher" if metric.get("higher_is_better", True) else "results.lower")
        n = _n(next(iter(values.values())), t) if shared else ""
        groups.append(ResultGroup(metric_name(metric, t), n, direction, rows))
    return groups


def _n(entry: Table, t: Text) -> str:
    return t("results.n", n=count(entry["n"])) if entry.get("n") is not None else ""


def _result_row(metric: Table, name: str, systems: Sequence[str], shared_n: bool, t: Text) -> ResultRow:
    entry, unit = metric["values"][name], str(metric.get("unit", ""))
    value = number(entry.get("value"))
    against = compare(metric, "tuned", name) if name != "tuned" and "tuned" in metric["values"] else None
    return ResultRow(
        system=t.system(name),
        mark=legend_mark(system_class(name, systems)),
        is_tuned=name == "tuned",
        value="–" if value is None else figure(value, unit),
        interval=limits(number(entry.get("low")), number(entry.get("high")), unit),
        n="" if shared_n else _n(entry, t),
        best=name == proven_best(metric),
        difference="" if against is None or against.difference is None else difference(against.difference, unit),
        unit=t("points") if unit == "share" else "",
        difference_interval="" if against is None else limits(against.low, against.high, unit),
        p="" if against is None or against.p is None else p_value(against.p),
        outcome="" if against is None else against.outcome,
        outcome_name="" if against is None else t(f"outcome.{against.outcome}"),
    )


def difference(value: float, unit: str) -> str:
    """A signed difference; that of shares in points, whose name stands beside it."""
    digits = f"{abs(100 * value):.1f}" if unit == "share" else amount(abs(value))
    sign = "" if float(digits.replace(",", "")) == 0 else "+" if value > 0 else MINUS
    return sign + digits


def methods(data: ReportData, t: Text) -> str:
    """How intervals and p values were made."""
    metrics = data.metrics.get("metrics", ())
    entries = [entry for metric in metrics for entry in metric.get("values", {}).values()]
    made = [test for metric in metrics for test in metric.get("tests", ())]
    intervals = [str(entry["interval"]) for entry in [*entries, *made] if entry.get("interval")]
    tests = [str(test["test"]) for test in made if test.get("test")]
    if not intervals or not tests:
        return ""
    named = [t("list.comma").join(dict.fromkeys(_method(name, t) for name in names)) for names in (intervals, tests)]
    return t("results.methods", intervals=named[0], tests=named[1])


def _method(name: str, t: Text) -> str:
    """``Wilson 95 % over 120 groups``: the first part is translated, what follows stands as it is."""
    head, over, groups = name.partition(" over ")
    return t.known("method", head) + over + groups


def remarks(data: ReportData, t: Text) -> list[str]:
    """What the evaluation noticed: a free sentence, or the same comparison without some of the rows."""
    notes = data.metrics.get("notes", ())
    told = [_remark(note, data, t) if isinstance(note, Mapping) else str(note) for note in notes]
    judged = data.metrics.get("judge")
    return [*told, *([_judged(judged, t)] if judged else [])]


def _judged(judged: Table, t: Text) -> str:
    """How far a judge can be trusted: whether it says the same when the notes change places."""
    both, first = judged["preference"], judged["first_is_better"]
    if both is None:
        return t("remark.judge_failed", model=judged["model"])
    return t(
        "remark.judge",
        model=judged["model"],
        n=count(judged["n"]),
        share=percent(both["share"]),
        kappa="–" if both["kappa"] is None else amount(both["kappa"]),
        first="–" if first is None else percent(first),
    )


def _remark(note: Table, data: ReportData, t: Text) -> str:
    return _subset(note, data, t) if note.get("kind") == "subset" else str(note.get("text", ""))


def _subset(note: Table, data: ReportData, t: Text) -> str:
    """Whether the verdict still holds without the rows that carry a flag."""
    total = note["left_out"] + note["n"]
    known = note["without"] == "target_in_train"
    key = "remark.target_in_train" if known else "remark.flag"
    said = [t(key, left_out=count(note["left_out"]), total=count(total), flag=note["without"])]
    systems = data.metrics.get("systems", ())
    rest = {"systems": systems, "metrics": note.get("metrics", ())}
    for item in headline(rest):
        unit, values = str(item.metric.get("unit", "")), item.metric["values"]
        figures = [
            f"{t.system(name)} {figure(values[name]['value'], unit)}"
            for name in systems
            if name in values and number(values[name].get("value")) is not None
        ]
        name = metric_name(item.metric, t)
        said.append(t("remark.without", n=count(note["n"]), metric=name, figures=t("list.comma").join(figures)))
        if item.comparisons:
            said.append(sentence(item, t))
    return t("sentences").join(said)


def panels(data: ReportData, t: Text) -> list[tuple[str, Markup]]:
    """A plot for each of the first metrics."""
    systems = data.metrics.get("systems", ())
    shown = []
    for metric in data.metrics.get("metrics", ())[:MOST_PANELS]:
        if metric.get("values"):
            name = metric_name(metric, t)
            shown.append((name, plots.dot_whisker(metric, systems, name, t)))
    return shown


def shown_systems(data: ReportData, field: str | None = None) -> list[str]:
    """Base, tuned and the strongest baseline that gave answers, by the first metric (of a field) that has one."""
    answered = {item["system"] for item in data.predictions}
    shown = [name for name in ("base", "tuned") if name in answered]
    for claim in headline(data.metrics):
        if field is not None and claim.metric.get("field") != field:
            continue
        entries = {name: claim.metric["values"][name] for name in claim.metric["values"] if name in answered}
        scores = {name: number(entry.get("value")) for name, entry in entries.items() if name not in shown}
        known = {name: score for name, score in scores.items() if score is not None}
        if known:
            best = (max if claim.metric.get("higher_is_better", True) else min)(known, key=lambda name: known[name])
            return [*shown, best]
    return shown


# --- classes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassRow:
    """One class: rows of it, (right answers, their share) per system, and the wrong answer that is most frequent."""

    number: int
    name: str
    rows: int
    right: list[tuple[str, float]]
    mistaken: str


@dataclass(frozen=True)
class Classes:
    """Table and confusion matrix; ``rest`` counts classes beyond the table, and many classes have no matrix."""

    systems: list[str]
    rows: list[ClassRow]
    rest: int
    wide: Markup | None
    narrow: Markup | None
    other_answers: bool


def classes(data: ReportData, t: Text) -> Classes | None:
    """Right answers class by class for the first field that is a label; None where there is none."""
    field = next((m["field"] for m in data.metrics.get("metrics", ()) if m["metric"] == "accuracy"), None)
    systems = shown_systems(data, field)
    if field is None or "tuned" not in systems:
        return None
    answers = {name: _answers(data, name, field) for name in systems}
    truths = Counter(truth for truth, _ in answers["tuned"])
    order = sorted(truths, key=lambda label: (-truths[label], label))
    if len(order) < 2:
        return None
    pairs = {name: Counter(found) for name, found in answers.items()}
    rows = []
    for place, label in enumerate(order[:MOST_CLASSES]):
        total = truths[label]
        hits = [pairs[name][label, label] for name in systems]
        wrong = [(n, answer) for (truth, answer), n in pairs["tuned"].items() if truth == label and answer != label]
        n, answer = min(wrong, key=lambda item: (-item[0], item[1]), default=(0, ""))
        mistaken = f"{answer or t('examples.empty')} ({n})" if n else ""
        rows.append(ClassRow(place + 1, label, total, [(str(hit), hit / total) for hit in hits], mistaken))
    wide = narrow = None
    other_answers = False
    if len(order) <= MOST_IN_MATRIX:
        counts = _matrix(order, pairs["tuned"])
        other_answers = len(counts[0]) > len(order)
        wide = plots.confusion(counts, order, t)
        narrow = plots.confusion(counts, order, t, NARROW)
    names = [t.system(name) for name in systems]
    return Classes(names, rows, max(0, len(order) - MOST_CLASSES), wide, narrow, other_answers)


def _answers(data: ReportData, system: str, field: str) -> list[tuple[str, str]]:
    """(truth, answer) of each row that a system answered."""
    return [
        (normalise(data.rows[item["id"]].truth.get(field, "")), normalise(str(item.get("fields", {}).get(field, ""))))
        for item in data.predictions
        if item["system"] == system and item["id"] in data.rows
    ]


def _matrix(order: Sequence[str], pairs: Mapping[tuple[str, str], int]) -> list[list[int]]:
    counts = [[pairs.get((truth, answer), 0) for answer in order] for truth in order]
    other = [sum(n for (one, answer), n in pairs.items() if one == truth and answer not in order) for truth in order]
    return [[*line, more] for line, more in zip(counts, other, strict=True)] if any(other) else counts
