"""Every figure has one name, and the names are known beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.evaluate.compare import Answers, compare, metric_names, point_values
from yibu.evaluate.matrix import known_names, matrix
from yibu.tasks import Measure

TRUTH = [{"header": "plan" if n % 2 else "history", "note": f"takes {n} tablets", "dose": str(n)} for n in range(30)]
MODEL = {"trainable_ratio": 0.03, "trainable_parameters": 3, "total_parameters": 100, "tokens_per_second": 5.0}


def systems(right: int, gives: tuple[str, ...]) -> list[Answers]:
    answers = [row if n < right else {"header": "?", "note": "none", "dose": "7"} for n, row in enumerate(TRUTH)]
    answers = [{name: row[name] for name in gives} for row in answers]
    return [
        Answers("base", answers[::-1], stopped=[False] * 30, loss=[9.0] * 30),
        Answers("tuned", answers, stopped=[True] * 30, loss=[1.0] * 30),
    ]


def measured(measures: list[Measure], right: int = 20) -> list[dict[str, Any]]:
    gives = tuple(measure.field for measure in measures)
    return compare(TRUTH, systems(right, gives), measures, language="en", num_resamples=200).metrics


LABEL, TEXT, EXACT = Measure("header", "label"), Measure("note", "text"), Measure("dose", "exact")


@pytest.mark.parametrize("measures", [[LABEL], [TEXT], [LABEL, TEXT, EXACT], [TEXT, Measure("dose", "text")]])
def test_every_figure_is_known_beforehand(measures: list[Measure]) -> None:
    found = matrix({"metrics": measured(measures)}, MODEL)
    assert set(found) <= set(known_names(metric_names(measures), measures, with_folds=False))
    folds = matrix({"metrics": measured(measures)}, MODEL, {"metrics": measured(measures, 25)})
    assert set(folds) <= set(known_names(metric_names(measures), measures, with_folds=True))
    assert set(folds) > set(found)


def test_a_bare_name_means_the_only_field_that_has_the_metric() -> None:
    one = matrix({"metrics": measured([LABEL, TEXT])}, MODEL)
    assert one["accuracy"] == one["accuracy.header"]
    assert one["accuracy"]["value"] == pytest.approx(20 / 30)
    two = matrix({"metrics": measured([TEXT, Measure("dose", "text")])}, MODEL)
    assert "rouge1" not in two
    assert {"rouge1.note", "rouge1.dose"} <= set(two)


def test_differences_are_those_of_the_paired_tests() -> None:
    found = matrix({"metrics": measured([LABEL], right=30)}, MODEL)["accuracy.over.base"]
    assert found["value"] == 1.0  # turned round, the base's answers are all wrong
    worse = matrix({"metrics": measured([LABEL], right=20)}, MODEL)["target_loss.over.base"]
    assert (worse["value"], worse["higher_is_better"]) == (-8.0, False)


def test_with_folds_a_name_is_their_figure() -> None:
    found = matrix({"metrics": measured([LABEL])}, MODEL, {"metrics": measured([LABEL], 25)})
    assert found["accuracy"]["value"] == pytest.approx(25 / 30)
    assert found["test.accuracy"]["value"] == pytest.approx(20 / 30)
    assert found["accuracy"]["where"] == "folds"


def test_corrected_probabilities_come_before_raw_ones() -> None:
    figure = {"value": 0.2, "low": 0.1, "high": 0.3, "n": 30}
    forms = {"raw": {"ece": figure, "brier": None}, "corrected": {"ece": {**figure, "value": 0.15}, "nll": figure}}
    found = matrix({"metrics": [], "calibration": {"systems": {"tuned": forms}}}, MODEL)
    assert found["ece"]["value"] == 0.15
    assert "brier" not in found
    del forms["corrected"]
    assert matrix({"metrics": [], "calibration": {"systems": {"tuned": forms}}}, MODEL)["ece"]["value"] == 0.2


def test_values_of_a_part_are_those_of_the_whole_comparison() -> None:
    given = systems(20, ("header", "note"))
    values = point_values(TRUTH, given, [LABEL, TEXT], "en")
    tables = compare(TRUTH, given, [LABEL, TEXT], language="en", num_resamples=200).metrics
    assert {(table["metric"], table["field"]) for table in tables} == set(values)
    for table in tables:
        for system, value in table["values"].items():
            assert values[table["metric"], table["field"]][system] == pytest.approx(value["value"])
