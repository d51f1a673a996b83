"""Copies of train rows: which rows, how many, under which names, and why a copy is not made."""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from yibu.augment.draw import generator, threshold
from yibu.augment.rewrites import Finished, Rewriting
from yibu.augment.rows import (
    AUGMENTED,
    Made,
    Version,
    edited,
    entities_in,
    named,
    replaced,
    slots_of,
    spans_in,
    text_in,
)
from yibu.augment.settings import AugmentSettings
from yibu.augmenters import CopySettings, EditAugmenter, PairAugmenter, TextAugmenter, build
from yibu.core.chance import exact_key, uniform
from yibu.core.edits import SpanLost
from yibu.core.errors import RecipeError
from yibu.core.record import Row
from yibu.tasks import Task

Rows = Callable[[], Iterable[Row]]
"""Starts a fresh pass over the train rows."""


@dataclass
class Tally:
    """What one kind has done: copies made, copies refused and why."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """For ``summary.json``."""
        return {"rows": self.rows, "refused": sum(self.reasons.values()), "reasons": dict(sorted(self.reasons.items()))}


class Prompts:
    """The prompts that there are already, as 8 bytes each, so that no copy repeats a row of any split."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seen: set[int] = set()

    def add(self, row: Row) -> bool:
        """Take a row in; False where its prompt was there before."""
        digest = exact_key(self._task.prompt_text(row))
        new = digest not in self._seen
        self._seen.add(digest)
        return new


class Growing:
    """Appends copies to ``train.jsonl`` and writes down what each is.

    Args:
        prompts: those of all splits.
        train: the new train file, at its end.
        changes: ``changes.jsonl``, at its end.
    """

    def __init__(self, prompts: Prompts, train: IO[str], changes: IO[str]) -> None:
        self.tallies: dict[str, Tally] = {}
        self._prompts = prompts
        self._train = train
        self._changes = changes
        self._numbers: dict[tuple[str, str], int] = {}

    @property
    def num_rows(self) -> int:
        return sum(tally.rows for tally in self.tallies.values())

    def refuse(self, kind: str, reason: str, count: int = 1) -> None:
        """Count copies that are not made."""
        self.tallies.setdefault(kind, Tally()).reasons[reason] += count

    def add(self, kind: str, row: Row, made: Made, number: int) -> None:
        """Write a copy, unless it was refused or says what a row says already.

        Args:
            kind: of augmenter or attack.
            row: the original.
            made: the copy.
            number: of this row's copies of this kind, from 1.
        """
        tally = self.tallies.setdefault(kind, Tally())
        if made.row is None:
            self.refuse(kind, made.reason)
            return
        if not self._prompts.add(made.row):
            self.refuse(kind, "repeats_a_row")
            return
        tally.rows += 1
        version = Version(row.id, kind, other=made.other)
        copy = named(made.row, f"{row.id}~{kind}{number}", AUGMENTED, version)
        self._train.write(copy.to_json() + "\n")
        of = [row.id] if made.other is None else [row.id, made.other]
        for name, count in made.what.items():
            line = {"id": copy.id, "step": "augment", "field": name, "what": {kind: count}, "of": of}
            self._changes.write(json.dumps(line, ensure_ascii=False) + "\n")


