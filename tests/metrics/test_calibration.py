"""Calibration: by hand, against sklearn, and by what must hold whatever the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from yibu.core.errors import DataError
from yibu.metrics import calibration
from yibu.metrics.calibration import (
    average_precision,
    bin_codes,
    brier,
    calibration_error,
    chance_error,
    classwise_error,
    fit_scaling,
    log_softmax,
    negative_log_likelihood,
    prior_shift,
    reliability,
    resamples,
    shift_prior,
    skill,
)
from yibu.metrics.stats import interval

RNG = np.random.default_rng(7)
NUM_ROWS, NUM_LABELS = 300, 4
LOGITS = RNG.normal(scale=2.0, size=(NUM_ROWS, NUM_LABELS))
LOG_PROBS = log_softmax(LOGITS)
PROBS = np.exp(LOG_PROBS)
# Drawn from the probabilities themselves, so that they are calibrated.
TRUTH = np.array([RNG.choice(NUM_LABELS, p=row) for row in PROBS])


def binary(num_rows: int = 4000, share: float = 0.02, seed: int = 0) -> tuple[Any, Any]:
    """Calibrated log-probabilities of two labels at a natural share, and the truth."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(num_rows) < share).astype(np.intp)
    evidence = rng.normal(np.where(truth == 1, 1.5, -1.5), math.sqrt(3.0))  # log-likelihood ratio of the two Gaussians
    score = evidence + math.log(share / (1 - share))
    return log_softmax(np.stack([np.zeros(num_rows), score], axis=1)), truth


class TestPrior:
    def test_by_hand(self) -> None:
        # Trained half and half, said 0.8 for the rare one; at 1 in 10: 0.8 * 0.2 / (0.8 * 0.2 + 0.2 * 1.8) = 4 / 13.
        moved = shift_prior(np.log([[0.2, 0.8]]), [0.5, 0.5], [0.9, 0.1])
        assert np.exp(moved)[0] == pytest.approx([9 / 13, 4 / 13])

    def test_equal_shares_change_nothing_and_there_and_back_neither(self) -> None:
        shares, others = [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]
        np.testing.assert_allclose(shift_prior(LOG_PROBS, shares, shares), LOG_PROBS, atol=1e-12)
        there = shift_prior(LOG_PROBS, shares, others)
        assert not np.allclose(there, LOG_PROBS)
        np.testing.assert_allclose(shift_prior(there, others, shares), LOG_PROBS, atol=1e-12)

    def test_it_undoes_what_resampling_did(self) -> None:
        log_probs, truth = binary(20_000)
        balanced = shift_prior(log_probs, [0.98, 0.02], [0.5, 0.5])
        assert np.exp(balanced)[:, 1].mean() > 0.1
        assert np.exp(shift_prior(balanced, [0.5, 0.5], [0.98, 0.02]))[:, 1].mean() == pytest.approx(
            truth.mean(), abs=0.003
        )

    def test_a_label_that_training_lacked_is_left_where_it_is(self) -> None:
        assert prior_shift([0.5, 0.5, 0.0], [0.9, 0.1, 0.0])[2] == 0.0
        assert np.isfinite(prior_shift([1.0, 0.0], [0.5, 0.5])).all()

    def test_scores_need_not_be_normalised(self) -> None:
        shares, others = [0.25] * 4, [0.7, 0.1, 0.1, 0.1]
        np.testing.assert_allclose(
            shift_prior(LOG_PROBS - 5.0, shares, others), shift_prior(LOG_PROBS, shares, others), atol=1e-12
        )

    @pytest.mark.parametrize(("seen", "wanted"), [([0.5, 0.5], [1.0]), ([0.5, -0.5], [0.5, 0.5]), ([[1.0]], [[1.0]])])
    def test_bad_shares(self, seen: Any, wanted: Any) -> None:
        with pytest.raises(DataError):
            prior_shift(seen, wanted)


