"""Test items inside of train rows: what makes a measured figure too good to be true.

Equal prompts are found by their keys (`yibu.prepare.leaks`). This finds what is not quite equal, against the test split
and against named files of benchmarks: a copy in full width or in Traditional characters, with other punctuation, with
a few words changed, or inside a longer text. Two questions are asked of each train row and each protected item that
share rare shingles (`yibu.prepare.shingles`):

**whole**: is the row the item, nearly? Jaccard similarity of at least ``whole``, and the same values.

**embedded**: does the row hold the item? That depends on how telling the item is:

- from 13 words or 25 characters of Chinese on (Brown et al. 2020, GPT-3, appendix C), the row must hold a share of at
  least ``embedded`` of its shingles, and all its values;
- from 8 words or 16 characters on (the least n of GPT-3), the row must hold it word for word;
- shorter still (an ICD term, "close my account"), the row must also be little else: `whole` of its characters.
  Such words are no secret, and half of all rows would hold some of them.

**What is no leak.** A row of the same template with other values (`yibu.prepare.values`). A sentence that a test
item shares with everything: shingles that stand in every twentieth protected item (the instruction of a prompt, a
letterhead) count for nothing, unless an item has nothing else. A row that is an excerpt of a long item.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from yibu import readers
from yibu.core.chance import exact_key
from yibu.core.errors import DataError, nearest
from yibu.core.recipe import Settings
from yibu.prepare.same import fold, key
from yibu.prepare.shingles import Shingles, jaccard, num_common, numpy, shingles, simplified
from yibu.prepare.sieve import Sieve, heads_of
from yibu.prepare.values import held_values, same_values
from yibu.readers import Bad

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from yibu.prepare.shingles import Hashes

_SHORTEST = 8 / 13  # of the length from which an item is telling: word for word from here on
_REPEATED = 5  # rows of a file from which on a text is its instruction or label, and no item
_SAMPLE = 1_000  # items that are looked at to find what they have in common
_COMMON = 0.05  # share of the items from which on a shingle is common ...
_COMMON_ITEMS = 5  # ... but not in fewer items than this
_OWN = 3  # shingles that an item must have besides common ones, else these count too
_SKETCH = 64  # shingles of an item among which the rarest are picked
_ANCHORS = 24  # by which an item is found
_MATCHED = 0.5  # share of these that a row must hold to be compared, as part of the share that it must hold of all
_MOST = 32  # items that a row is compared with
_BITS = 22  # of the filter that most shingles of a row do not pass
_BATCH = 256
_RUN = 8  # characters by which the part of a row is found that holds an item
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


class ContaminationSettings(Settings):
    """What train and valid rows must not hold. Test rows are always protected; only train and valid shrink."""

    enabled: bool = Field(default=True, description="look for test rows inside of train and valid rows")
    against: list[str] = Field(default=[], description="files of benchmarks (any address that a source may have)")
    columns: list[str] = Field(default=[], description="columns of these files that are protected; default: all texts")
    whole: float = Field(default=0.8, ge=0.5, le=1, description="Jaccard similarity from which a row is an item")
    embedded: float = Field(
        default=0.8, ge=0.3, le=1, description="share of an item's shingles that a row may not hold"
    )
    words: int = Field(default=13, ge=5, description="from so many words on an item is telling by itself")
    characters: int = Field(default=25, ge=8, description="likewise, characters of scripts without spaces")


@dataclass(frozen=True, slots=True)
class Hit:
    """A protected item that a row holds.

    Attributes:
        name: of the item.
        how: whether the row is the item or holds it.
        share: Jaccard similarity, or the share of the item that the row holds.
    """

    name: str
    how: Literal["whole", "embedded"]
    share: float


def read_items(address: str, settings: ContaminationSettings) -> Iterator[tuple[str, str]]:
    """The texts of a file that are protected, each named ``line:column``.

    A text that stands in `_REPEATED` rows or more is an instruction or a label, and left out.

    Raises:
        DataError: see `yibu.readers.read`; a column that no row has.
    """
    seen: Counter[tuple[str, int]] = Counter()
    columns: dict[str, None] = {}
    for item in readers.read(address):
        if not isinstance(item, Bad):
            columns |= dict.fromkeys(item.record)
            seen.update((column, key(text)) for column, text in _texts(item.record, settings.columns))
    for column in settings.columns:
        if column not in columns:
            close = nearest(column, columns)
            raise DataError(
                "data.contamination.columns names a column that this file does not have.",
                got=f"{column} in {address}",
                allowed=list(columns),
                do=f"did you mean {close!r}?" if close else None,
            )
    for item in readers.read(address):
        if not isinstance(item, Bad):
            for column, text in _texts(item.record, settings.columns):
                if seen[column, key(text)] < _REPEATED:
                    yield f"{item.line}:{column}", text


class Probe:
    """Finds protected items in texts. Holds about 2 kB an item beside its text; may be sent to other processes."""

    def __init__(self, names: list[str], texts: list[str], settings: ContaminationSettings) -> None:
        self._settings = settings
        self._names = names
        self._texts = texts
        self._equal: dict[int, int] = {}
        for place, text in enumerate(texts):
            self._equal.setdefault(exact_key(text), place)
        self._common = _common(texts)
        self._weights: list[float] = []
        self._own: list[bool] = []
        self._needed: npt.NDArray[np.int64]
        self._heads: npt.NDArray[np.uint32]
        self._starts: npt.NDArray[np.int64]
        self._anchors, self._owners, self._filter = self._index()
        self._known: dict[int, Hashes] = {}

    @classmethod
    def of(cls, items: Iterable[tuple[str, str]], settings: ContaminationSettings) -> Probe:
        """A probe for these items.

        Args:
            items: (name, text) of what is protected.
            settings: what counts as holding one.

        Raises:
            MissingExtra: numpy is not installed, or opencc is not and there are Chinese characters.
        """
        names: list[str] = []
        texts: list[str] = []
        for name, text in items:
            names.append(name)
            texts.append(simplified(fold(text)))
        first = {text: place for place, text in reversed(list(enumerate(texts))) if _LETTER_OR_DIGIT.search(text)}
        kept = sorted(first.values())
        return cls([names[place] for place in kept], [texts[place] for place in kept], settings)

    def __len__(self) -> int:
        return len(self._names)

    def sieve(self) -> Sieve:
        """Tells by the heads of a row's shingles whether `find` could find anything in it."""
        # A short item must be held word for word, however few of its shingles the row then has.
        least = min(self._settings.whole, self._settings.embedded)
        shares = numpy().where(numpy().array(self._weights) >= 1, least, 0.0)
        return Sieve(self._anchors, self._owners, self._needed, self._heads, self._starts, shares)

    def find(self, text: str) -> Hit | None:
        """The item that a text holds, or None. Of several the one it is most like, the earliest of equals."""
        return self.find_all([text])[0]

    def find_all(self, texts: Sequence[str], *, folded: bool = False) -> list[Hit | None]:
        """`find` for several texts, in half the time for a hundred of them.

        Args:
            texts: of any length.
            folded: whether they already went through `yibu.prepare.same.fold`.
        """
        if not self._names:
            return [None] * len(texts)
        made = shingles(texts, folded=folded)
        return [self._find(made.texts[place], made[place]) for place in range(len(made))]

    def _find(self, text: str, hashes: Hashes) -> Hit | None:
        equal = self._equal.get(exact_key(text))
        if equal is not None:
            return Hit(self._names[equal], "whole", 1.0)
        hits = [(place, hit) for place in self._candidates(hashes) if (hit := self._verified(place, text, hashes))]
        if not hits:
            return None
        return min(hits, key=lambda one: (one[1].how != "whole", -one[1].share, one[0]))[1]

    def _candidates(self, hashes: Hashes) -> list[int]:
        """Items that share enough of their rarest shingles."""
        np = numpy()
        likely = hashes[self._filter[hashes >> np.uint64(64 - _BITS)]]
        starts = np.searchsorted(self._anchors, likely, "left")
        ends = np.searchsorted(self._anchors, likely, "right")
        is_met = ends > starts
        if not is_met.any():
            return []
        ranges = zip(starts[is_met].tolist(), ends[is_met].tolist(), strict=True)
        owners, counts = np.unique(
            np.concatenate([self._owners[start:end] for start, end in ranges]), return_counts=True
        )
        enough = counts >= self._needed[owners]
        owners, counts = owners[enough], counts[enough]
        if len(owners) > _MOST:
            order = np.argsort(-counts / self._needed[owners], kind="stable")
            owners = owners[order[:_MOST]]
        found: list[int] = owners.tolist()
        return found

    def _verified(self, place: int, text: str, hashes: Hashes) -> Hit | None:
        settings, item = self._settings, self._texts[place]
        own = self._hashes_of(place)
        others = _without(hashes, self._common) if self._own[place] else hashes
        share = jaccard(own, others)
        if share >= settings.whole and same_values(item, text):
            return Hit(self._names[place], "whole", share)
        weight = self._weights[place]
        if weight >= 1:
            held = num_common(own, others) / len(own)
            if held >= settings.embedded and held_values(item, _part_like(text, item)):
                return Hit(self._names[place], "embedded", held)
        elif _holds(text, item) and (weight >= _SHORTEST or len(item) >= settings.whole * len(text)):
            return Hit(self._names[place], "embedded", 1.0)
        return None

    def _hashes_of(self, place: int) -> Hashes:
        """The shingles that count for an item; those asked for lately are kept."""
        found = self._known.pop(place, None)
        if found is None:
            made = shingles([self._texts[place]], folded=True)
            found = _without(made[0], self._common) if self._own[place] else made[0]
        self._known[place] = found
        if len(self._known) > _BATCH:
            del self._known[next(iter(self._known))]
        return found

    def _index(self) -> tuple[Hashes, npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Rare shingles in order, the item of each, and a filter of them by their upper bits.

        Hashes are as good as random, so that the smallest of an item are a fair sample of it; of these the ones that
        the fewest other items hold.
        """
        np = numpy()
        samples: list[Hashes] = []
        heads = [np.empty(0, np.uint32)]
        for start in range(0, len(self._texts), _BATCH):
            made = shingles(self._texts[start : start + _BATCH], folded=True)
            for place in range(len(made)):
                all_hashes = made[place]
                own = _without(all_hashes, self._common)
                is_own = len(own) >= _OWN
                self._own.append(is_own)
                kept = own if is_own else all_hashes
                samples.append(kept[:_SKETCH].copy())  # not a view, which would hold the whole batch
                heads.append(heads_of(kept))
                part = len(kept) / len(all_hashes) if len(all_hashes) else 1.0
                self._weights.append(part * self._weight(made, place))
        self._heads = np.concatenate(heads)
        self._starts = np.cumsum([len(one) for one in heads])
        hashes = np.concatenate([*samples, np.empty(0, np.uint64)])
        owners = np.repeat(np.arange(len(samples), dtype=np.int32), [len(sample) for sample in samples])
        _, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        order = np.lexsort((hashes, counts[which], owners))
        rank = np.arange(len(order)) - np.searchsorted(owners, owners)
        order = order[rank < _ANCHORS]  # owners ascend, and so do they in the new order
        hashes, owners = hashes[order], owners[order]
        matched = _MATCHED * min(self._settings.whole, self._settings.embedded)
        self._needed = np.ceil(matched * np.bincount(owners, minlength=len(samples))).astype(np.int64)
        order = np.lexsort((owners, hashes))
        hashes, owners = hashes[order], owners[order]
        passes = np.zeros(1 << _BITS, bool)
        passes[hashes >> np.uint64(64 - _BITS)] = True
        return hashes, owners, passes

    def _weight(self, made: Shingles, place: int) -> float:
        """Length of an item in units of that from which on it is telling."""
        num_signs = len(_SIGN.findall(made.texts[place]))
        num_words = len(_WORD.findall(made.texts[place]))
        return num_words / self._settings.words + num_signs / self._settings.characters


_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SIGN = re.compile(f"[{_NO_SPACES}]")
_WORD = re.compile(f"[^\\s{_NO_SPACES}]+")


def _common(texts: Sequence[str]) -> Hashes:
    """Shingles that many items hold, ascending."""
    np = numpy()
    step = max(1, math.ceil(len(texts) / _SAMPLE))
    sample = texts[::step]
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(sample), _BATCH):
        parts.append(shingles(sample[start : start + _BATCH], folded=True).hashes)
    hashes, counts = np.unique(np.concatenate(parts), return_counts=True)
    common: Hashes = hashes[counts >= max(_COMMON_ITEMS, _COMMON * len(sample))]
    return common


def _without(hashes: Hashes, common: Hashes) -> Hashes:
    np = numpy()
    if len(common) == 0 or len(hashes) == 0:
        return hashes
    places = np.minimum(np.searchsorted(common, hashes), len(common) - 1)
    rest: Hashes = hashes[common[places] != hashes]
    return rest


def _part_like(text: str, item: str) -> str:
    """The part of a text that is most like an item: values further away are not the item's.

    Every character where a run of `_RUN` begins that is the item's too counts 2 for a part, every other one 1 against
    it; the part with the largest sum (Kadane), and on either side as much more as the item has before and after it, at
    most as long as a run.
    """
    starts = range(len(item) - _RUN + 1)
    last = {item[start : start + _RUN]: start for start in starts}
    first = {item[start : start + _RUN]: start for start in reversed(starts)}
    best, left, right = 0, 0, 0
    total, begin = 0, 0
    for start in range(len(text) - _RUN + 1):
        if total <= 0:
            total, begin = 0, start
        total += 2 if text[start : start + _RUN] in first else -1
        if total > best:
            best, left, right = total, begin, start
    if not best:
        return ""
    before = min(_RUN, first[text[left : left + _RUN]])
    after = min(_RUN, len(item) - _RUN - last[text[right : right + _RUN]])
    return text[max(0, left - before) : right + _RUN + after]


def _holds(text: str, item: str) -> bool:
    """Whether a text holds an item, not inside of longer words or numbers."""
    start = text.find(item)
    while start >= 0:
        end = start + len(item)
        before, after = text[start - 1 : start] + item[0], item[-1] + text[end : end + 1]
        if not (_LATIN_PAIR.fullmatch(before) or _LATIN_PAIR.fullmatch(after)):
            return True
        start = text.find(item, start + 1)
    return False


_LATIN_PAIR = re.compile(f"[^\\W{_NO_SPACES}]{{2}}")


def _texts(record: dict[str, Any], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for column in columns or record:
        for text in _inside(record.get(column)):
            yield column, text


def _inside(value: Any) -> Iterator[str]:
    """Every text in a JSON value, such as the turns of a conversation; but not who speaks."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in ("role", "from", "type"):
                yield from _inside(item)
