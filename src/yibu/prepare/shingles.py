"""Texts as sets of shingles: what near copies and leaks are measured by.

A text is folded (`yibu.prepare.same`), Traditional characters become Simplified, and it is cut into tokens: every
character of a script that is written without spaces is one (Chinese, kana, Thai), every letter and digit that stands
in one run with such characters is one (1490 in 价值1490元), and every other run of signs up to the next space is one. A
shingle is five tokens in a row where the first is such a character, else three. Three words of English say about as
much as five characters of Chinese, so that one threshold allows about the same share of edits in both, and texts that
mix scripts need no decision about their language. (Longer shingles of words find fewer copies: one replaced word in a
note of 40 takes 5 of 36 five-word shingles with it, and a pair of such notes is 0.76 alike.)

A shingle is a 64-bit number. Two different shingles share one with a chance of 5e-20, so that the Jaccard similarity of
two sets of numbers is the exact one. All arithmetic is that of unsigned integers: the same numbers on every machine.

Legend: C characters, T tokens, H hashes, N texts.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yibu.core.errors import MissingExtra
from yibu.prepare.same import fold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]
    Codes = npt.NDArray[np.uint32]
    Classes = npt.NDArray[np.uint8]

NUM_WORDS = 3  # tokens of a shingle that begins with a word
NUM_SIGNS = 5  # tokens of a shingle that begins with a character of a script without spaces

# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer; CJK radicals, kana, ideographs; their supplements.
NO_SPACES = (
    (0x0E00, 0x0F00),
    (0x1000, 0x10A0),
    (0x1780, 0x1800),
    (0x2E80, 0x3001),
    (0x3005, 0x3008),
    (0x3021, 0x3130),
    (0x3190, 0xA000),
    (0xF900, 0xFB00),
    (0x20000, 0x40000),
)
_IDEOGRAPHS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2FA20))
_TABLE_END = 0x40000  # codes from here on (tags, private use) count as letters of words
_SEPARATOR, _LETTER, _SIGN = 0, 1, 2
_LONGEST = 4096  # letters of one word after which positions are counted anew


@dataclass(frozen=True, slots=True)
class Shingles:
    """The distinct shingles of several texts.

    Attributes:
        texts: folded, in Simplified characters.
        hashes: ascending within each text, one text after the other [H].
        starts: where each text begins, and the end of the last [N + 1].
    """

    texts: list[str]
    hashes: Hashes
    starts: npt.NDArray[np.int64]

    def __getitem__(self, place: int) -> Hashes:
        return self.hashes[self.starts[place] : self.starts[place + 1]]

    def __len__(self) -> int:
        return len(self.texts)


def jaccard(one: Hashes, other: Hashes) -> float:
    """|A and B| / |A or B| of two ascending arrays of distinct hashes; 0 where both are empty."""
    both = num_common(one, other)
    either = len(one) + len(other) - both
    return both / either if either else 0.0


def num_common(one: Hashes, other: Hashes) -> int:
    """How many hashes two ascending arrays of distinct hashes share."""
    np = numpy()
    merged = np.concatenate((one, other))
    merged.sort()
    return int(np.count_nonzero(merged[1:] == merged[:-1]))


def shingles(texts: Sequence[str], *, folded: bool = False) -> Shingles:
    """The shingles of each text. Much faster for a hundred texts at once than for each alone.

    Args:
        texts: of any length; one with fewer tokens than a shingle has none.
        folded: whether they already went through `yibu.prepare.same.fold`.

    Raises:
        MissingExtra: numpy is not installed, or opencc is not and there are Chinese characters.
    """
    np = numpy()
    whole, codes_C = _codes(texts if folded else [fold(text) for text in texts])
    class_C = _spelled_out(_classes()[np.minimum(codes_C, _TABLE_END - 1)])
    before_C = np.empty_like(class_C)
    before_C[:1] = _SEPARATOR
    before_C[1:] = class_C[:-1]
    starts_T = np.flatnonzero((class_C == _SIGN) | ((class_C == _LETTER) & (before_C != _LETTER)))
    # Each text ends with a line feed, and holds none.
    ends_N = np.flatnonzero(codes_C == 10)
    bounds_N = np.concatenate((np.zeros(1, np.int64), np.searchsorted(starts_T, ends_N)))
    if len(starts_T) == 0:
        return Shingles(whole, np.empty(0, np.uint64), bounds_N)
    tokens_T = _token_hashes(codes_C, class_C, starts_T)
    hashes_H, bounds_N = _windows(tokens_T, class_C[starts_T] == _SIGN, bounds_N)
    return Shingles(whole, *_distinct(hashes_H, bounds_N))


def simplified(text: str) -> str:
    """The text with every Traditional character replaced by its Simplified one, character by character.

    For comparing, not for reading: OpenCC's phrases (which keep 乾坤) are left out, so that the result of a
    character does not hang on its neighbours.

    Raises:
        MissingExtra: opencc is not installed, and there are Chinese characters.
    """
    return text if text.isascii() else _codes([text])[0][0]


def numpy() -> Any:
    """The module numpy.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise MissingExtra("numpy", extra="data", use="finding near copies") from error
    return np


