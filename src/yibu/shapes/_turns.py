"""Turns of a conversation, whatever their roles are called, as the messages of a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


def is_turns(value: Any, role: str, content: str) -> bool:
    """Whether a value is a list of turns with these two keys."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and {role, content} <= set(value[0])


def has_context(record: dict[str, Any]) -> bool:
    """Whether a record has a system prompt or earlier turns beside its question and answer."""
    return bool(record.get("system")) or bool(record.get("history"))


def turns(value: Any, role: str, content: str) -> list[tuple[str, Any]]:
    """(role, content) of each turn.

    Raises:
        ValueError: not a list of turns; a call of a tool.
    """
    if not isinstance(value, list) or not value:
        raise ValueError("the conversation is empty or no list of turns")
    found = []
    for turn in value:
        if not isinstance(turn, dict) or role not in turn:
            raise ValueError(f"a turn without {role}")
        if turn.get("tool_calls") or turn.get("function_call"):
            raise ValueError("a turn that calls a tool, which is not supported")
        found.append((str(turn[role]), turn.get(content)))
    return found


def to_messages(given: Iterable[tuple[str, Any]], system: Any = None) -> list[dict[str, str]]:
    """Messages ``{"role", "content"}``: an optional system turn, then user and assistant in turn.

    Args:
        given: (role, content) in any of the names of `ROLES`.
        system: a system prompt that stands outside the conversation; a system turn inside goes before it.

    Raises:
        ValueError: an unknown role, an empty turn, roles out of order, or a last turn that is not the assistant's.
    """
    messages = [{"role": _role(name), "content": _content(content)} for name, content in given]
    if isinstance(system, str) and system.strip() and (not messages or messages[0]["role"] != "system"):
        messages.insert(0, {"role": "system", "content": system})
    spoken = messages[1:] if messages and messages[0]["role"] == "system" else messages
    if not spoken or spoken[-1]["role"] != "assistant":
        raise ValueError("empty target: the last turn is not the assistant's")
    for place, message in enumerate(spoken):
        expected = "assistant" if place % 2 else "user"
        if message["role"] != expected:
            raise ValueError(f"roles out of order: turn {place + 1} is the {message['role']}'s, not the {expected}'s")
        if not message["content"].strip():
            part = "target" if place == len(spoken) - 1 else "turn"
            raise ValueError(f"empty {part}: turn {place + 1} of the {message['role']}")
    return messages


def _role(name: str) -> str:
    if name.lower() not in ROLES:
        raise ValueError("unknown role in the conversation; known: " + ", ".join(ROLES))
    return ROLES[name.lower()]


def _content(value: Any) -> str:
    """Text of a turn; OpenAI's list of parts is joined if every part is text."""
    if value is None:
        return ""
    if isinstance(value, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
            raise ValueError("a turn with a part that is no text")
        return "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise ValueError(f"a turn whose content is no text but {type(value).__name__}")
    return value
