"""A text and its class, whatever the class is called."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes import text_label


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"label": "a"}, "a"),
        ({"label": " a "}, "a"),
        ({"label": 3}, "3"),
        ({"label": 3.0}, "3"),
        ({"label": 0}, "0"),
        ({"label": 3.5}, "3.5"),
        ({"label": False}, "false"),
        ({"category": "card"}, "card"),
        ({"intent": "card", "class": "x"}, "card"),
        ({"label": 1, "label_text": "positive"}, "positive"),
        ({"label": None, "category": "card"}, "card"),
    ],
)
def test_text_label(record: dict[str, Any], label: str) -> None:
    assert text_label.to_fields({"text": "t", **record}) == {"text": "t", "label": label}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"text": "t"}, "missing field: label"),
        ({"text": "t", "label": None}, "missing field: label"),
        ({"text": "t", "label": ["a"]}, "missing field: label"),
        ({"text": "t", "label": ""}, "empty target: label"),
        ({"text": "", "label": "a"}, "empty prompt: text"),
        ({"label": "a"}, "missing field: text"),
    ],
)
def test_bad_rows_of_text_label(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        text_label.to_fields(record)
