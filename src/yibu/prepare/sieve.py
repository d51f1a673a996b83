"""Which rows may hold a protected item at all: told from half of each shingle's bits, without reading a text.

While rows are refined their shingles are at hand; made once more for the search of test rows, they would cost as much
as the rest of that search. So the upper half of each (its **head**, 32 bits) is kept in a scratch file, about as large
as the text. A row that holds enough of an item (`yibu.prepare.contamination`) holds as many of its heads; few rows do,
and only they are read again and compared.

Legend: H heads, N rows, A anchors met in rows, P pairs of a row and an item that it may hold.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from yibu.prepare.shingles import Shingles, numpy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from yibu.prepare.shingles import Hashes

    HeadsArray = npt.NDArray[np.uint32]
    Places = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

HEAD_BITS = 32
_HEAD_BYTES = HEAD_BITS // 8
_BATCH = 512  # rows that are looked at together
_MOST_PAIRS = 4_000_000  # looked at together, unless one row has more by itself
_FILTER_BITS = 22  # of the filter that most heads of a row do not pass
_ROUNDING = 1e-6


def heads_of(hashes: Hashes) -> HeadsArray:
    """The head of each shingle."""
    np = numpy()
    heads: HeadsArray = (hashes >> np.uint64(64 - HEAD_BITS)).astype("<u4")
    return heads


def heads_by_text(made: Shingles) -> list[bytes]:
    """The heads of each text's shingles, ascending, as little-endian bytes."""
    whole = heads_of(made.hashes).tobytes()
    return [whole[start:end] for start, end in itertools.pairwise((made.starts * _HEAD_BYTES).tolist())]


