"""Attacks: the smallest changes of a text that make a classifier err, for tests of robustness.

One file is one attack. A plug defines ``Settings`` (its table in the recipe, with a literal ``kind``) and::

    attack(texts, labels, classify, settings, seed, options=None) -> list[Attacked]

``labels``
    the right class of each text, as a column of what ``classify`` returns.
``classify(texts) -> probabilities``
    an array of one row per text and one column per class. It is all that an attack knows of the model.
``options(text) -> list[Edit]``
    every single change that may be made: slips that a reader would not stumble over, protected text left out. An
    attack that brings its own changes ignores it. Families do not import each other, so the stage passes in what the
    augmenters offer.

The answer has one entry per text, in order. The same texts, classifier and seed give the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from yibu.core.edits import Edit
from yibu.core.plugs import Family
from yibu.core.recipe import Settings as BaseSettings

FAMILY = Family(__name__, requires=("Settings", "attack"))

Classify = Callable[[list[str]], Any]
"""Texts to an array of probabilities, a row per text."""

Options = Callable[[str], list[Edit]]
"""A text to every single change that may be made to it."""

Status = Literal["flipped", "held", "wrong"]


@dataclass(frozen=True, slots=True)
class Attacked:
    """What became of one text.

    Attributes:
        text: the changed text where it flips the classifier, else the text as it was.
        num_changes: edits in it, for an attack that names them; else characters that differ (edit distance).
        status: ``flipped``; ``held`` (nothing found within the limits); ``wrong`` (it was misread before any change).
        edits: what was changed; None for an attack that cannot say, so that offsets into the text are lost.
        num_queries: texts that the classifier was asked about.
    """

    text: str
    num_changes: int
    status: Status
    edits: tuple[Edit, ...] | None
    num_queries: int

    @property
    def flipped(self) -> bool:
        return self.status == "flipped"


def attack(
    texts: Sequence[str],
    labels: Sequence[int],
    classify: Classify,
    settings: BaseSettings,
    seed: int,
    options: Options | None = None,
) -> list[Attacked]:
    """Run the attack that the settings name; see the module's docstring.

    Raises:
        InputError: there is no such plug, or what it needs is missing.
    """
    kind: str = getattr(settings, "kind", "")
    found = FAMILY.load(kind).attack(texts, labels, classify, settings, seed, options)
    return cast(list[Attacked], found)