def _codes(texts: Sequence[str]) -> tuple[list[str], Codes]:
    """The texts in Simplified characters, and their code points with a line feed after each."""
    np = numpy()
    texts = [text.replace("\n", " ") for text in texts]
    whole = "\n".join(texts) + "\n" if texts else ""
    codes_C = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)
    if whole.isascii() or not ((codes_C >= 0x3400) & (codes_C < _TABLE_END)).any():
        return texts, codes_C
    simple_C = _simple()[np.minimum(codes_C, _TABLE_END - 1)]
    simple_C = np.where(codes_C < _TABLE_END, simple_C, codes_C)
    if (simple_C == codes_C).all():
        return texts, codes_C
    return simple_C.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass").split("\n")[:-1], simple_C


def _spelled_out(class_C: Classes) -> Classes:
    """The same, with the letters and digits of runs that touch a sign as signs of their own (1490 in 价值1490元)."""
    np = numpy()
    is_sign_C = class_C == _SIGN
    if not is_sign_C.any():
        return class_C
    is_letter_C = np.zeros(len(class_C) + 2, bool)
    is_letter_C[1:-1] = class_C == _LETTER
    steps = np.diff(is_letter_C.view(np.int8))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)  # of runs of letters
    # Each text ends with a separator, so that none of the neighbours asked for is in another text.
    touches = is_sign_C[ends] | (is_sign_C[starts - 1] & (starts > 0))
    inside_C = np.zeros(len(class_C) + 1, np.int8)
    inside_C[starts[touches]] = 1
    inside_C[ends[touches]] -= 1
    spelled_C: Classes = np.where(np.cumsum(inside_C[:-1]) > 0, np.uint8(_SIGN), class_C)
    return spelled_C


def _token_hashes(codes_C: Codes, class_C: Classes, starts_T: npt.NDArray[np.intp]) -> Hashes:
    """One number per token: the sum of its mixed characters times the power of their position."""
    np = numpy()
    num_chars = len(codes_C)
    lengths_T = np.diff(starts_T, append=num_chars)
    position_C = np.arange(num_chars) - starts_T[0]
    position_C[starts_T[0] :] -= np.repeat(starts_T - starts_T[0], lengths_T)
    mixed_C = codes_C.astype(np.uint64)
    mixed_C += np.uint64(1)
    mixed_C *= np.uint64(0x9E3779B97F4A7C15)
    mixed_C ^= mixed_C >> np.uint64(29)
    mixed_C *= _powers()[position_C % _LONGEST]
    mixed_C[class_C == _SEPARATOR] = 0
    tokens_T: Hashes = np.add.reduceat(mixed_C, starts_T)
    return tokens_T


