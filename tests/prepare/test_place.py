"""Units are never torn apart; time splits by time; folds are numbered."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import DataError, RecipeError
from yibu.core.recipe import parse
from yibu.core.record import SPLITS, Row, read_rows
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig, prepare

Record = dict[str, Any]


def made(folder: Path, records: list[Record], task: Record | None = None, **data: Any) -> Artifact:
    source = folder / f"rows{len(records)}.jsonl"
    source.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    config = parse(PrepareConfig, {"data": {"source": str(source), **data}, "task": task})
    return Store(folder / "store").run(prepare, config)


def rows(artifact: Artifact) -> list[Row]:
    return [row for split in SPLITS for row in read_rows(artifact.file(f"{split}.jsonl"))]


def notes(size: int, seed: int = 0) -> list[Record]:
    """Rows of patients who come again, of classes of different size."""
    draw = random.Random(seed)
    return [
        {
            "text": " ".join(draw.choice(WORDS) for _ in range(30)) + f" visit {i}",
            "label": draw.choices(("renal", "cardiac", "neuro"), (6, 3, 1))[0],
            "patient": f"p{draw.randrange(size // 3)}",
            "day": f"2026-{1 + i % 9:02d}-{1 + i % 28:02d}",
        }
        for i in range(size)
    ]


WORDS = [
    f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe", "ri", "so", "tu") for b in ("ban", "dor", "fel", "gim", "hus")
]


def test_folds_share_no_patient_and_keep_the_shares_and_stay(tmp_path: Path) -> None:
    records = notes(1500)
    split = {"group": "patient", "stratify": "label", "folds": 5}
    first = made(tmp_path, records, label="label", split=split)
    summary = first.read_json("summary.json")["folds"]
    assert summary["groups_shared"] == 0
    assert summary["largest_deviation"] <= 0.02
    folds = {row.id: row.fold for row in rows(first)}
    assert set(folds.values()) == set(range(5))
    patients: dict[str | None, set[int | None]] = {}
    for row in rows(first):
        patients.setdefault(row.group, set()).add(row.fold)
    assert all(len(found) == 1 for found in patients.values())
    grown = made(tmp_path, [*records, *notes(150, seed=1)], label="label", split=split)
    later = {row.id: (row.fold, row.split) for row in rows(grown)}
    assert {id: fold for id, (fold, _) in later.items() if id in folds} == folds
    assert all(later[row.id][1] == row.split for row in rows(first))


def test_a_class_with_fewer_rows_than_folds_is_refused_or_said(tmp_path: Path) -> None:
    records = [
        *notes(300),
        *({"text": f"rare case {i}", "label": "rare", "patient": f"r{i}", "day": ""} for i in range(4)),
    ]
    split = {"stratify": "label", "folds": 5, "on_missing_label": "refuse"}
    with pytest.raises(DataError, match="fewer rows than there are folds") as error:
        made(tmp_path, records, label="label", split=split)
    assert error.value.exit_code == 2
    assert "rare (4)" in str(error.value)
    assert made(tmp_path, records, label="label", split={**split, "on_missing_label": "warn"}).read_json("summary.json")


def test_near_duplicates_of_two_patients_stay_together(tmp_path: Path) -> None:
    records = notes(600)
    long = " ".join(WORDS)
    twins = [{**records[0], "text": f"{long} copy {'x' * (i % 2)}", "patient": f"twin{i}"} for i in range(40)]
    for mode, together in (("group", True), ("off", False)):
        artifact = made(
            tmp_path, [*records, *twins], label="label", split={"group": "patient"}, duplicates={"near": mode}
        )
        splits = Counter(row.split for row in rows(artifact) if (row.group or "").startswith("twin"))
        assert (len(splits) == 1) == together or not together


def test_time_puts_the_past_into_train(tmp_path: Path) -> None:
    artifact = made(tmp_path, notes(600), label="label", time="day", split={"by": "time"})
    days = {split: [row.time for row in rows(artifact) if row.split == split] for split in SPLITS}
    assert max(filter(None, days["train"])) <= min(filter(None, days["valid"]))
    assert max(filter(None, days["valid"])) <= min(filter(None, days["test"]))
    sizes = {split: len(found) / 600 for split, found in days.items()}
    assert abs(sizes["train"] - 0.8) < 0.05


def test_a_patient_goes_by_the_last_visit(tmp_path: Path) -> None:
    artifact = made(tmp_path, notes(600), label="label", time="day", split={"by": "time", "group": "patient"})
    splits: dict[str | None, set[str | None]] = {}
    for row in rows(artifact):
        splits.setdefault(row.group, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    trained = max(row.time or "" for row in rows(artifact) if row.split == "train")
    last = {}
    for row in rows(artifact):
        last[row.group] = max(last.get(row.group, ""), row.time or "")
    assert all(last[row.group] >= trained for row in rows(artifact) if row.split == "test")


def test_a_time_that_is_none_rejects_the_row(tmp_path: Path) -> None:
    records = notes(300)
    records[7]["day"] = "next week"
    artifact = made(tmp_path, records, label="label", time="day", split={"by": "time"})
    assert artifact.read_json("summary.json")["reject_reasons"] == {"column 'day' is no time as ISO 8601 writes it": 1}


def test_a_time_split_needs_a_time(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.time"):
        made(tmp_path, notes(50), label="label", split={"by": "time"})


def test_rows_with_several_labels_are_balanced(tmp_path: Path) -> None:
    draw = random.Random(3)
    records = [
        {
            "text": f"{record['text']}",
            "note": "n",
            "codes": [f"c{k}" for k in range(5) if draw.random() < 0.6 / (k + 1)],
        }
        for record in notes(1200)
    ]
    task = {"kind": "generate", "prompt": "{text}", "target": "{codes}"}
    artifact = made(tmp_path, records, task, split={"stratify": "codes", "folds": 4})
    summary = artifact.read_json("summary.json")
    assert set(summary["balance"]["shares"]) == {f"c{k}" for k in range(5)}
    assert summary["balance"]["largest_deviation"] <= 0.05
    assert summary["folds"]["largest_deviation"] <= 0.02
