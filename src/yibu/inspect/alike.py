"""Words that are nearly equal: how many edits lie between two, which words lie near another, which edits carry meaning.

Edits that carry meaning are no typos: digits (I10, I11), hyper and hypo, a prefix that negates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

_DIGIT = re.compile(r"\d")
# Prefixes and words that turn a meaning round, though they are one or two edits apart.
_OPPOSITES = (
    ("hyper", "hypo"), ("in", ""), ("un", ""), ("im", ""), ("ir", ""), ("il", ""), ("a", ""), ("de", ""), ("re", ""),
    ("ab", "ad"), ("ex", "im"), ("inter", "intra"), ("infra", "intra"), ("macro", "micro"), ("en", "un"), ("fe", ""),
)  # fmt: skip


def carries_meaning(one: str, other: str) -> bool:
    """Whether two similar names differ in what decides their meaning: a digit, a negation, hyper and hypo."""
    if _digits(one) != _digits(other):
        return True
    one, other = one.casefold(), other.casefold()
    return any(
        one.startswith(left) and other.startswith(right) and one[len(left) :] == other[len(right) :]
        for pair in _OPPOSITES
        for left, right in (pair, pair[::-1])
    ) or any(sign in one + other and one.replace(sign, "") == other.replace(sign, "") for sign in "+-<>≤≥非无不未")


def edits(one: str, other: str, limit: int) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours between two texts (Damerau 1964, optimal string
    alignment); ``limit + 1`` where they are more than the limit."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, above, row = row, before, [place]
        for column, against in enumerate(other, start=1):
            cost = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != against))
            if place > 1 and column > 1 and letter == other[column - 2] and one[place - 2] == against:
                cost = min(cost, above[column - 2] + 1)
            row.append(cost)
        if min(row) > limit and (not before or min(before) > limit):
            return limit + 1
    return min(row[-1], limit + 1)


class Near:
    """Finds words within so many edits of another: with k edits, one of k + 1 parts of the word is untouched.

    A swap of neighbours may touch two parts, so there is one part more for each edit. Words with other digits are not
    looked for, since `carries_meaning` would refuse them: without that, thousands of codes would all be neighbours.
    """

    def __init__(self, words: Iterable[str], limit: int) -> None:
        self._limit = limit
        self._parts: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for word in words:
            for start, part in self._cut(word):
                self._parts[_digits(word), start, part].append(word)

    def of(self, word: str) -> list[tuple[str, int]]:
        """The words within the limit, but the word itself, sorted, with their distances."""
        found: set[str] = set()
        digits = _digits(word)
        for length in range(max(1, len(word) - self._limit), len(word) + self._limit + 1):
            for start, size in self._places(length):
                for shift in range(-self._limit, self._limit + 1):
                    if start + shift >= 0:
                        part = word[start + shift : start + shift + size]
                        if len(part) == size:
                            found.update(w for w in self._parts.get((digits, start, part), ()) if len(w) == length)
        found.discard(word)
        distances = ((other, edits(word, other, self._limit)) for other in sorted(found))
        return [(other, distance) for other, distance in distances if distance <= self._limit]

    def _cut(self, word: str) -> Iterator[tuple[int, str]]:
        for start, size in self._places(len(word)):
            yield start, word[start : start + size]

    def _places(self, length: int) -> list[tuple[int, int]]:
        num_parts = min(2 * self._limit + 1, max(1, length))
        cuts = [length * part // num_parts for part in range(num_parts + 1)]
        return [(start, end - start) for start, end in pairwise(cuts) if end > start]


def _digits(text: str) -> str:
    return "".join(_DIGIT.findall(text))
