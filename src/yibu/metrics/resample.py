"""Measures that are sums over items, and what resampling such sums costs: one matrix product.

A mean is a function of two sums (values and count), macro-F1 of three per label (hits, truths, answers). So a measure
in a bootstrap draw, without an item, or after swapping two systems' answers needs no second look at any text.

Legend: N items, G groups (the items themselves where there are no groups), S summands, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from yibu.core.errors import DataError

FloatArray = npt.NDArray[np.float64]
Groups = Sequence[Hashable | None] | None
Measure = Callable[[FloatArray], FloatArray]

_CELLS = 4_000_000  # entries of one block of a resampling matrix: 32 MB


@dataclass(frozen=True, slots=True)
class Additive:
    """A measure that is a function of sums over items.

    Attributes:
        parts: array [N, S], what each item adds to the sums.
        of: sums [..., S] to the measure [...].
        spread: how `stats.interval` finds its interval.
    """

    parts: FloatArray
    of: Measure
    spread: Literal["bootstrap", "jackknife"] = "bootstrap"

    @property
    def value(self) -> float:
        return float(self.of(self.parts.sum(axis=0)))

    def take(self, keep: npt.NDArray[np.bool_]) -> Additive:
        """The same measure over the items marked in ``keep`` [N]."""
        return Additive(self.parts[keep], self.of, self.spread)


def mean(values: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Additive:
    """The mean of one value per item [N], weighted where weights [N] are given (loss by target tokens)."""
    values_N = np.asarray(values, dtype=float)
    weights_N = np.ones_like(values_N) if weights is None else np.asarray(weights, dtype=float)
    return Additive(np.stack([values_N * weights_N, weights_N], axis=1), _ratio)


def sums_by_group(parts_NS: FloatArray, groups: Groups) -> FloatArray:
    """What each group adds to the sums [G, S]; the parts themselves without groups.

    Raises:
        DataError: no items, a part that is not finite, or not one group per item.
    """
    if not np.isfinite(parts_NS).all():
        raise DataError("A score is not a finite number.", do="leave out the items that the score does not apply to")
    codes_N, num_groups = group_codes(groups, len(parts_NS))
    if num_groups == len(parts_NS):
        return parts_NS
    sums_GS = np.zeros((num_groups, parts_NS.shape[1]))
    np.add.at(sums_GS, codes_N, parts_NS)
    return sums_GS


def group_codes(groups: Groups, num_items: int) -> tuple[npt.NDArray[np.intp], int]:
    """A number from 0 for each item's group, and how many groups; an item without group (None) is its own.

    Raises:
        DataError: no items, or not one group per item.
    """
    if num_items == 0:
        raise DataError("A figure needs at least one item.", got="0 items")
    if groups is None:
        return np.arange(num_items), num_items
    if len(groups) != num_items:
        raise DataError("Each item needs its group.", got=f"{len(groups)} groups, {num_items} items")
    codes: dict[Hashable, int] = {}
    keys = [("alone", place) if group is None else ("group", group) for place, group in enumerate(groups)]
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.intp), len(codes)


def drawn(parts_GS: FloatArray, of: Measure, resamples: int, seed: int) -> FloatArray:
    """The measure in B draws of G groups with replacement [B]."""
    rng = np.random.default_rng(seed)
    num_groups = len(parts_GS)
    replicates: list[FloatArray] = []
    for size in _blocks(resamples, num_groups):
        picked = rng.integers(0, num_groups, (size, num_groups)) + np.arange(size)[:, None] * num_groups
        times_BG = np.bincount(picked.ravel(), minlength=size * num_groups).reshape(size, num_groups)
        replicates.append(of(times_BG.astype(float) @ parts_GS))
    return np.concatenate(replicates)


def leave_one_out(parts_GS: FloatArray, of: Measure) -> FloatArray:
    """The measure without each group in turn [G]."""
    return of(parts_GS.sum(axis=0) - parts_GS)


def swapped(total_S: FloatArray, change_GS: FloatArray, of: Measure, permutations: int, seed: int) -> FloatArray:
    """The measure after a random half of the groups changed the sums by their ``change_GS`` [B]."""
    change_GS = change_GS[np.any(change_GS != 0, axis=1)]
    num_groups = len(change_GS)
    if num_groups == 0:
        return np.full(permutations, float(of(total_S)))
    rng = np.random.default_rng(seed)
    differences = [
        of(total_S + rng.integers(0, 2, (size, num_groups)).astype(float) @ change_GS)
        for size in _blocks(permutations, num_groups)
    ]
    return np.concatenate(differences)


def swapped_sums(change_GS: FloatArray, permutations: int, seed: int) -> FloatArray:
    """How far the sums move as a random half of the groups changes [B, S]; the same halves for one G and seed."""
    rng = np.random.default_rng(seed)
    num_groups = len(change_GS)
    moved = [
        rng.integers(0, 2, (size, num_groups), dtype=np.uint8).astype(float) @ change_GS
        for size in _blocks(permutations, num_groups)
    ]
    return np.concatenate(moved)


def _ratio(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _blocks(rows: int, columns: int) -> list[int]:
    """Row counts that add up to ``rows`` and keep each block within bounded memory."""
    size = max(1, _CELLS // columns)
    return [min(size, rows - start) for start in range(0, rows, size)]
