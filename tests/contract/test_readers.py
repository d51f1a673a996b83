"""One contract for every reader: streaming, deterministic, reported failures, exactly one reader an address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from yibu.core.errors import DataError
from yibu.readers import FAMILY, Raw, reader_of

PUBTATOR = "1|t|Aspirin.\n1|a|It helps.\n1\t0\t7\tAspirin\tChemical\tD1\n"
ROW = {"text": "血压 150/95", "label": "a"}
FILES = {
    "csv": ("a.csv", "text,label\n血压 150/95,a\n"),
    "json": ("a.json", json.dumps([ROW])),
    "jsonl": ("a.jsonl", json.dumps(ROW) + "\n"),
    "pubtator": ("a.pubtator", PUBTATOR),
}


def test_the_readers_are_these() -> None:
    assert FAMILY.names() == ["csv", "dataset_info", "hub", "icd10cm", "json", "jsonl", "parquet", "pubtator"]


@pytest.mark.parametrize("name", FAMILY.names())
def test_a_reader_states_what_it_reads(name: str) -> None:
    plug = FAMILY.load(name)
    assert isinstance(plug.FORMATS, str)
    assert plug.FORMATS
    assert isinstance(plug.FILES, bool)
    assert plug.__doc__


@pytest.mark.parametrize(
    "address",
    [
        "a.csv",
        "A.TSV",
        "a.json",
        "a.jsonl",
        "a.ndjson",
        "a.parquet",
        "a.arrow",
        "a.feather",
        "a.pubtator",
        "x/a.PubTator.txt",
        "x/dataset_info.json",
        "x/dataset_info.json:one,two",
        "package:simple-icd-10-cm",
        "hub:owner/name",
        "hub:owner/data.json",
        "owner/name",
        "owner/name:test",
    ],
)
def test_exactly_one_reader_accepts_an_address(address: str) -> None:
    assert [name for name, plug in FAMILY.all().items() if plug.accepts(address)] == [reader_of(address)]


@pytest.fixture(params=[*FILES, "parquet", "dataset_info", "icd10cm"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """(reader, address) of a small source."""
    name: str = request.param
    if name == "icd10cm":
        pytest.importorskip("simple_icd_10_cm")
        return name, "package:simple-icd-10-cm"
    if name == "parquet":
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist([ROW]), tmp_path / "a.parquet")
        return name, str(tmp_path / "a.parquet")
    if name == "dataset_info":
        (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
        (tmp_path / "dataset_info.json").write_text(json.dumps({"one": {"file_name": "rows.json"}}))
        return name, str(tmp_path / "dataset_info.json:one")
    file, content = FILES[name]
    (tmp_path / file).write_text(content, encoding="utf-8")
    return name, str(tmp_path / file)


def test_rows_are_streamed_the_same_each_time_and_fit_in_json(example: tuple[str, str]) -> None:
    name, address = example
    plug = FAMILY.load(name)
    assert plug.accepts(address)
    stream = plug.read(address)
    assert isinstance(stream, Iterator)
    items = list(stream)
    assert items
    assert items == list(plug.read(address))
    for item in items:
        assert isinstance(item, Raw)
        assert item.source
        assert item.line >= 1
        assert json.loads(json.dumps(item.record)) == item.record


def test_the_digest_is_text_by_text_and_stable(example: tuple[str, str]) -> None:
    name, address = example
    found = FAMILY.load(name).digest(address)
    assert found
    assert all(isinstance(key, str) and isinstance(value, str) and value for key, value in found.items())
    assert found == FAMILY.load(name).digest(address)


@pytest.mark.parametrize("name", [*FILES, "parquet", "dataset_info"])
def test_a_missing_file_is_an_error_at_the_first_row(name: str, tmp_path: Path) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    file = {"parquet": "a.parquet", "dataset_info": "dataset_info.json"}.get(name) or FILES[name][0]
    with pytest.raises((OSError, DataError)):
        next(FAMILY.load(name).read(str(tmp_path / file)))
