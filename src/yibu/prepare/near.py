"""Near copies: MinHash finds candidates, exact Jaccard decides, rows that hang together make a cluster.

A row's **signature** has 128 MinHash values (Broder 1997) of its shingles (`yibu.prepare.shingles`), one byte of each
(b-bit MinHash, Li and Koenig 2010), which are both cut into bands for candidates (LSH, Indyk and Motwani 1998) and
compared to estimate the similarity; the number of its shingles and characters; and a key of its values
(`yibu.prepare.values`). The values are those of the Rust library rensa, whose sketches have less spread than 128
independent permutations. Signatures are made where the row is (in any process, in any order), and are never kept.

`find_clusters` then looks at all of them at once. Two answers come out, which are not the same:

- **clusters**: rows of which each is joined to another by a Jaccard similarity of at least the threshold. One template
  with other values is one cluster. A cluster is a group when rows are divided: it must not lie in train and test.
- **duplicates**: rows that say the same as an earlier row that stays: similar, *and* with the same numbers, units,
  negations, sides. Only these may be dropped.

**Recall and cost.** The bands are as narrow as it takes to find 99.9 % of the pairs at the threshold. In a band each
row is compared with the first one and the last few that share it, never with all: ten thousand rows of one template
cost what ten thousand pairs cost. Of the pairs found that way the most similar few of each row are read again and
compared exactly, and none that lies in one cluster already.

**Adding rows.** What a row is compared with depends on the rows before it alone. Rows added at the end therefore leave
the cluster and the duplicate of every old row as they were, but that a new row similar to two old clusters joins them.
"""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from yibu.core.errors import MissingExtra
from yibu.core.recipe import Settings
from yibu.prepare.same import fold
from yibu.prepare.shingles import Shingles, jaccard, numpy, shingles
from yibu.prepare.values import same_values, value_key

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Places = npt.NDArray[np.int32]
    Pairs = tuple[Places, Places]

NUM_HASHES = 128
SIGNATURE_BYTES = NUM_HASHES + 4 + 4 + 8
_SEED = 1
_RECALL = 0.999  # of pairs that are just as similar as the threshold
_WIDEST = 8  # hashes of a band: 64 bits
_LAST = 4  # rows before it in a band that a row is compared with, besides the first
_MOST = 8  # candidates of a row that are read again and compared exactly
_MOST_SAME = 3  # likewise, of those with the same values
_CHUNK = 16_384  # pairs whose signatures are compared at once
_READ = 256  # pairs whose texts are read at once
_WINDOW = 4096  # pairs that are looked at before any less likely one


class DuplicateSettings(Settings):
    """What happens to near copies. Exact copies (after folding) are always left out."""

    near: Literal["off", "group", "drop"] = Field(
        default="group",
        description="group: near copies share a split; drop: also leave out those that say the same as an earlier row",
    )
    threshold: float = Field(default=0.85, ge=0.5, le=1, description="Jaccard similarity of shingles from which on")
    min_characters: int = Field(default=20, ge=1, description="shorter texts are only compared exactly")
    values: list[str] = Field(
        default=[], description="words that make texts different when they differ, besides numbers, negations, sides"
    )


@dataclass(frozen=True, slots=True)
class Clusters:
    """What hangs together.

    Attributes:
        first: for each row the smallest place in its cluster; its own where it is alone.
        duplicates: place -> (place of the earlier row that stays, their Jaccard similarity).
    """

    first: array[int]
    duplicates: dict[int, tuple[int, float]]


def signature(text: str) -> bytes:
    """The signature of one text, see `signatures`."""
    return signatures([text])[0]


def signatures(texts: Sequence[str], *, folded: bool = False) -> list[bytes]:
    """`SIGNATURE_BYTES` per text, or none where it is too short for a shingle. Fastest for about 100 texts at once.

    Args:
        texts: of any length.
        folded: whether they already went through `yibu.prepare.same.fold`.

    Raises:
        MissingExtra: numpy or rensa is not installed, or opencc is not and there are Chinese characters.
    """
    return signatures_of(shingles(texts, folded=folded))


