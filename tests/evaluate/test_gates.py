"""Gates: how they are read, what passes, and what is said of those that do not."""

from __future__ import annotations

import math

import pytest

from yibu.core.errors import GateRefused, RecipeError
from yibu.evaluate import EvaluateSettings, check_gates
from yibu.evaluate.gates import Gate, ask, parse_gate, require, rows_to_decide
from yibu.metrics import stats
from yibu.tasks import Measure

FIGURES = {
    "accuracy": {"value": 0.9, "low": 0.82, "high": 0.95, "n": 100},
    "trainable_ratio": {"value": 0.03, "low": None, "high": None, "n": None},
    "rouge1.note": {"value": None, "low": None, "high": None, "n": 0},
}


@pytest.mark.parametrize(
    ("name", "text", "gate"),
    [
        ("accuracy", ">= 0.85", Gate("accuracy", None, ">=", 0.85)),
        ("accuracy.low", ">=0.85", Gate("accuracy", "low", ">=", 0.85)),
        ("rouge1.note.high", " < 1e-3 ", Gate("rouge1.note", "high", "<", 0.001)),
        ("accuracy.over.base", "> -.5", Gate("accuracy.over.base", None, ">", -0.5)),
    ],
)
def test_gates_are_read(name: str, text: str, gate: Gate) -> None:
    assert parse_gate(name, text) == gate


@pytest.mark.parametrize("text", ["", "0.85", "=> 0.85", "== 1", ">= 85 %", ">= champion", ">= 1 <= 2"])
def test_what_is_no_comparison_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as '>= 0.85'"):
        parse_gate("accuracy", text)
    with pytest.raises(ValueError, match="no comparison"):
        EvaluateSettings(gates={"accuracy": text})


@pytest.mark.parametrize(
    ("name", "text", "passed"),
    [
        ("accuracy", ">= 0.9", True),
        ("accuracy", "> 0.9", False),
        ("accuracy.low", ">= 0.85", False),
        ("accuracy.high", "<= 0.95", True),
        ("trainable_ratio", "<= 0.05", True),
        ("trainable_ratio.low", ">= 0", False),
        ("rouge1.note", ">= 0", False),
        ("p99_ms", "<= 100", False),
    ],
)
def test_a_gate_passes_only_what_was_measured(name: str, text: str, passed: bool) -> None:
    [outcome] = ask({name: text}, FIGURES)
    assert outcome.passed is passed


def test_a_missed_gate_says_what_was_measured_and_what_would_decide() -> None:
    outcomes = [outcome.as_dict() for outcome in ask({"accuracy.low": ">= 0.85", "accuracy": ">= 0.5"}, FIGURES)]
    with pytest.raises(GateRefused) as caught:
        require(outcomes)
    assert caught.value.exit_code == 3
    said = str(caught.value)
    assert "1 of 2 gates" in said
    assert "accuracy.low is 0.82 (n = 100), and about 256 rows would decide it" in said
    require(outcomes[1:])


def test_rows_to_decide_are_about_those_that_a_wilson_interval_needs() -> None:
    limit, share, n = 0.85, 0.9, 100
    found = stats.wilson([1.0] * 90 + [0.0] * 10)
    needed = rows_to_decide(limit, {"value": share, "low": found.low, "high": found.high, "n": n})
    assert needed is not None
    right = round(share * needed)
    low = stats.wilson([1.0] * right + [0.0] * (needed - right)).low
    assert low == pytest.approx(limit, abs=0.01)


@pytest.mark.parametrize(
    "figure",
    [
        {"value": 0.9, "low": 0.87, "high": 0.93, "n": 400},
        {"value": 0.85, "low": 0.8, "high": 0.9, "n": 100},
        {"value": 0.9, "low": None, "high": None, "n": 100},
        {},
    ],
    ids=["decided", "at the limit", "no interval", "not measured"],
)
def test_no_number_of_rows_where_none_would_help(figure: dict[str, float]) -> None:
    assert rows_to_decide(0.85, figure) is None


def test_a_gate_on_a_figure_that_the_task_lacks_is_refused_before_training() -> None:
    settings = EvaluateSettings(gates={"rouge1": ">= 0.4"})
    check_gates(settings, [Measure("note", "text")])
    with pytest.raises(RecipeError, match="does not measure") as caught:
        check_gates(settings, [Measure("label", "label")])
    assert caught.value.exit_code == 2
    near = EvaluateSettings(gates={"acuracy.low": ">= 0.4"})
    with pytest.raises(RecipeError, match="did you mean accuracy"):
        check_gates(near, [Measure("label", "label")])
    with pytest.raises(RecipeError):  # of two fields the bare name means neither
        check_gates(settings, [Measure("note", "text"), Measure("plan", "text")])


def test_a_limit_that_is_no_number_never_passes() -> None:
    assert not Gate("loss", None, ">=", 0.1).holds(math.nan)
