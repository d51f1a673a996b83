"""Conversations of from and value become messages, in order and complete."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes import sharegpt


def _chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    said = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return {"messages": [{"role": "system", "content": system}, *said] if system else said}


def _told(*turns: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[place % 2], "value": turn} for place, turn in enumerate(turns)]


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
