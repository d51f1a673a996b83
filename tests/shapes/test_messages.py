"""OpenAI's messages, under every name and with parts of text."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes import messages


def _chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    said = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return {"messages": [{"role": "system", "content": system}, *said] if system else said}


def test_messages() -> None:
    for chat in (_chat("a", "b"), _chat("a", "b", "c", "d", system="s")):
        assert messages.to_fields(chat) == chat
        assert messages.to_fields({"conversations": chat["messages"]}) == chat
    developer = [{"role": "developer", "content": "s"}, *_chat("a", "b")["messages"]]
    assert messages.to_fields({"messages": developer}) == _chat("a", "b", system="s")
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": "c", "tool_calls": None}]
    assert messages.to_fields({"messages": turns}) == _chat("ab", "c")
    split = _chat("a", "b", "c", "d", system="s")["messages"]
    assert messages.to_fields({"prompt": split[:4], "completion": split[4:]}) == {"messages": split}


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [{}]}],
            "calls a tool",
        ),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "empty target"),
        ([{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "b"}], "no text"),
        ([{"role": "user", "content": 3}, {"role": "assistant", "content": "b"}], "no text but int"),
        ([{"role": "tool", "content": "a"}, {"role": "assistant", "content": "b"}], "unknown role"),
        (["a", "b"], "a turn without role"),
    ],
)
def test_bad_rows_of_messages(turns: list[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        messages.to_fields({"messages": turns})
    with pytest.raises(ValueError, match="missing field: messages"):
        messages.to_fields({"messages": None, "prompt": "text"})
