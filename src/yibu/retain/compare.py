"""What tuning kept and lost: two systems on the same items, with paired intervals and the ratio to the base.

Pure functions of two artifacts of `yibu.retain.retain`. Items of one group (a paradigm of BLiMP, a document of a
corpus) are resampled together where there are enough groups to do so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from yibu.core.errors import DataError
from yibu.core.store import Artifact
from yibu.metrics.resample import Additive, FloatArray, mean
from yibu.metrics.stats import Interval, PairedTest, bootstrap, mcnemar, permutation, wilson

_FEWEST_GROUPS = 20  # with fewer the bootstrap over groups is too narrow, see `yibu.metrics.stats`

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Retained:
    """One set, before and after.

    Attributes:
        name, kind, metric, better: of the set.
        before, after: the figures with their intervals.
        change: after minus before, paired.
        ratio: after divided by before, paired; None where the base has 0. Above 1 is worse for a loss.
        verdict: ``lost`` or ``gained`` where the interval of the change leaves out 0, else ``kept``.
    """

    name: str
    kind: str
    metric: str
    better: Literal["higher", "lower"]
    before: Interval
    after: Interval
    change: PairedTest
    ratio: Interval | None
    verdict: Literal["lost", "gained", "kept"]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is no number (an interval of one item) is None."""
        table: dict[str, Any] = _plain(asdict(self))
        return table


def compare(before: Artifact, after: Artifact, *, resamples: int = 2_000, seed: int = 0) -> list[Retained]:
    """Every set of two artifacts of the stage `retain`, in their order.

    Raises:
        DataError: they did not measure the same items.
    """
    figures = {one["name"]: one for one in after.read_json("retention.json")["sets"]}
    found = []
    for one in before.read_json("retention.json")["sets"]:
        name = one["name"]
        other = figures.pop(name, None)
        if other is None or other["kind"] != one["kind"]:
            raise DataError("Only the same sets of two systems can be compared.", got=f"no {name!r} in {after.id}")
        pair = (_records(before, name), _records(after, name))
        found.append(
            compare_items(
                name,
                *pair,
                kind=one["kind"],
                metric=one["metric"],
                better=one["better"],
                resamples=resamples,
                seed=seed,
            )
        )
    if figures:
        raise DataError("Only the same sets of two systems can be compared.", got=f"no {min(figures)!r} in {before.id}")
    return found


def compare_items(
    name: str,
    before: Records,
    after: Records,
    *,
    kind: str = "choices",
    metric: str = "accuracy",
    better: Literal["higher", "lower"] = "higher",
    resamples: int = 2_000,
    seed: int = 0,
) -> Retained:
    """One set of two systems, from their records per item (``id``, ``value``, ``weight``, ``group``).

    Raises:
        DataError: not the same items, or none.
    """
    if [(one["id"], one["weight"]) for one in before] != [(one["id"], one["weight"]) for one in after]:
        raise DataError(f"The two systems answered different items of {name!r}.", got=f"{len(before)} and {len(after)}")
    weights_N = np.array([one["weight"] for one in before], dtype=float)
    before_N = np.array([one["value"] for one in before], dtype=float)
    after_N = np.array([one["value"] for one in after], dtype=float)
    groups = _groups(before)
    old, new = mean(before_N, weights_N), mean(after_N, weights_N)
    counted = bool(np.isin(np.concatenate([before_N, after_N]), (0.0, 1.0)).all() and (weights_N == 1).all())
    if counted:
        figures = wilson(before_N, groups), wilson(after_N, groups)
        change = mcnemar(after_N, before_N, groups)
    else:
        figures = (
            bootstrap(old, groups, resamples=resamples, seed=seed),
            bootstrap(new, groups, resamples=resamples, seed=seed),
        )
        change = permutation(new, old, groups, resamples=resamples, seed=seed)
    ratio = None
    if old.value > 0:
        parts_N4 = np.concatenate([new.parts, old.parts], axis=1)
        ratio = bootstrap(Additive(parts_N4, _ratio_of_means), groups, resamples=resamples, seed=seed)
    return Retained(name, kind, metric, better, *figures, change, ratio, _verdict(change, better))


def _verdict(change: PairedTest, better: str) -> Literal["lost", "gained", "kept"]:
    if math.isnan(change.low) or change.low <= 0 <= change.high:
        return "kept"
    return "gained" if (change.difference > 0) == (better == "higher") else "lost"


def _ratio_of_means(sums: FloatArray) -> FloatArray:
    """``(a / weights) / (b / weights)``; a draw whose base has 0 counts as far above any other."""
    old = np.maximum(sums[..., 2], 1e-9) / sums[..., 3]
    return np.asarray(sums[..., 0] / sums[..., 1] / old)


def _groups(records: Records) -> list[Hashable | None] | None:
    groups = [record["group"] for record in records]
    known = {group for group in groups if group is not None}
    return groups if len(known) >= _FEWEST_GROUPS else None


def _records(artifact: Artifact, name: str) -> list[dict[str, Any]]:
    text = artifact.file(f"items-{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
