"""Two texts that follow each other, under two pairs of names."""

from __future__ import annotations

import pytest

from yibu.shapes import prompt_completion


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
