"""Columnar files come out as plain JSON values, with the label names that they carry."""

from __future__ import annotations

import json
import logging
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import DataError, MissingExtra
from yibu.readers import Bad, Raw
from yibu.readers.parquet import read

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    "ner_tags": {"feature": {"names": ["O", "B-X"], "_type": "ClassLabel"}, "_type": "List"},
}


def _save(table: Any, path: Path) -> str:
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        new = arrow.ipc.new_stream if path.suffix == ".arrow" else arrow.ipc.new_file
        with arrow.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table)
    return str(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_rows_and_numbers(tmp_path: Path, suffix: str) -> None:
    records = [{"prompt": f"p{i}", "turns": [{"role": "user", "content": "字"}], "n": i} for i in range(600)]
    address = _save(arrow.Table.from_pylist(records), tmp_path / f"a{suffix}")
    assert list(read(address)) == [Raw(address, i + 1, record) for i, record in enumerate(records)]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_class_labels_become_names(tmp_path: Path, suffix: str) -> None:
    table = arrow.table({"text": ["a", "b", "c", "d"], "label": [1, 0, -1, 7], "ner_tags": [[0, 1], [], [1], [0]]})
    stored = json.dumps({"info": {"features": FEATURES}})
    address = _save(table.replace_schema_metadata({"huggingface": stored}), tmp_path / f"a{suffix}")
    items = list(read(address))
    assert [item.record for item in items if isinstance(item, Raw)] == [
        {"text": "a", "label": "pos", "ner_tags": ["O", "B-X"]},
        {"text": "b", "label": "neg", "ner_tags": []},
        {"text": "c", "label": None, "ner_tags": ["B-X"]},
    ]
    assert isinstance(items[3], Bad)
    assert "none of the 2 label names" in items[3].reason


def test_values_are_json(tmp_path: Path) -> None:
    table = arrow.table(
        {
            "when": [datetime(2026, 1, 2, 3, 4)],
            "day": [date(2026, 1, 2)],
            "price": [Decimal("37.50")],
            "gap": [float("nan")],
            "missing": arrow.array([None], arrow.string()),
        }
    )
    (item,) = read(_save(table, tmp_path / "a.parquet"))
    assert isinstance(item, Raw)
    assert item.record == json.loads(json.dumps(item.record))
    assert item.record == {
        "when": "2026-01-02T03:04:00",
        "day": "2026-01-02",
        "price": "37.50",
        "gap": None,
        "missing": None,
    }


def test_columns_of_bytes_are_left_out_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = arrow.table({"text": ["a"], "image": [{"bytes": b"\x89PNG", "path": "x.png"}]})
    with caplog.at_level(logging.WARNING):
        (item,) = read(_save(table, tmp_path / "a.parquet"))
    assert isinstance(item, Raw)
    assert item.record == {"text": "a"}
    assert "image" in caplog.text


def test_text_that_is_not_utf8_costs_only_its_row(tmp_path: Path) -> None:
    broken = arrow.array([b"good", b"\xff\xfe", b"fine"], arrow.binary()).view(arrow.string())
    items = list(read(_save(arrow.table({"text": broken}), tmp_path / "a.parquet")))
    assert [type(item) for item in items] == [Raw, Bad, Raw]
    assert items[1] == Bad(items[1].source, 2, "wrong encoding: a text that is not UTF-8")


def test_an_empty_row_is_bad(tmp_path: Path) -> None:
    table = arrow.table({"text": ["a", "", None]})
    assert [type(item) for item in read(_save(table, tmp_path / "a.parquet"))] == [Raw, Bad, Bad]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no columnar file")
    with pytest.raises(DataError, match="damaged"):
        list(read(str(tmp_path / name)))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"yibu\[parquet\]"):
        next(read(str(tmp_path / "a.parquet")))
