"""`yibu show --row`: one row from its source to its split, every step before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yibu.cli.row import find_row, row_view
from yibu.core.errors import DataError
from yibu.core.recipe import parse
from yibu.core.record import Row
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig, prepare


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(name="data")
def _data(tmp_path: Path, store: Store) -> Artifact:
    rows = [{"text": f"Fever  of ３８.{i}℃, call 13812345678", "label": "ab"[i % 2]} for i in range(200)]
    rows.append(rows[3])
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = {"source": str(source), "clean": {"profile": "clinical"}, "privacy": {"mask": ["phone"]}}
    return store.run(prepare, parse(PrepareConfig, {"data": data}))


def test_steps_are_shown_and_personal_data_is_not(store: Store, data: Artifact) -> None:
    row = Row.from_json(data.file("train.jsonl").read_text("utf-8").splitlines()[0])
    told = find_row(store, data, row.id)
    assert (told["split"], told["line"]) == ("train", row.line)
    assert [step["step"] for step in told["steps"]] == ["clean", "privacy"]
    assert "３８" in told["steps"][0]["before"]
    assert told["steps"][-1]["after"] == row.fields["text"]
    assert "13812345678" not in json.dumps(told)
    assert row_view(told)
    assert find_row(store, data, f"{row.id}~homophones1")["id"] == row.id


def test_an_unknown_row_is_an_error(store: Store, data: Artifact) -> None:
    with pytest.raises(DataError, match="No row"):
        find_row(store, data, "0123456789abcdef")
