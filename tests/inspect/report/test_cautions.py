"""What must be said first, and what is no reason to worry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sample_data import bare, binary, chinese, english
from yibu.inspect.report import DataFigures
from yibu.inspect.report.cautions import Caution, cautions


def _with(**summary: Any) -> DataFigures:
    data = binary()
    return replace(data, summary={**data.summary, **summary})


def _keys(data: DataFigures) -> list[str]:
    return [caution.key for caution in cautions(data)]


def _one(data: DataFigures, key: str) -> Caution:
    (found,) = [caution for caution in cautions(data) if caution.key == key]
    return found


def test_a_clean_data_set_has_none() -> None:
    assert cautions(binary()) == []


def test_serious_ones_come_first() -> None:
    for data in (chinese(), english()):
        tones = [caution.serious for caution in cautions(data)]
        assert tones == sorted(tones, reverse=True)
        assert True in tones
        assert False in tones


def test_everything_that_is_off_in_the_hospital_is_said() -> None:
    assert set(_keys(chinese())) == {
        "rejected", "missing_test", "rare", "uneven", "near", "conflicts", "suspects", "typos", "flagged",
        "contaminated", "leak", "spellings", "private_treated", "unmentioned",
    }  # fmt: skip


def test_rows_that_vanished_are_noticed() -> None:
    assert _one(_with(rows_read=10_007), "unaccounted").values == {"n": 7}
    assert _one(_with(rows_read=9_990), "unaccounted").values == {"n": 10}, "more out than in"


@pytest.mark.parametrize(("rejected", "said"), [(0, False), (100, False), (101, True)])
def test_rejected_rows_are_said_from_one_per_cent(rejected: int, said: bool) -> None:
    assert ("rejected" in _keys(_with(rejected=rejected))) is said


@pytest.mark.parametrize(("rows", "serious"), [(499, False), (500, True)])
def test_near_duplicates_are_serious_from_five_per_cent_of_the_kept(rows: int, serious: bool) -> None:
    near = {"clusters": 9, "rows": rows, "largest": 3, "threshold": 0.8, "mode": "group"}
    found = _one(_with(near=near), "near")
    assert found.serious is serious
    assert found.values["share"] == rows / 10_000


def test_near_duplicates_that_were_dropped_are_no_caution() -> None:
    assert "near" not in _keys(_with(near={"clusters": 9, "rows": 900, "mode": "drop"}))


def test_personal_data_left_in_the_rows_is_serious_and_masked_is_not() -> None:
    found = {"name": {"found": 3, "rows": 2, "mode": "mask"}, "phone": {"found": 2, "rows": 2, "mode": "keep"}}
    data = _with(privacy=found)
    assert _one(data, "private_left").serious
    assert _one(data, "private_left").values == {"n": 2}
    assert not _one(data, "private_treated").serious
    assert "private_unknown" in _keys(english())
    assert "private_unknown" not in _keys(_with(privacy={}))


@pytest.mark.parametrize(("least", "said"), [(500, False), (251, False), (250, True)])
def test_imbalance_is_said_from_twenty_to_one(least: int, said: bool) -> None:
    classes = {"a": {"train": 5000}, "b": {"train": least}}
    assert ("uneven" in _keys(_with(classes=classes))) is said


def test_two_texts_for_one_question_are_no_contradiction_of_labels() -> None:
    found = {"conflicts": [{"ids": ["a", "b"], "labels": [], "n": 2, "targets": 2}], "counts": {"conflicts": 1}}
    assert "answers" in _keys(replace(bare(), consistency=found))
    assert not _one(replace(bare(), consistency=found), "answers").serious
    assert _one(replace(binary(), consistency=found), "conflicts").serious


def test_folds_that_share_a_group_are_serious() -> None:
    folds = {"k": 5, "sizes": [1, 1, 1, 1, 1], "groups_shared": 2, "largest_deviation": 0.03}
    data = _with(folds=folds)
    assert _one(data, "folds_share").serious
    assert _one(data, "folds_deviation").values == {"points": 0.03}


def test_nobody_looked_for_wrong_labels() -> None:
    assert "unjudged" in _keys(replace(binary(), suspects={}))
    assert "unjudged" not in _keys(bare()), "there are no labels"
