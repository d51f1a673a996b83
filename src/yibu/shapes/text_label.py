"""A text and its class. The class may be called ``label``, ``category``, ``intent`` or ``class``; where a number comes
with its name in ``label_text``, the name is the class."""

from __future__ import annotations

from typing import Any

from yibu.shapes import has, most, text_of

COLUMNS = "text, label (or category, intent, class)"
RANK = 1

_LABELS = ("label_text", "label", "category", "intent", "class")


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: has(record, "text") and _label_column(record) is not None)


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    text = text_of(record, "text", "prompt")
    column = _label_column(record)
    if column is None:
        raise ValueError("missing field: label")
    value = record[column]
    if isinstance(value, float) and value.is_integer():  # a whole-number column with gaps, as pandas stores it
        value = int(value)
    if isinstance(value, bool):
        value = str(value).lower()
    return {"text": text, "label": text_of({column: value}, column, "target").strip()}


def _label_column(record: dict[str, Any]) -> str | None:
    """The first label column with a value that can be a class: a text or a number, no list."""
    return next((name for name in _LABELS if isinstance(record.get(name), (str, int, float))), None)
