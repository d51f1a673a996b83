"""Test rows inside of train rows are found by the stage; test is never touched, hard negatives stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import DataError
from yibu.core.recipe import parse
from yibu.core.record import read_rows
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig, prepare

TEST = [
    "The patient was seen on Monday with a cough of three weeks, a fever of 38.2 degrees and night sweats since May.",
    "患者因反复咳嗽伴低热三周入院，既往有２型糖尿病史十年，否认药物过敏史，体温38.2℃，血压135/85mmHg。",
]
EMBEDDED = "Letter to the family doctor. " + TEST[0] + " We thank you for the referral and remain with kind regards."
WIDE = "患者因反复咳嗽，伴低热三周入院；既往有2型糖尿病史十年。否认药物过敏史，体温３８.２℃，血压１３５/８５mmHg"
HARD = TEST[0].replace("38.2", "39.4").replace("three weeks", "five weeks")


def made(folder: Path, train: list[str], test: list[str] = TEST, **data: Any) -> Artifact:
    sources = {}
    fill = [f"Row number {i} speaks of the {word} and of nothing else at all." for i, word in enumerate(WORDS)]
    for split, texts in (("train", [*fill, *train]), ("test", test)):
        path = folder / f"{split}.jsonl"
        rows = ({"text": text, "label": "ab"[place % 2]} for place, text in enumerate(texts))
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        sources[split] = str(path)
    config = parse(PrepareConfig, {"data": {"source": sources, "label": "label", **data}, "task": None})
    return Store(folder / "store").run(prepare, config)


WORDS = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in ("rm", "lk", "nt", "st")]


def texts(artifact: Artifact, split: str) -> list[str]:
    return [row.fields["text"] for row in read_rows(artifact.file(f"{split}.jsonl"))]


def test_embedded_and_rewritten_test_rows_leave_train(tmp_path: Path) -> None:
    artifact = made(tmp_path, [EMBEDDED, WIDE, HARD])
    kept = texts(artifact, "train") + texts(artifact, "valid")
    assert EMBEDDED not in kept
    assert WIDE not in kept
    assert HARD in kept
    assert texts(artifact, "test") == TEST
    summary = artifact.read_json("summary.json")
    assert summary["dropped"]["contaminated"] + summary["dropped"]["leak"] == 2
    assert summary["contamination"]["test"]["items"] == 2
    dropped = [json.loads(line) for line in artifact.file("dropped.jsonl").read_text("utf-8").splitlines()]
    ids = {row.id for row in read_rows(artifact.file("test.jsonl"))}
    assert {record["other"] for record in dropped if record["reason"] in ("contaminated", "leak")} == ids


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    artifact = made(tmp_path, [EMBEDDED], contamination={"enabled": False})
    assert EMBEDDED in texts(artifact, "train") + texts(artifact, "valid")
    assert artifact.read_json("summary.json")["contamination"] == {}


def test_named_benchmarks_are_protected_and_make_another_artifact(tmp_path: Path) -> None:
    benchmark = tmp_path / "exam.jsonl"
    question = "Which of the following findings is the most specific sign of an acute infarction of the anterior wall?"
    benchmark.write_text(json.dumps({"question": question}) + "\n")
    planted = f"We asked him: {question} He did not know."
    artifact = made(tmp_path, [planted], contamination={"against": [str(benchmark)]})
    assert planted not in texts(artifact, "train") + texts(artifact, "valid")
    assert artifact.read_json("summary.json")["contamination"]["exam.jsonl"] == {"items": 1, "hits": 1}
    benchmark.write_text(json.dumps({"question": "Another one."}) + "\n")
    other = made(tmp_path, [planted], contamination={"against": [str(benchmark)]})
    assert other.id != artifact.id


def test_a_column_that_the_benchmark_lacks_is_said(tmp_path: Path) -> None:
    benchmark = tmp_path / "exam.jsonl"
    benchmark.write_text('{"question": "What is it?"}\n')
    with pytest.raises(DataError, match="columns") as error:
        made(tmp_path, [], contamination={"against": [str(benchmark)], "columns": ["questoin"]})
    assert "question" in str(error.value)
