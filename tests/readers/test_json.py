"""Arrays one element at a time, with the physical lines of the rows, and honesty where the structure ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.readers import Bad, Raw, _text
from yibu.readers import json as plug
from yibu.readers.json import accepts, read


def _write(folder: Path, content: str | bytes) -> str:
    path = folder / "rows.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def _records(address: str) -> list[dict[str, Any]]:
    return [item.record for item in read(address) if isinstance(item, Raw)]


ROWS = [{"a": "x", "n": [1, -2.5e3, {"b": None}]}, {"a": 'quote " and \\ and ] } ,', "n": []}, {"a": "字", "n": True}]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("wrap", [False, True])
def test_array_and_data_key(tmp_path: Path, indent: int | None, wrap: bool) -> None:
    value = {"version": {"data": [1]}, "data": ROWS} if wrap else ROWS
    assert _records(_write(tmp_path, json.dumps(value, indent=indent, ensure_ascii=False))) == ROWS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.floats(-9, 9), min_size=1), max_size=6),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 40),
)
def test_any_chunk_size_gives_the_same_rows(
    tmp_path: Path, records: list[dict[str, Any]], indent: int | None, chunk: int
) -> None:
    address = _write(tmp_path, json.dumps(records, indent=indent, ensure_ascii=chunk % 2 == 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_text, "CHUNK", chunk)
        assert _records(address) == records


def test_lines_are_where_the_rows_begin(tmp_path: Path) -> None:
    text = '[\n  {\n    "a": 1\n  },\n\n  {"a": 2}, {"a": 3},\n  {"a":\n 4}\n]\n'
    assert [(item.line, item.record["a"]) for item in read(_write(tmp_path, text)) if isinstance(item, Raw)] == [
        (2, 1),
        (6, 2),
        (6, 3),
        (7, 4),
    ]


@pytest.mark.parametrize("chunk", [4, 1024])
def test_a_broken_element_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(_text, "CHUNK", chunk)
    elements = [
        '{"a": 1}',
        '{"a": tru, "b": [1, {"c": "]}"}]}',
        '{"a": "raw\nline"}',
        '{"a": "said "hi" twice"}',
        "17",
        '"text"',
        "{}",
        '{"a": "\\ud800"}',
        '{"a": Infinity}',
        "]"[1:] + '{"a": 2}',
    ]
    items = list(read(_write(tmp_path, "[" + ",\n".join(elements) + "]")))
    assert [item.line for item in items] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert [item.record for item in items if isinstance(item, Raw)] == [{"a": 1}, {"a": 2}]
    reasons = [item.reason for item in items if isinstance(item, Bad)]
    expected = ["broken JSON"] * 3 + ["a number", "a text", "empty row", "wrong encoding", "Infinity"]
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True))


def test_a_wrongly_encoded_element_costs_only_itself(tmp_path: Path) -> None:
    items = list(read(_write(tmp_path, '[{"a": "字"},\n{"a": "'.encode() + b"\xff" + b'"},\n{"a": 3}]')))
    assert [(type(item), item.line) for item in items] == [(Raw, 1), (Bad, 2), (Raw, 3)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"a": 1},\n{"a": 2', 2),
        ('[{"a": 1}\n{"a": 2}]', 2),
        ('[{"a": 1},\n{"a": "open},\n{"a": 3}]', 3),
        ('[{"a": 1}]\n[{"a": 2}]', 2),
        ('{"meta": tru, "data": [{"a": 1}]}', 1),
        ('[{"a": "x\\', 1),
        ('[{"a": 1},', 1),
        ("[", 1),
    ],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_refused(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"line {line}\b"):
        list(read(_write(tmp_path, text)))


def test_json_lines_under_the_name_json(tmp_path: Path) -> None:
    items = list(read(_write(tmp_path, '{"a": 1}\n\n{"a": 2}\n{"a": oops}\n')))
    assert [(type(item), item.line) for item in items] == [(Raw, 1), (Bad, 2), (Raw, 3), (Bad, 4)]


@pytest.mark.parametrize("text", ['{"rows": [{"a": 1}]}', '{"data": {"a": 1}}', "{}", "3", '"data"'])
def test_a_file_without_rows_is_one_bad_row(tmp_path: Path, text: str) -> None:
    (item,) = read(_write(tmp_path, text))
    assert isinstance(item, Bad)
    assert "array of rows" in item.reason


def test_empty_arrays_and_files(tmp_path: Path) -> None:
    for text in ("", "  \n", "[]", "[ \n ]", '{"data": []}'):
        assert list(read(_write(tmp_path, text))) == []


def test_an_element_that_is_too_long_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug, "MAX_LINE", 200)
    monkeypatch.setattr(_text, "CHUNK", 50)
    items = list(read(_write(tmp_path, json.dumps([{"a": 1}, {"a": "x" * 2000}, {"a": 3}]))))
    assert [type(item) for item in items] == [Raw, Bad, Raw]
    assert isinstance(items[1], Bad)
    assert "too long" in items[1].reason


def test_the_registry_of_llama_factory_is_no_data_file() -> None:
    assert accepts("data/rows.JSON")
    assert not accepts("data/dataset_info.json")
