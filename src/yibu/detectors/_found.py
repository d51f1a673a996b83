"""What a detector finds, and the few tests on neighbours that every detector of numbers needs."""

from __future__ import annotations

import re
from typing import NamedTuple


class Found(NamedTuple):
    """Personal data in a text: ``text[start:end]`` is of this kind. Offsets in characters, end exclusive.

    ``certain`` says that a check digit or a format that means nothing else proves it; what is only plausible is masked
    as well, but gives way to what is certain.
    """

    start: int
    end: int
    kind: str
    certain: bool


_DIGIT = re.compile("[0-9]")
_LETTERS_AND_DIGITS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def has_digit(text: str) -> bool:
    """Whether there is an ASCII digit, the cheapest reason not to look any further."""
    return _DIGIT.search(text) is not None


def stands_alone(text: str, start: int, end: int, joins: str = "") -> bool:
    """Whether no ASCII letter, digit or underscore touches the span, nor a decimal point or comma between digits.

    This is what ``\\b`` means for Latin text; Chinese characters may touch, since they are no part of a number.

    Args:
        text: the whole text.
        start: of the span.
        end: of the span, exclusive.
        joins: further characters that make the span a part of something longer where they touch it.
    """
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if before in _LETTERS_AND_DIGITS or after in _LETTERS_AND_DIGITS or before in joins or after in joins:
        return False
    if before in ".," and start > 1 and text[start - 2].isdigit():
        return False
    return not (after in ".," and end + 1 < len(text) and text[end + 1].isdigit())


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1 annex B (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0
