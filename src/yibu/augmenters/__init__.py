"""Augmenters: other ways to say the same row, for train rows and for test sets of noise.

One file is one kind. A plug defines ``Settings`` (its table in the recipe, with a literal ``kind``, a subclass of
`CopySettings`) and ``Augmenter``, built as ``Augmenter(settings)``. There are three sorts, told apart by its ``level``:

``edits``
    says what it changes as edits of one text, so that entities follow::

        options(text, spared=()) -> list[Edit]         every single change that it could make, alternatives included
        edits(text, rng, spared=()) -> list[Edit]      a draw among them: sorted, none overlapping

    ``spared`` are spans ``(start, end)`` that no edit may touch (a row's entities), beside what the settings protect.
``pairs``
    joins the text of a row with that of another row of the same label::

        add(id, text, label) -> None                   called once for each train row, before the first copy
        join(id, text, label, rng) -> Joined | None    None: there is no other row of this label

``texts``
    returns a whole new text, or says why it is refused::

        rewrite(text, rng, needed=()) -> Rewritten     ``needed``: texts of entities that must be found again

    It is built as ``Augmenter(settings, calls)``, may be called from several threads, and is closed by ``close()``.

All randomness comes from the given ``random.Random``: the same text, settings and state give the same change on every
machine. Rates are shares: of the characters that are no white space for noise, of what can be changed for the others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from pydantic import Field

from yibu.augmenters._meaning import same_meaning
from yibu.core.edits import Edit
from yibu.core.endpoint import CallSettings
from yibu.core.plugs import Family
from yibu.core.recipe import Settings as BaseSettings

__all__ = [
    "FAMILY",
    "AnyAugmenter",
    "CallSettings",
    "CopySettings",
    "EditAugmenter",
    "Joined",
    "Kept",
    "Level",
    "NoiseSettings",
    "PairAugmenter",
    "Rewritten",
    "Spans",
    "TextAugmenter",
    "build",
    "same_meaning",
    "settings_of",
]

FAMILY = Family(__name__, requires=("Settings", "Augmenter"))

Level = Literal["edits", "pairs", "texts"]
Spans = Sequence[tuple[int, int]]
Kept = Literal["numbers", "negations"]


class CopySettings(BaseSettings):
    """What every augmenter's table has: how many train rows get a copy."""

    share: float = Field(default=0.3, ge=0, le=1, description="share of the train rows that get copies of this kind")
    copies: int = Field(default=1, ge=1, le=100, description="copies of each such row, each drawn anew")


class NoiseSettings(CopySettings):
    """What tables of noise have: how much is changed, and what never is."""

    rate: float = Field(
        default=0.05, gt=0, le=1, description="share of the characters (white space aside) changed; at least one is"
    )
    keep: tuple[Kept, ...] = Field(
        default=("numbers", "negations"),
        description="what noise never touches or brings in: numbers with their units, words of negation",
    )
    dictionary: str | list[str] | None = Field(
        default=None, description="terms that noise never touches: icd10cm, or files as in data.terms.dictionary"
    )


@dataclass(frozen=True, slots=True)
class Joined:
    """A text put together from two rows, and the id of the other one, so that erasing either finds it."""

    text: str
    other: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A whole new text, or None and why it is refused (a word such as ``numbers``; never text of the row)."""

    text: str | None
    refused: str | None = None


class EditAugmenter(Protocol):
    """What an ``Augmenter`` of level ``edits`` offers."""

    level: Level

    def options(self, text: str, spared: Spans = ()) -> list[Edit]: ...
    def edits(self, text: str, rng: random.Random, spared: Spans = ()) -> list[Edit]: ...


class PairAugmenter(Protocol):
    """What an ``Augmenter`` of level ``pairs`` offers."""

    level: Level

    def add(self, id: str, text: str, label: str) -> None: ...
    def join(self, id: str, text: str, label: str, rng: random.Random) -> Joined | None: ...


class TextAugmenter(Protocol):
    """What an ``Augmenter`` of level ``texts`` offers; `rewrite` may be called from several threads."""

    level: Level

    def rewrite(self, text: str, rng: random.Random, needed: Sequence[str] = ()) -> Rewritten: ...
    def close(self) -> None: ...


AnyAugmenter = EditAugmenter | PairAugmenter | TextAugmenter


def build(settings: BaseSettings, calls: CallSettings | None = None) -> AnyAugmenter:
    """The augmenter of a settings table.

    Args:
        settings: of any plug of this family.
        calls: how an endpoint is called, for a plug that calls one.

    Raises:
        InputError: there is no such plug, a dictionary cannot be read, or an optional package is missing.
    """
    kind: str = getattr(settings, "kind", "")
    plug = FAMILY.load(kind).Augmenter
    made = plug(settings) if calls is None or plug.level != "texts" else plug(settings, calls)
    return cast(AnyAugmenter, made)


def settings_of(table: dict[str, Any]) -> BaseSettings:
    """A checked settings object from a table with a ``kind``."""
    found: BaseSettings = FAMILY.load(str(table["kind"])).Settings.model_validate(table)
    return found
