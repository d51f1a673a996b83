"""Plain text, to learn as it is. Any richer shape goes before it, since most have a column ``text`` too."""

from __future__ import annotations

from typing import Any

from yibu.shapes import has, most, text_of

COLUMNS = "text"
RANK = 0


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: has(record, "text") and isinstance(record["text"], str))


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    return {"text": text_of(record, "text", "target")}