def signatures_of(made: Shingles) -> list[bytes]:
    """`signatures` of texts whose shingles are made already."""
    np = numpy()
    rows = np.zeros(len(made), _layout())
    rows["hashes"] = _low_bytes(made)
    rows["num_shingles"] = np.diff(made.starts)
    rows["num_characters"] = [len(text) for text in made.texts]
    rows["values"] = [value_key(text) for text in made.texts]
    whole = rows.tobytes()
    return [
        whole[place * SIGNATURE_BYTES : (place + 1) * SIGNATURE_BYTES] if num_shingles else b""
        for place, num_shingles in enumerate(rows["num_shingles"].tolist())
    ]


def find_clusters(signatures: Sequence[bytes], text_of: Callable[[int], str], settings: DuplicateSettings) -> Clusters:
    """Clusters and duplicates among all rows; the same whatever made the signatures in whatever order.

    Needs about 350 bytes a row beside the signatures, 800 where most rows are of a few templates. Reads the text of
    candidates alone, some of them several times.

    Args:
        signatures: of all rows, in the order of the rows; an empty one is never near anything.
        text_of: place -> the text that the signature was made from.
        settings: threshold and what counts as a value.
    """
    first = array("q", range(len(signatures)))
    if settings.near == "off":
        return Clusters(first, {})
    np = numpy()
    rows = np.frombuffer(b"".join(signatures), _layout())
    places = np.array([place for place, one in enumerate(signatures) if one], np.int64)
    long_enough = rows["num_characters"] >= settings.min_characters
    if not long_enough.all():
        rows, places = rows[long_enough], places[long_enough]
    if len(rows) < 2:
        return Clusters(first, {})
    search = _Search(rows, lambda place: text_of(int(places[place])), settings)
    duplicates = search.duplicates()
    search.join_similar()
    for place, one in enumerate(search.first_places()):
        first[int(places[place])] = int(places[one])
    return Clusters(
        first,
        {int(places[place]): (int(places[other]), share) for place, (other, share) in duplicates.items()},
    )


