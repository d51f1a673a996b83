from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.metrics.quantiles import needed, quantile


def test_p99_has_an_upper_limit_from_299_values_on() -> None:
    assert needed(0.99) == 299
    assert quantile(range(298), 0.99).high is None
    found = quantile(range(299), 0.99)
    assert (found.value, found.high) == (296, 298)
    assert found.low is not None
    assert found.low < found.value


@pytest.mark.parametrize(("n", "p"), [(40, 0.5), (100, 0.9), (320, 0.99), (400, 0.99)])
def test_limits_enclose_the_true_quantile_often_enough(n: int, p: float) -> None:
    draws = np.random.default_rng(0).exponential(size=(800, n))
    true = -math.log(1 - p)
    found = [quantile(row, p) for row in draws]
    covered = np.mean([item.low <= true <= item.high for item in found])  # type: ignore[operator]
    assert covered >= 0.927  # 95 % less three standard errors


def test_the_median_of_five_has_no_two_limits_and_that_of_six_has() -> None:
    five = quantile(range(5), 0.5)
    assert five.low is None or five.high is None
    assert quantile(range(6), 0.5).as_dict() == {"value": 2, "low": 0, "high": 5, "n": 6}


def test_what_was_not_seen_to_end_is_infinite_and_no_number_in_json() -> None:
    values = [1.0] * 390 + [math.inf] * 10
    assert quantile(values, 0.5).value == 1.0
    told = quantile(values, 0.99).as_dict()
    assert told["value"] is None
    assert told["high"] is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=400), st.sampled_from([0.5, 0.9, 0.99]))
def test_value_is_one_of_them_and_lies_between_its_limits(values: list[float], p: float) -> None:
    found = quantile(values, p)
    assert found.value in values
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.high >= found.value
    assert sum(value <= found.value for value in values) >= p * len(values) - 1e-6


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_no_values_and_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError):
        quantile(values, 0.5)
