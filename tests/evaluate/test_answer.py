"""Answers of one system: what is beyond the context is said, losses are those of the rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiny import tiny_base
from yibu.core.store import Store
from yibu.evaluate import AnswerConfig, answer
from yibu.prepare import DataSettings, PrepareConfig, prepare
from yibu.tasks import settings_of

TASK = {"kind": "generate", "prompt": "{question}", "target": "{reply}", "max_new_tokens": 4}


@pytest.fixture
def config(tmp_path: Path) -> tuple[Store, AnswerConfig, Path]:
    source = tmp_path / "rows.jsonl"
    with source.open("w") as lines:
        for number in range(120):
            length = 200 if number % 10 == 0 else 2
            lines.write(json.dumps({"question": f"cough {number} " * length, "reply": f"lung {number % 3}"}) + "\n")
    base = tiny_base(tmp_path / "base")
    made = AnswerConfig(
        base_path=str(base),
        base_digest="0" * 64,
        task=settings_of(TASK),
        split="test",
        batch_size=4,
        dtype="fp32",
        device="cpu",
        threads=None,
    )
    return Store(tmp_path / "store"), made, source


def test_rows_beyond_the_context_are_counted_and_named(
    config: tuple[Store, AnswerConfig, Path], caplog: pytest.LogCaptureFixture
) -> None:
    store, settings, source = config
    data = store.run(prepare, PrepareConfig(data=DataSettings(source=str(source)), task=settings_of(TASK)))
    with caplog.at_level("WARNING", logger="yibu"):
        answers = store.run(answer, settings, data=data)
    rows = [json.loads(line) for line in answers.file("answers.jsonl").read_text().splitlines()]
    tests = [json.loads(line) for line in data.file("test.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in tests]
    long = sum(len(row["fields"]["question"]) > 500 for row in tests)
    assert answers.manifest.notes["rows_beyond_context"] == long
    assert ("go beyond the base's context" in caplog.text) == (long > 0)
    assert all(row["loss"] > 0 and row["num_targets"] > 0 for row in rows)
    assert all(row["num_tokens"] <= 4 for row in rows)
