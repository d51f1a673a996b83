"""Rows as augmentation sees them: the texts that may change, the entities in them, and what a version is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from yibu.core.edits import Edit, apply, are_spans, edit_field
from yibu.core.errors import RecipeError, nearest
from yibu.core.record import Row
from yibu.tasks import Task

AUGMENTED = "augmented"
ROBUSTNESS = "robustness"
CONVERSATION = "messages"


class Slot(NamedTuple):
    """One text of a row: a field, or one turn of a conversation."""

    field: str
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A copy, or why there is none.

    Attributes:
        row: the copy, not yet named; None where it is refused.
        what: changes by field.
        reason: why it is refused.
        other: id of the row that a part of its text comes from.
    """

    row: Row | None
    what: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """What a changed row is a version of.

    Attributes:
        of: id of the original row.
        kind: of augmenter or attack.
        rate: of the noise; None for a copy in train and for an attack.
        other: id of the second row that its text comes from, where there is one.
    """

    of: str
    kind: str
    rate: float | None = None
    other: str | None = None


def version_of(row: Row) -> Version | None:
    """What a row of ``train.jsonl`` or ``robustness.jsonl`` is a version of; None for an original row.

    Erasing a person finds every copy by this: those whose ``of`` or ``other`` is a row of theirs.
    """
    if AUGMENTED not in row.flags and ROBUSTNESS not in row.flags:
        return None
    marks = dict(flag.split("=", 1) for flag in row.flags if "=" in flag)
    rate = marks.get("rate")
    return Version(marks["of"], marks["kind"], None if rate is None else float(rate), marks.get("with"))


def named(row: Row, id: str, mark: str, version: Version) -> Row:
    """A version under its own id, flagged with what it is a version of."""
    flags = [mark, f"of={version.of}", f"kind={version.kind}"]
    flags += [] if version.rate is None else [f"rate={version.rate:g}"]
    flags += [] if version.other is None else [f"with={version.other}"]
    return replace(row, id=id, flags=(*row.flags, *flags))


def fields_to_change(task: Task, chosen: Sequence[str] | None) -> tuple[str, ...]:
    """The fields whose text may change: those that are set, else those that the prompt shows and the answer does not.

    Raises:
        RecipeError: a field that the task does not use or that holds the class; no field is left.
    """
    if chosen is None:
        answers = {measure.field for measure in task.measures} | set(task.label_fields)
        chosen = [name for name in task.fields if name not in answers]
        if not chosen:
            raise RecipeError(
                "The task has no text that is asked and not answered, so augmentation would change what is learned.",
                got=f"fields: {', '.join(task.fields)}",
                do="set augment.fields if that is meant",
            )
    for name in chosen:
        if name not in task.fields or name in task.label_fields:
            close = nearest(name, task.fields)
            raise RecipeError(
                "augment.fields names a field that the task does not read as text.",
                got=name,
                allowed=[field for field in task.fields if field not in task.label_fields],
                do=f"did you mean {close!r}?" if close and close != name else None,
            )
    return tuple(chosen)


def slots_of(row: Row, fields: Sequence[str]) -> list[Slot]:
    """The texts of a row that may change: its fields; of a conversation what the user says before the answer."""
    found: list[Slot] = []
    for name in fields:
        value = row.fields.get(name)
        if isinstance(value, str) and value.strip():
            found.append(Slot(name))
        elif name == CONVERSATION and isinstance(value, list):
            last = max(
                (place for place, turn in enumerate(value) if turn.get("role") == "assistant"), default=len(value)
            )
            found += [Slot(name, place) for place, turn in enumerate(value[:last]) if _is_asked(turn)]
    return found


def _is_asked(turn: Any) -> bool:
    return turn.get("role") == "user" and isinstance(turn.get("content"), str) and bool(turn["content"].strip())


def text_in(row: Row, slot: Slot) -> str:
    """The text of a slot."""
    value = row.fields[slot.field]
    text: str = value if slot.turn is None else value[slot.turn]["content"]
    return text


def longest(row: Row, slots: Sequence[Slot]) -> Slot:
    """The slot that holds the most text, the first among equals."""
    return max(slots, key=lambda slot: len(text_in(row, slot)))


def entities_in(row: Row, slot: Slot) -> list[dict[str, Any]]:
    """The entities that point into a slot's text."""
    if slot.field != "text" or slot.turn is not None or not are_spans(row.fields.get("entities"), row.fields["text"]):
        return []
    entities: list[dict[str, Any]] = row.fields["entities"]
    return entities


def spans_in(row: Row, slot: Slot) -> list[tuple[int, int]]:
    """Where those entities are."""
    return [(entity["start"], entity["end"]) for entity in entities_in(row, slot)]


def edited(row: Row, slot: Slot, edits: Sequence[Edit]) -> Row:
    """The row with edits made in one text; entities follow.

    Raises:
        SpanLost: an edit cuts an entity in two.
    """
    if slot.turn is None:
        return row.with_fields(edit_field(row.fields, slot.field, edits))
    return replaced(row, slot, apply(text_in(row, slot), edits))


def replaced(row: Row, slot: Slot, text: str) -> Row:
    """The row with one text replaced as a whole; entities do not follow, see `relocated`."""
    if slot.turn is None:
        return row.with_fields({**row.fields, slot.field: text})
    turns = list(row.fields[slot.field])
    turns[slot.turn] = {**turns[slot.turn], "content": text}
    return row.with_fields({**row.fields, slot.field: turns})


def relocated(row: Row, slot: Slot, text: str) -> Row | None:
    """The row with one text replaced and its entities found again in the new one; None where that is not certain.

    An entity is found by its text. Where that stands more than once, all of its places must be annotated alike, before
    and after, or nobody could say which is meant.
    """
    entities = entities_in(row, slot)
    before = text_in(row, slot)
    places: dict[str, list[int]] = {}
    for entity in entities:
        places.setdefault(before[entity["start"] : entity["end"]], []).append(entity["start"])
    moved: dict[tuple[int, int], int] = {}
    for words, starts in places.items():
        had, has = _starts(before, words), _starts(text, words)
        if not words or len(had) != len(has) or sorted(set(starts)) != had:
            return None
        kinds = {str({**entity, "start": 0, "end": 0}) for entity in entities if entity["start"] in starts}
        if len(had) > 1 and len(kinds) > 1:
            return None
        moved |= {(start, len(words)): new for start, new in zip(had, has, strict=True)}
    new = replaced(row, slot, text)
    if not entities:
        return new
    found = []
    for entity in entities:
        size = entity["end"] - entity["start"]
        start = moved[entity["start"], size]
        found.append({**entity, "start": start, "end": start + size})
    return new.with_fields({**new.fields, "entities": found})


def _starts(text: str, words: str) -> list[int]:
    found, start = [], text.find(words)
    while start >= 0:
        found.append(start)
        start = text.find(words, start + 1)
    return found
