"""One fold as a data artifact: who is where, and what stays out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import RecipeError
from yibu.core.recipe import parse
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact, Store
from yibu.prepare import FoldConfig, PrepareConfig, fold, prepare

K = 4


def prepared(folder: Path, task: dict[str, Any] | None = None, **split: Any) -> tuple[Store, Artifact]:
    source = folder / "rows.jsonl"
    with source.open("w") as lines:
        for n in range(160):
            row = {
                "text": f"{'chest pain' if n % 2 else 'a cut finger'}, visit {n} of ward {n * 7919 % 97}",
                "label": "heart" if n % 2 else "hand",
                "note": f"seen {n % 60}",
                "patient": f"p{n % 50}",
            }
            lines.write(json.dumps(row) + "\n")
    store = Store(folder / "store")
    data = {"source": str(source), "split": {"group": "patient", **split}}
    return store, store.run(prepare, parse(PrepareConfig, {"data": data, "task": task}))


def rows_of(artifact: Artifact, split: str) -> list[Row]:
    return list(read_rows(artifact.file(f"{split}.jsonl")))


def test_every_row_but_those_of_test_is_tested_once_and_no_group_is_torn(tmp_path: Path) -> None:
    store, data = prepared(tmp_path, folds=K)
    tested: list[str] = []
    for number in range(K):
        made = store.run(fold, FoldConfig(number=number), data=data)
        parts = {split: rows_of(made, split) for split in ("train", "valid", "test")}
        groups = {split: {row.group for row in rows} for split, rows in parts.items()}
        assert not groups["train"] & groups["test"]
        assert not groups["valid"] & groups["test"]
        assert {row.fold for row in parts["test"]} == {number}
        assert all(row.split == split for split, rows in parts.items() for row in rows)
        summary = made.read_json("summary.json")
        assert summary["splits"] == {split: len(rows) for split, rows in parts.items()}
        assert min(summary["splits"].values()) > 0
        tested += [row.id for row in parts["test"]]
    assert sorted(tested) == sorted(row.id for split in ("train", "valid") for row in rows_of(data, split))
    assert not set(tested) & {row.id for row in rows_of(data, "test")}


def test_answers_that_the_fold_trains_on_are_flagged(tmp_path: Path) -> None:
    task = {"kind": "generate", "prompt": "{text}", "target": "{note}"}
    store, data = prepared(tmp_path, task, folds=K)
    made = store.run(fold, FoldConfig(number=1), data=data)
    seen = {row.fields["note"] for row in rows_of(made, "train")}
    test = rows_of(made, "test")
    assert {row.id for row in test if row.flags} == {row.id for row in test if row.fields["note"] in seen}
    assert made.read_json("summary.json")["target_in_train"] == sum(bool(row.flags) for row in test) > 0


@pytest.mark.parametrize(("split", "allowed"), [({}, "without folds"), ({"folds": K}, "0 to 3")])
def test_a_fold_that_is_not_there_is_refused(tmp_path: Path, split: dict[str, Any], allowed: str) -> None:
    store, data = prepared(tmp_path, **split)
    with pytest.raises(RecipeError, match="no such fold") as caught:
        store.run(fold, FoldConfig(number=K), data=data)
    assert allowed in str(caught.value)
    assert not [artifact for artifact in store.artifacts() if artifact.manifest.stage == "fold"]
