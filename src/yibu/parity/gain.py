"""How much of what an adapter gained on the task is left in what is exported.

``(exported - base) / (adapter - base)``, each the mean score of the same items. Interval by paired resampling: in each
draw all three systems are asked the same items.

The loss on the rows' own answers says more of small changes than answers do, which flip or stay: `loss_grown`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from yibu.core.errors import DataError
from yibu.metrics.resample import Additive, FloatArray, Groups, mean
from yibu.metrics.stats import bootstrap, permutation
from yibu.parity import Check, judged

GATE = 0.95
_UNBOUND = 0.0  # a number, since records of checks are JSON; the check is not judged


def gain_kept(
    base: npt.ArrayLike,
    adapter: npt.ArrayLike,
    exported: npt.ArrayLike,
    *,
    better: Literal["higher", "lower"] = "higher",
    bound: float = GATE,
    groups: Groups = None,
    resamples: int = 2_000,
    seed: int = 0,
    name: str = "gain kept",
) -> Check:
    """The share of the gain that is left, from the scores of each item.

    Where the adapter has no gain that can be told from none, no share of it can be either: then the check is not
    judged, unless the exported model is surely worse than the adapter, which fails.

    Args:
        base, adapter, exported: a score per item ``[N]`` of each system, on the same items in one order.
        better: whether a higher score is better; a loss is better lower.
        groups: of each item, where several are no independent evidence.

    Raises:
        DataError: no items, scores that are no numbers, or not equally many of each.
    """
    scores = [np.asarray(values, dtype=float) for values in (base, adapter, exported)]
    if len({one.shape for one in scores}) != 1 or scores[0].ndim != 1 or not len(scores[0]):
        counts = ", ".join(str(one.size) for one in scores)
        raise DataError("The gain that is kept needs the same items of three systems.", got=f"{counts} scores")
    base_N, adapter_N, exported_N = scores if better == "higher" else [-one for one in scores]
    n = len(base_N)
    gained = permutation(mean(adapter_N), mean(base_N), groups, resamples=resamples, seed=seed)
    changed = permutation(mean(exported_N), mean(adapter_N), groups, resamples=resamples, seed=seed)
    detail = f"the adapter gained {gained.difference:+.4g}, exported {changed.difference:+.4g} beside it"
    if not gained.low > 0:
        worse = changed.high < 0
        detail += "; the gain cannot be told from none" + (", and exported is surely worse" if worse else "")
        return Check(name, False if worse else None, None, bound, True, n, detail=detail)
    parts_N3 = np.stack([base_N, adapter_N, exported_N], axis=1)
    kept = bootstrap(Additive(parts_N3, _share), groups, resamples=resamples, seed=seed)
    low, high = (None if math.isnan(limit) else limit for limit in (kept.low, kept.high))
    return judged(name, kept.value, bound, kind="at least", n=n, detail=detail, low=low, high=high)


def _share(sums: FloatArray) -> FloatArray:
    """``(exported - base) / (adapter - base)``; a draw without gain counts as one with next to none."""
    gain = np.maximum(sums[..., 1] - sums[..., 0], 1e-9)
    return np.asarray((sums[..., 2] - sums[..., 0]) / gain)


def loss_grown(
    adapter: npt.ArrayLike,
    exported: npt.ArrayLike,
    *,
    bound: float | None,
    groups: Groups = None,
    resamples: int = 2_000,
    seed: int = 0,
    name: str = "loss / the adapter's",
) -> Check:
    """How many times the adapter's loss on the same answers is that of the exported model.

    Args:
        adapter, exported: summed loss of each row's answer ``[N]``, in nats: of the same text, whatever its tokens.
        bound: the most that it may be; None: it is told, and not judged.

    Raises:
        DataError: no rows, or not equally many of each.
    """
    before_N, after_N = np.asarray(adapter, dtype=float), np.asarray(exported, dtype=float)
    if before_N.shape != after_N.shape or before_N.ndim != 1 or not len(before_N):
        raise DataError("Losses need the same rows of two systems.", got=f"{before_N.size}, {after_N.size} losses")
    parts_N2 = np.stack([after_N, before_N], axis=1)
    detail = f"{after_N.mean():.4g} nats a row, the adapter {before_N.mean():.4g}"
    if not np.isfinite(parts_N2).all():
        return judged(name, math.nan, bound or math.inf, kind="at most", n=len(before_N), detail=detail)
    grown = bootstrap(Additive(parts_N2, _grown), groups, resamples=resamples, seed=seed)
    low, high = (None if math.isnan(limit) else limit for limit in (grown.low, grown.high))
    if bound is None:
        return Check(name, None, grown.value, _UNBOUND, False, len(before_N), low, high, detail)
    return judged(name, grown.value, bound, kind="at most", n=len(before_N), detail=detail, low=low, high=high)


def _grown(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-9))
