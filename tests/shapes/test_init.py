"""Which shape rows have: told from the columns, asked where two fit, explained where none does."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.core.errors import DataError
from yibu.shapes import FIRST_ROWS, detect, text_of

TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
TOLD = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
SPAN = {"start": 0, "end": 1, "type": "X"}


@pytest.mark.parametrize(
    ("record", "shape"),
    [
        ({"instruction": "a", "output": "b"}, "alpaca"),
        ({"instruction": "a", "input": "", "output": "b", "system": "", "history": []}, "alpaca"),
        ({"instruction": "a", "input": "", "output": "b", "text": "### Instruction: a"}, "alpaca"),
        ({"query": "a", "response": "b", "history": [["x", "y"]]}, "alpaca"),
        ({"id": "1", "conversations": TOLD}, "sharegpt"),
        ({"conversations": TURNS}, "messages"),
        ({"messages": TURNS, "prompt": "hi"}, "messages"),
        ({"prompt": TURNS[:1], "completion": TURNS[1:]}, "messages"),
        ({"prompt": "a", "completion": "b"}, "prompt_completion"),
        ({"prompt": "a", "completion": "b", "label": True}, "prompt_completion"),
        ({"query": "a", "response": "b", "system": "", "history": []}, "prompt_completion"),
        ({"text": "a"}, "text"),
        ({"id": 1, "url": "u", "title": "t", "text": "a"}, "text"),
        ({"text": "a", "label": 0}, "text_label"),
        ({"text": "a", "category": "card"}, "text_label"),
        ({"tokens": ["a"], "ner_tags": ["O"]}, "ner_tags"),
        ({"tokens": ["a"], "ner_tags": [0], "text": "a"}, "ner_tags"),
        ({"text": "a", "entities": [SPAN]}, "spans"),
        ({"text": "a", "label": [[0, 1, "X"]]}, "spans"),
        ({"full_text": "a", "spans": [{"start_position": 0, "end_position": 1, "entity_type": "X"}]}, "spans"),
    ],
)
def test_each_shape_is_told(record: dict[str, Any], shape: str) -> None:
    assert detect([record]) == shape
    assert detect([record] * 60) == shape


def test_a_few_bad_rows_do_not_hide_the_shape() -> None:
    good, bad = {"instruction": "a", "output": "b"}, {"instruction": "a"}
    assert detect([bad, good, good]) == "alpaca"
    with pytest.raises(DataError, match="no known shape"):
        detect([bad, bad, good])


def test_only_the_first_rows_are_looked_at() -> None:
    assert detect([{"text": "a"}] * FIRST_ROWS + [{"other": 1}] * 500) == "text"


def test_rows_with_and_without_entities() -> None:
    assert detect([{"text": "a", "entities": []}, {"text": "b", "entities": [SPAN]}]) == "spans"
    assert detect([{"text": "a", "label": []}] * 3) == "text"


@pytest.mark.parametrize(
    ("record", "both"),
    [
        ({"instruction": "a", "output": "b", "messages": TURNS}, ("alpaca", "messages")),
        ({"prompt": "a", "completion": "b", "instruction": "a", "output": "b"}, ("alpaca", "prompt_completion")),
        ({"text": "a", "label": "x", "entities": [SPAN]}, ("spans", "text_label")),
        ({"text": "a", "label": "x", "tokens": ["a"], "ner_tags": ["O"]}, ("ner_tags", "text_label")),
    ],
)
def test_two_shapes_at_once_ask(record: dict[str, Any], both: tuple[str, str]) -> None:
    with pytest.raises(DataError) as caught:
        detect([record])
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert all(name in message for name in both)
    assert f"data.shape={both[0]}" in message
    assert "columns: " + ", ".join(record) in message


def test_a_fresh_shape_says_what_it_saw_and_what_is_known() -> None:
    rows = [{"ID": i, "section_header": "GENHX", "section_text": "x" * 20, "dialogue": "y" * 90} for i in range(3)]
    with pytest.raises(DataError) as caught:
        detect(rows)
    message = str(caught.value)
    assert "columns: ID, section_header, section_text, dialogue" in message
    for known in ("alpaca (instruction, output", "prompt_completion (prompt, completion", "text_label (text, label"):
        assert known in message
    assert 'task.prompt="{dialogue}" task.target="{section_text}"' in message
    assert "xxx" not in message


def test_one_unknown_column() -> None:
    with pytest.raises(DataError, match="columns: body"):
        detect([{"body": "a"}])


def test_no_rows() -> None:
    with pytest.raises(DataError, match="no rows"):
        detect([])


def test_text_of() -> None:
    assert text_of({"a": " x "}, "a") == " x "
    assert text_of({"a": 37.5}, "a") == "37.5"
    for value, reason in ((None, "missing field: a"), (" \n", "empty target: a"), ([], "no text but list")):
        with pytest.raises(ValueError, match=reason):
            text_of({"a": value}, "a", "target")
