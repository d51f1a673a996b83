"""Intervals and tests: published and hand-worked values, and what they promise, by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.metrics.resample import mean
from yibu.metrics.scores import macro_f1
from yibu.metrics.stats import (
    Interval,
    PairedTest,
    bootstrap,
    holm,
    interval,
    jackknife,
    mcnemar,
    nadeau_bengio,
    permutation,
    westfall_young,
    wilson,
)

Generator = np.random.Generator
RUNS = 2_000  # then a true coverage of 94.5 % is measured to +- 1 %


def share(right: int, n: int) -> npt.NDArray[np.float64]:
    return (np.arange(n) < right).astype(float)


def table(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[int], list[int]]:
    """Outcomes of two systems with these counts."""
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return a, b


def coverage(draw: Callable[[Generator, int], Interval | PairedTest], true: float, runs: int) -> float:
    rng = np.random.default_rng(0)
    found = [draw(rng, run) for run in range(runs)]
    return sum(one.low <= true <= one.high for one in found) / runs


class TestWilson:
    @pytest.mark.parametrize(
        ("right", "n", "low", "high"),
        [(90, 100, 0.826, 0.945), (180, 200, 0.851, 0.934), (900, 1000, 0.880, 0.917), (81, 263, 0.2553, 0.3662)],
    )
    def test_known_values(self, right: int, n: int, low: float, high: float) -> None:
        found = wilson(share(right, n))  # the last is Newcombe 1998, Statistics in Medicine 17, 857-872, table I
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)
        assert (found.value, found.n, found.method) == (right / n, n, "Wilson 95 %")

    def test_stays_wide_and_within_bounds_at_the_edges(self) -> None:
        none, all_right = wilson(share(0, 20)), wilson(share(20, 20))
        assert (none.low, all_right.high) == (0, 1)
        assert none.high == pytest.approx(0.1611, abs=1e-4)
        assert all_right.low == pytest.approx(1 - none.high)

    def test_equals_scipy_at_another_level(self) -> None:
        from scipy.stats import binomtest

        expected = binomtest(37, 50).proportion_ci(0.9, method="wilson")
        found = wilson(share(37, 50), level=0.9)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        assert found.method == "Wilson 90 %"

    def test_copies_of_a_row_in_one_group_add_nothing(self) -> None:
        once = wilson(share(30, 40))
        copied = wilson(np.repeat(share(30, 40), 10), np.repeat(np.arange(40), 10).tolist())
        taken_for_independent = wilson(np.repeat(share(30, 40), 10))
        width, own = copied.high - copied.low, once.high - once.low
        assert own <= width <= 1.1 * own  # a little more, for the 39 degrees of freedom
        assert taken_for_independent.high - taken_for_independent.low < 0.4 * width
        assert copied.method == "Wilson 95 % over 40 groups"

    def test_groups_of_one_are_no_groups(self) -> None:
        assert wilson(share(3, 7), list(range(7))) == wilson(share(3, 7)) == wilson(share(3, 7), [None] * 7)

    def test_a_perfect_score_in_few_groups_is_not_sure(self) -> None:
        assert wilson(np.ones(500), [row % 5 for row in range(500)]).low < 0.6
        assert wilson(np.ones(500), ["one"] * 500).low < 0.21

    @pytest.mark.parametrize("true", [0.05, 0.2, 0.5, 0.68, 0.9])
    def test_exact_coverage_at_n_100(self, true: float) -> None:
        from scipy.stats import binom

        found = [wilson(share(right, 100)) for right in range(101)]
        covered = sum(
            binom.pmf(right, 100, true) for right in range(101) if found[right].low <= true <= found[right].high
        )
        assert 0.93 <= covered <= 0.97

    def test_coverage_with_groups(self) -> None:
        def draw(rng: Generator, run: int) -> Interval:
            groups = np.repeat(np.arange(25), 4)
            return wilson((rng.random(100) < rng.beta(2, 1, 25)[groups]).astype(float), groups.tolist())

        assert 0.93 <= coverage(draw, 2 / 3, 2_000) <= 0.97

    def test_bad_outcomes_are_refused(self) -> None:
        with pytest.raises(DataError, match="0 or 1"):
            wilson([0.5, 1.0])
        with pytest.raises(DataError, match="at least one"):
            wilson([])


class TestBootstrap:
    @pytest.mark.parametrize("shape", ["normal", "rouge-like", "loss-like"])
    def test_coverage_at_n_100(self, shape: str) -> None:
        make: dict[str, tuple[Callable[[Generator], npt.NDArray[np.float64]], float]] = {
            "normal": (lambda rng: rng.normal(size=100), 0.0),
            "rouge-like": (lambda rng: rng.beta(0.5, 1.5, 100), 0.25),
            "loss-like": (lambda rng: rng.exponential(size=100), 1.0),
        }
        values, true = make[shape]

        def draw(rng: Generator, run: int) -> Interval:
            return bootstrap(mean(values(rng)), resamples=1_000, seed=run)

        assert 0.93 <= coverage(draw, true, RUNS) <= 0.97

    def test_coverage_at_n_15_where_a_plain_interval_is_too_narrow(self) -> None:
        def draw(rng: Generator, run: int) -> Interval:
            return bootstrap(mean(rng.normal(size=15)), resamples=1_000, seed=run)

        assert 0.93 <= coverage(draw, 0.0, RUNS) <= 0.97

    def test_coverage_with_groups(self) -> None:
        groups = np.repeat(np.arange(30), 4)

        def draw(rng: Generator, run: int) -> Interval:
            values = rng.normal(size=30)[groups] + rng.normal(size=120)
            return bootstrap(mean(values), groups.tolist(), resamples=1_000, seed=run)

        assert 0.93 <= coverage(draw, 0.0, RUNS) <= 0.97

    def test_agrees_with_scipy(self) -> None:
        from scipy.stats import bootstrap as scipy_bootstrap

        values = np.random.default_rng(3).gamma(0.7, size=400)
        found = bootstrap(mean(values), resamples=20_000)
        expected = scipy_bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)

    def test_same_seed_same_interval(self) -> None:
        values = mean(np.random.default_rng(0).random(30))
        assert bootstrap(values, seed=4) == bootstrap(values, seed=4) != bootstrap(values, seed=5)

    def test_weights_move_the_value(self) -> None:
        found = bootstrap(mean([1.0, 3.0, 2.0], [98, 1, 1]))
        assert found.value == pytest.approx(1.03)
        assert found.low < found.value <= found.high

    def test_equal_values_have_no_spread(self) -> None:
        found = bootstrap(mean(np.full(10, 0.3)))
        assert (found.low, found.high) == pytest.approx((0.3, 0.3))

    def test_one_item_or_one_group_has_no_interval(self) -> None:
        assert math.isnan(bootstrap(mean([0.4])).low)
        assert math.isnan(bootstrap(mean([0.4, 0.6]), ["p", "p"]).high)
        assert math.isnan(jackknife(mean([0.4])).low)

    def test_nan_is_refused(self) -> None:
        with pytest.raises(DataError, match="finite"):
            bootstrap(mean([0.4, math.nan]))


class TestJackknife:
    def test_of_a_mean_is_the_t_interval(self) -> None:
        from scipy.stats import t

        values = np.random.default_rng(0).random(20)
        expected = t.interval(0.95, 19, values.mean(), values.std(ddof=1) / math.sqrt(20))
        found = jackknife(mean(values))
        assert (found.low, found.high) == pytest.approx(expected)
        assert found.method == "jackknife 95 %"

    def test_macro_f1_takes_it(self) -> None:
        labels = macro_f1(list("aabbab"), list("ababab"))
        assert interval(labels) == jackknife(labels)
        assert interval(mean([1.0, 2.0])) == bootstrap(mean([1.0, 2.0]))

    @pytest.mark.parametrize(
        ("frequencies", "n"), [((0.4, 0.3, 0.2, 0.1), 100), (tuple(1 / k for k in range(1, 13)), 200)]
    )
    def test_coverage_of_macro_f1(self, frequencies: tuple[float, ...], n: int) -> None:
        num_labels = len(frequencies)
        chances = np.array(frequencies) / sum(frequencies)
        names = np.array([f"label {number:02d}" for number in range(num_labels)])

        def measured(rng: Generator, size: int) -> tuple[list[str], list[str]]:
            truth = rng.choice(num_labels, size, p=chances)
            known = rng.random(size) < np.linspace(0.9, 0.5, num_labels)[truth]
            answer = np.where(known, truth, rng.choice(num_labels, size, p=chances))
            return names[truth].tolist(), names[answer].tolist()

        true = macro_f1(*measured(np.random.default_rng(1), 200_000)).value
        assert 0.93 <= coverage(lambda rng, run: jackknife(macro_f1(*measured(rng, n))), true, RUNS) <= 0.97


class TestMcNemar:
    def test_a_published_interval(self) -> None:
        found = mcnemar(*table(1, 1, 7, 12))  # Bentur et al. 2009, as in Fagerland, Lydersen and Laake 2014
        assert (found.difference, found.low, found.high) == pytest.approx((-0.2857, -0.517, -0.026), abs=5e-4)
        assert (found.test, found.method) == ("exact McNemar", "Tango 95 %")

    @pytest.mark.parametrize("counts", [(59, 6, 16, 80), (43, 0, 1, 0), (10, 12, 3, 20)])
    def test_limits_are_where_the_score_test_with_the_likeliest_other_chances_turns(
        self, counts: tuple[int, int, int, int]
    ) -> None:
        from scipy.optimize import minimize_scalar

        _, only_a, only_b, _ = counts
        n = sum(counts)
        found = mcnemar(*table(*counts))
        for delta in (found.low, found.high):

            def unlikely(chance_b: float, delta: float = delta) -> float:
                parts = [
                    (only_a, chance_b + delta),
                    (only_b, chance_b),
                    (n - only_a - only_b, 1 - 2 * chance_b - delta),
                ]
                return -sum(count * math.log(max(chance, 1e-300)) for count, chance in parts if count)

            best = minimize_scalar(
                unlikely, bounds=(max(0.0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-10}
            ).x
            error = math.sqrt(n * (2 * best + delta - delta**2))
            assert abs(only_a - only_b - n * delta) / error == pytest.approx(1.959964, abs=1e-3)

    def test_all_one_way_and_none_at_all(self) -> None:
        assert mcnemar(*table(0, 20, 0, 0)).high == pytest.approx(1, abs=1e-9)
        none = mcnemar(*table(10, 0, 0, 10))
        z = 1.959964**2
        assert (none.low, none.high) == pytest.approx((-z / (20 + z), z / (20 + z)), abs=1e-5)

    def test_groups_whose_differences_cancel_are_worth_no_more_than_their_rows(self) -> None:
        a, b = [1, 0] * 20, [0, 1] * 20
        grouped, alone = mcnemar(a, b, [row // 2 for row in range(40)]), mcnemar(a, b)
        assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))

    @settings(deadline=None)
    @given(st.integers(0, 60), st.integers(0, 60))
    def test_p_is_the_two_sided_binomial(self, only_a: int, only_b: int) -> None:
        from scipy.stats import binomtest

        expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        assert mcnemar(*table(3, only_a, only_b, 4)).p == pytest.approx(expected)

    def test_six_one_way_pairs_are_the_fewest_that_can_be_significant(self) -> None:
        assert mcnemar(*table(50, 5, 0, 50)).p == pytest.approx(0.0625)
        assert mcnemar(*table(50, 6, 0, 50)).p == pytest.approx(0.03125)

    def test_thousands_of_discordant_items_do_not_overflow(self) -> None:
        assert mcnemar(*table(0, 3_000, 2_000, 0)).p < 1e-40

    def test_swapping_the_systems_mirrors_the_result(self) -> None:
        a, b = table(40, 12, 3, 20)
        one, other = mcnemar(a, b), mcnemar(b, a)
        assert one.p == other.p
        assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))

    def test_coverage_of_the_difference_at_n_100(self) -> None:
        def draw(rng: Generator, run: int) -> PairedTest:
            a = rng.random(100) < 0.7
            b = np.where(rng.random(100) < 0.6, a, rng.random(100) < 0.5)
            return mcnemar(a, b)

        assert 0.93 <= coverage(draw, 0.7 - 0.62, 2_000) <= 0.97

    def test_one_system_against_itself(self) -> None:
        found = mcnemar(share(70, 100), share(70, 100))
        assert (found.p, found.difference) == (1, 0)
        assert found.low < 0 < found.high  # equal on 100 items is not equal for ever

    def test_copies_of_the_rows_in_groups_make_no_significance(self) -> None:
        a, b = table(20, 5, 1, 14)
        groups = [row for row in range(40) for _ in range(10)]
        copied_a, copied_b = np.repeat(a, 10), np.repeat(b, 10)
        assert mcnemar(copied_a, copied_b).p < 1e-6
        grouped, alone = mcnemar(copied_a, copied_b, groups), mcnemar(a, b)
        assert grouped.p == pytest.approx(alone.p, abs=0.02)
        assert grouped.high - grouped.low >= alone.high - alone.low
        assert (grouped.test, grouped.method) == ("paired permutation of groups", "Tango 95 % over 40 groups")

    def test_unequal_lengths_are_refused(self) -> None:
        with pytest.raises(DataError, match="same items"):
            mcnemar([1, 0], [1])


class TestPermutation:
    def test_p_is_never_zero(self) -> None:
        found = permutation(mean(np.ones(100)), mean(np.zeros(100)), permutations=199)
        assert found.p == 1 / 200
        assert (found.difference, found.low, found.high) == (1, 1, 1)

    def test_equals_the_exact_sign_flip_test(self) -> None:
        a, b = np.array([0.9, 0.8, 0.6, 0.7, 0.65, 0.4]), np.array([0.5, 0.7, 0.61, 0.4, 0.6, 0.3])
        differences = a - b
        signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
        exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
        assert permutation(mean(a), mean(b)).p == pytest.approx(exact, abs=0.01)

    def test_one_system_against_itself_has_p_one(self) -> None:
        values = np.random.default_rng(0).random(50)
        assert permutation(mean(values), mean(values)).p == 1

    def test_two_equal_systems_are_called_different_in_one_of_twenty(self) -> None:
        rng = np.random.default_rng(0)
        found = []
        for run in range(400):
            item = rng.beta(2, 3, 100)
            a, b = (mean(np.clip(item + 0.1 * rng.normal(size=100), 0, 1)) for _ in range(2))
            found.append(permutation(a, b, permutations=399, resamples=200, seed=run).p)
        assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.075  # 5 % +- 2.3 standard errors

    def test_groups_keep_the_level_that_items_do_not(self) -> None:
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(25), 8)
        grouped, alone = [], []
        for run in range(200):
            a, b = (mean(rng.normal(size=25)[groups] + rng.normal(size=200)) for _ in range(2))
            grouped.append(permutation(a, b, groups.tolist(), permutations=399, resamples=100, seed=run).p)
            alone.append(permutation(a, b, permutations=399, resamples=100, seed=run).p)
        assert np.mean(np.array(grouped) <= 0.05) <= 0.09
        assert np.mean(np.array(alone) <= 0.05) > 0.2

    def test_macro_f1_of_two_systems(self) -> None:
        truth = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
        better = ["a"] * 55 + ["b"] * 35 + ["c"] * 10
        found = permutation(macro_f1(truth, better), macro_f1(truth, ["a"] * 100))
        assert found.difference == pytest.approx(macro_f1(truth, better).value - 0.25)
        assert found.p < 0.001
        assert found.low < found.difference < found.high
        assert found.method == "jackknife 95 %"

    def test_coverage_of_the_difference(self) -> None:
        def draw(rng: Generator, run: int) -> PairedTest:
            item = rng.exponential(size=100)
            a, b = mean(item + rng.exponential(size=100)), mean(item + 0.5 * rng.exponential(size=100))
            return permutation(a, b, permutations=19, resamples=1_000, seed=run)

        assert 0.93 <= coverage(draw, 0.5, RUNS) <= 0.97

    def test_two_measures_are_refused(self) -> None:
        with pytest.raises(DataError, match="one measure"):
            permutation(mean([1.0, 0.0]), macro_f1(["a", "b"], ["a", "b"]))
        with pytest.raises(DataError, match="same items"):
            permutation(mean([1.0]), mean([1.0, 2.0]))


class TestHolm:
    def test_by_hand(self) -> None:
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1), max_size=6))
    def test_never_smaller_than_p_never_above_one_and_in_order(self, p_values: list[float]) -> None:
        adjusted = holm(p_values)
        assert all(p <= new <= 1 for p, new in zip(p_values, adjusted, strict=True))
        order = sorted(range(len(p_values)), key=lambda place: p_values[place])
        assert sorted(adjusted) == [adjusted[place] for place in order]


class TestWestfallYoung:
    def test_of_one_measure_it_is_the_permutation_test(self) -> None:
        rng = np.random.default_rng(0)
        a, b = mean(rng.normal(0.25, 1, 80)), mean(rng.normal(0, 1, 80))
        assert westfall_young([(a, b)]) == pytest.approx([permutation(a, b).p], abs=0.01)

    def test_the_same_measure_thrice_costs_nothing(self) -> None:
        rng = np.random.default_rng(1)
        a, b = mean(rng.normal(0.3, 1, 60)), mean(rng.normal(0, 1, 60))
        assert westfall_young([(a, b)] * 3) == westfall_young([(a, b)]) * 3

    def test_independent_measures_cost_what_sidak_says(self) -> None:
        rng = np.random.default_rng(2)
        pairs = [(mean(rng.normal(0.35 * (place == 0), 1, 200)), mean(rng.normal(size=200))) for place in range(4)]
        alone, found = [westfall_young([pair])[0] for pair in pairs], westfall_young(pairs)
        assert found[0] == pytest.approx(1 - (1 - alone[0]) ** 4, abs=0.01)
        assert all(adjusted >= p - 1e-9 for adjusted, p in zip(found, alone, strict=True))
        order = sorted(range(4), key=lambda place: alone[place])
        assert [found[place] for place in order] == sorted(found)

    def test_equals_the_definition_worked_over_all_swaps(self) -> None:
        a, b = (
            np.array([[0.9, 0.2], [0.8, 0.6], [0.6, 0.7], [0.7, 0.1]]),
            np.array([[0.1, 0.3], [0.7, 0.4], [0, 0.6], [0.6, 0]]),
        )
        signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
        sizes = np.round(np.abs(signs @ (a - b)), 9)
        p = (sizes[None, :, :] >= sizes[:, None, :]).mean(axis=1)  # of every swap, for each measure
        real = p[int(np.where((signs == 1).all(axis=1))[0][0])]
        first, second = np.argsort(real)
        expected = {first: (p.min(axis=1) <= real[first]).mean(), second: (p[:, second] <= real[second]).mean()}
        expected[second] = max(expected.values())
        found = westfall_young([(mean(a[:, k]), mean(b[:, k])) for k in range(2)], permutations=40_000)
        assert found == pytest.approx([expected[0], expected[1]], abs=0.01)

    def test_one_model_twice_in_ten_measures_is_called_different_in_one_of_twenty(self) -> None:
        rng = np.random.default_rng(3)
        least, groups = [], np.repeat(np.arange(20), 2).tolist()
        for run in range(300):
            common = rng.normal(size=(2, 40))
            pairs = [(mean(common[0] + rng.normal(size=40)), mean(common[1] + rng.normal(size=40))) for _ in range(10)]
            least.append(min(westfall_young(pairs, groups, permutations=199, seed=run)))
        assert 0.02 <= np.mean(np.array(least) <= 0.05) <= 0.09

    def test_no_measures_and_unlike_ones(self) -> None:
        assert westfall_young([]) == []
        with pytest.raises(DataError, match="one measure"):
            westfall_young([(mean([1.0, 0.0]), macro_f1(["a", "b"], ["a", "b"]))])


class TestNadeauBengio:
    def test_by_hand(self) -> None:
        # Mean 0.03, variance 0.00025, factor 1/5 + 20/80 = 0.45: t = 0.03 / sqrt(0.0001125) = 2.8284 with 4 degrees.
        found = nadeau_bengio([0.02, 0.04, 0.01, 0.03, 0.05], num_train=80, num_test=20)
        assert found.difference == pytest.approx(0.03)
        assert found.p == pytest.approx(0.047421, abs=1e-6)
        assert found.high - found.difference == pytest.approx(2.776445 * math.sqrt(0.0001125), abs=1e-7)
        assert found.difference - found.low == pytest.approx(found.high - found.difference)
        assert (found.n, found.test, found.method) == (5, "corrected resampled t", "corrected resampled t 95 %")

    def test_without_test_rows_to_speak_of_it_is_the_plain_t(self) -> None:
        from scipy.stats import ttest_1samp

        differences = np.random.default_rng(1).normal(0.1, 0.2, 10)
        expected = ttest_1samp(differences, 0)
        found = nadeau_bengio(differences, num_train=10**12, num_test=1, level=0.9)
        limits = expected.confidence_interval(0.9)
        assert found.p == pytest.approx(expected.pvalue)
        assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
        assert nadeau_bengio(differences, 90, 10).p > expected.pvalue

    def test_finds_no_difference_between_folds_of_one_learner_where_the_plain_t_does(self) -> None:
        """Two ways to guess a mean that are equally good, over ten random halves of the same 60 rows."""
        from scipy.stats import ttest_1samp

        rng = np.random.default_rng(0)
        corrected, plain = [], []
        for _ in range(400):
            rows = rng.normal(size=(60, 2))
            differences = []
            for _ in range(10):
                order = rng.permutation(60)
                train, test = rows[order[:30]], rows[order[30:]]
                errors = ((test - train.mean(axis=0)) ** 2).mean(axis=0)
                differences.append(errors[0] - errors[1])
            corrected.append(nadeau_bengio(differences, 30, 30).p)
            plain.append(ttest_1samp(differences, 0).pvalue)
        assert np.mean(np.array(corrected) < 0.05) <= 0.08
        assert np.mean(np.array(plain) < 0.05) > 0.2

    def test_equal_differences_are_a_point(self) -> None:
        assert nadeau_bengio([0.0, 0.0, 0.0], 2, 1).p == 1
        found = nadeau_bengio([0.1, 0.1, 0.1], 2, 1)
        assert (found.low, found.high, found.p) == (found.difference, found.difference, 0)

    @settings(deadline=None)
    @given(st.lists(st.floats(-1, 1), min_size=2, max_size=10), st.integers(1, 1000), st.integers(1, 1000))
    def test_bounds_and_symmetry(self, differences: list[float], num_train: int, num_test: int) -> None:
        found = nadeau_bengio(differences, num_train, num_test)
        turned = nadeau_bengio([-value for value in differences], num_train, num_test)
        assert 0 <= found.p <= 1
        assert found.low <= found.difference <= found.high
        assert turned.p == pytest.approx(found.p)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))

    def test_what_cannot_be_tested_is_refused(self) -> None:
        with pytest.raises(DataError, match="at least two"):
            nadeau_bengio([0.1], 80, 20)
        with pytest.raises(DataError, match="finite"):
            nadeau_bengio([0.1, math.nan], 80, 20)
        with pytest.raises(DataError, match="rows"):
            nadeau_bengio([0.1, 0.2], 0, 20)
