"""A prompt and what follows it, as two texts: TRL's ``prompt``/``completion`` or ms-swift's ``query``/``response``.

Rows with a system prompt or a history have the shape ``alpaca``; lists of messages have the shape ``messages``.
"""

from __future__ import annotations

from typing import Any

from yibu.shapes import most, text_of
from yibu.shapes._turns import has_context

COLUMNS = "prompt, completion (or query, response)"
RANK = 1

_PAIRS = (("prompt", "completion"), ("query", "response"))


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: any(_is_pair(record, *pair) for pair in _PAIRS)) and not any(
        map(has_context, records)
    )


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    asked, answered = next((pair for pair in _PAIRS if pair[0] in record), _PAIRS[0])
    prompt, completion = text_of(record, asked, "prompt"), text_of(record, answered, "target")
    if has_context(record):
        raise ValueError("a system prompt or history, which this shape does not carry; try data.shape=alpaca")
    return {"prompt": prompt, "completion": completion}


def _is_pair(record: dict[str, Any], asked: str, answered: str) -> bool:
    return isinstance(record.get(asked), str) and isinstance(record.get(answered), str)