class _Search:
    """One search through rows that all have a signature; places are those among these rows."""

    def __init__(self, rows: Any, text_of: Callable[[int], str], settings: DuplicateSettings) -> None:
        self._rows = rows
        self._text_of = text_of
        self._threshold = settings.threshold
        self._words = tuple(sorted({fold(word) for word in settings.values} - {""}))
        self._above = list(range(len(rows)))
        # An estimate from 128 hashes strays by more than four standard deviations once in 30,000 pairs.
        spread = (settings.threshold * (1 - settings.threshold) / NUM_HASHES) ** 0.5
        self._least = NUM_HASHES * (settings.threshold - 4 * spread) - 1e-9

    def duplicates(self) -> dict[int, tuple[int, float]]:
        """Rows that say the same as an earlier row which is no duplicate itself; similar rows are joined on the way."""
        earlier, later = self._candidates(self._rows["values"], _MOST_SAME, apart=False)
        found: dict[int, tuple[int, float]] = {}
        compared = self._compared(zip(earlier, later, strict=True))
        for place, group in itertools.groupby(compared, key=lambda result: result[1]):
            known: dict[int, float] = {}
            for other, _, share, is_same in group:
                if share >= self._threshold:
                    self._join(other, place)
                    if is_same:
                        known[other] = share
            # A row that is left out vouches for none; the row that it repeats may.
            for other in sorted({found[other][0] if other in found else other for other in known}):
                if other not in known:
                    ((_, _, share, is_same),) = self._compared([(other, place)])
                    if share < self._threshold or not is_same:
                        continue
                    self._join(other, place)
                    known[other] = share
                found[place] = other, known[other]
                break
        return found

    def join_similar(self) -> None:
        """Join what is similar, whatever its values; the likeliest pairs first, so that few need to be read."""
        earlier, later = self._candidates(None, _MOST, apart=True)
        for start in range(0, len(earlier), _WINDOW):
            part = slice(start, start + _WINDOW)
            window = list(zip(earlier[part].tolist(), later[part].tolist(), strict=True))
            while window:
                chosen, window = self._forest(window)
                for one, other, share, _ in self._compared(chosen, with_values=False):
                    if share >= self._threshold:
                        self._join(one, other)

    def first_places(self) -> Iterator[int]:
        return (self._top(place) for place in range(len(self._above)))

    def _forest(self, pairs: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Pairs that would each join two clusters if all of them were similar, and those to look at afterwards."""
        above: dict[int, int] = {}

        def top(place: int) -> int:
            while place in above:
                place = above[place]
            return place

        chosen, rest = [], []
        for pair in pairs:
            one, other = self._top(pair[0]), self._top(pair[1])
            if one == other:
                continue
            one, other = top(one), top(other)
            if one == other:
                rest.append(pair)
            else:
                above[max(one, other)] = min(one, other)
                chosen.append(pair)
        return chosen, rest

    def _candidates(self, values: Any | None, most: int, *, apart: bool) -> Pairs:
        """Pairs (earlier, later) that share a band and look similar, at most so many for each later row.

        Args:
            values: keys that must be the same as well.
            most: how many for a row: those that look most similar, the earliest of equals.
            apart: leave out those that are joined already; sort by how similar they look instead of by place.
        """
        np = numpy()
        num_rows = len(self._rows)
        tops = np.fromiter(self.first_places(), np.int32, num_rows) if apart else None
        kept = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int16)
        for keys in self._bands():
            for earlier, later in _pairs(_order(keys, values), keys, values):
                if tops is not None:
                    mask = tops[earlier] != tops[later]
                    earlier, later = earlier[mask], later[mask]
                earlier, later, equal = self._promising(earlier, later)
                kept = tuple(np.concatenate(both) for both in zip(kept, (earlier, later, equal), strict=True))
            if len(kept[0]) > 4 * num_rows:
                kept = _best(*kept, most)
        earlier, later, equal = _best(*kept, most)
        order = np.lexsort((earlier, later, -equal)) if apart else np.lexsort((earlier, later))
        return earlier[order], later[order]

    def _bands(self) -> Iterator[Any]:
        """For each band one 64-bit key per row."""
        np = numpy()
        width = band_width(self._threshold)
        hashes = self._rows["hashes"]
        for start in range(0, NUM_HASHES - width + 1, width):
            keys = np.zeros((len(hashes), _WIDEST), np.uint8)
            keys[:, :width] = hashes[:, start : start + width]
            yield keys.view("<u8")[:, 0]

    def _promising(self, earlier: Places, later: Places) -> tuple[Places, Places, Any]:
        """Pairs that can be similar, by how many shingles they have and how many hashes they share."""
        np = numpy()
        sizes, hashes = self._rows["num_shingles"], self._rows["hashes"]
        one, other = sizes[earlier].astype(np.float64), sizes[later].astype(np.float64)
        mask = np.minimum(one, other) >= self._threshold * np.maximum(one, other) - 1e-9
        earlier, later = earlier[mask], later[mask]
        equal = np.empty(len(earlier), np.int16)
        for start in range(0, len(earlier), _CHUNK):
            part = slice(start, start + _CHUNK)
            equal[part] = np.count_nonzero(hashes[earlier[part]] == hashes[later[part]], axis=1)
        mask = equal >= self._least
        return earlier[mask], later[mask], equal[mask]

    def _compared(
        self, pairs: Iterable[tuple[int, int]], *, with_values: bool = True
    ) -> Iterator[tuple[int, int, float, bool]]:
        """(earlier, later, exact Jaccard similarity, whether the values are the same where it is high enough)."""
        pairs = ((int(earlier), int(later)) for earlier, later in pairs)
        while part := list(itertools.islice(pairs, _READ)):
            places = sorted({place for pair in part for place in pair})
            made = shingles([self._text_of(place) for place in places])
            at = {place: number for number, place in enumerate(places)}
            for earlier, later in part:
                one, other = at[earlier], at[later]
                share = jaccard(made[one], made[other])
                is_same = with_values and share >= self._threshold
                if is_same:
                    is_same = same_values(made.texts[one], made.texts[other], self._words)
                yield earlier, later, share, is_same

    def _top(self, place: int) -> int:
        above = self._above
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    def _join(self, one: int, other: int) -> None:
        one, other = self._top(one), self._top(other)
        self._above[max(one, other)] = min(one, other)


def band_width(threshold: float) -> int:
    """The most hashes per band with which `_RECALL` of the pairs at a threshold share a band."""
    for width in range(_WIDEST, 1, -1):
        if 1 - (1 - threshold**width) ** (NUM_HASHES // width) >= _RECALL:
            return width
    return 1


def _order(keys: Any, values: Any | None) -> Any:
    """Rows by key, those of one key by place."""
    np = numpy()
    order = np.argsort(keys, kind="stable") if values is None else np.lexsort((values, keys))
    return order.astype(np.int32)


def _pairs(order: Places, keys: Any, values: Any | None) -> Iterator[Pairs]:
    """Pairs (earlier, later) of rows with one key: each row with the first and with the last few before it."""
    np = numpy()
    is_first = np.ones(len(order), bool)
    is_first[1:] = keys[order[1:]] != keys[order[:-1]]
    if values is not None:
        is_first[1:] |= values[order[1:]] != values[order[:-1]]
    positions = np.arange(len(order), dtype=np.int32)
    firsts = np.maximum.accumulate(np.where(is_first, positions, 0))
    back = positions - firsts
    for step in range(1, _LAST + 1):
        later = np.flatnonzero(back >= step)
        if len(later) == 0:
            return
        yield order[later - step], order[later]
    later = np.flatnonzero(back > _LAST)
    yield order[firsts[later]], order[later]


def _best(earlier: Places, later: Places, equal: Any, most: int) -> tuple[Places, Places, Any]:
    """Of each later row the pairs that share most hashes; the earliest of equals, each once."""
    np = numpy()
    order = np.lexsort((earlier, -equal, later))
    earlier, later, equal = earlier[order], later[order], equal[order]
    is_new = np.ones(len(later), bool)
    is_new[1:] = (later[1:] != later[:-1]) | (earlier[1:] != earlier[:-1])  # a pair shares as many in every band
    earlier, later, equal = earlier[is_new], later[is_new], equal[is_new]
    is_first = np.ones(len(later), bool)
    is_first[1:] = later[1:] != later[:-1]
    positions = np.arange(len(later))
    rank = positions - np.maximum.accumulate(np.where(is_first, positions, 0))
    mask = rank < most
    return earlier[mask], later[mask], equal[mask]


def _low_bytes(made: Shingles) -> Any:
    """One byte of each MinHash value of each text [N, 128]; zeros where it has no shingle."""
    np = numpy()
    result = np.zeros((len(made), NUM_HASHES), np.uint8)
    has_any = np.flatnonzero(np.diff(made.starts))
    if len(has_any):
        # A text without shingles begins where the next one does.
        starts = np.append(made.starts[has_any], made.starts[-1]).astype(np.uint64)
        matrix = _rensa().digest_matrix_from_flat_token_hashes(made.hashes, starts, NUM_HASHES, _SEED)
        values = np.array(matrix.to_rows(), np.uint64)
        values *= np.uint64(0x9E3779B97F4A7C15)  # the smallest of many are small: their upper bits say nothing
        result[has_any] = (values >> np.uint64(56)).astype(np.uint8)
    return result


@functools.cache
def _layout() -> Any:
    np = numpy()
    fields = [("hashes", "u1", (NUM_HASHES,)), ("num_shingles", "<u4"), ("num_characters", "<u4"), ("values", "<u8")]
    return np.dtype(fields)


@functools.cache
def _rensa() -> Any:
    try:
        import rensa
    except ImportError as error:
        raise MissingExtra("rensa", extra="data", use="finding near copies") from error
    return rensa.RMinHash
