"""Which rows may hold a protected item at all: told from half of each shingle's bits, without reading a text.

While rows are refined their shingles are at hand; made once more for the search of test rows, they would cost as much
as the whole rest of that search. So the upper half of each (its **head**, 32 bits) is kept in a scratch file, about as
large as the text. A row that holds enough of an item's anchors (`yibu.prepare.contamination`) holds the heads of these;
that is true of few rows, and only they are read again and compared.

Legend: H heads, N rows, P pairs of a row and an item that it may hold.
"""

from __future__ import annotations

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

HEAD_BITS = 32
_HEAD_BYTES = HEAD_BITS // 8
_BATCH = 512  # rows that are looked at together
_MOST_PAIRS = 4_000_000  # looked at together, unless one row has more by itself
_FILTER_BITS = 22


def heads_of(made: Shingles) -> list[bytes]:
    """The heads of each text's shingles, ascending, as little-endian bytes."""
    np = numpy()
    whole = (made.hashes >> np.uint64(64 - HEAD_BITS)).astype("<u4").tobytes()
    bounds = (made.starts * _HEAD_BYTES).tolist()
    return [whole[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


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
    """Lets through every row that holds enough anchors of an item, and few others.

    Args:
        anchors: by which items are found, ascending.
        owners: the item of each.
        needed: for each item, how many of its anchors a row must hold.
    """

    def __init__(self, anchors: Hashes, owners: npt.NDArray[np.int32], needed: Places) -> None:
        np = numpy()
        self._owners = owners.astype(np.int64)
        self._needed = needed
        self._num_items = len(needed)
        heads = (anchors >> np.uint64(64 - HEAD_BITS)).astype(np.uint32)
        self._heads, first = np.unique(heads, return_index=True)
        self._bounds = np.append(first, len(heads)).astype(np.int64)
        self._filter = np.zeros(1 << _FILTER_BITS, bool)
        self._filter[self._heads >> np.uint32(HEAD_BITS - _FILTER_BITS)] = True

    def passed(self, heads_H: HeadsArray, starts_N: Places) -> npt.NDArray[np.bool_]:
        """For each row whether it must be looked at; one without a shingle always, since nothing is known of it."""
        np = numpy()
        passed_N: npt.NDArray[np.bool_] = np.diff(starts_N) == 0
        at_H = np.flatnonzero(self._filter[heads_H >> np.uint32(HEAD_BITS - _FILTER_BITS)])
        if len(at_H) == 0 or len(self._heads) == 0:
            return passed_N
        likely_H = heads_H[at_H]
        found_H = np.minimum(np.searchsorted(self._heads, likely_H), len(self._heads) - 1)
        is_met_H = self._heads[found_H] == likely_H
        at_H, found_H = at_H[is_met_H], found_H[is_met_H]
        row_H = np.searchsorted(starts_N, at_H, "right") - 1
        num_owners_H = self._bounds[found_H + 1] - self._bounds[found_H]
        # Cut at rows where the pairs become too many.
        pairs_before_H = np.cumsum(num_owners_H) - num_owners_H
        start = 0
        while start < len(row_H):
            end = int(np.searchsorted(pairs_before_H, pairs_before_H[start] + _MOST_PAIRS))
            if end < len(row_H):
                end = int(np.searchsorted(row_H, row_H[end]))
                if end <= start:
                    end = int(np.searchsorted(row_H, row_H[start], "right"))
            part = slice(start, end)
            passed_N[self._rows_with_enough(row_H[part], found_H[part], num_owners_H[part])] = True
            start = end
        return passed_N

    def _rows_with_enough(self, row_H: Places, found_H: Places, num_owners_H: Places) -> Places:
        """The rows, of those whose anchors were met, that hold enough of one item."""
        np = numpy()
        # The owners of anchor a lie at bounds[a], bounds[a] + 1, ...: for all anchors at once.
        ends_H = np.cumsum(num_owners_H)
        at_P = np.arange(int(ends_H[-1])) + np.repeat(self._bounds[found_H] - (ends_H - num_owners_H), num_owners_H)
        pairs_P = np.repeat(row_H * self._num_items, num_owners_H) + self._owners[at_P]
        pairs_P.sort()
        is_first_P = np.ones(len(pairs_P), bool)
        is_first_P[1:] = pairs_P[1:] != pairs_P[:-1]
        firsts = np.flatnonzero(is_first_P)
        counts = np.diff(firsts, append=len(pairs_P))
        pairs = pairs_P[firsts]
        enough: Places = pairs[counts >= self._needed[pairs % self._num_items]] // self._num_items
        return enough