class TestScaling:
    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_it_finds_the_temperature_that_was_lost(self, temperature: float) -> None:
        log_probs, truth = binary(20_000, share=0.3)
        found = fit_scaling(log_probs * temperature, truth)
        assert found.temperature == pytest.approx(temperature, rel=0.06)
        assert found.bias == ()
        assert found.nll[1] <= found.nll[0]
        np.testing.assert_array_equal(found.apply(log_probs).argmax(axis=1), log_probs.argmax(axis=1))

    def test_a_bias_mends_a_wrong_prior_and_a_temperature_cannot(self) -> None:
        log_probs, truth = binary(20_000)
        balanced = shift_prior(log_probs, [0.98, 0.02], [0.5, 0.5])
        with_bias, without = fit_scaling(balanced, truth, with_bias=True), fit_scaling(balanced, truth)
        assert np.exp(with_bias.apply(balanced))[:, 1].mean() == pytest.approx(truth.mean(), abs=0.002)
        assert with_bias.nll[1] < without.nll[1]
        assert sum(with_bias.bias) == pytest.approx(0.0, abs=1e-9)

    def test_it_is_the_best_scaling_of_a_grid(self) -> None:
        found = fit_scaling(LOG_PROBS * 2.0, TRUTH)

        def objective(temperature: float) -> float:
            scaled = log_softmax(LOG_PROBS * 2.0 / temperature)
            return float(negative_log_likelihood(scaled, TRUTH).sum()) + 0.5 * math.log(temperature) ** 2

        best = min(np.linspace(0.5, 6, 1101), key=objective)
        assert found.temperature == pytest.approx(best, abs=0.006)

    def test_few_rows_move_little_and_separable_ones_do_not_run_away(self) -> None:
        separable = log_softmax(np.array([[5.0, -5.0], [-5.0, 5.0]] * 3))
        found = fit_scaling(separable, [0, 1] * 3, with_bias=True)
        assert 0.2 < found.temperature <= 1.0
        one = fit_scaling(np.log([[0.5, 0.3, 0.2]]), [0], with_bias=True)
        assert all(abs(value) < 1.0 for value in one.bias)

    def test_rows_outside_the_labels_say_nothing(self) -> None:
        with_others = fit_scaling(np.concatenate([LOG_PROBS, LOG_PROBS[:50]]), [*TRUTH, *[-1] * 50], with_bias=True)
        assert with_others == fit_scaling(LOG_PROBS, TRUTH, with_bias=True)

    def test_bad_input(self) -> None:
        with pytest.raises(DataError, match="label is known"):
            fit_scaling(LOG_PROBS[:2], [-1, -1])
        with pytest.raises(DataError, match="not a finite"):
            fit_scaling(np.array([[math.nan, 0.0]]), [0])


class TestScores:
    def test_brier_by_hand_and_by_sklearn(self) -> None:
        assert brier(np.array([[0.7, 0.2, 0.1]]), [1]) == pytest.approx([0.49 + 0.64 + 0.01])
        assert brier(np.array([[0.7, 0.2, 0.1]]), [-1]) == pytest.approx([0.49 + 0.04 + 0.01 + 1.0])
        ours = float(brier(PROBS, TRUTH).mean())
        assert ours == pytest.approx(brier_score_loss(TRUTH, PROBS, scale_by_half=False, labels=range(4)))
        two = np.stack([1 - PROBS[:, 0], PROBS[:, 0]], axis=1)
        half = brier_score_loss(TRUTH == 0, PROBS[:, 0])
        assert float(brier(two, (TRUTH == 0).astype(int)).mean()) == pytest.approx(2 * half)

    def test_likelihood_is_sklearns(self) -> None:
        assert float(negative_log_likelihood(LOG_PROBS, TRUTH).mean()) == pytest.approx(
            log_loss(TRUTH, PROBS, labels=range(4))
        )
        assert math.isnan(negative_log_likelihood(LOG_PROBS[:1], [-1])[0])

    def test_skill_of_the_reference_is_0_and_of_the_truth_1(self) -> None:
        constant = brier(np.tile([0.98, 0.02], (100, 1)), [0] * 98 + [1] * 2)
        assert skill(constant, constant).value == 0.0
        assert skill(np.zeros(100), constant).value == 1.0
        assert skill(2 * constant, constant).value == -1.0

    @pytest.mark.parametrize("rounded", [False, True])
    def test_average_precision_is_sklearns_with_ties_too(self, rounded: bool) -> None:
        scores = np.round(PROBS[:, 2], 1) if rounded else PROBS[:, 2]
        assert average_precision(scores, TRUTH == 2) == pytest.approx(average_precision_score(TRUTH == 2, scores))

    def test_average_precision_of_resamples_is_that_of_the_rows_written_out(self) -> None:
        times = next(resamples(NUM_ROWS, None, 3, seed=1))
        found = average_precision(np.round(PROBS[:, 2], 1), TRUTH == 2, times)
        for draw in range(3):
            rows = np.repeat(np.arange(NUM_ROWS), times[draw].astype(int))
            assert found[draw] == pytest.approx(average_precision_score(TRUTH[rows] == 2, np.round(PROBS[rows, 2], 1)))

    def test_without_a_positive_there_is_no_curve(self) -> None:
        assert math.isnan(average_precision([0.1, 0.2], [0, 0]))


