"""Label-aware mixing: a row goes on with sentences of another row that has the same label.

The row's own sentences all stay, so that what its label rests on is still there; a drawn part of the other row's
follows. Numbers and names of two rows then stand in one text, which is right for learning a label and wrong for an
answer that is taken from the text: the stage lets it into tasks over a closed set of labels only. The id of the other
row is kept with the copy, because erasing a person must find both.
"""

from __future__ import annotations

import heapq
import random
import re
from typing import Literal

from pydantic import Field

from yibu.augmenters import CopySettings, Joined, Level
from yibu.core.chance import exact_key

# A sentence with what ends it and the white space after; a full stop ends one only before white space (not in 3.5).
_SENTENCE = re.compile(r".+?(?:[。！？；!?;\n]+|\.(?=\s)|$)\s*", re.DOTALL)
_ENDS = "。！？；!?;.\n"


class Settings(CopySettings):
    """Table ``{kind: mix, ...}``."""

    kind: Literal["mix"] = "mix"
    part: float = Field(default=0.5, gt=0, le=1, description="share of the other row's sentences that is taken, >= 1")
    pool: int = Field(default=200, ge=1, description="rows of each label that are kept in memory to draw from")
    max_characters: int = Field(default=2000, ge=1, description="a longer text is not made")


class Augmenter:
    """See `yibu.augmenters`."""

    level: Level = "pairs"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Per label the rows with the smallest hashes: the same ones in whatever order they come.
        self._pools: dict[str, list[tuple[int, str, str]]] = {}
        self._sorted: dict[str, list[tuple[str, str]]] = {}

    def add(self, id: str, text: str, label: str) -> None:
        """Let a row be drawn from."""
        pool = self._pools.setdefault(label, [])
        item = (-exact_key(id), id, text)
        if len(pool) < self._settings.pool:
            heapq.heappush(pool, item)
        else:
            heapq.heappushpop(pool, item)

    def join(self, id: str, text: str, label: str, rng: random.Random) -> Joined | None:
        """The text with a part of another row's; None where no other row has this label, or all are too long."""
        if label not in self._sorted:
            self._sorted[label] = [(other, said) for _, other, said in sorted(self._pools.get(label, ()), reverse=True)]
        pool = [(other, said) for other, said in self._sorted[label] if other != id and said != text]
        if not pool:
            return None
        other, said = pool[int(rng.random() * len(pool))]
        sentences = sentences_of(said)
        count = max(1, round(self._settings.part * len(sentences)))
        order = sorted(range(len(sentences)), key=[rng.random() for _ in sentences].__getitem__)
        taken = "".join(sentences[place] for place in sorted(order[:count])).strip()
        joined = text.rstrip() + _between(text.rstrip(), taken) + taken
        return Joined(joined, other) if len(joined) <= self._settings.max_characters else None


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each with its end mark and the white space after it; joined they are the text."""
    return _SENTENCE.findall(text)


def _between(left: str, right: str) -> str:
    """What stands between two texts: an end mark where the first has none, in the script that it is written in."""
    latin = left[-1:].isascii() and right[:1].isascii()
    if left[-1:] in _ENDS:
        return " " if latin else ""
    return ". " if latin else "。"
