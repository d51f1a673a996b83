"""Entities as character spans: a text and a list of spans, under the names that the usual tools give them.

Known: spaCy and Hugging Face (``start``, ``end``, ``label`` or ``type``), doccano (``[start, end, type]`` under
``label`` or ``entities``), Presidio (``full_text``, ``start_position``, ``entity_type``), CMeEE (``start_idx``,
``end_idx``), PubTator through its reader. Where a span states its own text, it must equal the text at its offsets.
CMeEE counts its end inclusively: an end is taken so where only that agrees with the stated text.
"""

from __future__ import annotations

from typing import Any

from yibu.shapes import most, text_of

COLUMNS = "text, entities: [{start, end, type}] (or spans, or label: [[start, end, type]])"
RANK = 1

_TEXTS = ("text", "full_text")
_LISTS = ("entities", "spans", "label", "labels")
_KEYS = {
    "start": ("start", "start_position", "start_idx", "start_offset"),
    "end": ("end", "end_position", "end_idx", "end_offset"),
    "type": ("type", "label", "entity_type", "entity_group"),
    "text": ("text", "entity_value", "entity", "word"),
}


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: _find(record) is not None) and any(_find(record) for record in records)


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    given = _find(record)
    if given is None:
        raise ValueError("missing field: entities")
    text = text_of(record, next((name for name in _TEXTS if record.get(name) is not None), "text"), "prompt")
    entities = [_entity(text, span, place) for place, span in enumerate(given, start=1)]
    entities.sort(key=lambda entity: (entity["start"], entity["end"]))
    fields: dict[str, Any] = {"text": text, "entities": entities}
    return fields | ({"relations": record["relations"]} if "relations" in record else {})


def _find(record: dict[str, Any]) -> list[Any] | None:
    """The list of spans, if the record has one; an empty list is a text without entities."""
    if not any(isinstance(record.get(name), str) for name in _TEXTS):
        return None
    for name in _LISTS:
        value = record.get(name)
        if isinstance(value, list) and all(_is_span(span) for span in value):
            return value
    return None


def _is_span(span: Any) -> bool:
    if isinstance(span, dict):
        return any(key in span for key in _KEYS["start"])
    return isinstance(span, list) and len(span) == 3 and isinstance(span[0], int)


def _entity(text: str, span: Any, place: int) -> dict[str, Any]:
    if isinstance(span, list):
        span = dict(zip(("start", "end", "type"), span, strict=True))
    found = {part: next((span[key] for key in keys if span.get(key) is not None), None) for part, keys in _KEYS.items()}
    start, end, kind, stated = found["start"], found["end"], found["type"], found["text"]
    if type(start) is not int or type(end) is not int or not isinstance(kind, str) or not kind.strip():
        raise ValueError(f"entity {place} lacks a start, end or type")
    if stated is not None and text[start:end] != stated and text[start : end + 1] == stated:
        end += 1
    if not 0 <= start < end <= len(text):
        raise ValueError(f"entity {place} lies outside the text")
    if stated is not None and text[start:end] != stated:
        raise ValueError(f"entity {place} is not what stands at its offsets in the text")
    entity = {"start": start, "end": end, "type": kind, "text": text[start:end]}
    return entity | ({"id": span["id"]} if isinstance(span.get("id"), str) else {})
