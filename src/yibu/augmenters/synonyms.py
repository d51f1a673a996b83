"""Dictionary synonyms: a term becomes another variant of the same entry (高血压 and 高血压病, MI and heart attack).

Terms are found as in the step that makes them uniform (longest match, next to digits and Latin letters in Chinese). An
annotated entity may be replaced as a whole: its offsets and its text follow.
"""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from yibu.augmenters import CopySettings, Level, Spans
from yibu.augmenters._noise import choose, dictionary_of
from yibu.core.edits import Edit


class Settings(CopySettings):
    """Table ``{kind: synonyms, dictionary: ..., ...}``."""

    kind: Literal["synonyms"] = "synonyms"
    dictionary: str | list[str] = Field(
        min_length=1, description="icd10cm, or files of terms as in data.terms.dictionary"
    )
    rate: float = Field(default=0.5, gt=0, le=1, description="share of the terms found that are replaced; at least one")
    entities: bool = Field(default=True, description="also replace a term that is exactly an annotated entity")
    same_script: bool = Field(default=True, description="a Chinese term stays Chinese, a Latin one Latin")


class Augmenter:
    """See `yibu.augmenters`."""

    level: Level = "edits"

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            InputError: a dictionary cannot be read.
        """
        dictionary = dictionary_of(settings.dictionary)
        assert dictionary is not None, "the settings ask for one dictionary at least"
        self._dictionary = dictionary
        self._settings = settings

    def options(self, text: str, spared: Spans = ()) -> list[Edit]:
        """Every other variant of every term, in the order of the dictionary."""
        found: list[Edit] = []
        for match in self._dictionary.find(text):
            said = text[match.start : match.end]
            if not self._free(match.start, match.end, spared):
                continue
            others = dict.fromkeys(_as_written(said, other) for other in self._dictionary.synonyms(match.variant))
            mixed = not self._settings.same_script
            found += [
                Edit(match.start, match.end, other)
                for other in others
                if other != said and (mixed or _is_han(other) == _is_han(said))
            ]
        return sorted(found, key=lambda edit: edit.start)

    def edits(self, text: str, rng: random.Random, spared: Spans = ()) -> list[Edit]:
        """A draw of terms, and for each a draw of its variants."""
        options = self.options(text, spared)
        wanted = self._settings.rate * len({edit.start for edit in options})
        return choose(options, rng, max(1, int(wanted) + (rng.random() < wanted % 1)))

    def _free(self, start: int, end: int, spared: Spans) -> bool:
        beside = all(end <= other_start or other_end <= start for other_start, other_end in spared)
        alike = self._settings.entities and all(
            end <= other_start or other_end <= start or (other_start, other_end) == (start, end)
            for other_start, other_end in spared
        )
        return beside or alike


def _is_han(term: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in term)


def _as_written(said: str, other: str) -> str:
    """A variant with the capitals of the term that it stands for: ``Heart attack`` makes ``Myocardial infarction``."""
    if said[:1].isupper() and said[1:].islower() and other.islower():
        return other[:1].upper() + other[1:]
    return other
