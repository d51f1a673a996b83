"""What all noise has in common: where it may strike, how much of it, and that the meaning survives."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Generic, TypeVar

from yibu.augmenters import Level, NoiseSettings, Spans
from yibu.augmenters._meaning import GRAVE, NEGATING, NUMERALS, guarded, same_meaning
from yibu.core.edits import Edit, apply

if TYPE_CHECKING:
    from yibu.terms import Dictionary

Chosen = TypeVar("Chosen", bound=NoiseSettings)


class Noise(Generic[Chosen]):
    """Base of the augmenters that change characters; a plug says only which changes there are (`candidates`)."""

    level: Level = "edits"

    def __init__(self, settings: Chosen) -> None:
        """
        Raises:
            InputError: a dictionary cannot be read.
        """
        self._settings = settings
        self._rate = settings.rate
        self._keep = settings.keep
        self._terms = dictionary_of(settings.dictionary)
        self._never = GRAVE + (NUMERALS if "numbers" in settings.keep else "")
        self._never += NEGATING if "negations" in settings.keep else ""

    def candidates(self, text: str) -> Iterable[Edit]:
        """Every change that this noise could make; of those at one place the likeliest first."""
        raise NotImplementedError

    def options(self, text: str, spared: Spans = ()) -> list[Edit]:
        """Every single change that may be made: sorted by place, the likeliest first, protected text left out."""
        fixed = self._mask(text, spared)
        return sorted(
            (edit for edit in self.candidates(text) if not any(fixed[edit.start : edit.end]) and self._may(text, edit)),
            key=lambda edit: edit.start,
        )

    def edits(self, text: str, rng: random.Random, spared: Spans = ()) -> list[Edit]:
        """A draw of as many changes as the rate asks for; fewer where there are not so many places."""
        drawn = choose(self.options(text, spared), rng, num_changes(text, self._rate, rng))
        # Two harmless edits can make a harmful one between them; then the later goes.
        while drawn and not same_meaning(text, apply(text, drawn), self._keep):
            drawn.pop()
        return drawn

    def _mask(self, text: str, spared: Spans) -> bytearray:
        fixed = bytearray(len(text))
        for start, end in (*guarded(text, self._keep), *spared, *term_spans(text, self._terms)):
            fixed[start:end] = b"\1" * (min(end, len(text)) - start)
        return fixed

    def _may(self, text: str, edit: Edit) -> bool:
        """Whether a change brings in no number, no negation and no grave word."""
        old = text[edit.start : edit.end]
        if edit.new == old or any(new in self._never and new not in old for new in edit.new):
            return False
        if not edit.new.isascii():
            return True
        left, right = edit.start, edit.end
        while left > 0 and text[left - 1].isascii() and not text[left - 1].isspace():
            left -= 1
        while right < len(text) and text[right].isascii() and not text[right].isspace():
            right += 1
        word = text[left : edit.start] + edit.new + text[edit.end : right]
        return same_meaning(text[left:right], word, self._keep)


def dictionary_of(sources: str | Sequence[str] | None) -> Dictionary | None:
    """The dictionary of a setting; None where there is none.

    Raises:
        InputError: a source that cannot be read or is no dictionary.
    """
    if not sources:
        return None
    from yibu.terms import Dictionary

    return Dictionary.load(sources)


def term_spans(text: str, terms: Dictionary | None) -> list[tuple[int, int]]:
    """Where the terms of a dictionary stand in a text."""
    return [] if terms is None else [(match.start, match.end) for match in terms.find(text)]


def num_changes(text: str, rate: float, rng: random.Random) -> int:
    """How many characters a rate means for a text: rounded up or down by chance so that the mean is right, at least 1.

    Always takes one number from the generator, so that what is drawn next does not depend on the text.
    """
    wanted = rate * sum(not character.isspace() for character in text)
    return max(1, int(wanted) + (rng.random() < wanted % 1))


def choose(options: Sequence[Edit], rng: random.Random, count: int) -> list[Edit]:
    """A draw of changes that do not overlap, sorted.

    Places are drawn evenly. Of the changes at one place the k-th is taken with a chance that falls as 1/k: people and
    machines make the likely mistake often and the odd one now and then.

    Args:
        options: sorted by start; of one start the likeliest first.
        rng: source of chance.
        count: at most so many.
    """
    places = [list(group) for _, group in groupby(options, key=lambda edit: edit.start)]
    order = sorted(range(len(places)), key=[rng.random() for _ in places].__getitem__)
    taken: list[Edit] = []
    for place in order:
        if len(taken) >= count:
            break
        edit = places[place][_by_rank(len(places[place]), rng)]
        if all(edit.end <= other.start or other.end <= edit.start for other in taken):
            taken.append(edit)
    return sorted(taken)


def _by_rank(size: int, rng: random.Random) -> int:
    """A place in a list of this size, the k-th with a chance in proportion to 1/k."""
    left = rng.random() * sum(1 / rank for rank in range(1, size + 1))
    for place in range(size):
        left -= 1 / (place + 1)
        if left < 0:
            return place
    return size - 1
