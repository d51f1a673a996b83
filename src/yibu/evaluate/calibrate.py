"""What the probabilities of a closed set of labels are worth, and their correction to the shares of the real world.

A model that was trained with a weighted sampler or with class weights believes in the class shares it was shown. Its
scores are moved back to those of the train rows, and what is then left of over- or underconfidence is fitted on the
validation split, never on test. Both the scores as they came and the corrected ones are measured, so that the report
can say what the correction did.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from yibu.core.log import get
from yibu.evaluate import EvaluateSettings
from yibu.metrics import calibration, scores, stats
from yibu.metrics.calibration import Correction
from yibu.metrics.resample import Additive, FloatArray, Groups, mean

log = get("calibrate")

# Fewer validation rows than this say too little about a temperature, and about a label's bias (which has a prior).
MIN_ROWS = 50
MIN_ROWS_OF_LABEL = 5
# The calibration error of every label costs N x K x bins numbers.
MOST_LABELS_CLASSWISE = 50
# Resamples of measures that are no sums over rows.
MOST_RANKED = 500


@dataclass(frozen=True, slots=True)
class Scored:
    """One system's scores of some rows.

    Attributes:
        log_probs: ``[N, K]``, log-likelihood of each label's words; they need not add up to 1.
        truth: ``[N]``, index of the true label; -1 where it is none of the set.
    """

    log_probs: FloatArray
    truth: calibration.IntArray


def read_scores(answers: Sequence[Mapping[str, Any]], labels: Sequence[str], truth: Sequence[str]) -> Scored:
    """The scores of ``answers.jsonl`` beside the true labels of the same rows."""
    places = {label: place for place, label in enumerate(labels)}
    return Scored(
        np.array([answer["log_probs"] for answer in answers], dtype=float).reshape(len(answers), len(labels)),
        np.array([places.get(label, -1) for label in truth], dtype=np.intp),
    )


def correction_for(
    labels: Sequence[str], balance: Mapping[str, Any] | None, settings: EvaluateSettings, valid: Scored | None
) -> Correction:
    """The correction that the settings ask for.

    Args:
        balance: ``class_balance`` of the model's ``summary.json``; None where no remedy was used.
        valid: scores of the validation rows; None where there are none.
    """
    seen = natural = None
    if balance is not None and settings.correct_prior:
        seen = tuple(float(balance["training_prior"].get(label, 0.0)) for label in labels)
        natural = tuple(float(balance["natural_prior"].get(label, 0.0)) for label in labels)
    moved = Correction(tuple(labels), seen, natural)
    how, left_out = _scaling_kind(labels, balance, settings, valid)
    if left_out:
        log.warning("probabilities are not recalibrated: %s", left_out) if how is None else log.info("%s", left_out)
    if how is None or valid is None:
        return Correction(tuple(labels), seen, natural, left_out=left_out)
    scaling = calibration.fit_scaling(moved.shifted(valid.log_probs), valid.truth, with_bias=how == "vector")
    return Correction(tuple(labels), seen, natural, scaling, len(valid.truth), left_out)


def _scaling_kind(
    labels: Sequence[str], balance: Mapping[str, Any] | None, settings: EvaluateSettings, valid: Scored | None
) -> tuple[Literal["temperature", "vector"] | None, str]:
    """What can be fitted, and why it is less than was asked for."""
    asked = settings.recalibrate
    if asked == "none":
        return None, ""
    if settings.split == "valid":
        return None, "the report is about the validation rows, and what is fitted on rows looks too good on them"
    counts = (
        np.zeros(len(labels)) if valid is None else np.bincount(valid.truth[valid.truth >= 0], minlength=len(labels))
    )
    if not counts.any():
        return None, "there are no validation answers"
    if asked != "auto":
        return asked, ""
    if counts.sum() < MIN_ROWS:
        return None, f"{int(counts.sum())} validation rows are fewer than {MIN_ROWS}"
    if balance is None or not settings.correct_prior:  # a bias would change decisions that nothing asks to change
        return "temperature", ""
    fewest = int(counts.min())
    if fewest < MIN_ROWS_OF_LABEL:
        why = f"a label has {fewest} validation rows, fewer than the {MIN_ROWS_OF_LABEL} that a bias of its own needs"
        return "temperature", why
    return "vector", ""


def decided_by(correction: Correction) -> Literal["raw", "corrected"]:
    """Which scores the headline decisions are made on: corrected ones where the correction can change a decision."""
    return "corrected" if correction.seen is not None or (correction.scaling and correction.scaling.bias) else "raw"


def report(
    systems: Mapping[str, Scored],
    corrections: Mapping[str, Correction],
    train_labels: Sequence[str],
    labels: Sequence[str],
    settings: EvaluateSettings,
    groups: Groups,
    balance: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """``calibration`` of ``metrics.json``.

    Per system its ``raw`` scores, where its correction has several steps those at natural shares (``prior``), and the
    ``corrected`` ones; see `measures`. ``base_rate`` always answers with the class shares of train: what is no better
    than it has learned nothing, however well calibrated it is.
    """
    counts = Counter(train_labels)
    smoothed = np.array([counts[label] + 0.5 for label in labels])
    base_rate = np.log(smoothed / smoothed.sum())
    truth = next(iter(systems.values())).truth
    constant = np.tile(base_rate, (len(truth), 1))

    def measured(log_probs_NK: FloatArray) -> dict[str, Any]:
        return measures(log_probs_NK, truth, labels, base_rate, settings, groups)

    tables: dict[str, dict[str, Any]] = {}
    tests: list[dict[str, Any]] = []
    for name, scored in systems.items():
        raw_NK = calibration.log_softmax(scored.log_probs)
        tables[name] = {"raw": measured(raw_NK)}
        correction = corrections.get(name)
        if correction is None or not correction.steps:
            continue
        if len(correction.steps) == 2:
            tables[name]["prior"] = measured(correction.shifted(scored.log_probs))
        corrected_NK = correction.apply(scored.log_probs)
        tables[name]["corrected"] = measured(corrected_NK)
        tests += _tests(name, raw_NK, corrected_NK, truth, settings, groups)
    tables["base_rate"] = {"raw": measured(constant)}
    return {
        "n": len(truth),
        "labels": list(labels),
        "outside_labels": int((truth < 0).sum()),
        "most_frequent_in_train": labels[int(base_rate.argmax())],
        "rarest_in_train": labels[int(base_rate.argmin())],
        "remedy": "none" if balance is None else balance["remedy"],
        "strength": None if balance is None else balance["strength"],
        "decided_by": {name: decided_by(correction) for name, correction in corrections.items()},
        "bins": f"{calibration.NUM_BINS} of equal mass; ece_equal_width: as many of equal width",
        "corrections": {name: correction.as_dict() for name, correction in corrections.items()},
        "systems": tables,
        "tests": tests,
    }


def measures(
    log_probs_NK: FloatArray,
    truth_N: calibration.IntArray,
    labels: Sequence[str],
    base_rate_K: FloatArray,
    settings: EvaluateSettings,
    groups: Groups,
) -> dict[str, Any]:
    """Everything that is measured about one set of probabilities.

    ======================== ==========================================================================================
    ``ece``                  calibration error of the chosen label's probability, 15 bins of equal mass
    ``ece_equal_width``      the same with 15 bins of equal width
    ``ece_by_chance``        mean ``ece`` that perfectly calibrated probabilities would show here, and ``p`` of this one
    ``ece_classwise``        mean over labels of the calibration error of "is it this label?"; None beyond 50 labels.
                             A wrong prior shows here even where it does not in ``ece``
    ``ece_rare_decisions``   ``ece`` of the rows decided for another label than the most frequent one
    ``brier``                sum over labels of squared differences, 0 to 2
    ``brier_skill``          1 - ``brier`` over that of the constant base rate
    ``nll``                  nats; rows with a truth outside the labels are left out
    ``average_precision``    area under precision over recall (PR-AUC): mean over the labels but the most frequent one,
                             each against the rest; ``by_label`` has each of all labels with its interval and ``chance``
                             (its share of the rows), ``macro`` the mean over all; up to 50 labels
    ``accuracy``             of the most probable label, with ``macro_f1``
    ``reliability``          bins of ``ece``: confidence, accuracy, n
    ``reliability_rarest``   the same of the probability of the label that is rarest in train
    ======================== ==========================================================================================
    """
    probs_NK = np.exp(log_probs_NK)
    decided_N = log_probs_NK.argmax(axis=1)
    confidence_N = probs_NK[np.arange(len(probs_NK)), decided_N]
    right_N = (decided_N == truth_N).astype(float)
    codes_N = calibration.bin_codes(confidence_N)
    error = calibration.calibration_error(confidence_N, right_N, codes_N)
    by_width = calibration.bin_codes(confidence_N, "width")
    chance_B = calibration.chance_error(confidence_N, codes_N, seed=settings.seed)
    nll_N = calibration.negative_log_likelihood(log_probs_NK, truth_N)
    known = np.isfinite(nll_N)
    rarest = int(base_rate_K.argmin())
    rarest_N = probs_NK[:, rarest]
    brier_N = calibration.brier(probs_NK, truth_N)
    constant = calibration.brier(np.tile(np.exp(base_rate_K), (len(truth_N), 1)), truth_N)
    known_groups = None if groups is None else [group for group, keep in zip(groups, known, strict=True) if keep]
    names = [labels[place] if place >= 0 else "" for place in truth_N]
    f1 = scores.macro_f1(names, [labels[place] for place in decided_N])

    def interval(measure: Additive, of: Groups = groups) -> dict[str, Any]:
        return _json(stats.interval(measure, of, resamples=settings.num_resamples, seed=settings.seed))

    return {
        "ece": _bounded(interval(error)),
        "ece_equal_width": _bounded(interval(calibration.calibration_error(confidence_N, right_N, by_width))),
        "ece_by_chance": {
            "value": float(chance_B.mean()),
            "high": float(np.quantile(chance_B, 0.95)),
            "p": float((1 + (chance_B >= error.value - 1e-12).sum()) / (1 + len(chance_B))),
        },
        "ece_classwise": _bounded(interval(calibration.classwise_error(probs_NK, truth_N)))
        if len(labels) <= MOST_LABELS_CLASSWISE
        else None,
        "ece_rare_decisions": _rare_decisions(
            confidence_N, right_N, decided_N != base_rate_K.argmax(), settings, groups
        ),
        "brier": interval(mean(brier_N)),
        "brier_skill": interval(calibration.skill(brier_N, constant)),
        "nll": interval(mean(nll_N[known]), known_groups) if known.any() else None,
        "average_precision": _ranking(probs_NK, truth_N, labels, int(base_rate_K.argmax()), settings, groups),
        "accuracy": _json(stats.wilson(right_N, groups)),
        "macro_f1": _bounded(interval(f1)),
        "reliability": calibration.reliability(confidence_N, right_N, codes_N),
        "reliability_rarest": calibration.reliability(rarest_N, truth_N == rarest, calibration.bin_codes(rarest_N)),
    }


def _rare_decisions(
    confidence_N: FloatArray, right_N: FloatArray, rare_N: Any, settings: EvaluateSettings, groups: Groups
) -> dict[str, Any] | None:
    if not rare_N.any():
        return None
    confidence_R, right_R = confidence_N[rare_N], right_N[rare_N]
    kept = None if groups is None else [group for group, keep in zip(groups, rare_N, strict=True) if keep]
    error = calibration.calibration_error(confidence_R, right_R, calibration.bin_codes(confidence_R))
    found = stats.interval(error, kept, resamples=settings.num_resamples, seed=settings.seed)
    return {
        **_bounded(_json(found)),
        "confidence": float(confidence_R.mean()),
        "accuracy": float(right_R.mean()),
    }


def _ranking(
    probs_NK: FloatArray,
    truth_N: calibration.IntArray,
    labels: Sequence[str],
    frequent: int,
    settings: EvaluateSettings,
    groups: Groups,
) -> dict[str, Any] | None:
    """Average precision of the labels that occur: the mean without the most frequent one, the mean of all, and each."""
    occurring = [int(label) for label in np.unique(truth_N[truth_N >= 0])]
    rare = [place for place, label in enumerate(occurring) if label != frequent]
    if not rare:
        return None
    value_K = np.array([calibration.average_precision(probs_NK[:, k], truth_N == k) for k in occurring])
    draws = min(settings.num_resamples, MOST_RANKED)
    blocks = [
        np.array([calibration.average_precision(probs_NK[:, k], truth_N == k, times) for k in occurring])
        for times in calibration.resamples(len(truth_N), groups, draws, settings.seed)
    ]
    drawn_KB = np.concatenate(blocks, axis=1)
    method = f"bootstrap percentiles 95 % of {draws} draws" + ("" if groups is None else " of groups")

    def over(places: Sequence[int]) -> dict[str, Any]:
        # A label without a row in a draw has no curve there; a draw without any of them says nothing.
        there_KB = np.isfinite(drawn_KB[places])
        some = there_KB.any(axis=0)
        means = np.where(there_KB, drawn_KB[places], 0.0).sum(axis=0)[some] / there_KB.sum(axis=0)[some]
        low, high = (float(limit) for limit in np.quantile(means, [0.025, 0.975]))
        value = float(value_K[places].mean())
        return {"value": value, "low": low, "high": high, "n": len(truth_N), "interval": method}

    if len(labels) > MOST_LABELS_CLASSWISE:
        return over(rare)
    by_label = {
        labels[label]: {**over([place]), "chance": float((truth_N == label).mean())}
        for place, label in enumerate(occurring)
    }
    return {**over(rare), "macro": over(range(len(occurring))), "by_label": by_label}


def _tests(
    system: str,
    raw_NK: FloatArray,
    corrected_NK: FloatArray,
    truth_N: calibration.IntArray,
    settings: EvaluateSettings,
    groups: Groups,
) -> list[dict[str, Any]]:
    """Corrected against raw on the same rows: Brier score and accuracy."""
    one, other = (mean(calibration.brier(np.exp(log_NK), truth_N)) for log_NK in (corrected_NK, raw_NK))
    brier = stats.permutation(one, other, groups, resamples=settings.num_resamples, seed=settings.seed)
    right = [(log_NK.argmax(axis=1) == truth_N).astype(float) for log_NK in (corrected_NK, raw_NK)]
    accuracy = stats.mcnemar(right[0], right[1], groups)
    return [
        {
            "system": system,
            "metric": metric,
            "a": "corrected",
            "b": "raw",
            "test": found.test,
            "difference": found.difference,
            "low": _number(found.low),
            "high": _number(found.high),
            "p": found.p,
            "n": found.n,
        }
        for metric, found in (("brier", brier), ("accuracy", accuracy))
    ]


def _json(found: stats.Interval) -> dict[str, Any]:
    return {
        "value": _number(found.value),
        "low": _number(found.low),
        "high": _number(found.high),
        "n": found.n,
        "interval": found.method,
    }


def _bounded(table: dict[str, Any]) -> dict[str, Any]:
    """The jackknife is symmetric and knows no bounds."""
    return {
        **table,
        "low": None if table["low"] is None else max(table["low"], 0.0),
        "high": None if table["high"] is None else min(table["high"], 1.0),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
