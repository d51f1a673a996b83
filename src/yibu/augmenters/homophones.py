"""Chinese homophones: the slip of everyone who types by sound (权利 and 权力, 账户 and 帐户).

Replacements are read as the character is read in its place (银行 is yin hang), come from the most frequent characters,
those of the same tone first and the frequent ones before the rare: as an input method offers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from yibu.augmenters import NoiseSettings
from yibu.augmenters._noise import Noise
from yibu.augmenters._readings import by_reading, by_syllable, is_common, readings
from yibu.core.edits import Edit

_USE = "noise by Chinese homophones"


class Settings(NoiseSettings):
    """Table ``{kind: homophones, ...}``."""

    kind: Literal["homophones"] = "homophones"
    tone: Literal["same", "any"] = Field(default="any", description="any: shi4 may become shi2 as well, but later")
    common: int = Field(default=2500, ge=100, le=3755, description="replacements are among so many frequent characters")
    choices: int = Field(default=6, ge=1, description="replacements considered for one character")


class Augmenter(Noise[Settings]):
    """See `yibu.augmenters`."""

    def candidates(self, text: str) -> Iterator[Edit]:
        settings = self._settings
        for place, reading in readings(text, _USE):
            group = by_reading(_USE).get(reading, "")
            if settings.tone == "any":
                group += "".join(new for new in by_syllable(_USE).get(reading[:-1], "") if new not in group)
            likely = [new for new in group if new != text[place] and is_common(new, settings.common)]
            yield from (Edit(place, place + 1, new) for new in likely[: settings.choices])
