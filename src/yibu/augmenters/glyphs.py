"""Chinese characters of similar shape (己 and 已, 货 and 贷): slips of hand-writing, stroke input and reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from yibu.augmenters import NoiseSettings
from yibu.augmenters._noise import Noise
from yibu.augmenters._shapes import ALIKE
from yibu.core.edits import Edit


class Settings(NoiseSettings):
    """Table ``{kind: glyphs, ...}``."""

    kind: Literal["glyphs"] = "glyphs"
    choices: int = Field(default=4, ge=1, le=4, description="look-alikes considered for one character")


class Augmenter(Noise[Settings]):
    """See `yibu.augmenters`."""

    def candidates(self, text: str) -> Iterator[Edit]:
        for place, character in enumerate(text):
            yield from (Edit(place, place + 1, new) for new in ALIKE.get(character, "")[: self._settings.choices])
