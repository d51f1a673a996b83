"""Text as the dictionary sees it: one form for what is written in several ways and means the same.

Full-width letters, digits and brackets become ASCII, hyphens and apostrophes one kind, subscript digits plain ones
(CO₂), Roman numerals letters (Ⅱ becomes ii), a line break or a run of white space one space, and letters small. What
the folding does to the length is remembered, so that a place found in the folded text is a place in the text.

Superscripts stay (10⁹ is not 109), and so does a blank line: no term reaches from one paragraph into the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_KEPT_WIDE = "，！？：；"  # they end clauses, and half of all Chinese text would have to be copied for them
_WIDE = {wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F) if chr(wide) not in _KEPT_WIDE}
_SPACES = dict.fromkeys((0x09, 0x0B, 0x0C, 0x0D, 0xA0, 0x2002, 0x2003, 0x2009, 0x202F, 0x3000), " ")
_HYPHENS = dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-")
_APOSTROPHES = dict.fromkeys((0x2018, 0x2019, 0x02BC, 0x2032), "'")
_SUBSCRIPTS = {0x2080 + digit: str(digit) for digit in range(10)}
_LETTERS = {0xB5: "μ"}  # the micro sign
_EVEN = _WIDE | _SPACES | _HYPHENS | _APOSTROPHES | _SUBSCRIPTS | _LETTERS

_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "L", "C", "D", "M")
_LONGER = {chr(0x2160 + place): name for place, name in enumerate(_NUMERALS)}
_LONGER |= {chr(0x2170 + place): name.lower() for place, name in enumerate(_NUMERALS)}
_LONGER["\u0130"] = "I"  # the one letter that grows when it is made small

_SPECIAL = re.compile("[" + "".join(re.escape(chr(code)) for code in sorted(_EVEN)) + "]")
_UNEVEN = re.compile(r"\s\s+|[" + "".join(_LONGER) + "]")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")


class Folded(NamedTuple):
    """A folded text.

    Attributes:
        text: the folded text.
        places: for each of its characters the place in the original; None where every place is the same.
    """

    text: str
    places: Sequence[int] | None

    def original(self, start: int, end: int) -> tuple[int, int] | None:
        """A span in the original text, or None where a border falls into the middle of one original character."""
        places = self.places
        if places is None:
            return start, end
        if start and places[start - 1] == places[start]:
            return None
        if end < len(places) and places[end] == places[end - 1]:
            return None
        return places[start], places[end - 1] + 1


def fold(text: str, ignore_case: bool = True) -> Folded:
    """The folded text and the way back."""
    if text.isascii() and "  " not in text and text.isprintable():  # most English text; nothing but case is left
        return Folded(text.lower() if ignore_case else text, None)
    places: list[int] | None = None
    if "\n" in text:
        if _BLANK_LINE.search(text):
            text = _BLANK_LINE.sub(lambda run: "\0" * len(run[0]), text)
        text = text.replace("\n", " ")
    if _UNEVEN.search(text):
        text, places = _even(text)
    if _SPECIAL.search(text):
        text = text.translate(_EVEN)
    return Folded(text.lower().replace("ς", "σ") if ignore_case else text, places)


def key(term: str, ignore_case: bool = True) -> str:
    """The form in which a term of the dictionary is looked up."""
    return fold(term, ignore_case).text.strip()


def is_word(character: str) -> bool:
    """Whether a character goes on with a word of a script that parts words by spaces: letters, digits, accents.

    Chinese, Japanese, Korean, Thai, Lao, Burmese and Khmer letters do not: there a term may begin and end anywhere.
    """
    if character.isascii():
        return character.isalnum()
    code = ord(character)
    if code >= 0x2E80 or 0x0E00 <= code < 0x0F00 or 0x1000 <= code < 0x10A0 or 0x1780 <= code < 0x1800:
        return False
    return character.isalpha() or 0x0300 <= code < 0x0370


def is_numeral(character: str) -> bool:
    """Whether a character is a Roman numeral of its own (Ⅲ), which folding spells out."""
    return character in _LONGER


def _even(text: str) -> tuple[str, list[int]]:
    """Runs of white space as one space, numerals spelled out."""
    pieces: list[str] = []
    places: list[int] = []
    end = 0
    for found in _UNEVEN.finditer(text):
        start = found.start()
        pieces.append(text[end:start])
        places.extend(range(end, start))
        piece = found[0]
        new = _LONGER.get(piece, " ")
        pieces.append(new)
        places.extend([start] * len(new))
        end = found.end()
    pieces.append(text[end:])
    places.extend(range(end, len(text)))
    return "".join(pieces), places
