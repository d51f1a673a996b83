"""JSON that any reader reads alike, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.strict_json import read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_reads_what_json_writes(value: Any, ascii_only: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=ascii_only)) == value


@pytest.mark.parametrize(
    "text",
    ["", "yes", "{'a': 1}", '{"a": 1,}', '{"a": 1} ok', '```json\n{"a": 1}\n```', "[NaN]", "-Infinity", "[1][2]"],
)
def test_refuses_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_refuses_a_name_that_stands_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        read_json('{"dose": 5, "dose": 50}')


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 5_000 + "]" * 5_000, '{"a":' * 3_000 + "1" + "}" * 3_000])
def test_an_abyss_of_brackets_is_refused_and_does_not_kill(text: str) -> None:
    with pytest.raises(ValueError, match="deep"):
        read_json(text)


def test_many_brackets_side_by_side_are_no_abyss() -> None:
    assert read_json("[" + ",".join(["[]"] * 1_000) + "]") == [[]] * 1_000
