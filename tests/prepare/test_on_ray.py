"""Over a cluster the same rows come out, byte for byte."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from yibu.core.recipe import parse
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig, prepare

ray = pytest.importorskip("ray")

FILES = ("train.jsonl", "valid.jsonl", "test.jsonl", "dropped.jsonl", "rejected.jsonl", "changes.jsonl", "summary.json")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Any:
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def test_local_and_ray_make_the_same_bytes(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = ["体温", "３７．５", "fever", "cough", "否认", "denies", "BP", "120/80", "患者", "两天", "left", "right"]
    source = tmp_path / "rows.jsonl"
    with source.open("w", encoding="utf-8") as lines:
        for number in range(1500):
            text = " ".join(draw.choice(words) for _ in range(40)) + ("" if number % 20 else "\u200b")
            row = {"text": text, "label": draw.choice("abc")} if number % 100 else {"text": ""}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")

    def made(engine: str, workers: int | None) -> Artifact:
        data = {
            "source": str(source),
            "label": "label",
            "clean": {"profile": "clinical"},
            "split": {"stratify": "label", "folds": 3},
            "engine": engine,
            "workers": workers,
            "reject_share": 0.05,
        }
        return Store(tmp_path / f"{engine}{workers}").run(prepare, parse(PrepareConfig, {"data": data, "task": None}))

    local, over_ray, alone = made("local", 2), made("ray", None), made("local", 1)
    assert local.id == over_ray.id == alone.id
    for name in FILES:
        assert local.file(name).read_bytes() == over_ray.file(name).read_bytes() == alone.file(name).read_bytes(), name
    assert local.read_json("summary.json")["rejected"] == 15
