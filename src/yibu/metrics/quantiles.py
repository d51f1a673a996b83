"""Quantiles of measured times, with intervals from order statistics.

A quantile of latencies has no normal theory worth trusting: the tail is long, and what is asked for lies at its end.
Order statistics ask nothing of the distribution: the number of n independent values below the true p-quantile is
binomial (n, p), so two of the sorted values enclose it with a probability that can be counted (David and Nagaraja 2003,
Order Statistics, section 7.1). What they cannot do, they say: with fewer than 299 values not even the largest one is an
upper bound of the 99 % quantile at 95 % (0.99^298 > 0.05), and the limit is None.

Values must be independent for that. Requests that queue behind each other are not, so near saturation intervals are
too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import bdtr

from yibu.core.errors import DataError

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of n values: one of them.

    Attributes:
        value: infinite where that many values were beyond what was waited for.
        low, high: limits that enclose the true quantile; None where n values do not reach so far.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        """JSON values: what is infinite is None."""
        return {name: value if _is_finite(value) else None for name, value in asdict(self).items()}


def quantile(values: Sequence[float], p: float, level: float = LEVEL) -> Quantile:
    """The p-quantile and its limits.

    Half of the risk ``1 - level`` goes to each side. Where the values do not reach far enough for that on one side,
    but would with more of the risk, that side gets what it needs and the other one the rest.

    Args:
        values: at least one; infinity for what was not seen to end.
        p: between 0 and 1.

    Raises:
        DataError: no values, or NaN among them.
    """
    assert 0 < p < 1
    assert 0 < level < 1
    if not len(values) or any(math.isnan(value) for value in values):
        raise DataError("A quantile needs at least one value, and numbers only.", got=f"{len(values)} values")
    ordered = sorted(values)
    n = len(ordered)
    # `n p` in floating point lies a hair above whole numbers now and then.
    value = ordered[max(1, math.ceil(n * p - 1e-9)) - 1]
    risk = 1 - level
    low, high = _ranks(n, p, risk)
    return Quantile(
        value,
        None if low is None else ordered[low - 1],
        None if high is None else ordered[high - 1],
        n,
    )


def needed(p: float, level: float = LEVEL) -> int:
    """Values without which the p-quantile has no upper limit: 299 for 99 %."""
    return math.ceil(math.log(1 - level) / math.log(p))


def _ranks(n: int, p: float, risk: float) -> tuple[int | None, int | None]:
    """Places, from 1, of the values that enclose the quantile; None where there is none."""
    above, below = p**n, (1 - p) ** n  # that every value lies below the quantile; that none does
    upper = risk / 2 if above <= risk / 2 else above
    lower = risk / 2 if below <= risk / 2 else below
    if upper > risk / 2:
        lower = min(lower, risk - upper) if upper <= risk else lower
    elif lower > risk / 2:
        upper = min(upper, risk - lower) if lower <= risk else upper
    high = next((k for k in range(1, n + 1) if 1 - bdtr(k - 1, n, p) <= upper * (1 + 1e-9)), None)
    if above > risk:
        high = None
    low = next((k for k in range(n, 0, -1) if bdtr(k - 1, n, p) <= lower * (1 + 1e-9)), None)
    if below > risk:
        low = None
    return low, high


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
