"""Alpaca: one instruction with an optional input, an output, and optionally a system prompt and earlier turns.

The user's turn is ``instruction``, a line feed, ``input``, as LLaMA-Factory joins them; ``history`` is a list of
(user, assistant) pairs. ms-swift's ``query``/``response`` with a ``system`` or ``history`` is the same in other words.
"""

from __future__ import annotations

from typing import Any

from yibu.shapes import has, most, text_of
from yibu.shapes._turns import has_context, to_messages

COLUMNS = "instruction, output; optional: input, system, history (or query, response with system or history)"
RANK = 1

_ASKED, _ANSWERED = ("instruction", "query"), ("output", "response")


def fits(records: list[dict[str, Any]]) -> bool:
    if most(records, lambda record: has(record, "instruction", "output")):
        return True
    return most(records, lambda record: has(record, "query", "response")) and any(map(has_context, records))


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    asked = next((name for name in _ASKED if name in record), None)
    answered = next((name for name in _ANSWERED if name in record), None)
    if asked is None or answered is None:
        raise ValueError(f"missing field: {'instruction' if asked is None else 'output'}")
    parts = [column for column in (asked, "input") if record.get(column) is not None and str(record[column]).strip()]
    prompt = "\n".join(text_of(record, column, "prompt") for column in parts)
    if not prompt:
        raise ValueError(f"empty prompt: {asked}")
    given: list[tuple[str, Any]] = []
    for question, answer in _pairs(record.get("history")):
        given += [("user", question), ("assistant", answer)]
    given += [("user", prompt), ("assistant", text_of(record, answered, "target"))]
    return {"messages": to_messages(given, record.get("system"))}


def _pairs(history: Any) -> list[tuple[Any, Any]]:
    if not history:
        return []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ValueError("history is no list of (user, assistant) pairs")
    return [(pair[0], pair[1]) for pair in history]
