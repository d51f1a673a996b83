"""Whether probabilities mean what they say, and how to move them so that they do.

A model trained on resampled or reweighted rows believes in class shares that the world does not have. `shift_prior`
takes that belief out again; `fit_scaling` mends what is left (over- or underconfidence, a remaining tilt towards a
class) from rows that were neither trained on nor are tested on. The measures say what was gained: calibration error
over bins, Brier score, negative log-likelihood, average precision.

Calibration error alone proves little where one class is rare. Whoever always says "1 in 50" is calibrated, so read it
beside the Brier skill, the average precision and the error among the rows that are decided for a rare class. And the
error of the chosen label's probability can miss a wrong prior altogether: a model trained on even classes is wrong as
often as it says at any class shares, if it tells both classes equally well. `classwise_error` sees it.

Legend: N rows, K labels, M bins, B resamples. Probabilities are natural logarithms where a name says ``log``; truth is
an index into the labels, and -1 a label outside of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yibu.core.errors import DataError
from yibu.metrics.resample import Additive, FloatArray, Groups, group_codes

IntArray = npt.NDArray[np.intp]
Binning = Literal["mass", "width"]

NUM_BINS = 15  # as Guo et al. 2017
# Standard deviation of the Gaussian priors on log temperature and on each bias: weak, but enough where rows are few.
PRIOR_DEVIATION = 1.0
_CELLS = 2_000_000


def log_softmax(scores_NK: FloatArray) -> FloatArray:
    """Scores as normalised log-probabilities over the labels, ``[N, K]``."""
    shifted_NK = np.asarray(scores_NK, dtype=float)
    shifted_NK = shifted_NK - shifted_NK.max(axis=-1, keepdims=True)
    return np.asarray(shifted_NK - np.log(np.exp(shifted_NK).sum(axis=-1, keepdims=True)))


def prior_shift(seen_K: npt.ArrayLike, wanted_K: npt.ArrayLike) -> FloatArray:
    """``log(wanted / seen)`` of each label; 0 for a label that either lacks: nothing is known about it, ``[K]``.

    Raises:
        DataError: not one share per label in both, or a share below 0.
    """
    seen, wanted = np.asarray(seen_K, dtype=float), np.asarray(wanted_K, dtype=float)
    if seen.shape != wanted.shape or seen.ndim != 1:
        raise DataError("Each label needs its share before and after.", got=f"{seen.shape} and {wanted.shape}")
    if (seen < 0).any() or (wanted < 0).any():
        raise DataError("A share of a class is not below 0.", got="a negative share")
    known = (seen > 0) & (wanted > 0)
    ratio = np.divide(wanted, seen, out=np.ones_like(seen), where=known)
    return np.asarray(np.log(ratio))


def shift_prior(log_probs_NK: FloatArray, seen_K: npt.ArrayLike, wanted_K: npt.ArrayLike) -> FloatArray:
    """Log-probabilities as they were with other class shares in training, ``[N, K]``.

    If only the shares p(y) differ and p(x | y) does not, Bayes' rule says that the posterior is proportional to the old
    one times ``wanted / seen`` (Saerens, Latinne and Decaestecker 2002, Neural Computation 14, eq. 2.4; as "logit
    adjustment" in Menon et al. 2021, arXiv 2007.07314).

    Raises:
        DataError: see `prior_shift`.
    """
    return log_softmax(np.asarray(log_probs_NK, dtype=float) + prior_shift(seen_K, wanted_K))


@dataclass(frozen=True, slots=True)
class Scaling:
    """``softmax(log p / temperature + bias)``.

    Attributes:
        temperature: above 1 makes less sure, below 1 more.
        bias: one per label, their mean is 0; () where only a temperature was fitted.
        nll: mean negative log-likelihood on the rows it was fitted on, before and after.
    """

    temperature: float
    bias: tuple[float, ...] = ()
    nll: tuple[float, float] = (math.nan, math.nan)

    def apply(self, log_probs_NK: FloatArray) -> FloatArray:
        """The scaled log-probabilities, ``[N, K]``."""
        scaled_NK = np.asarray(log_probs_NK, dtype=float) / self.temperature
        return log_softmax(scaled_NK + np.asarray(self.bias) if self.bias else scaled_NK)


def fit_scaling(log_probs_NK: FloatArray, truth_N: npt.ArrayLike, with_bias: bool = False) -> Scaling:
    """The scaling under which the truth is most likely; fit it on rows that are not tested on.

    Without bias this is temperature scaling, with it vector scaling with one common slope (Guo et al. 2017, "On
    Calibration of Modern Neural Networks", arXiv 1706.04599, sections 4.1 and 4.2; Platt scaling for two labels). Log
    temperature and biases have Gaussian priors of deviation `PRIOR_DEVIATION`, so that a few rows move little and a
    label without rows cannot run away. Rows with a truth outside the labels say nothing and are left out.

    Raises:
        DataError: no row with a truth among the labels, or a score that is not finite.
    """
    from scipy.optimize import minimize

    truth = np.asarray(truth_N, dtype=np.intp)
    kept = truth >= 0
    scores_NK, truth = log_softmax(log_probs_NK)[kept], truth[kept]
    if len(truth) == 0:
        raise DataError("A calibration needs rows whose label is known.", got="0 rows")
    if not np.isfinite(scores_NK).all():
        raise DataError("A score is not a finite number.", got="NaN or infinity")
    num_labels = scores_NK.shape[1]
    rows = np.arange(len(truth))
    counts_K = np.bincount(truth, minlength=num_labels)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        log_slope = float(parameters[0])
        bias_K = parameters[1:] if with_bias else np.zeros(num_labels)
        slope = math.exp(log_slope)
        log_NK = log_softmax(slope * scores_NK + bias_K)
        error_NK = np.exp(log_NK)
        gradient = np.zeros_like(parameters)
        error_NK[rows, truth] -= 1.0
        gradient[0] = slope * float((error_NK * scores_NK).sum()) + log_slope / PRIOR_DEVIATION**2
        value = -float(log_NK[rows, truth].sum()) + 0.5 * log_slope**2 / PRIOR_DEVIATION**2
        if with_bias:
            gradient[1:] = np.exp(log_NK).sum(axis=0) - counts_K + bias_K / PRIOR_DEVIATION**2
            value += 0.5 * float((bias_K**2).sum()) / PRIOR_DEVIATION**2
        return value, gradient

    start = np.zeros(1 + (num_labels if with_bias else 0))
    bounds = [(-4.0, 4.0)] + [(None, None)] * (len(start) - 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-12})
    bias = found.x[1:] - found.x[1:].mean() if with_bias else found.x[1:]
    scaling = Scaling(math.exp(-float(found.x[0])), tuple(float(value) for value in bias))
    before = -float(scores_NK[rows, truth].mean())
    after = -float(scaling.apply(scores_NK)[rows, truth].mean())
    return Scaling(scaling.temperature, scaling.bias, (before, after))


@dataclass(frozen=True, slots=True)
class Correction:
    """How scores become the probabilities that are reported.

    Attributes:
        seen, natural: class shares that training showed and those of the train rows; None where nothing is moved.
        scaling: fitted on the validation rows; None where nothing is.
        num_valid: those rows.
        left_out: why a step is missing, in English; "" where none is.
    """

    labels: tuple[str, ...]
    seen: tuple[float, ...] | None = None
    natural: tuple[float, ...] | None = None
    scaling: Scaling | None = None
    num_valid: int = 0
    left_out: str = ""

    @property
    def steps(self) -> list[str]:
        """The steps in their order: ``prior``, then ``temperature`` or ``vector``."""
        fitted = [] if self.scaling is None else ["vector" if self.scaling.bias else "temperature"]
        return (["prior"] if self.seen is not None else []) + fitted

    def shifted(self, log_probs_NK: FloatArray) -> FloatArray:
        """Log-probabilities at natural class shares, without what was fitted."""
        if self.seen is None or self.natural is None:
            return log_softmax(log_probs_NK)
        return shift_prior(log_probs_NK, self.seen, self.natural)

    def apply(self, log_probs_NK: FloatArray) -> FloatArray:
        """Corrected log-probabilities, ``[N, K]``."""
        shifted_NK = self.shifted(log_probs_NK)
        return shifted_NK if self.scaling is None else self.scaling.apply(shifted_NK)

    def in_one_step(self) -> dict[str, Any]:
        """``softmax(log p / temperature + offsets)``, for programs that know nothing of yibu; JSON."""
        scaling = self.scaling or Scaling(1.0)
        offsets_K = np.zeros(len(self.labels))
        if self.seen is not None and self.natural is not None:
            offsets_K = prior_shift(self.seen, self.natural) / scaling.temperature
        if scaling.bias:
            offsets_K = offsets_K + np.asarray(scaling.bias)
        return {"temperature": scaling.temperature, "offsets": offsets_K.tolist()}

    def as_dict(self) -> dict[str, Any]:
        """JSON; enough to correct scores elsewhere: ``softmax((log p + log_shift) / temperature + bias)``."""
        scaling = self.scaling

        def by_label(values: Sequence[float] | FloatArray) -> dict[str, float]:
            return {label: float(value) for label, value in zip(self.labels, values, strict=True)}

        moved = None if self.seen is None or self.natural is None else prior_shift(self.seen, self.natural)
        return {
            "steps": self.steps,
            "training_prior": by_label(self.seen) if self.seen is not None else None,
            "natural_prior": by_label(self.natural) if self.natural is not None else None,
            "log_shift": None if moved is None else by_label(moved),
            "temperature": None if scaling is None else scaling.temperature,
            "bias": by_label(scaling.bias) if scaling is not None and scaling.bias else None,
            "valid_nll": None if scaling is None else {"before": scaling.nll[0], "after": scaling.nll[1]},
            "fitted_on": "valid" if scaling is not None else None,
            "num_valid": self.num_valid,
            "left_out": self.left_out or None,
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], labels: Sequence[str]) -> Correction:
        """What `as_dict` wrote, for the labels in their order."""

        def of_labels(name: str) -> tuple[float, ...] | None:
            return None if table[name] is None else tuple(float(table[name][label]) for label in labels)

        temperature = table["temperature"]
        scaling = None if temperature is None else Scaling(float(temperature), of_labels("bias") or ())
        return cls(
            tuple(labels),
            of_labels("training_prior"),
            of_labels("natural_prior"),
            scaling,
            int(table["num_valid"]),
            table["left_out"] or "",
        )


def corrections_of(metrics: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Correction]:
    """What the ``metrics.json`` of a report says of its systems' scores, of those whose scores it corrected.

    Args:
        labels: of the model, in its order. Where the report has others, it says nothing of this model.
    """
    table = metrics.get("calibration")
    if table is None or sorted(table["labels"]) != sorted(labels):
        return {}
    found = {system: Correction.from_dict(one, labels) for system, one in table["corrections"].items()}
    return {system: correction for system, correction in found.items() if correction.steps}


def negative_log_likelihood(log_probs_NK: FloatArray, truth_N: npt.ArrayLike) -> FloatArray:
    """Nats of each row, ``[N]``; NaN where the truth is outside the labels. Its mean is sklearn's ``log_loss``."""
    truth = np.asarray(truth_N, dtype=np.intp)
    found = -np.asarray(log_probs_NK, dtype=float)[np.arange(len(truth)), truth]
    return np.asarray(np.where(truth >= 0, found, math.nan))


def brier(probs_NK: FloatArray, truth_N: npt.ArrayLike) -> FloatArray:
    """Squared distance of the probabilities from the truth, summed over the labels, ``[N]``: 0 is best, 2 worst.

    Brier's own form (1950, Monthly Weather Review 78); for two labels sklearn's ``brier_score_loss`` is half of it.
    """
    probs = np.asarray(probs_NK, dtype=float)
    truth = np.asarray(truth_N, dtype=np.intp)
    hit = np.where(truth >= 0, probs[np.arange(len(truth)), truth], 0.0)
    return np.asarray((probs**2).sum(axis=1) - 2 * hit + 1.0)


def skill(scores: FloatArray, reference: FloatArray) -> Additive:
    """``1 - mean(scores) / mean(reference)`` of scores where less is better: 1 perfect, 0 no better, below 0 worse.

    With Brier scores and the constant base rate as reference this is the Brier skill score (Murphy 1973).
    """
    return Additive(np.stack([scores, reference], axis=1), _skill_of_sums)


def bin_codes(confidence_N: npt.ArrayLike, binning: Binning = "mass", num_bins: int = NUM_BINS) -> IntArray:
    """A bin from 0 for each confidence, ``[N]``; equal confidences share a bin.

    Args:
        binning: ``"mass"``: about as many rows in each bin (Nguyen and O'Connor 2015, arXiv 1508.05154), which keeps
            its resolution where nearly all confidences are near 1; ``"width"``: bins of equal width over 0 to 1, each
            with its upper end (Guo et al. 2017).
    """
    confidence = np.asarray(confidence_N, dtype=float)
    shares = np.linspace(0, 1, num_bins + 1)[1:-1]
    inner = np.quantile(confidence, shares) if binning == "mass" else shares
    return np.asarray(np.searchsorted(np.unique(inner), confidence), dtype=np.intp)


def calibration_error(confidence_N: npt.ArrayLike, right_N: npt.ArrayLike, codes_N: IntArray) -> Additive:
    """Expected calibration error: the mean over rows of ``|accuracy - confidence|`` of their bin.

    Naeini, Cooper and Hauskrecht 2015 (AAAI); Guo et al. 2017, eq. 5. It is biased upwards: with finite rows a bin's
    accuracy misses its confidence by chance. `chance_error` says by how much. A resample adds the same bias once more,
    so that bootstrap quantiles may all lie above the value: its interval is the jackknife's.

    Args:
        codes_N: bin of each row, from `bin_codes`.
    """
    gap_N = np.asarray(confidence_N, dtype=float) - np.asarray(right_N, dtype=float)
    _, bins_N = np.unique(codes_N, return_inverse=True)
    parts = np.zeros((len(gap_N), int(bins_N.max(initial=-1)) + 2))
    parts[np.arange(len(gap_N)), bins_N] = gap_N
    parts[:, -1] = 1.0
    return Additive(parts, _error_of_sums, spread="jackknife")


def classwise_error(
    probs_NK: FloatArray, truth_N: npt.ArrayLike, binning: Binning = "mass", num_bins: int = NUM_BINS
) -> Additive:
    """Mean over the labels of the calibration error of "is it this label?" (Kull et al. 2019, arXiv 1910.12656)."""
    probs = np.asarray(probs_NK, dtype=float)
    truth = np.asarray(truth_N, dtype=np.intp)
    columns = []
    for label in range(probs.shape[1]):
        codes = bin_codes(probs[:, label], binning, num_bins)
        columns.append(calibration_error(probs[:, label], truth == label, codes).parts[:, :-1] / probs.shape[1])
    parts = np.concatenate([*columns, np.ones((len(probs), 1))], axis=1)
    return Additive(parts, _error_of_sums, spread="jackknife")


def reliability(confidence_N: npt.ArrayLike, right_N: npt.ArrayLike, codes_N: IntArray) -> list[dict[str, Any]]:
    """A reliability table: one entry a bin with rows, by rising confidence.

    Returns:
        ``low``, ``high`` (confidences in the bin), ``confidence`` and ``accuracy`` (means), ``n``.
    """
    confidence, right = np.asarray(confidence_N, dtype=float), np.asarray(right_N, dtype=float)
    table = []
    for code in np.unique(codes_N):
        inside = codes_N == code
        table.append(
            {
                "low": float(confidence[inside].min()),
                "high": float(confidence[inside].max()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
                "n": int(inside.sum()),
            }
        )
    return table


def chance_error(confidence_N: npt.ArrayLike, codes_N: IntArray, draws: int = 1000, seed: int = 0) -> FloatArray:
    """Calibration errors that a perfectly calibrated model of these confidences would show by chance, ``[B]``.

    Consistency resampling (Bröcker and Smith 2007, Weather and Forecasting 22; as a test in Vaicenavicius et al. 2019,
    arXiv 1902.06977): each row is right with the probability that is its confidence.
    """
    confidence = np.asarray(confidence_N, dtype=float)
    _, bins_N = np.unique(codes_N, return_inverse=True)
    member_NM = (bins_N[:, None] == np.arange(int(bins_N.max()) + 1)).astype(float)
    rng = np.random.default_rng(seed)
    found = []
    for size in _blocks(draws, len(confidence)):
        gap_BN = confidence - (rng.random((size, len(confidence))) < confidence)
        found.append(np.abs(gap_BN @ member_NM).sum(axis=1) / len(confidence))
    return np.concatenate(found)


def average_precision(scores_N: npt.ArrayLike, positive_N: npt.ArrayLike, times_BN: FloatArray | None = None) -> Any:
    """Area under precision over recall, as a step function (as sklearn's ``average_precision_score``).

    It says how well the rows are ranked and does not change when probabilities are recalibrated monotonically. Chance
    is the share of positives.

    Args:
        times_BN: how often each row counts in each resample; None: once.

    Returns:
        a number, or ``[B]`` with `times_BN`; NaN where there is no positive.
    """
    scores, positive = np.asarray(scores_N, dtype=float), np.asarray(positive_N, dtype=float)
    order = np.argsort(-scores, kind="stable")
    times = (np.ones((1, len(scores))) if times_BN is None else times_BN)[:, order]
    hits = np.cumsum(times * positive[order], axis=1)
    seen = np.cumsum(times, axis=1)
    # Rows of equal score are taken together: only the last of them is a point of the curve.
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, seen = hits[:, last], seen[:, last]
    gained = np.diff(hits, axis=1, prepend=0.0)
    total = hits[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, hits / np.where(seen > 0, seen, 1.0), 0.0)
        found = (gained * precision).sum(axis=1) / total
    return float(found[0]) if times_BN is None else np.asarray(found)


def resamples(num_rows: int, groups: Groups, draws: int, seed: int) -> Iterator[FloatArray]:
    """How often each row comes in each bootstrap draw, in blocks ``[b, N]``; whole groups where given.

    For measures that are no sums over rows; those that are have `yibu.metrics.stats.bootstrap`.
    """
    codes_N, num_groups = group_codes(groups, num_rows)
    rng = np.random.default_rng(seed)
    for size in _blocks(draws, max(num_rows, num_groups)):
        picked = rng.integers(0, num_groups, (size, num_groups)) + np.arange(size)[:, None] * num_groups
        times = np.bincount(picked.ravel(), minlength=size * num_groups).reshape(size, num_groups)
        yield times[:, codes_N].astype(float)


def _blocks(rows: int, columns: int) -> list[int]:
    size = max(1, _CELLS // max(1, columns))
    return [min(size, rows - start) for start in range(0, rows, size)]


def _error_of_sums(sums: FloatArray) -> FloatArray:
    return np.asarray(np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])


def _skill_of_sums(sums: FloatArray) -> FloatArray:
    reference = sums[..., 1]
    return np.asarray(1.0 - np.divide(sums[..., 0], reference, out=np.ones_like(reference), where=reference > 0))
