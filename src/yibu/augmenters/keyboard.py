"""Slips of the fingers: the key beside, two letters swapped, one doubled or left out; for Chinese, in the pinyin typed.

A Chinese word is typed as letters, so the slip happens there: 是 (shi) becomes 数 (shu) by the key beside, or 司 (si)
by one of the pairs that half of the country does not tell apart (zh/z, n/l, in/ing).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from yibu.augmenters import NoiseSettings
from yibu.augmenters._noise import Noise
from yibu.augmenters._readings import by_syllable, is_common, readings
from yibu.core.edits import Edit

_USE = "keyboard noise in Chinese text"
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHIFT = (0.0, 0.25, 0.75)  # of each row to the right, in keys
_FUZZY = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("n", "l"), ("h", "f"), ("r", "l"))
_FUZZY_ENDS = (("ang", "an"), ("eng", "en"), ("ing", "in"))


def _beside() -> dict[str, str]:
    """Letter -> the letters whose keys touch its own, the nearest first."""
    keys = {key: (x + _SHIFT[y], y) for y, row in enumerate(_ROWS) for x, key in enumerate(row)}

    def apart(one: str, other: str) -> float:
        return (keys[one][0] - keys[other][0]) ** 2 + (keys[one][1] - keys[other][1]) ** 2

    return {
        key: "".join(sorted((other for other in keys if 0 < apart(key, other) < 2), key=lambda o: (apart(key, o), o)))
        for key in keys
    }


BESIDE = _beside()
"""Lower-case letter -> the letters on the keys that touch its own (QWERTY), the nearest first."""


class Settings(NoiseSettings):
    """Table ``{kind: keyboard, ...}``."""

    kind: Literal["keyboard"] = "keyboard"
    latin: bool = Field(default=True, description="slips in words of Latin letters")
    pinyin: bool = Field(default=True, description="slips in the pinyin of Chinese characters")
    common: int = Field(default=2500, ge=100, le=3755, description="replacements are among so many frequent characters")


class Augmenter(Noise[Settings]):
    """See `yibu.augmenters`."""

    def candidates(self, text: str) -> Iterator[Edit]:
        if self._settings.latin:
            yield from _latin(text)
        if self._settings.pinyin:
            for place, reading in readings(text, _USE):
                for new in _mistyped(reading[:-1]):
                    if new != text[place] and is_common(new, self._settings.common):
                        yield Edit(place, place + 1, new)


def _latin(text: str) -> Iterator[Edit]:
    for place, character in enumerate(text):
        near = BESIDE.get(character.lower())
        if near is None:
            continue
        upper = character.isupper()
        substitutes = [Edit(place, place + 1, new.upper() if upper else new) for new in near]
        yield from substitutes[:2]
        following = text[place + 1 : place + 2]
        if following.lower() in BESIDE and following.lower() != character.lower():
            yield Edit(place, place + 2, following + character)
        inside = place > 0 and text[place - 1].lower() in BESIDE and following.lower() in BESIDE
        if inside:  # the first letter is rarely lost, and a word of one letter would vanish
            yield Edit(place, place + 1, "")
        yield Edit(place, place + 1, character * 2)
        yield from substitutes[2:]


@functools.lru_cache(maxsize=1024)
def _mistyped(syllable: str) -> str:
    """The likeliest characters of the syllables that one slip makes of this one: confused sounds, then keys beside."""
    syllables = by_syllable(_USE)
    made: list[str] = []
    for one, other in _FUZZY:
        for had, gets in ((one, other), (other, one)):
            if syllable.startswith(had) and not (len(had) == 1 and syllable.startswith(had + "h")):
                made.append(gets + syllable[len(had) :])
    for one, other in _FUZZY_ENDS:
        for had, gets in ((one, other), (other, one)):
            if syllable.endswith(had):
                made.append(syllable[: -len(had)] + gets)
    for place, letter in enumerate(syllable):
        made += [syllable[:place] + near + syllable[place + 1 :] for near in BESIDE.get(letter, "")]
    made = [other for other in dict.fromkeys(made) if other != syllable and other in syllables]
    return "".join(syllables[other][0] for other in made) + "".join(syllables[other][1:2] for other in made)
