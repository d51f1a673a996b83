"""Numbers that only the word before them explains: 住院号 0012345, MRN: 12345, account no. 4711.

Looking for every word in every text would be slow, and most texts hold few numbers. So the numbers are found first,
once for all detectors, with the words before each; a detector then only asks whether those end with one of its own.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

REACH = 36
"""How many characters before a number are looked at."""

# A run of letters, digits and joining signs that holds a digit. At most six letters stand before the first digit.
_TOKEN = re.compile(
    r"[0-9A-Za-z](?<![0-9A-Za-z_].)(?:(?<=[0-9])|[A-Za-z]{0,5}[-_]?[0-9])[0-9A-Za-z]*"
    r"(?:[-_/.·*]?[0-9A-Za-z]*[0-9][0-9A-Za-z]*| (?=[0-9]{2,6}(?![0-9A-Za-z]))[0-9]+)*"
)
_SHORT = re.compile(r"[0-9]{1,2}(?![0-9A-Za-z])|[0-9]+\.[0-9]+(?![0-9A-Za-z.-])")
# What may stand between the word and its number; a mark says that a number is meant, not a count or a year.
_MARKS = re.compile(
    r"(?:[ \t]*(?:\([^()\n]{1,12}\)[ \t]*)?"
    r"(?:号码|號碼|编号|编码|代码|号|码|(?<![a-z])(?:no|nr|num|number|id|code)(?![a-z])\.?|"
    r"[:：=#]|\b(?:is|was)\b|为|是))+[ \t\n]*$"
)


class Label(NamedTuple):
    """Words that may stand before a number of one kind, in lower case."""

    marked: tuple[str, ...]
    bare: tuple[str, ...]


class Labelled(NamedTuple):
    """A number-like token and what stands before it, in lower case, marks such as 号, no. and a colon taken off."""

    start: int
    end: int
    value: str
    before: str
    marked: bool


@functools.lru_cache(maxsize=4)
def tokens(text: str) -> tuple[Labelled, ...]:
    """Tokens of at least three characters with a digit, decimals left out."""
    result = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if end - start < 3 or _SHORT.fullmatch(match[0]):
            continue
        before = text[max(0, start - REACH) : start].lower()
        marks = _MARKS.search(before)
        result.append(
            Labelled(start, end, match[0], before[: marks.start()] if marks else before.rstrip(), marks is not None)
        )
    return tuple(result)


def label(*words: str, bare: tuple[str, ...] = ()) -> Label:
    """Words before a number of one kind.

    Args:
        words: plain words, lower case; a mark such as 号, no., id, a colon must follow them.
        bare: those after which the number may follow at once.
    """
    return Label((*words, *bare), bare)


def numbers_after(text: str, words: Label, value: re.Pattern[str]) -> list[tuple[int, int]]:
    """Spans of tokens that begin with a full match of ``value`` and have one of the words before them."""
    result = []
    for token in tokens(text):
        known = words.marked if token.marked else words.bare
        if known and token.before.endswith(known) and _whole(token.before, known):
            found = value.match(token.value)
            if found is not None and not token.value[found.end() : found.end() + 1].isalnum():
                result.append((token.start, token.start + found.end()))
    return result


def _whole(before: str, words: tuple[str, ...]) -> bool:
    """Whether one of the words ends the text and is not the tail of a longer English word."""
    for word in words:
        if before.endswith(word):
            left = before[-len(word) - 1 : -len(word)]
            if not (word[0].isascii() and left.isascii() and left.isalnum()):
                return True
    return False
