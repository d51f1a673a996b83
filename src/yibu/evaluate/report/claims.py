"""What the paired tests show, and what must be said beside it. No words of any language here: see `text`.

A system is called better only where a two-sided test of the same items gives p < 0.05, the difference points the right
way and its interval leaves out zero (p and interval come from different methods and may disagree). Where the evaluation
has adjusted p for the other metrics and systems (``p_adjusted``; ``p_holm`` in older reports, for systems alone), that
one is used and shown, since "better than two of three" is a claim picked from several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from yibu.evaluate.report.shapes import ReportData, Table
from yibu.pages.figures import number

Outcome = Literal["better", "worse", "unproven", "untested"]
OUTCOMES: tuple[Outcome, ...] = ("better", "worse", "unproven", "untested")

SIGNIFICANT = 0.05
FEW_ROWS = 100
ENOUGH_STOPPED = 0.99
RISEN = 1.01  # validation loss at the end over its lowest; less is noise


@dataclass(frozen=True)
class Comparison:
    """Tuned against one other system; ``difference`` is tuned minus other, in the unit of the metric."""

    other: str
    outcome: Outcome
    p: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    test: str = ""


@dataclass(frozen=True)
class Claim:
    """What one metric says about tuned."""

    metric: Table
    comparisons: tuple[Comparison, ...]

    def others(self, outcome: Outcome) -> list[Comparison]:
        return [item for item in self.comparisons if item.outcome == outcome]

    @property
    def tone(self) -> Literal["good", "mixed", "bad", "none"]:
        """good: better than all; bad: worse than one; mixed: better than some; none: nothing shown."""
        if self.others("worse"):
            return "bad"
        if not self.others("better"):
            return "none"
        return "good" if len(self.others("better")) == len(self.comparisons) else "mixed"


@dataclass(frozen=True)
class Caution:
    """Something that a reader must know before he believes a figure; ``key`` and ``values`` make its sentence."""

    key: str
    values: Mapping[str, Any]
    serious: bool = True


def compare(metric: Table, one: str, other: str) -> Comparison:
    """System `one` against `other` on a metric, by the test between the two, whichever way round it was made."""
    for test in metric.get("tests", ()):
        p = number(test.get("p_adjusted", test.get("p_holm", test.get("p"))))
        if {test["a"], test["b"]} != {one, other} or p is None:
            continue
        sign = 1 if test["a"] == one else -1
        low, high = number(test.get("low")), number(test.get("high"))
        limits = sorted(sign * limit for limit in (low, high) if limit is not None)
        difference = sign * (number(test.get("difference")) or 0.0)
        gain = difference if metric.get("higher_is_better", True) else -difference
        proven = p < SIGNIFICANT and gain != 0 and not (len(limits) == 2 and limits[0] <= 0 <= limits[1])
        outcome: Outcome = "unproven" if not proven else "better" if gain > 0 else "worse"
        low, high = limits if len(limits) == 2 else (None, None)
        return Comparison(other, outcome, p, difference, low, high, str(test.get("test", "")))
    return Comparison(other, "untested")


def claim(metric: Table, systems: Iterable[str]) -> Claim:
    """Tuned against every other system that the metric has a value for."""
    values = metric.get("values", {})
    others = [name for name in systems if name != "tuned" and name in values]
    return Claim(metric, tuple(compare(metric, "tuned", other) for other in others))


def headline(metrics: Table) -> list[Claim]:
    """The claim of the first metric of each field, the main one first; empty where tuned was not measured."""
    first: dict[str, Table] = {}
    for metric in metrics.get("metrics", ()):
        if "tuned" in metric.get("values", {}) and metric.get("field"):
            first.setdefault(metric["field"], metric)
    chosen = list(first.values()) or [m for m in metrics.get("metrics", ()) if "tuned" in m.get("values", {})][:1]
    return [claim(metric, metrics.get("systems", ())) for metric in chosen]


def adjusted(metrics: Table) -> bool:
    """Whether every p is adjusted for the tests of all metrics and systems."""
    tests = [test for metric in metrics.get("metrics", ()) for test in metric.get("tests", ())]
    return bool(tests) and all("p_adjusted" in test for test in tests)


def proven_best(metric: Table) -> str | None:
    """The system that a test shows to be better than every other one that has a value, if there is one."""
    values = {name: number(entry.get("value")) for name, entry in metric.get("values", {}).items()}
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < 2:
        return None
    best = (max if metric.get("higher_is_better", True) else min)(known, key=lambda name: known[name])
    beaten = all(compare(metric, best, other).outcome == "better" for other in known if other != best)
    return best if beaten else None


def cautions(data: ReportData) -> list[Caution]:
    """All that is off, the serious first."""
    found = [*_of_test_split(data), *_of_other_metrics(data), *_of_training(data)]
    return sorted(found, key=lambda caution: not caution.serious)


def _of_test_split(data: ReportData) -> Iterable[Caution]:
    n = data.metrics.get("n")
    if n is not None and n < FEW_ROWS:
        yield Caution("few_rows", {"n": n})
    missing = data.data.get("missing_labels", {})
    for split in ("train", "test"):
        if missing.get(split):
            yield Caution(f"missing_labels_{split}", {"n": len(missing[split]), "labels": missing[split]})
    known = data.data.get("target_in_train", 0)
    if known:
        yield Caution("target_in_train", {"n": known})
    stops = [bool(item["stopped"]) for item in data.predictions if item["system"] == "tuned" and _said(item, "stopped")]
    if stops and sum(stops) / len(stops) < ENOUGH_STOPPED:
        yield Caution("stop_rate", {"share": sum(stops) / len(stops), "n": len(stops) - sum(stops)})


def _of_other_metrics(data: ReportData) -> Iterable[Caution]:
    """Metrics that are not in the headline and on which tuned is shown to be worse: silence would be a lie."""
    told = [item.metric for item in headline(data.metrics)]
    for metric in data.metrics.get("metrics", ()):
        if metric in told or "tuned" not in metric.get("values", {}):
            continue
        worse = claim(metric, data.metrics.get("systems", ())).others("worse")
        if worse:
            yield Caution("worse", {"metric": metric, "systems": [item.other for item in worse]})


def _of_training(data: ReportData) -> Iterable[Caution]:
    lengths = data.model.get("lengths", {})
    if left_out(lengths):
        yield Caution("left_out", {"n": left_out(lengths), "max_length": lengths.get("max_length")})
    if lengths.get("split"):
        yield Caution("in_parts", {"n": lengths["split"], "max_length": lengths.get("max_length")}, serious=False)
    points = validation_points(data.history)
    if len(points) >= 2:
        best_step, best = min(points, key=lambda point: point[1])
        step, last = points[-1]
        if last > best * RISEN:
            yield Caution("rising", {"best_step": best_step, "best": best, "step": step, "last": last})
    if data.model.get("stopped_early"):
        yield Caution("stopped_early", {"step": data.model.get("steps")}, serious=False)


def left_out(lengths: Table) -> int:
    """Train rows that were too long and were left out."""
    return int(lengths.get("dropped", lengths.get("refused", 0)))


def validation_points(history: Sequence[Table]) -> list[tuple[int, float]]:
    """(step, loss) of each validation, in order of steps; losses that are no finite number are left out."""
    points = [(int(item["step"]), number(item.get("valid_loss"))) for item in history]
    return sorted((step, loss) for step, loss in points if loss is not None)


def _said(item: Table, key: str) -> bool:
    return item.get(key) is not None