def _windows(
    tokens_T: Hashes, is_sign_T: npt.NDArray[np.bool_], bounds_N: npt.NDArray[np.int64]
) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Hashes of all shingles, and where those of each text begin."""
    np = numpy()
    powers = _powers()
    num_tokens = len(tokens_T)
    padded = np.concatenate((tokens_T, np.zeros(NUM_SIGNS, np.uint64)))
    hashes_T = tokens_T * powers[1]
    for step in range(1, NUM_WORDS):
        hashes_T += padded[step : step + num_tokens] * powers[step + 1]
    rest_T = padded[NUM_WORDS : NUM_WORDS + num_tokens] * powers[NUM_WORDS + 1]
    for step in range(NUM_WORDS + 1, NUM_SIGNS):
        rest_T += padded[step : step + num_tokens] * powers[step + 1]
    hashes_T += np.where(is_sign_T, rest_T, np.uint64(0))
    width_T = np.where(is_sign_T, NUM_SIGNS, NUM_WORDS)
    fits_T = np.arange(num_tokens) + width_T <= np.repeat(bounds_N[1:], np.diff(bounds_N))
    bounds_N = np.concatenate((np.zeros(1, np.int64), np.cumsum(fits_T)))[bounds_N]
    hashes_H = hashes_T[fits_T]
    # The finaliser of SplitMix64 (Steele et al. 2014): every bit of the sum moves every bit of the hash.
    hashes_H ^= hashes_H >> np.uint64(30)
    hashes_H *= np.uint64(0xBF58476D1CE4E5B9)
    hashes_H ^= hashes_H >> np.uint64(27)
    hashes_H *= np.uint64(0x94D049BB133111EB)
    hashes_H ^= hashes_H >> np.uint64(31)
    return hashes_H, bounds_N


def _distinct(hashes_H: Hashes, bounds_N: npt.NDArray[np.int64]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    np = numpy()
    bounds = bounds_N.tolist()
    for start, end in itertools.pairwise(bounds):
        hashes_H[start:end].sort()
    is_new_H = np.ones(len(hashes_H), bool)
    is_new_H[1:] = hashes_H[1:] != hashes_H[:-1]
    is_new_H[bounds_N[:-1][bounds_N[:-1] < len(hashes_H)]] = True
    new_bounds_N = np.concatenate((np.zeros(1, np.int64), np.cumsum(is_new_H)))[bounds_N]
    return hashes_H[is_new_H], new_bounds_N


@functools.cache
def _powers() -> Hashes:
    np = numpy()
    base, powers = 0xD6E8FEB86659FD93, [1]
    for _ in range(_LONGEST - 1):
        powers.append(powers[-1] * base % 2**64)
    made: Hashes = np.array(powers, np.uint64)
    return made


@functools.cache
def _classes() -> Classes:
    """Code -> what it is to a tokenizer."""
    np = numpy()
    classes: Classes = np.full(_TABLE_END, _LETTER, np.uint8)
    for start, end in NO_SPACES:
        classes[start:end] = _SIGN
    for code in (*range(0x21), *range(0x7F, 0xA1), 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x3000):
        classes[code] = _SEPARATOR
    return classes


@functools.cache
def _simple() -> Codes:
    """Code -> code of the Simplified character."""
    np = numpy()
    try:
        import opencc
    except ImportError as error:
        raise MissingExtra("opencc", extra="data", use="finding near copies in Chinese text") from error
    table: Codes = np.arange(_TABLE_END, dtype=np.uint32)
    codes = [code for start, end in _IDEOGRAPHS for code in range(start, end)]
    # A line each: what stands next to a character cannot make a phrase with it.
    simple = opencc.OpenCC("t2s").convert("\n".join(map(chr, codes))).split("\n")
    for code, sign in zip(codes, simple, strict=True):
        if len(sign) == 1:
            table[code] = ord(sign)
    return table
