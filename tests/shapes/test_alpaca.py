"""Instruction, input, system and history become messages."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes import alpaca


def _chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    said = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return {"messages": [{"role": "system", "content": system}, *said] if system else said}


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