def grow(
    config: AugmentSettings,
    task: Task,
    fields: tuple[str, ...],
    rows: Rows,
    growing: Growing,
    finished: Finished,
    advance: Callable[[], None],
) -> None:
    """Make the copies of every step.

    Args:
        config: the stage's settings.
        task: what the rows are for.
        fields: whose text may change.
        rows: the original train rows.
        growing: where the copies go.
        finished: what an endpoint has answered before.
        advance: called after each step.

    Raises:
        RecipeError: a step that the task cannot have.
        YibuError: an endpoint does not answer; what it did answer is kept.
    """
    numbered: Counter[str] = Counter()
    for place, settings in enumerate(config.steps):
        assert isinstance(settings, CopySettings)
        kind = str(getattr(settings, "kind", ""))
        # Two steps of one kind draw apart and go on counting.
        purpose, first = f"step {place} {kind}", numbered[kind]
        numbered[kind] += settings.copies
        growing.tallies.setdefault(kind, Tally())
        augmenter = build(settings, config.calls)
        ids = (row.id for row in rows()) if config.limit else ()
        below = threshold(ids, config.seed, purpose, settings.share, config.limit)
        chosen = _Chosen(config.seed, purpose, below, settings.copies)
        if augmenter.level == "edits":
            copies = _edit(augmenter, fields, chosen, rows())  # type: ignore[arg-type]
        elif augmenter.level == "pairs":
            _check_pairs(task, kind)
            copies = _join(augmenter, fields, chosen, rows)  # type: ignore[arg-type]
        else:
            copies = _rewrite(augmenter, fields, chosen, rows(), finished, config.calls.workers)  # type: ignore[arg-type]
        with contextlib.closing(copies):  # an error here must not leave calls under way
            for row, number, made in copies:
                growing.add(kind, row, made, first + number)
        advance()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which rows get copies, and the chance of each copy."""

    seed: int
    purpose: str
    below: float
    copies: int

    def of(self, rows: Iterable[Row]) -> Iterable[tuple[Row, int]]:
        for row in rows:
            if uniform(self.seed, row.id, self.purpose) < self.below:
                yield from ((row, number) for number in range(1, self.copies + 1))

    def chance(self, row: Row, number: int) -> random.Random:
        return generator(self.seed, row.id, f"{self.purpose} {number}")


Copies = Generator[tuple[Row, int, Made]]


def _edit(augmenter: EditAugmenter, fields: tuple[str, ...], chosen: _Chosen, rows: Iterable[Row]) -> Copies:
    for row, number in chosen.of(rows):
        chance = chosen.chance(row, number)
        yield row, number, edit_row(row, fields, augmenter, chance)


def edit_row(row: Row, fields: tuple[str, ...], augmenter: EditAugmenter, chance: random.Random) -> Made:
    """The row with a draw of edits in each of its texts, or that there is nothing to change in it."""
    copy, what = row, Counter[str]()
    for slot in slots_of(row, fields):
        edits = augmenter.edits(text_in(row, slot), chance, spans_in(row, slot))
        if edits:
            try:
                copy = edited(copy, slot, edits)
            except SpanLost:
                return Made(None, reason="cuts_an_entity")
            what[slot.field] += len(edits)
    return Made(copy, dict(what)) if what else Made(None, reason="nothing_to_change")


def _check_pairs(task: Task, kind: str) -> None:
    if not task.closed_set:
        raise RecipeError(
            f"The augmenter {kind!r} joins two rows of one label, but this task asks for more than a label.",
            got="a task that answers with text",
            allowed="a task over a closed set of labels (task.kind: classify)",
            do="remove this step from augment.steps",
        )


def _join(augmenter: PairAugmenter, fields: tuple[str, ...], chosen: _Chosen, rows: Rows) -> Copies:
    for row in rows():
        if _is_plain(row, fields):
            augmenter.add(row.id, text_in(row, slots_of(row, fields)[0]), str(row.label))
    for row, number in chosen.of(rows()):
        if not _is_plain(row, fields):
            yield row, number, Made(None, reason="not_one_plain_text")
            continue
        (slot,) = slots_of(row, fields)
        joined = augmenter.join(row.id, text_in(row, slot), str(row.label), chosen.chance(row, number))
        if joined is None:
            yield row, number, Made(None, reason="no_partner")
        else:
            yield row, number, Made(replaced(row, slot, joined.text), {slot.field: 1}, other=joined.other)


def _is_plain(row: Row, fields: tuple[str, ...]) -> bool:
    """Whether a row is one text with a label, so that another's sentences may follow it."""
    slots = slots_of(row, fields)
    return row.label is not None and len(slots) == 1 and not row.structured and not entities_in(row, slots[0])


def _rewrite(
    augmenter: TextAugmenter,
    fields: tuple[str, ...],
    chosen: _Chosen,
    rows: Iterable[Row],
    finished: Finished,
    workers: int,
) -> Copies:
    try:
        yield from Rewriting(augmenter, fields, chosen.purpose, finished, workers).run(chosen.of(rows), chosen.chance)
    finally:
        augmenter.close()