class TestCalibrationError:
    def test_by_hand(self) -> None:
        # Two bins: (0.6, 0.8) with one right of two: |0.5 - 0.7|; (0.9, 0.9) both right: |1 - 0.9|.
        confidence, right = [0.6, 0.8, 0.9, 0.9], [1, 0, 1, 1]
        codes = np.array([0, 0, 1, 1])
        assert calibration_error(confidence, right, codes).value == pytest.approx(0.5 * 0.2 + 0.5 * 0.1)
        assert reliability(confidence, right, codes) == [
            {"low": 0.6, "high": 0.8, "confidence": pytest.approx(0.7), "accuracy": 0.5, "n": 2},
            {"low": 0.9, "high": 0.9, "confidence": pytest.approx(0.9), "accuracy": 1.0, "n": 2},
        ]

    @pytest.mark.parametrize(("binning", "strategy"), [("mass", "quantile"), ("width", "uniform")])
    def test_bins_are_those_of_sklearn(self, binning: Any, strategy: str) -> None:
        confidence = PROBS[:, 0]
        table = reliability(confidence, TRUTH == 0, bin_codes(confidence, binning, 10))
        accuracy, mean = calibration_curve(TRUTH == 0, confidence, n_bins=10, strategy=strategy)
        assert [row["accuracy"] for row in table] == pytest.approx(list(accuracy))
        assert [row["confidence"] for row in table] == pytest.approx(list(mean))
        assert sum(row["n"] for row in table) == NUM_ROWS

    def test_bins_of_equal_mass_keep_apart_what_lies_near_1(self) -> None:
        confidence = 1 - np.geomspace(1e-6, 1e-2, 300)
        assert len(set(bin_codes(confidence, "mass"))) == calibration.NUM_BINS
        assert len(set(bin_codes(confidence, "width"))) == 1

    @given(st.lists(st.sampled_from([0.1, 0.5, 0.5, 0.9, 1.0]), min_size=1, max_size=60), st.integers(1, 20))
    def test_equal_confidences_share_a_bin_and_order_is_kept(self, confidence: list[float], num_bins: int) -> None:
        for binning in ("mass", "width"):
            codes = bin_codes(confidence, binning, num_bins)  # type: ignore[arg-type]
            assert codes.max() < num_bins
            pairs = sorted(zip(confidence, codes, strict=True))
            assert [code for _, code in pairs] == sorted(codes)
            assert len({code for value, code in pairs if value == 0.5}) <= 1

    @given(st.integers(0, 2**32 - 1))
    def test_it_lies_between_the_error_of_one_bin_and_that_of_each_row(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        confidence, right = rng.random(40), rng.integers(0, 2, 40)
        one = calibration_error(confidence, right, np.zeros(40, dtype=np.intp)).value
        each = calibration_error(confidence, right, np.arange(40)).value
        binned = calibration_error(confidence, right, bin_codes(confidence)).value
        assert one - 1e-12 <= binned <= each + 1e-12
        assert one == pytest.approx(abs(confidence.mean() - right.mean()))

    def test_classwise_of_two_labels_is_the_error_of_the_positive_one(self) -> None:
        log_probs, truth = binary()
        probs = np.exp(log_probs)
        positive = calibration_error(probs[:, 1], truth, bin_codes(probs[:, 1])).value
        assert classwise_error(probs, truth).value == pytest.approx(positive, abs=1e-3)

    def test_a_balanced_belief_at_a_natural_share_is_found_out(self) -> None:
        log_probs, truth = binary()
        errors = {}
        for name, scores in {"raw": shift_prior(log_probs, [0.98, 0.02], [0.5, 0.5]), "corrected": log_probs}.items():
            positive = np.exp(scores)[:, 1]
            codes = bin_codes(positive)
            errors[name] = calibration_error(positive, truth, codes).value
            by_chance = chance_error(positive, codes, 500)
            assert (errors[name] > np.quantile(by_chance, 0.999)) == (name == "raw")
        assert errors["raw"] > 0.1 > 0.01 > errors["corrected"]

    def test_the_chosen_labels_confidence_may_not_show_a_wrong_prior_and_the_classes_do(self) -> None:
        log_probs, truth = binary()
        raw = np.exp(shift_prior(log_probs, [0.98, 0.02], [0.5, 0.5]))
        confidence, right = raw.max(axis=1), raw.argmax(axis=1) == truth
        chosen = calibration_error(confidence, right, bin_codes(confidence)).value
        assert chosen < 0.03 < 0.1 < classwise_error(raw, truth).value

    def test_chance_is_what_calibrated_rows_show(self) -> None:
        confidence = PROBS.max(axis=1)
        codes = bin_codes(confidence)
        own = calibration_error(confidence, PROBS.argmax(axis=1) == TRUTH, codes).value
        by_chance = chance_error(confidence, codes)
        assert by_chance.shape == (1000,)
        assert np.quantile(by_chance, 0.005) < own < np.quantile(by_chance, 0.995)
        np.testing.assert_array_equal(by_chance, chance_error(confidence, codes))

    def test_it_has_an_interval_by_group_too(self) -> None:
        confidence = PROBS.max(axis=1)
        error = calibration_error(confidence, PROBS.argmax(axis=1) == TRUTH, bin_codes(confidence))
        found = interval(error, [row // 5 for row in range(NUM_ROWS)])
        assert found.low < found.value < found.high
        assert found.method == "jackknife 95 % over 60 groups"


def test_resamples_draw_whole_groups() -> None:
    groups = ["a", "a", "b", None, "c", "c", "c"]
    blocks = list(resamples(7, groups, 50, seed=3))
    times = np.concatenate(blocks)
    assert times.shape == (50, 7)
    assert (times[:, 0] == times[:, 1]).all()
    assert (times[:, 4] == times[:, 6]).all()
    assert (times[:, [0, 2, 3, 4]].sum(axis=1) == 4).all()
