"""The shapes that become messages: alpaca, sharegpt, messages; and prompt_completion, which does not."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes import alpaca, messages, prompt_completion, sharegpt


def _chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    said = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return {"messages": [{"role": "system", "content": system}, *said] if system else said}


def _told(*turns: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[place % 2], "value": turn} for place, turn in enumerate(turns)]


def test_alpaca() -> None:
    assert alpaca.to_fields({"instruction": "a", "output": "b"}) == _chat("a", "b")
    assert alpaca.to_fields({"instruction": "a", "input": "c", "output": "b"}) == _chat("a\nc", "b")
    assert alpaca.to_fields({"instruction": "", "input": "c", "output": "b"}) == _chat("c", "b")
    assert alpaca.to_fields({"instruction": "a", "input": " ", "output": 7, "system": None}) == _chat("a", "7")
    full = {"instruction": "q3", "output": "a3", "system": "s", "history": [["q1", "a1"], ["q2", "a2"]]}
    assert alpaca.to_fields(full) == _chat("q1", "a1", "q2", "a2", "q3", "a3", system="s")
    swift = {"query": "q2", "response": "a2", "history": [["q1", "a1"]]}
    assert alpaca.to_fields(swift) == _chat("q1", "a1", "q2", "a2")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"instruction": "a"}, "missing field: output"),
        ({"output": "a"}, "missing field: instruction"),
        ({"instruction": "a", "output": None}, "missing field: output"),
        ({"instruction": "a", "output": " \n"}, "empty target: output"),
        ({"instruction": " ", "input": None, "output": "b"}, "empty prompt"),
        ({"instruction": None, "input": "", "output": "b"}, "empty prompt"),
        ({"instruction": ["a"], "output": "b"}, "no text but list"),
        ({"instruction": "a", "output": ["b"]}, "no text but list"),
        ({"instruction": "a", "output": "b", "history": [["only one"]]}, "history is no list"),
        ({"instruction": "a", "output": "b", "history": "[]"}, "history is no list"),
        ({"instruction": "a", "output": "b", "history": [["q", ""]]}, "empty turn: turn 2"),
    ],
)
def test_bad_rows_of_alpaca(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        alpaca.to_fields(record)


def test_sharegpt() -> None:
    assert sharegpt.to_fields({"conversations": _told("a", "b", "c", "d")}) == _chat("a", "b", "c", "d")
    assert sharegpt.to_fields({"conversations": _told("a", "b"), "system": "s"}) == _chat("a", "b", system="s")
    inside = [{"from": "system", "value": "inner"}, *_told("a", "b")]
    assert sharegpt.to_fields({"conversations": inside, "system": "outer"}) == _chat("a", "b", system="inner")
    names = [{"from": "user", "value": "a"}, {"from": "Assistant", "value": "b"}]
    assert sharegpt.to_fields({"conversations": names}) == _chat("a", "b")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "missing field: conversations"),
        ({"conversations": []}, "empty or no list"),
        ({"conversations": "text"}, "empty or no list"),
        ({"conversations": [{"value": "a"}]}, "a turn without from"),
        ({"conversations": [*_told("a", "b"), {"from": "observation", "value": "x"}]}, "unknown role"),
        ({"conversations": _told("a", "b", "c")}, "empty target: the last turn is not the assistant's"),
        ({"conversations": _told("a", " ")}, "empty target: turn 2"),
        ({"conversations": _told("", "b")}, "empty turn: turn 1"),
        ({"conversations": _told("a", "b", "c", "d")[1:]}, "roles out of order: turn 1"),
        ({"conversations": [_told("a")[0], *_told("a", "b")]}, "roles out of order: turn 2"),
        ({"conversations": [{"from": "system", "value": "s"}]}, "empty target"),
        (
            {"conversations": [*_told("a", "b"), {"from": "system", "value": "s"}, *_told("c", "d")]},
            "out of order: turn 3",
        ),
    ],
)
def test_bad_rows_of_sharegpt(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sharegpt.to_fields(record)


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


def test_prompt_completion() -> None:
    assert prompt_completion.to_fields({"prompt": "a", "completion": " b"}) == {"prompt": "a", "completion": " b"}
    row = {"query": "a", "response": "b", "system": "", "history": []}
    assert prompt_completion.to_fields(row) == {"prompt": "a", "completion": "b"}
    for record, reason in (
        ({"prompt": "a"}, "missing field: completion"),
        ({"completion": "a"}, "missing field: prompt"),
        ({"query": "a", "response": ""}, "empty target: response"),
        ({"prompt": "", "completion": "b"}, "empty prompt"),
        ({"query": "a", "response": "b", "system": "s"}, "data.shape=alpaca"),
    ):
        with pytest.raises(ValueError, match=reason):
            prompt_completion.to_fields(record)


def test_a_reason_holds_no_text_of_the_row() -> None:
    secret = "Zhang San"
    for record in (
        {"conversations": [{"from": secret, "value": secret}]},
        {"conversations": _told(secret, secret, secret)},
        {"conversations": _told("", secret)},
    ):
        with pytest.raises(ValueError, match=r"unknown role|empty") as caught:
            sharegpt.to_fields(record)
        assert secret not in str(caught.value)
