"""The word lists that names and addresses are told by, read once and only when they are first asked for.

Where each comes from and under which licence stands at the head of its file in ``data/``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent / "data"
_UNSPLIT = str.maketrans({"ø": "o", "ß": "ss", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


def fold(word: str) -> str:
    """Lower case without accents, as the English lists are written: Šárka becomes sarka."""
    word = word.lower()
    if word.isascii():
        return word
    import unicodedata

    letters = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).translate(_UNSPLIT)


def spaced(text: str) -> frozenset[str]:
    """A set of words written with spaces between them."""
    return frozenset(text.split())


@functools.cache
def words(name: str) -> frozenset[str]:
    """A list of words parted by white space: ``given_names``, ``surnames``, ``ambiguous``, ``words_en``."""
    return frozenset(word for line in _lines(name) for word in line.split())


def is_given_name(word: str) -> bool:
    """Whether the list of given names in Latin script has the word."""
    return fold(word) in words("given_names")


class NameCharacters(NamedTuple):
    """Log-odds (x 10) of characters, by their place in a Chinese name."""

    surname: dict[str, int]
    first: dict[str, int]
    second: dict[str, int]
    only: dict[str, int]


@functools.cache
def name_characters() -> NameCharacters:
    """How much more frequent a character is at a place of a name than in running text."""
    table = NameCharacters({}, {}, {}, {})
    for line in _lines("name_characters"):
        character, surname, *rest = line.split()
        if surname != "-":
            table.surname[character] = int(surname)
        for place, value in zip((table.first, table.second, table.only), rest, strict=True):
            place[character] = int(value)
    return table


@functools.cache
def chinese_words() -> frozenset[str]:
    """Frequent words of two characters, and of three that begin like a name."""
    size = 2
    result: set[str] = set()
    for line in (_FOLDER / "words_zh.txt").read_text(encoding="utf-8").splitlines():
        if line == "#3":
            size = 3
        elif not line.startswith("#"):
            result.update(line[place : place + size] for place in range(0, len(line), size))
    return frozenset(result)


@functools.cache
def chinese_places() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Provinces, prefectures and counties, with their 省, 市, 区."""
    levels: list[set[str]] = []
    for line in (_FOLDER / "places_zh.txt").read_text(encoding="utf-8").splitlines():
        if line == "#":
            levels.append(set())
        elif not line.startswith("#"):
            levels[-1].update(line.split())
    provinces, prefectures, counties = map(frozenset, levels)
    return provinces, prefectures, counties


def _lines(name: str) -> list[str]:
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]
