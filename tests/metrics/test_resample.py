"""Sums over items: grouping, resampling and swapping agree with doing it item by item."""

from __future__ import annotations

import numpy as np
import pytest

from yibu.core.errors import DataError
from yibu.metrics.resample import drawn, group_codes, leave_one_out, mean, sums_by_group, swapped
from yibu.metrics.scores import macro_f1


def test_weighted_mean() -> None:
    assert mean([1.0, 4.0], [3, 1]).value == pytest.approx(7 / 4)


def test_take_keeps_the_marked_items_and_the_kind_of_interval() -> None:
    labels = macro_f1(["a", "b", "b"], ["a", "a", "b"])
    part = labels.take(np.array([True, False, True]))
    assert part.value == 1.0
    assert part.spread == labels.spread == "jackknife"


def test_leaving_one_out_equals_computing_without_it() -> None:
    truth, answers = list("aabbbc"), list("abbbac")
    measure = macro_f1(truth, answers)
    expected = [
        macro_f1(truth[:item] + truth[item + 1 :], answers[:item] + answers[item + 1 :]).value for item in range(6)
    ]
    assert leave_one_out(measure.parts, measure.of).tolist() == pytest.approx(expected)


def test_draws_are_means_of_drawn_items() -> None:
    values = np.array([0.0, 1.0, 10.0])
    measure = mean(values)
    replicates = drawn(measure.parts, measure.of, 4_000, seed=0)
    possible = {round((a + b + c) / 3, 9) for a in values for b in values for c in values}
    assert {round(float(value), 9) for value in replicates} == possible
    assert replicates.mean() == pytest.approx(values.mean(), abs=0.2)


def test_a_seed_fixes_the_draws_also_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = mean(np.arange(50.0))
    monkeypatch.setattr("yibu.metrics.resample._CELLS", 120)  # two rows a block, an odd one at the end
    first = drawn(measure.parts, measure.of, 33, seed=5)
    assert len(first) == 33
    assert (first == drawn(measure.parts, measure.of, 33, seed=5)).all()
    assert (first != drawn(measure.parts, measure.of, 33, seed=6)).any()


def test_swaps_reach_every_sign_pattern() -> None:
    difference = mean([1.0, 2.0])
    found = swapped(np.array([3.0, 2.0]), np.array([[-2.0, 0.0], [-4.0, 0.0]]), difference.of, 500, seed=0)
    assert set(found.tolist()) == {1.5, 0.5, -0.5, -1.5}


def test_swapping_equal_systems_changes_nothing() -> None:
    assert swapped(np.array([3.0, 2.0]), np.zeros((2, 2)), mean([0.0]).of, 7, seed=0).tolist() == [1.5] * 7


def test_rows_without_group_stand_alone() -> None:
    codes, num_groups = group_codes(["p1", None, "p1", None], 4)
    assert num_groups == 3
    assert codes[0] == codes[2]
    assert codes[1] != codes[3]


def test_sums_by_group() -> None:
    assert sums_by_group(mean([1.0, 2.0, 4.0]).parts, ["x", "y", "x"]).tolist() == [[5, 2], [2, 1]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        sums_by_group(mean([1.0, float("nan")]).parts, None)
    with pytest.raises(DataError, match="its group"):
        sums_by_group(mean([1.0, 2.0]).parts, ["x"])
    with pytest.raises(DataError, match="at least one"):
        sums_by_group(mean([]).parts, None)
