"""Prepare on the real sets, where they lie beside the checkout. Their synthetic likenesses are in `test_stage`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yibu.core.recipe import parse
from yibu.core.store import Store
from yibu.prepare import PrepareConfig, prepare

DATA = Path(__file__).parents[3] / "shared" / "data"
MTS = DATA / "mts_dialog"
LAW = DATA / "lawbench" / "zero_shot"


def summary(tmp_path: Path, data: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    config = parse(PrepareConfig, {"data": data, "task": task})
    found: dict[str, Any] = Store(tmp_path).run(prepare, config).read_json("summary.json")
    return found


@pytest.mark.skipif(not MTS.is_dir(), reason="needs ../shared/data/mts_dialog")
def test_mts_dialog(tmp_path: Path) -> None:
    names = {"train": "TrainingSet", "valid": "ValidationSet", "test": "TestSet-1-MEDIQA-Chat-2023"}
    source = {split: str(MTS / f"MTS-Dialog-{name}.csv") for split, name in names.items()}
    task = {"prompt": "{dialogue}", "target": "{section_header}\n{section_text}", "score": {"section_header": "label"}}
    found = summary(tmp_path, {"source": source, "id": "ID", "clean": {"profile": "clinical"}}, task)
    assert found["rows_read"] == 1501
    assert found["rejected"] == 0
    assert found["splits"]["test"] == 200
    assert found["splits"]["train"] == 1201 - found["dropped"]["duplicate"] - found["dropped"]["leak"]
    assert len(found["classes"]) == 20
    assert found["missing_labels"]["test"] == []
    assert found["target_in_train"] == 30  # as the data's own README counts
    assert found["language"] == "en"


@pytest.mark.skipif(not LAW.is_dir(), reason="needs ../shared/data/lawbench")
def test_lawbench(tmp_path: Path) -> None:
    task = {"prompt": "{instruction}\n{question}", "target": "{answer}"}
    found = summary(tmp_path, {"source": str(LAW / "3-3.json")}, task)
    assert found["rows_read"] == 500
    assert sum(found["splits"].values()) + sum(found["dropped"].values()) == 500
    assert found["language"] == "zh"
