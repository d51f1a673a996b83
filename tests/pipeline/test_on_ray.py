"""Folds and learning rates as tasks of a local Ray cluster: the artifacts of one process, and its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny import tiny_base
from yibu import pipeline
from yibu.core.errors import DataError
from yibu.core.store import Store

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def recipe(folder: Path, **train: object) -> Path:
    with (folder / "rows.jsonl").open("w") as lines:
        for number in range(60):
            label = ("heart", "hand")[number % 2]
            lines.write(json.dumps({"text": f"{label} hurts, case {number}", "label": label}) + "\n")
    table = {
        "base": str(tiny_base(folder / "base")),
        "data": {"source": str(folder / "rows.jsonl")},
        "train": {"lr": 1e-2, "epochs": 1, "threads": 1, **train},
        "evaluate": {"folds": 2},
    }
    (folder / "tiny.yaml").write_text(json.dumps(table))
    return folder / "tiny.yaml"


def made(store: Store) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for artifact in store.artifacts():
        found.setdefault(artifact.manifest.stage, set()).add(artifact.id)
    return found


@pytest.mark.usefixtures("cluster")
def test_a_cluster_makes_the_folds_of_one_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = recipe(tmp_path)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    given = pipeline.load(path)
    base = pipeline.resolve_base(given, here)
    alone = pipeline.make_folds(given, here, base)

    spread = pipeline.load(path, ["train.engine=ray"])
    caplog.clear()  # of what one process said, where another test left the logger talkative
    with caplog.at_level("INFO", logger="yibu"):
        together = pipeline.make_folds(spread, there, base)
    assert {name: part.id for name, part in together.items()} == {name: part.id for name, part in alone.items()}
    assert made(there) == made(here)
    assert "making prepare-" in caplog.text  # before the tasks
    assert "making train-" not in caplog.text


@pytest.mark.usefixtures("cluster")
def test_a_cluster_tries_the_learning_rates_of_one_process(tmp_path: Path) -> None:
    path = recipe(tmp_path, lr="auto")
    found = []
    for engine in ("local", "ray"):
        store, given = Store(tmp_path / engine), pipeline.load(path, [f"train.engine={engine}", "evaluate.folds=null"])
        data = pipeline.make_data(given, store)
        found.append(pipeline.make_model(given, store, data))
        assert pipeline.make_model(given, store, data).id == found[-1].id, "not made again"
        tried = [one for one in store.artifacts() if one.manifest.stage == "trial"]
        sweep = found[-1].read_json("lr_sweep.json")
        assert len(tried) == (0 if engine == "local" else len(sweep["trials"]))
    alone, together = found
    assert set(together.manifest.inputs) > set(alone.manifest.inputs) == {"data"}
    assert together.read_json("lr_sweep.json") == alone.read_json("lr_sweep.json")
    weights = "adapter/adapter_model.safetensors"
    assert together.manifest.files[weights].sha256 == alone.manifest.files[weights].sha256


@pytest.mark.usefixtures("cluster")
def test_what_a_fold_says_of_its_failure_reaches_the_user(tmp_path: Path) -> None:
    path = recipe(tmp_path, max_length=8)
    given = pipeline.load(path, ["train.engine=ray"])
    store = Store(tmp_path / "store")
    with pytest.raises(DataError, match="longer than") as error:
        pipeline.make_folds(given, store, pipeline.resolve_base(given, store))
    assert "max_length" in str(error.value)
