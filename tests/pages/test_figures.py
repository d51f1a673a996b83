"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.pages.figures import amount, count, figure, limits, p_value, percent


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "< 0.001"), (0.0009, "< 0.001"), (0.001, "0.001"), (0.0123, "0.012"), (0.0499, "< 0.05"),
        (0.0494, "0.049"), (0.05, "0.050"), (0.0501, "0.050"), (1.0, "1.000"),
    ],
)  # fmt: skip
def test_p(p: float, text: str) -> None:
    assert p_value(p) == text


@given(st.floats(min_value=0, max_value=1))
def test_p_is_never_rounded_across_the_level(p: float) -> None:
    text = p_value(p)
    assert (text.startswith("<") or float(text) < 0.05) == (p < 0.05)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.34567, "2.346"),
        (0.0, "0.000"),
        (0.0123, "0.012"),
        (0.00042, "0.00042"),
        (-1.5, "−1.500"),
        (12345.6, "12,346"),
    ],
)
def test_amount(value: float, text: str) -> None:
    assert amount(value) == text


def test_shares_are_percentages_and_others_are_not() -> None:
    assert figure(0.6834, "share") == percent(0.6834) == "68.3%"
    assert figure(0.6834, "F1") == "0.683"
    assert figure(0.2, "share", short=True) == "20%"
    assert figure(0.025, "share", short=True) == "2.5%"


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.633, 0.724, "share", "[63.3, 72.4]"),
        (-0.0001, 0.1, "share", "[0.0, 10.0]"),
        (-0.5, 1.25, "nats", "[−0.500, 1.250]"),
        (None, 0.5, "share", ""),
    ],
)
def test_limits(low: float | None, high: float | None, unit: str, text: str) -> None:
    assert limits(low, high, unit) == text


def test_count() -> None:
    assert (count(12554), count(0), count(0.5), count(40.0)) == ("12,554", "0", "0.5", "40")
