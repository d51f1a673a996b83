"""Parts of the rows: which there are, what is said of few, and whether a gap's interval covers the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from yibu.core.record import Row
from yibu.evaluate.compare import Answers, figures_of
from yibu.evaluate.scoring import Context
from yibu.evaluate.slices import FEWEST, MOST, gap_of, language_of, parts_of, slices
from yibu.metrics.stats import wilson
from yibu.tasks import Measure
from yibu.terms import Dictionary

LABEL = [Measure("label", "label")]


def _tables(rows: list[Row], right: list[bool], sources: list[str] | None = None, **more: Any) -> dict[str, Any]:
    texts = sources or [row.fields["text"] for row in rows]
    truth = [{"label": str(row.label)} for row in rows]
    said = [{"label": str(row.label) if hit else "?"} for row, hit in zip(rows, right, strict=True)]
    figures = figures_of(truth, [Answers("tuned", said)], LABEL, Context("en"))
    parts = parts_of(rows, texts, truth, more.get("dictionary"))
    return {table["by"]: table for table in slices(figures, parts, LABEL, None, num_resamples=200)}


def _rows(groups: list[str | None], text: str = "word") -> list[Row]:
    return [
        Row(f"r{n}", {"text": f"{text} {'x' * (n % 40)}"}, label="ab"[n % 2], group=g) for n, g in enumerate(groups)
    ]


def test_a_part_that_lags_has_a_gap_whose_interval_leaves_out_zero() -> None:
    groups = ["new"] * 60 + ["old"] * 140
    found = _tables(_rows(groups), [n % 2 == 0 for n in range(60)] + [True] * 140)["group"]["slices"]
    assert [(one["name"], one["n"]) for one in found] == [("old", 140), ("new", 60)]
    new = found[1]
    assert new["value"]["value"] == 0.5
    assert new["gap"]["value"] == -0.5
    assert new["gap"]["low"] < -0.5 < new["gap"]["high"] < 0
    assert found[0]["gap"]["value"] == 0.5


def test_of_few_rows_nothing_is_said() -> None:
    found = _tables(_rows(["few"] * (FEWEST - 1) + ["many"] * 100), [True] * 129)["group"]["slices"]
    few = next(one for one in found if one["name"] == "few")
    assert (few["too_few"], few["value"], few["gap"]) == (True, None, None)
    many = next(one for one in found if one["name"] == "many")
    assert many["value"]["value"] == 1.0
    assert many["gap"] is None  # there are too few others to be compared with


def test_kinds_of_parts() -> None:
    rows = _rows([None] * 120)
    found = _tables(rows, [True] * 120)
    assert set(found) == {"length", "label"}  # one language, no groups, no dictionary
    assert sum(one["n"] for one in found["length"]["slices"]) == 120
    assert [one["name"] for one in found["label"]["slices"]] == ["a", "b"]
    mixed = [row.fields["text"] if n % 2 else "我的卡丢了" for n, row in enumerate(rows)]
    assert {one["name"] for one in _tables(rows, [True] * 120, mixed)["language"]["slices"]} == {"zh", "other"}


def test_terms_are_concepts_that_a_row_mentions(tmp_path: Any) -> None:
    (tmp_path / "terms.csv").write_text("preferred,synonyms\nmyocardial infarction,heart attack\nasthma,\n")
    dictionary = Dictionary.load(str(tmp_path / "terms.csv"))
    texts = ["a heart attack"] * 40 + ["asthma"] * 10 + ["nothing"] * 50
    found = _tables(_rows([None] * 100), [True] * 100, texts, dictionary=dictionary)["term"]["slices"]
    assert [(one["name"], one["n"], one["too_few"]) for one in found] == [
        ("myocardial infarction", 40, False),
        ("asthma", 10, True),
    ]


def test_many_parts_are_counted_and_not_listed() -> None:
    table = _tables(_rows([f"g{n % (MOST + 7)}" for n in range(200)]), [True] * 200)["group"]
    assert len(table["slices"]) == MOST
    assert table["more"] == 7


@pytest.mark.parametrize(
    ("text", "language"), [("我的卡", "zh"), ("card 卡", "mixed"), ("card", "other"), ("", "other")]
)
def test_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_the_interval_of_a_gap_covers_the_truth_in_about_95_of_100() -> None:
    draws = np.random.default_rng(3)
    covered = 0
    for _ in range(2000):
        one, other = (wilson((draws.random(n) < p).astype(float)) for n, p in ((40, 0.7), (160, 0.85)))
        tables = [{"value": side.value, "low": side.low, "high": side.high} for side in (one, other)]
        gap = gap_of(*tables)
        covered += gap["low"] <= -0.15 <= gap["high"]
    assert 0.93 <= covered / 2000 <= 0.97
