"""The shapes text, text_label and fields."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes import fields, text, text_label


def test_text() -> None:
    assert text.to_fields({"text": "a\n", "url": "u"}) == {"text": "a\n"}
    for record in ({}, {"text": None}, {"text": " "}, {"text": ["a"]}):
        with pytest.raises(ValueError, match="text"):
            text.to_fields(record)


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


def test_fields_is_any_record_and_never_guessed() -> None:
    record = {"dialogue": "a", "note": None}
    assert fields.to_fields(record) == record
    assert fields.to_fields(record) is not record
    assert not fields.fits([record])
    with pytest.raises(ValueError, match="empty row"):
        fields.to_fields({})
