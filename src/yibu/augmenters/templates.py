"""Paraphrase by templates: "patient denies X" and "no X", 否认X and 无X. What stands in for X is never touched.

A template is a phrase with one gap, ``{x}``; templates of one group say the same. The most specific one that fits is
used, and the more general ones only where it does not (back-off): in "the patient denies fever" the whole of "the
patient denies" is replaced, not the "denies" in it. Only the words around the gap are edited, so numbers, names and
entities in it stay as they are, and each form of a group has as many negations as the others, so that nothing is
turned round.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from yibu.augmenters import CopySettings, Level, Spans
from yibu.augmenters._meaning import negations, numbers
from yibu.augmenters._phrases import PHRASES
from yibu.augmenters._phrases import Field as Domain
from yibu.core.edits import Edit

_GAP = "{x}"
_CLAUSE_ENDS = "，。；：、,.;:!?！？\n（）()"
_START = rf"(?:(?<=[{re.escape(_CLAUSE_ENDS)}])|^)[^\S\n]*"


class Settings(CopySettings):
    """Table ``{kind: templates, ...}``."""

    kind: Literal["templates"] = "templates"
    rate: float = Field(default=0.5, gt=0, le=1, description="share of the phrases found that are replaced, >= 1")
    fields: tuple[Domain, ...] = Field(
        default=("general", "clinical", "legal", "financial"), description="whose built-in phrases are used"
    )
    groups: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="your own: phrases that say the same, each with one {x}, e.g. [how do I {x}, how to {x}]",
    )

    @field_validator("groups")
    @classmethod
    def _check_groups(cls, groups: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for group in groups:
            if len(set(group)) < 2:
                raise ValueError("a group needs two different phrases at least")
            for phrase in group:
                if phrase.count(_GAP) != 1 or phrase.strip() == _GAP:
                    raise ValueError(f"{phrase!r} must be words and one {_GAP}")
            for measure, name in ((negations, "negations"), (numbers, "numbers")):
                if len({len(measure(phrase)) for phrase in group}) > 1:
                    raise ValueError(f"the phrases of a group differ in their {name}, so they do not say the same")
        return groups


@dataclass(frozen=True, slots=True)
class _Form:
    """One phrase as a pattern, and the others of its group as (before the gap, after it)."""

    pattern: re.Pattern[str]
    size: int
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A phrase in a text: where its words are, and all that could stand there, as one or two edits each."""

    start: int
    end: int
    rewrites: tuple[tuple[Edit, ...], ...]


class Augmenter:
    """See `yibu.augmenters`."""

    level: Level = "edits"

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate
        self._forms = _forms(settings.fields, settings.groups)

    def options(self, text: str, spared: Spans = ()) -> list[Edit]:
        """Every paraphrase that changes the words on one side of the gap only."""
        singles = [edits[0] for found in self._find(text, spared) for edits in found.rewrites if len(edits) == 1]
        return sorted(singles, key=lambda edit: edit.start)

    def edits(self, text: str, rng: random.Random, spared: Spans = ()) -> list[Edit]:
        """A draw of phrases, and for each a draw of another form."""
        found = self._find(text, spared)
        wanted = self._rate * len(found)
        count = max(1, int(wanted) + (rng.random() < wanted % 1))
        order = sorted(range(len(found)), key=[rng.random() for _ in found].__getitem__)
        drawn: list[Edit] = []
        for place in order[:count]:
            rewrites = found[place].rewrites
            drawn += rewrites[int(rng.random() * len(rewrites))]
        return sorted(drawn)

    def _find(self, text: str, spared: Spans) -> list[_Found]:
        """Phrases that do not overlap, the most specific of those that do; sorted."""
        taken: list[_Found] = []
        for form in self._forms:
            for match in form.pattern.finditer(text):
                start, end = match.start("before"), match.end("after")
                words = [span for span in (match.span("before"), match.span("after")) if span[0] < span[1]]
                blocked = (*spared, *((found.start, found.end) for found in taken))
                if any(
                    left < other_right and other_left < right
                    for left, right in words
                    for other_left, other_right in blocked
                ):
                    continue
                if any(found.start < end and start < found.end for found in taken):
                    continue
                rewrites = tuple(_rewrite(match, *other) for other in form.others)
                taken.append(_Found(start, end, tuple(edits for edits in rewrites if edits)))
        return sorted((found for found in taken if found.rewrites), key=lambda found: found.start)


def _rewrite(match: re.Match[str], before: str, after: str) -> tuple[Edit, ...]:
    """The edits that make a found phrase another form; the first letter keeps its case."""
    said = match.group("before")
    if said[:1].isupper() and before:
        before = before[:1].upper() + before[1:]
    if not before and said[:1].isupper():
        return ()  # the gap would have to begin with a capital, and it is not ours to change
    edits = (Edit(*match.span("before"), before), Edit(*match.span("after"), after))
    return tuple(edit for edit in edits if edit.new != match.string[edit.start : edit.end])


def _forms(fields: Iterable[str], own: Sequence[Sequence[str]]) -> list[_Form]:
    """The phrases of some fields and the user's own, the most specific (the longest) first."""
    forms = [form for name in fields for group in _groups()[name] for form in group]
    forms += [form for group in own for form in _compile(group, group, False, "")]
    return sorted(forms, key=lambda form: -form.size)


@functools.cache
def _groups() -> dict[str, list[list[_Form]]]:
    return {
        name: [list(_compile(g.find, (*g.find, *g.only_into), g.at_start, g.but_not)) for g in groups]
        for name, groups in PHRASES.items()
    }


def _compile(find: Sequence[str], into: Sequence[str], at_start: bool, but_not: str) -> Iterator[_Form]:
    """Patterns of the phrases to be found.

    Args:
        find: phrases with a gap.
        into: what each may become.
        at_start: look at the start of a clause only.
        but_not: a pattern that must not come right after the words before the gap.
    """
    parts = {phrase: tuple(phrase.split(_GAP)) for phrase in into}
    for phrase in find:
        before, after = phrase.split(_GAP)
        edge = _START if at_start else "" if not before[:1].isascii() else "(?<![A-Za-z])" if before else ""
        guard = f"(?!{but_not})" if but_not else ""
        gap = rf"[^{re.escape(_CLAUSE_ENDS)}]"
        if after:
            closing = "(?![A-Za-z])" if after[-1:].isascii() else ""
            body = rf"{guard}{gap}{{1,60}}?(?P<after>{re.escape(after)}){closing}"
        else:
            body = rf"(?P<after>){guard}(?={gap})"
        pattern = re.compile(rf"{edge}(?P<before>{re.escape(before)}){body}", re.IGNORECASE)
        others = tuple((left, right) for other, (left, right) in parts.items() if other != phrase)
        yield _Form(pattern, len(before) + len(after), others)
