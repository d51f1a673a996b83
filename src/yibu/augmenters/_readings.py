"""Readings of Chinese characters, and the common characters that share one."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from yibu.augmenters._characters import CHARACTERS
from yibu.core.errors import MissingExtra

_HAN = re.compile(r"[\u4e00-\u9fff]+")


def readings(text: str, use: str) -> Iterator[tuple[int, str]]:
    """Place and reading (``hang2``; 5 is the neutral tone) of each Chinese character, in its context: 银行 is yin hang.

    Args:
        text: any text.
        use: what asks, for the error.

    Raises:
        MissingExtra: pypinyin is not installed.
    """
    for run in _HAN.finditer(text):
        lazy_pinyin, style = _pypinyin(use)
        read = lazy_pinyin(run.group(), style=style, neutral_tone_with_five=True, errors=lambda rest: [""] * len(rest))
        if len(read) == len(run.group()):  # else pypinyin joined some of them, and places cannot be told
            yield from ((run.start() + place, reading) for place, reading in enumerate(read) if reading)


@functools.cache
def by_reading(use: str) -> dict[str, str]:
    """Reading with tone -> the common characters that are mostly read so, the most frequent first."""
    lazy_pinyin, style = _pypinyin(use)
    found: dict[str, str] = {}
    for character in CHARACTERS:
        (reading,) = lazy_pinyin(character, style=style, neutral_tone_with_five=True)
        found[reading] = found.get(reading, "") + character
    return found


@functools.cache
def by_syllable(use: str) -> dict[str, str]:
    """Reading without tone -> the common characters that are mostly read so, the most frequent first."""
    rank = {character: place for place, character in enumerate(CHARACTERS)}
    found: dict[str, list[str]] = {}
    for reading, characters in by_reading(use).items():
        found.setdefault(reading[:-1], []).extend(characters)
    return {syllable: "".join(sorted(group, key=rank.__getitem__)) for syllable, group in found.items()}


def is_common(character: str, num_common: int) -> bool:
    """Whether a character is among the so many most frequent."""
    return character in _first(num_common)


@functools.cache
def _first(num_common: int) -> frozenset[str]:
    return frozenset(CHARACTERS[:num_common])


def _pypinyin(use: str):  # type: ignore[no-untyped-def]
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise MissingExtra("pypinyin", extra="data", use=use) from error
    return lazy_pinyin, Style.TONE3
