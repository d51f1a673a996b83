"""How sure a measured figure is, and whether two systems differ: intervals and paired tests.

Chosen for evaluations of a few hundred items, where normal-theory error bars are too narrow (Bowyer et al. 2025,
arXiv 2503.01747). Shares get Wilson intervals, means the bootstrap, macro-F1 the jackknife. Two systems are always
compared on the same items (Miller 2024, arXiv 2411.00640). Items of one group (a patient, an account) are never taken
for independent; with a handful of groups, though, the bootstrap is too narrow (with four it covers 86 %).

Legend: N items, G groups (the items themselves where there are no groups), S summands, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from yibu.core.errors import DataError
from yibu.metrics.resample import (
    Additive,
    FloatArray,
    Groups,
    Measure,
    drawn,
    group_codes,
    leave_one_out,
    mean,
    sums_by_group,
    swapped,
    swapped_sums,
)

LEVEL = 0.95
RESAMPLES = 2_000
PERMUTATIONS = 9_999


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the interval that covers its true value with the confidence named in ``method``.

    ``low`` and ``high`` are NaN where one item (or one group) leaves nothing to judge the spread by.
    """

    value: float
    low: float
    high: float
    n: int
    method: str


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The difference ``a - b`` of two systems on the same items, and the two-sided p of "no difference"."""

    difference: float
    low: float
    high: float
    p: float
    n: int
    test: str
    method: str


def wilson(outcomes: npt.ArrayLike, groups: Groups = None, level: float = LEVEL) -> Interval:
    """Score interval for a share (Wilson 1927, JASA 22), from one 0/1 outcome per item.

    With groups, n is divided by the design effect (Kish 1965) and shrunk for the few degrees of freedom of G groups
    (Korn and Graubard 1998, Survey Methodology 24), but never above n (Parker et al. 2017, National Center for Health
    Statistics, Vital and Health Statistics 2, 175). Where all outcomes are equal the design effect cannot be seen,
    and G stands for n.

    Raises:
        DataError: no items, an outcome other than 0 and 1, or not one group per item.
    """
    outcomes_N = _outcomes(outcomes)
    n_effective, num_groups = _effective_n(outcomes_N, groups, level)
    share = float(outcomes_N.mean())
    low, high = _wilson_limits(share, n_effective, level)
    return Interval(share, low, high, len(outcomes_N), _name("Wilson", level, len(outcomes_N), num_groups))


def bootstrap(
    measure: Additive, groups: Groups = None, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """BCa bootstrap interval (Efron 1987, JASA 82) for any `Additive`; whole groups are drawn where given.

    The quantiles are widened for small samples as in Hesterberg 2015 (The American Statistician 69, "expanded
    percentile": Student's t and the factor G / (G - 1)), since a plain bootstrap interval is too narrow at n = 20.

    Raises:
        DataError: no items, a part that is not finite, or not one group per item.
    """
    parts_GS = sums_by_group(measure.parts, groups)
    low, high = _bca(parts_GS, measure.of, resamples, seed, level)
    return Interval(
        measure.value, low, high, len(measure.parts), _name("BCa bootstrap", level, len(measure.parts), len(parts_GS))
    )


def jackknife(measure: Additive, groups: Groups = None, *, level: float = LEVEL) -> Interval:
    """Student's t around the value with the delete-one-group standard error (Tukey 1958; Efron and Stein 1981).

    For macro-F1: a label with one or two items is missing from a third of all bootstrap draws, so that with 20 labels
    of frequency k^-1.3 and n = 200 the BCa interval covers 79 % and this one 93 %.

    Raises:
        DataError: no items, a part that is not finite, or not one group per item.
    """
    parts_GS = sums_by_group(measure.parts, groups)
    low, high = _jackknife_limits(parts_GS, measure.of, level)
    return Interval(
        measure.value, low, high, len(measure.parts), _name("jackknife", level, len(measure.parts), len(parts_GS))
    )


def interval(
    measure: Additive, groups: Groups = None, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """The interval that suits the measure: `bootstrap` or `jackknife`, as its ``spread`` says."""
    if measure.spread == "jackknife":
        return jackknife(measure, groups, level=level)
    return bootstrap(measure, groups, resamples=resamples, seed=seed, level=level)


def mcnemar(a: npt.ArrayLike, b: npt.ArrayLike, groups: Groups = None, level: float = LEVEL) -> PairedTest:
    """Two systems' 0/1 outcomes on the same items.

    The p is McNemar's (1947, Psychometrika 12), exact: two-sided binomial on the items where just one is right. The
    interval of the difference is Tango's score interval (1998, Statistics in Medicine 17, 891-908), which covers 94 to
    96 % where Newcombe's method 10 covers up to 97.5 % (`benchmarks/intervals.py`). Groups with more than one item make
    both too sure of themselves: then p comes from swapping the systems in whole groups (see `permutation`) and the
    interval from the effective n (see `wilson`) of the differences; where the systems differ on fewer than a tenth of
    the rows it then covers up to 98 %.

    Args:
        a: outcomes of one system [N].
        b: outcomes of the other [N].

    Raises:
        DataError: no items, an outcome other than 0 and 1, a and b not equally long, or not one group per item.
    """
    a_N, b_N = _outcomes(a), _outcomes(b)
    _check_pair(len(a_N), len(b_N))
    n_effective, num_groups = _effective_n(a_N - b_N, groups, level)
    only_a, only_b = int((a_N > b_N).sum()), int((a_N < b_N).sum())
    difference = (only_a - only_b) / len(a_N)
    worth = n_effective / len(a_N)
    low, high = _tango_limits(difference, worth * only_a, worth * only_b, n_effective, level)
    method = _name("Tango", level, len(a_N), num_groups)
    if num_groups == len(a_N):
        p = _binomial_p(only_a, only_b)
        return PairedTest(difference, low, high, p, len(a_N), "exact McNemar", method)
    swap = permutation(mean(a_N), mean(b_N), groups, level=level)
    return PairedTest(difference, low, high, swap.p, len(a_N), swap.test, method)


def permutation(
    a: Additive,
    b: Additive,
    groups: Groups = None,
    *,
    permutations: int = PERMUTATIONS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> PairedTest:
    """One `Additive` of two systems on the same items.

    If the systems do not differ, then swapping their answers to an item changes nothing but chance. The p is the share
    of random swaps with a difference at least as large as the real one, which counts among them: p >= 1 / (B + 1)
    (Fisher 1935; Noreen 1989 for measures that are no mean; Phipson and Smyth 2010 for the 1). For a mean this is the
    sign-flip test. With groups, whole groups are swapped. The interval is that of the paired difference, by the
    bootstrap or the jackknife as the measure's ``spread`` says.

    Raises:
        DataError: no items, a part that is not finite, a and b not of one kind and length, not one group per item.
    """
    _check_pair(len(a.parts), len(b.parts))
    if a.of is not b.of or a.parts.shape != b.parts.shape:
        raise DataError("Only one measure of the same items can be paired.", got="two measures")
    num_items, width = a.parts.shape

    def difference_of(sums: FloatArray) -> FloatArray:
        return a.of(sums[..., :width]) - a.of(sums[..., width:])

    parts_GS = sums_by_group(np.concatenate([a.parts, b.parts], axis=1), groups)
    total_S = parts_GS.sum(axis=0)
    difference = float(difference_of(total_S))
    change_GS = np.concatenate([parts_GS[:, width:], parts_GS[:, :width]], axis=1) - parts_GS
    by_chance_B = swapped(total_S, change_GS, difference_of, permutations, seed)
    # Rounding must not make the real order of the systems look rarer than its equals.
    slack = 1e-12 * max(1.0, abs(a.value), abs(b.value))
    p = (1 + int((np.abs(by_chance_B) >= abs(difference) - slack).sum())) / (1 + permutations)
    if a.spread == "jackknife":
        (low, high), method = _jackknife_limits(parts_GS, difference_of, level), "jackknife"
    else:
        (low, high), method = _bca(parts_GS, difference_of, resamples, seed, level), "BCa bootstrap"
    test = "paired permutation" if len(parts_GS) == num_items else "paired permutation of groups"
    return PairedTest(difference, low, high, p, num_items, test, _name(method, level, num_items, len(parts_GS)))


def westfall_young(
    pairs: Sequence[tuple[Additive, Additive]],
    groups: Groups = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[float]:
    """Adjusted p of several measures of the same two systems on the same items: small ones hold for all together.

    Step-down minP of Westfall and Young (1993, "Resampling-Based Multiple Testing", algorithm 2.8; Ge, Dudoit and Speed
    2003, Test 12). Systems are swapped in all measures at once, so that what measures have in common counts: three
    kinds of ROUGE cost little more than one, where Bonferroni would divide by three. A model that is compared with
    itself in 22 measures is then called different in one evaluation of 20, and not in one of four
    (`benchmarks/intervals.py`).

    Args:
        pairs: the measure of either system; an item that a measure does not apply to has zeros in its parts.
        groups: whole groups are swapped.

    Raises:
        DataError: no items, a part that is not finite, two that are not of one kind and length, not one group per item.
    """
    differences: list[FloatArray] = []
    for a, b in pairs:
        _check_pair(len(a.parts), len(b.parts))
        if a.of is not b.of or a.parts.shape != b.parts.shape or len(a.parts) != len(pairs[0][0].parts):
            raise DataError("Only one measure of the same items can be paired.", got="two measures")
        a_GS, b_GS = sums_by_group(a.parts, groups), sums_by_group(b.parts, groups)
        total_S, change_GS = a_GS.sum(axis=0), b_GS - a_GS
        other_S, of = b_GS.sum(axis=0), a.of
        moved_BS = swapped_sums(change_GS, permutations, seed)
        differences.append(np.concatenate([[a.value - b.value], of(total_S + moved_BS) - of(other_S - moved_BS)]))
    if not differences:
        return []
    # The real order of the systems is one of the permutations; ties must not be broken by rounding.
    sizes_MB = np.round(np.abs(np.stack(differences)), 10)
    p_MB = np.stack([_share_as_large(sizes) for sizes in sizes_MB])
    order = np.argsort(p_MB[:, 0], kind="stable")
    least_MB = np.minimum.accumulate(p_MB[order[::-1]], axis=0)[::-1]
    adjusted = np.maximum.accumulate((least_MB <= p_MB[order, :1] + 1e-12).mean(axis=1))
    result = np.empty(len(order))
    result[order] = adjusted
    return [float(p) for p in result]


def _share_as_large(sizes_B: FloatArray) -> FloatArray:
    """Of each size, the share of all sizes that are at least as large."""
    ordered = np.sort(sizes_B)
    return np.asarray(1 - np.searchsorted(ordered, sizes_B, side="left") / len(sizes_B))


def nadeau_bengio(differences_F: npt.ArrayLike, num_train: float, num_test: float, level: float = LEVEL) -> PairedTest:
    """The mean difference ``a - b`` of two ways of training over folds or repeated splits: corrected resampled t.

    Folds share most of their training rows, so that their differences are not independent and the plain t finds
    differences that are not there. Nadeau and Bengio (2003, "Inference for the Generalization Error", Machine Learning
    52, 239-281, section 3) multiply the variance of the differences by ``1/F + num_test / num_train`` in place of 1/F.
    There is no unbiased estimate of this variance (Bengio and Grandvalet 2004), so read the test as an approximation.

    Args:
        differences_F: of the metric, one per fold or repetition, those of all repetitions in one row.
        num_train: rows that each fold trains on (the mean where they differ).
        num_test: rows that each fold is tested on.
        level: confidence of the interval.

    Returns:
        ``n`` is the number of folds. Where all differences are equal the interval is a point, and p is 1 if they are 0
        and else 0.

    Raises:
        DataError: fewer than two folds, a difference that is not finite, or no rows.
    """
    differences = np.asarray(differences_F, dtype=float)
    num_folds = len(differences)
    if num_folds < 2:
        raise DataError("A spread over folds needs at least two.", got=f"{num_folds} folds")
    if not np.isfinite(differences).all():
        raise DataError("A difference of a fold is not a finite number.", got="NaN or infinity")
    if num_train <= 0 or num_test <= 0:
        raise DataError("Each fold trains on rows and is tested on rows.", got=f"{num_train} and {num_test}")
    difference = float(differences.mean())
    spread = float(differences.std(ddof=1))
    if spread < 1e-12 * max(1.0, abs(difference)):  # rounding of equal differences
        spread = 0.0
    error = spread * math.sqrt(1 / num_folds + num_test / num_train)
    reach = -float(stdtrit(num_folds - 1, (1 - level) / 2)) * error
    p = float(difference == 0) if error == 0 else 2 * float(stdtr(num_folds - 1, -abs(difference) / error))
    method = f"corrected resampled t {100 * level:g} %"
    return PairedTest(difference, difference - reach, difference + reach, p, num_folds, "corrected resampled t", method)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that hold for all tests of the family together (Holm 1979, Scand. J. Statistics 6)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _bca(parts_GS: FloatArray, of: Measure, resamples: int, seed: int, level: float) -> tuple[float, float]:
    num_groups = len(parts_GS)
    if num_groups == 1:
        return math.nan, math.nan
    replicates_B = drawn(parts_GS, of, resamples, seed)
    # Bias: how far the replicates' median lies from the estimate; a tie counts half.
    estimate = float(of(parts_GS.sum(axis=0)))
    below = float((replicates_B < estimate).mean() + 0.5 * (replicates_B == estimate).mean())
    bias = ndtri(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    # Acceleration: skewness of the leave-one-out estimates.
    pull_G = leave_one_out(parts_GS, of)
    pull_G = pull_G.mean() - pull_G
    spread = float((pull_G**2).sum())
    acceleration = float((pull_G**3).sum()) / (6 * spread**1.5) if spread > 1e-24 else 0.0
    reach = -stdtrit(num_groups - 1, (1 - level) / 2) * math.sqrt(num_groups / (num_groups - 1))
    shifted = np.array([bias - reach, bias + reach])
    levels = ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-6))
    low, high = np.quantile(replicates_B, levels, method="weibull")
    return float(low), float(high)


def _jackknife_limits(parts_GS: FloatArray, of: Measure, level: float) -> tuple[float, float]:
    num_groups = len(parts_GS)
    if num_groups == 1:
        return math.nan, math.nan
    estimate = float(of(parts_GS.sum(axis=0)))
    pull_G = leave_one_out(parts_GS, of)
    error = math.sqrt((num_groups - 1) / num_groups * float(((pull_G - pull_G.mean()) ** 2).sum()))
    reach = -float(stdtrit(num_groups - 1, (1 - level) / 2)) * error
    return estimate - reach, estimate + reach


def _tango_limits(difference: float, only_a: float, only_b: float, n: float, level: float) -> tuple[float, float]:
    """The differences that a score test of the discordant items does not reject (Tango 1998, eq. 10 to 16)."""
    z = float(ndtri((1 + level) / 2))

    def score(delta: float) -> float:
        """How far the data lie from a true difference, in standard errors under it; falls as it rises."""
        linear = (2 * n - only_a + only_b) * delta - only_a - only_b
        root = math.sqrt(max(linear * linear + 8 * n * only_b * delta * (1 - delta), 0.0))
        variance = n * (2 * (root - linear) / (4 * n) + delta * (1 - delta))  # only_b's chance at its likeliest
        gap = only_a - only_b - n * delta
        return gap / math.sqrt(variance) if variance > 1e-12 else math.copysign(math.inf, gap)

    def crossing(wanted: float, low: float, high: float) -> float:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > wanted else (low, middle)
        return (low + high) / 2

    return crossing(z, -1.0, difference), crossing(-z, difference, 1.0)


def _wilson_limits(share: float, n: float, level: float) -> tuple[float, float]:
    z = float(ndtri((1 + level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and 1 the limit is exact; rounding would put it a hair beside the share.
    return (0.0 if share == 0 else max(0.0, centre - half)), (1.0 if share == 1 else min(1.0, centre + half))


def _binomial_p(only_a: int, only_b: int) -> float:
    """P of a split at least as uneven in either direction, if each discordant item is a fair coin; exact integers."""
    discordant = only_a + only_b
    tail = term = 1
    for k in range(1, min(only_a, only_b) + 1):
        term = term * (discordant - k + 1) // k
        tail += term
    return min(1.0, 2 * tail / (1 << discordant))


def _effective_n(values_N: FloatArray, groups: Groups, level: float) -> tuple[float, int]:
    """How many independent items the N ones are worth for their mean (N without groups), and the number of groups."""
    n = len(values_N)
    codes_N, num_groups = group_codes(groups, n)
    if num_groups == n:
        return float(n), num_groups
    if num_groups == 1:
        return 1.0, num_groups
    residual_N = values_N - values_N.mean()
    within = float((residual_N**2).sum()) * n / (n - 1)
    between = float((np.bincount(codes_N, residual_N, num_groups) ** 2).sum()) * num_groups / (num_groups - 1)
    for_few_groups = float(ndtri((1 + level) / 2) / stdtrit(num_groups - 1, (1 + level) / 2)) ** 2
    if within <= 0:
        return num_groups * for_few_groups, num_groups
    return min(float(n), for_few_groups * n * within / max(between, 1e-12)), num_groups


def _outcomes(values: npt.ArrayLike) -> FloatArray:
    outcomes_N = np.asarray(values, dtype=float)
    if not np.isin(outcomes_N, (0.0, 1.0)).all():
        raise DataError("Outcomes are 0 or 1.", got="another value", do="use `interval` and `permutation` for scores")
    if len(outcomes_N) == 0:
        raise DataError("A figure needs at least one item.", got="0 items")
    return outcomes_N


def _check_pair(num_a: int, num_b: int) -> None:
    if num_a != num_b:
        raise DataError("Two systems are compared on the same items.", got=f"{num_a} and {num_b} items")


def _name(method: str, level: float, num_items: int, num_groups: int) -> str:
    return f"{method} {100 * level:g} %" + ("" if num_groups == num_items else f" over {num_groups} groups")
