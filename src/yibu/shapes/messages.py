"""OpenAI's chat format: ``messages`` of turns ``{"role", "content"}``, also met under the name ``conversations``; and
TRL's conversational ``prompt``/``completion``, two such lists that follow each other."""

from __future__ import annotations

from typing import Any

from yibu.shapes import most
from yibu.shapes._turns import is_turns, to_messages, turns

COLUMNS = "messages: [{role, content}]; optional: system (or prompt, completion as such lists)"
RANK = 1

_NAMES = ("messages", "conversations")


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: _is_split(record) or any(_is_chat(record.get(name)) for name in _NAMES))


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    name = next((name for name in _NAMES if record.get(name) is not None), None)
    if name is not None:
        given = turns(record[name], "role", "content")
    elif _is_split(record):
        given = turns(record["prompt"], "role", "content") + turns(record["completion"], "role", "content")
    else:
        raise ValueError("missing field: messages")
    return {"messages": to_messages(given, record.get("system"))}


def _is_chat(value: Any) -> bool:
    return is_turns(value, "role", "content")


def _is_split(record: dict[str, Any]) -> bool:
    return _is_chat(record.get("prompt")) and _is_chat(record.get("completion"))
