"""The row: its line of JSON reads back as the same row, its id is the same on every machine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.core.record import SPLITS, Row, content_id, read_rows

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_fields = st.dictionaries(st.text(st.characters(), max_size=6), _values, max_size=3)
_rows = st.builds(
    Row,
    id=st.text(min_size=1, max_size=8),
    fields=_fields,
    label=st.none() | st.text(min_size=1, max_size=6),
    group=st.none() | st.text(min_size=1, max_size=6),
    time=st.none() | st.just("2026-01-02T03:04:05Z"),
    structured=_fields,
    split=st.sampled_from([None, *SPLITS]),
    source=st.text(max_size=6),
    line=st.integers(min_value=0),
    flags=st.lists(st.text(max_size=4), max_size=2).map(tuple),
)


@given(_rows)
def test_a_row_survives_its_line(row: Row) -> None:
    line = row.to_json()
    assert "\n" not in line
    assert "\r" not in line
    line.encode("utf-8")  # also with half an emoji in it
    assert Row.from_json(line) == row


def test_empty_parts_are_left_out_and_texts_stay_readable() -> None:
    assert json.loads(Row(id="1", fields={"a": "b"}).to_json()) == {"id": "1", "fields": {"a": "b"}}
    assert "发热三天" in Row(id="1", fields={"note": "发热三天"}).to_json()
    full = Row("1", {}, "l", "g", "t", {"lab": 1}, "train", "x.csv", 3, ("flag",), 0)
    assert set(json.loads(full.to_json())) == {field.name for field in dataclasses.fields(Row)}


def test_a_row_is_frozen_and_changed_by_copy() -> None:
    row = Row(id="1", fields={"a": 1}, label="x", flags=("f",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.label = "y"  # type: ignore[misc]
    changed = row.with_fields({"a": 2})
    assert (changed.fields, changed.label, changed.flags) == ({"a": 2}, "x", ("f",))
    assert row.fields == {"a": 1}


@given(_fields)
def test_the_id_does_not_depend_on_the_order_of_fields(fields: dict[str, Any]) -> None:
    assert content_id(fields) == content_id(dict(reversed(fields.items())))


def test_the_id_is_the_same_everywhere_and_tells_rows_apart() -> None:
    # printf '{"a": "值"}' | sha256sum
    assert content_id({"a": "值"}) == "1b899fb5704a5a22"
    rows: list[dict[str, Any]] = [{}, {"a": "1"}, {"a": 1}, {"b": "1"}, {"a": "1", "b": ""}, {"a": "\ud83d"}]
    ids = {content_id(row) for row in rows}
    assert len(ids) == len(rows)
    assert all(len(id) == 16 for id in ids)


def test_rows_are_read_one_at_a_time_whatever_characters_they_hold(tmp_path: Path) -> None:
    # U+2028 and U+0085 end a line for str.splitlines, but not in a JSONL file.
    rows = [Row(id=str(number), fields={"text": f"a\u2028b\x85c\nd\r\ne\ud83d{number}"}) for number in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(row.to_json() + "\n" for row in rows), encoding="utf-8")
    assert list(read_rows(path)) == rows
    reader = read_rows(path)
    assert next(reader) == rows[0]
    reader.close()


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "1", "null", '{"fields": {}}', '{"id": "1", "fields": {}, "secret": 1}', b"\xff", "{}"]
)
def test_a_line_that_is_no_row_is_named_by_its_number_without_its_text(tmp_path: Path, line: str | bytes) -> None:
    raw = line.encode() if isinstance(line, str) else line
    path = tmp_path / "rows.jsonl"
    path.write_bytes(Row(id="1", fields={}).to_json().encode() + b"\n" + raw + b"\n")
    reader = read_rows(path)
    next(reader)
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2 is not a row") as caught:
        next(reader)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
