"""Edits of a text, and what becomes of the spans that point into it.

Every step that changes text (terms, units, personal data, augmentation) says what it changes as a list of edits, so
that annotations follow, and so that it can be told afterwards what was done to which row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """``text[start:end]`` becomes ``new``; ``start == end`` is an insertion. Offsets in characters, end exclusive."""

    start: int
    end: int
    new: str


class SpanLost(ValueError):
    """An edit replaces a part of a span and of what lies beside it, so that nobody can say where the span is now."""


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The edited text.

    Args:
        text: any text.
        edits: sorted by start, none overlapping another.

    Raises:
        ValueError: edits that overlap, are not sorted, or lie outside the text.
    """
    parts, end = [], 0
    for edit in edits:
        if not end <= edit.start <= edit.end <= len(text):
            raise ValueError("edits overlap, are not sorted, or lie outside the text")
        parts += [text[end : edit.start], edit.new]
        end = edit.end
    return "".join([*parts, text[end:]])


def move(start: int, end: int, edits: Sequence[Edit]) -> tuple[int, int]:
    """Where the span lies in the edited text.

    An edit inside the span, or of exactly the span, changes its length; text inserted at a border stays outside.

    Raises:
        SpanLost: an edit reaches over a border of the span.
    """
    new_start, new_end = start, end
    for edit in edits:
        growth = len(edit.new) - (edit.end - edit.start)
        if edit.end <= start:
            new_start += growth
            new_end += growth
        elif start <= edit.start and edit.end <= end and not (edit.start == edit.end == end):
            new_end += growth
        elif edit.start < end:
            raise SpanLost("an edit reaches over the border of a span")
    return new_start, new_end


def edit_field(fields: dict[str, Any], name: str, edits: Sequence[Edit]) -> dict[str, Any]:
    """A copy of a row's fields in which one text is edited; ``entities`` follow where they point into that text.

    Args:
        fields: a row's fields; ``entities`` (``[{"start", "end", "text", ...}]``) belong to the field ``text``.
        name: of a field whose value is text.
        edits: as `apply` takes them.

    Raises:
        SpanLost: an entity would be cut in two.
    """
    if not edits:
        return fields
    text = apply(fields[name], edits)
    edited = {**fields, name: text}
    if name == "text" and are_spans(fields.get("entities"), fields[name]):
        spans = []
        for span in fields["entities"]:
            start, end = move(span["start"], span["end"], edits)
            spans.append({**span, "start": start, "end": end} | ({"text": text[start:end]} if "text" in span else {}))
        edited["entities"] = spans
    return edited


def spans_in(fields: dict[str, Any], name: str) -> list[tuple[int, int]]:
    """Start and end of the entities that point into a field."""
    if name != "text" or not are_spans(fields.get("entities"), fields.get(name)):
        return []
    return [(span["start"], span["end"]) for span in fields["entities"]]


def are_spans(value: Any, text: Any) -> bool:
    """Whether a value is a list of entities that can point into a text."""
    return (
        isinstance(text, str)
        and isinstance(value, list)
        and all(isinstance(span, dict) and {"start", "end"} <= set(span) for span in value)
    )
