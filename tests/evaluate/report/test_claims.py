"""What may be claimed, and what must be said beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from sample_report import classified, generated, metric, metrics, paired
from yibu.evaluate.report.claims import adjusted, cautions, claim, compare, headline, proven_best, validation_points
from yibu.evaluate.report.shapes import ReportData


@pytest.mark.parametrize(
    ("difference", "p", "higher", "outcome"),
    [
        (0.2, 0.01, True, "better"),
        (-0.2, 0.01, True, "worse"),
        (-0.2, 0.01, False, "better"),
        (0.2, 0.01, False, "worse"),
        (0.2, 0.049999, True, "better"),
        (0.2, 0.05, True, "unproven"),
        (-0.2, 0.3, True, "unproven"),
        (0.0, 0.01, True, "unproven"),
    ],
)
def test_outcome_follows_p_and_direction(difference: float, p: float, higher: bool, outcome: str) -> None:
    limits = {"low": difference - 0.01, "high": difference + 0.01}
    table = metric({"base": 0.2, "tuned": 0.4}, [paired("base", difference, p) | limits], higher=higher)
    assert compare(table, "tuned", "base").outcome == outcome


def test_a_test_made_the_other_way_round_is_turned() -> None:
    turned = paired("tuned", -0.3, 0.01, a="base") | {"low": -0.4, "high": -0.1}
    found = compare(metric({"base": 0.1, "tuned": 0.4}, [turned]), "tuned", "base")
    assert (found.outcome, found.difference, found.low, found.high) == ("better", 0.3, 0.1, 0.4)


@pytest.mark.parametrize("limits", [{"low": -0.01, "high": 0.3}, {"low": 0.0, "high": 0.3}, {"low": -0.3, "high": 0.0}])
def test_no_claim_where_the_interval_holds_zero(limits: dict[str, float]) -> None:
    table = metric({"base": 0.1, "tuned": 0.2}, [paired("base", 0.1, 0.04) | limits])
    assert compare(table, "tuned", "base").outcome == "unproven"


def test_p_decides_alone_where_there_is_no_interval() -> None:
    table = metric({"base": 0.1, "tuned": 0.2}, [paired("base", 0.1, 0.04) | {"low": None, "high": None}])
    found = compare(table, "tuned", "base")
    assert (found.outcome, found.low, found.high) == ("better", None, None)


def test_adjusted_p_outranks_the_raw_one() -> None:
    older = metric({"base": 0.1, "tuned": 0.2}, [paired("base", 0.1, 0.03, p_holm=0.07)])
    assert compare(older, "tuned", "base").p == 0.07
    table = metric({"base": 0.1, "tuned": 0.2}, [paired("base", 0.1, 0.03, p_holm=0.07, p_adjusted=0.09)])
    assert compare(table, "tuned", "base").outcome == "unproven"
    assert compare(table, "tuned", "base").p == 0.09
    assert adjusted(metrics(table))
    assert not adjusted(metrics(table, metric({"base": 0.1, "tuned": 0.2}, [paired("base", 0.1, 0.03)])))
    assert not adjusted(metrics(metric({"tuned": 0.2})))


@pytest.mark.parametrize("p", [None, math.nan])
def test_a_test_without_p_is_no_test(p: float | None) -> None:
    broken = paired("base", 0.3, 0.5) | {"p": p}
    assert compare(metric({"base": 0.1, "tuned": 0.4}, [broken]), "tuned", "base").outcome == "untested"


@pytest.mark.parametrize(
    ("outcomes", "tone"),
    [
        ({"base": (0.3, 0.01), "svm": (0.2, 0.01)}, "good"),
        ({"base": (0.3, 0.01), "svm": (0.2, 0.2)}, "mixed"),
        ({"base": (0.3, 0.01), "svm": (-0.2, 0.01)}, "bad"),
        ({"base": (0.3, 0.4), "svm": (0.2, 0.2)}, "none"),
        ({"base": (0.3, 0.01), "svm": None}, "mixed"),
    ],
)
def test_tone_is_good_only_if_all_are_beaten(outcomes: dict[str, tuple[float, float] | None], tone: str) -> None:
    tests = [paired(name, *found) for name, found in outcomes.items() if found is not None]
    table = metric({"tuned": 0.5, **dict.fromkeys(outcomes, 0.2)}, tests)
    assert claim(table, ["base", "tuned", "svm"]).tone == tone


def test_headline_is_the_first_metric_of_each_field() -> None:
    tables = [
        metric({"tuned": 0.5}, of="header"),
        metric({"tuned": 0.5}, name="macro_f1", of="header"),
        metric({"tuned": 0.5}, name="rouge1", of="text"),
        metric({"tuned": 0.5}, name="target_loss", of=None, higher=False),
    ]
    assert [item.metric for item in headline(metrics(*tables))] == [tables[0], tables[2]]
    assert [item.metric for item in headline(metrics(tables[3]))] == [tables[3]], "loss alone is better than nothing"
    assert headline(metrics(metric({"base": 0.5}))) == []


def test_best_is_proven_only_against_every_other_system() -> None:
    values = {"base": 0.2, "tuned": 0.6, "svm": 0.5}
    both = [paired("base", 0.4, 0.01), paired("svm", 0.1, 0.03)]
    assert proven_best(metric(values, both)) == "tuned"
    assert proven_best(metric(values, both[:1])) is None
    assert proven_best(metric(values, [both[0], paired("svm", 0.1, 0.2)])) is None
    assert proven_best(metric(values, [], higher=False)) is None
    assert proven_best(metric({"tuned": 0.6})) is None, "the only one is not the best of several"


def test_a_baseline_can_be_the_proven_best() -> None:
    table = metric({"tuned": 0.4, "svm": 0.5}, [paired("svm", -0.1, 0.01)])
    assert proven_best(table) == "svm"


def test_a_clean_run_has_no_cautions() -> None:
    assert cautions(classified()) == []


def _keys(data: ReportData) -> list[str]:
    return [caution.key for caution in cautions(data)]


@pytest.mark.parametrize(
    ("part", "change", "key"),
    [
        ("metrics", {"n": 99}, "few_rows"),
        ("data", {"missing_labels": {"test": ["skin"]}}, "missing_labels_test"),
        ("data", {"missing_labels": {"train": ["skin"]}}, "missing_labels_train"),
        ("data", {"target_in_train": 3}, "target_in_train"),
        ("model", {"lengths": {"dropped": 2, "max_length": 64}}, "left_out"),
        ("model", {"lengths": {"split": 2, "max_length": 64}}, "in_parts"),
        ("model", {"stopped_early": True}, "stopped_early"),
    ],
)
def test_each_thing_that_is_off_is_said(part: str, change: dict[str, Any], key: str) -> None:
    data = classified()
    assert _keys(replace(data, **{part: {**getattr(data, part), **change}})) == [key]


def test_hundred_rows_are_not_few() -> None:
    data = classified()
    assert _keys(replace(data, metrics={**data.metrics, "n": 100})) == []


@pytest.mark.parametrize(("unstopped", "said"), [(2, False), (3, True)])
def test_stop_rate_below_99_percent(unstopped: int, said: bool) -> None:
    data = classified()
    answers = [dict(item) for item in data.predictions]
    for item in [item for item in answers if item["system"] == "tuned"][:unstopped]:
        item["stopped"] = False
    assert ("stop_rate" in _keys(replace(data, predictions=answers))) == said


def test_stop_rate_is_that_of_tuned_alone() -> None:
    assert _keys(generated()) == [], "base never stops here, tuned always, copying has no stop"


@pytest.mark.parametrize(
    ("losses", "said"),
    [([1.0, 0.8, 0.7], False), ([1.0, 0.7, 0.705], False), ([1.0, 0.7, 0.8], True), ([0.7], False)],
)
def test_rising_validation_loss(losses: list[float], said: bool) -> None:
    history = [{"step": step, "valid_loss": loss} for step, loss in enumerate(losses)]
    assert ("rising" in _keys(replace(classified(), history=history))) == said


def test_a_metric_on_which_tuned_is_worse_is_not_passed_over() -> None:
    data = classified()
    worse = metric({"base": 0.9, "tuned": 0.5}, [paired("base", -0.4, 0.01)], "stop_rate", None)
    found = cautions(replace(data, metrics=metrics(*data.metrics["metrics"], worse)))
    assert [(item.key, item.values["systems"]) for item in found] == [("worse", ["base"])]


def test_serious_cautions_come_first() -> None:
    data = classified()
    model = {**data.model, "stopped_early": True, "lengths": {"split": 1, "dropped": 1}}
    assert [item.serious for item in cautions(replace(data, model=model))] == [True, False, False]


def test_validation_points_are_in_order_and_finite() -> None:
    history = [{"step": 20, "valid_loss": 0.5}, {"step": 10, "valid_loss": 0.7}, {"step": 30, "valid_loss": math.nan}]
    assert validation_points([*history, {"step": 5, "loss": 1.0}]) == [(10, 0.7), (20, 0.5)]
