"""ShareGPT: ``conversations`` of turns ``{"from", "value"}``, with an optional ``system`` column."""

from __future__ import annotations

from typing import Any

from yibu.shapes import most
from yibu.shapes._turns import is_turns, to_messages, turns

COLUMNS = "conversations: [{from, value}]; optional: system"
RANK = 1


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: is_turns(record.get("conversations"), "from", "value"))


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("conversations") is None:
        raise ValueError("missing field: conversations")
    return {"messages": to_messages(turns(record["conversations"], "from", "value"), record.get("system"))}