class Heads:
    """The heads of all rows in a scratch file, in the order of the rows. Holds four bytes a row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._sizes = array("I")

    def append(self, heads: bytes) -> None:
        self._sizes.append(len(heads) // _HEAD_BYTES)
        self._file.write(heads)

    def close(self) -> None:
        """After the last row; before `batches`."""
        self._file.close()

    def batches(self) -> Iterator[tuple[HeadsArray, Places]]:
        """Heads [H] of some hundred rows each, and where those of each row begin and the last end [N + 1]."""
        np = numpy()
        with self._path.open("rb") as file:
            for start in range(0, len(self._sizes), _BATCH):
                starts_N = np.cumsum([0, *self._sizes[start : start + _BATCH]], dtype=np.int64)
                yield np.frombuffer(file.read(int(starts_N[-1]) * _HEAD_BYTES), "<u4"), starts_N


class Sieve:
    """Lets through every row that may hold an item, and few others.

    First a row must hold enough anchors of the item, then enough of all its shingles: of rows that are made of the same
    pieces many do the one, and few do the other.

    Args:
        anchors: by which items are found, ascending.
        owners: the item of each.
        needed: for each item, how many of its anchors a row must hold.
        heads: of all shingles of the items, one item after the other.
        starts: where those of each item begin, and the last end.
        shares: for each item, the share of them that a row must hold.
    """

    def __init__(
        self,
        anchors: Hashes,
        owners: npt.NDArray[np.int32],
        needed: Places,
        heads: HeadsArray,
        starts: Places,
        shares: npt.NDArray[np.float64],
    ) -> None:
        np = numpy()
        self._owners = owners.astype(np.int64)
        self._needed = needed
        self._num_items = len(needed)
        self._anchors, first = np.unique(heads_of(anchors), return_index=True)
        self._bounds = np.append(first, len(anchors)).astype(np.int64)
        self._filter = np.zeros(1 << _FILTER_BITS, bool)
        self._filter[self._anchors >> np.uint32(HEAD_BITS - _FILTER_BITS)] = True
        self._heads, self._starts, self._shares = heads, starts, shares

    def passed(self, heads_H: HeadsArray, starts_N: Places) -> Mask:
        """For each row whether it must be looked at; one without a shingle always, since nothing is known of it."""
        np = numpy()
        passed_N: Mask = np.diff(starts_N) == 0
        at_A = np.flatnonzero(self._filter[heads_H >> np.uint32(HEAD_BITS - _FILTER_BITS)])
        if len(at_A) == 0 or len(self._anchors) == 0:
            return passed_N
        likely_A = heads_H[at_A]
        anchor_A = np.minimum(np.searchsorted(self._anchors, likely_A), len(self._anchors) - 1)
        is_met_A = self._anchors[anchor_A] == likely_A
        row_A, anchor_A = np.searchsorted(starts_N, at_A[is_met_A], "right") - 1, anchor_A[is_met_A]
        keys_H = _keys(np.repeat(np.arange(len(passed_N)), np.diff(starts_N)), heads_H)
        for part in self._parts(row_A, anchor_A):
            row_P, item_P = self._with_enough_anchors(row_A[part], anchor_A[part])
            passed_N[row_P[self._hold_enough(keys_H, row_P, item_P)]] = True
        return passed_N

    def _parts(self, row_A: Places, anchor_A: Places) -> Iterator[slice]:
        """The anchors that were met, cut between rows where they belong to too many items to look at together."""
        np = numpy()
        num_items_A = self._bounds[anchor_A + 1] - self._bounds[anchor_A]
        before_A = np.cumsum(num_items_A) - num_items_A
        start = 0
        while start < len(row_A):
            end = int(np.searchsorted(before_A, before_A[start] + _MOST_PAIRS))
            if end < len(row_A):
                row = max(row_A[end], row_A[start] + 1)
                end = int(np.searchsorted(row_A, row))
            yield slice(start, end)
            start = end

    def _with_enough_anchors(self, row_A: Places, anchor_A: Places) -> tuple[Places, Places]:
        """Rows and items of which they hold enough anchors."""
        np = numpy()
        at_P, num_items_A = _ranges(self._bounds, anchor_A)
        pairs_P = np.repeat(row_A * self._num_items, num_items_A) + self._owners[at_P]
        pairs_P.sort()
        is_first_P = np.ones(len(pairs_P), bool)
        is_first_P[1:] = pairs_P[1:] != pairs_P[:-1]
        firsts = np.flatnonzero(is_first_P)
        row_P, item_P = np.divmod(pairs_P[firsts], self._num_items)
        is_enough_P = np.diff(firsts, append=len(pairs_P)) >= self._needed[item_P]
        return row_P[is_enough_P], item_P[is_enough_P]

    def _hold_enough(self, keys_H: Hashes, row_P: Places, item_P: Places) -> Mask:
        """Of each pair whether the row holds enough of the item's shingles."""
        np = numpy()
        at, num_heads_P = _ranges(self._starts, item_P)
        wanted = _keys(np.repeat(row_P, num_heads_P), self._heads[at])
        found = np.minimum(np.searchsorted(keys_H, wanted), len(keys_H) - 1)
        is_held = np.append(0, np.cumsum(keys_H[found] == wanted))
        ends_P = np.cumsum(num_heads_P)
        held_P = is_held[ends_P] - is_held[ends_P - num_heads_P]
        enough: Mask = held_P >= self._shares[item_P] * num_heads_P - _ROUNDING
        return enough


def _keys(row: Places, heads: HeadsArray) -> Hashes:
    """Numbers that tell heads of different rows apart, ascending where rows and then heads do."""
    np = numpy()
    keys: Hashes = (row.astype(np.uint64) << np.uint64(HEAD_BITS)) | heads
    return keys


def _ranges(bounds: Places, wanted: Places) -> tuple[Places, Places]:
    """For each wanted number i all of bounds[i], bounds[i] + 1, ..., bounds[i + 1] - 1; and how many these are."""
    np = numpy()
    sizes = bounds[wanted + 1] - bounds[wanted]
    ends = np.cumsum(sizes)
    return np.arange(int(sizes.sum())) + np.repeat(bounds[wanted] - (ends - sizes), sizes), sizes
