"""Plain text is taken as it stands."""

from __future__ import annotations

import pytest

from yibu.shapes import text


def test_text() -> None:
    assert text.to_fields({"text": "a\n", "url": "u"}) == {"text": "a\n"}
    for record in ({}, {"text": None}, {"text": " "}, {"text": ["a"]}):
        with pytest.raises(ValueError, match="text"):
            text.to_fields(record)
