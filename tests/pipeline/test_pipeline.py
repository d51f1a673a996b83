"""The whole chain on a tiny base: it works for both tasks, is not redone, survives being killed, and refuses well."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tiny import tiny_base
from yibu import pipeline
from yibu.core.errors import RecipeError
from yibu.core.store import Store, digest_file

WORDS = {
    "heart": ["chest pain", "palpitations", "heart attack"],
    "lung": ["cough", "asthma", "dyspnoea"],
    "hand": ["cut finger", "broken thumb", "injury of the hand"],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chance = random.Random(0)
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    with path.open("w") as lines:
        for number in range(150):
            label = chance.choice(list(WORDS))
            row = {"text": f"{chance.choice(WORDS[label])}, case {number}", "label": label}
            lines.write(json.dumps(row) + "\n")
    return path


def recipe(folder: Path, base: Path, rows: Path, **sections: Any) -> Path:
    table = {
        "base": str(base),
        "data": {"source": str(rows)},
        "train": {"lr": 1e-2, "epochs": 2, "threads": 1},
        **sections,
    }
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(table))  # JSON is YAML
    return path


def yibu(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "YIBU_STORE": str(folder / "store")}
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("yibu")), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def test_a_classifier_is_made_measured_and_not_made_again(tmp_path: Path, base: Path, rows: Path) -> None:
    store = Store(tmp_path / "store")
    made = pipeline.build(pipeline.load(recipe(tmp_path, base, rows)), store)
    metrics = made.report.read_json("metrics.json")
    accuracy = next(metric for metric in metrics["metrics"] if metric["metric"] == "accuracy")
    assert set(accuracy["values"]) == {"base", "tuned", "majority", "tfidf_svm"}
    assert accuracy["values"]["tuned"]["value"] > 0.9
    assert accuracy["values"]["tuned"]["n"] == metrics["n"]
    assert made.model.file("adapter/adapter_model.safetensors").stat().st_size > 0
    summary = made.model.read_json("summary.json")
    assert all(value > 0 for value in summary["gradient_check"].values())
    assert store.verify() == []
    assert set(store.refs()) == {"tiny/data", "tiny/data_report", "tiny/model", "tiny/report"}

    before = len(store.artifacts())
    again = pipeline.build(pipeline.load(tmp_path / "tiny.yaml"), store)
    assert (again.data.id, again.model.id, again.report.id) == (made.data.id, made.model.id, made.report.id)
    assert len(store.artifacts()) == before
    assert len(store.ledger()) == 4

    other = pipeline.build(pipeline.load(tmp_path / "tiny.yaml", ["train.seed=1"]), store)
    assert other.data.id == made.data.id
    assert other.model.id != made.model.id
    # The base's answers do not depend on the training and are not made again.
    assert len([a for a in store.artifacts() if a.manifest.stage == "answer"]) == 6


def test_a_writer_is_measured_by_field(tmp_path: Path, base: Path) -> None:
    source = tmp_path / "notes.csv"
    lines = ["dialogue,header,note"]
    for number in range(60):
        label = list(WORDS)[number % 3]
        lines.append(f'"Doctor: what is it? Patient: {WORDS[label][number % 2]} {number}",{label},seen for {label}')
    source.write_text("\n".join(lines))
    task = {
        "kind": "generate",
        "prompt": "{dialogue}",
        "target": "{header}\n{note}",
        "score": {"header": "label", "note": "note"},
        "max_new_tokens": 12,
    }
    terms = tmp_path / "terms.json"
    terms.write_text(json.dumps([{"preferred": label} for label in WORDS]))
    train = {"lr": 1e-2, "epochs": 6, "threads": 1}
    path = recipe(tmp_path, base, source, task=task, train=train, evaluate={"terms": {"dictionary": str(terms)}})
    made = pipeline.build(pipeline.load(path), Store(tmp_path / "store"))
    metrics = {(m["metric"], m["field"]): m for m in made.report.read_json("metrics.json")["metrics"]}
    assert {("accuracy", "header"), ("rouge1", "note"), ("stop_rate", None), ("target_loss", None)} <= set(metrics)
    assert {("concept_f1", "note"), ("omitted", "note"), ("repetition", None)} <= set(metrics)
    assert set(metrics["accuracy", "header"]["values"]) == {"base", "tuned", "majority", "tfidf_svm"}
    assert set(metrics["rouge1", "note"]["values"]) == {"base", "tuned", "copy_input", "nearest_target"}
    loss = metrics["target_loss", None]["values"]
    assert loss["tuned"]["value"] < loss["base"]["value"]
    assert "<html" in made.report.file("report.zh.html").read_text()


def test_a_missed_gate_ends_with_3_after_everything_was_told(tmp_path: Path, base: Path, rows: Path) -> None:
    """The report is made, and a second call with --force passes without making anything anew."""
    recipe(tmp_path, base, rows, evaluate={"gates": {"accuracy": "> 1"}})
    first = yibu(tmp_path, "run", "tiny.yaml")
    told, _ = first.communicate(timeout=300)
    assert first.returncode == 3, told
    assert "1 of 1 gates" in told
    assert "Report:" in told
    assert "Traceback" not in told
    store = Store(tmp_path / "store")
    assert "tiny/passed" not in store.refs()
    forced = yibu(tmp_path, "run", "tiny.yaml", "--force")
    told, _ = forced.communicate(timeout=300)
    assert forced.returncode == 0, told
    assert "Nothing was redone" in told
    assert "forced past missed gates" in store.ledger()[-1].why


def test_a_folder_of_rows_alone_is_a_recipe(rows: Path) -> None:
    made = pipeline.load(rows.parent)
    assert made.base == pipeline.DEFAULT_BASE
    assert made.data.source == str(rows.parent)


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="neither a recipe nor a folder of rows"):
        pipeline.load(tmp_path / "absent")
    with pytest.raises(RecipeError, match="letters, digits"):
        pipeline.parse(pipeline.Recipe, {"name": "../x", "data": {"source": "rows.jsonl"}})
    concepts = {"prompt": "{a}", "target": "{b}", "score": {"b": "concepts"}}
    table = {"name": "x", "data": {"source": "rows.jsonl"}, "task": concepts}
    with pytest.raises(RecipeError, match=r"evaluate\.terms"):
        pipeline.parse(pipeline.Recipe, table)
    assert pipeline.parse(pipeline.Recipe, {**table, "evaluate": {"terms": {"dictionary": "icd10cm"}}})
    judge = {"judge": {"endpoint": "http://localhost:1/v1", "model": "m"}}
    with pytest.raises(RecipeError, match=r"chooses labels"):
        pipeline.parse(pipeline.Recipe, {**table, "task": {"kind": "classify"}, "evaluate": judge})


def test_a_target_longer_than_max_length_is_refused_before_training(tmp_path: Path, base: Path, rows: Path) -> None:
    process = yibu(tmp_path, "run", str(recipe(tmp_path, base, rows)), "train.max_length=20")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "longer than 20 tokens; a target is never cut" in output
    assert not list((tmp_path / "store" / "artifacts").glob("train-*"))


@pytest.fixture
def long_recipe(tmp_path: Path, base: Path, rows: Path) -> Path:
    train = {"lr": 1e-3, "epochs": 12, "batch": 4, "accumulate": 1, "checkpoint_every": 5, "threads": 1}
    return recipe(tmp_path, base, rows, train=train)


def wait_for_checkpoint(folder: Path) -> None:
    for _ in range(1200):
        if list((folder / "store" / "work").glob("train-*/scratch/checkpoints/step-*")):
            return
        time.sleep(0.05)
    pytest.fail("no checkpoint in 60 s")


def adapter_digest(folder: Path) -> str:
    (path,) = (folder / "store" / "artifacts").glob("train-*/adapter/adapter_model.safetensors")
    return digest_file(path)


def test_killed_interrupted_and_raced_runs_end_in_the_bits_of_a_whole_one(tmp_path: Path, long_recipe: Path) -> None:
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    for folder in folders.values():
        folder.mkdir()

    # Two runs of one recipe at once: one makes the artifacts, the other waits and takes them.
    pair = [yibu(folders["whole"], "train", str(long_recipe)) for _ in range(2)]
    outputs = [process.communicate(timeout=240)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs

    killed = yibu(folders["killed"], "train", str(long_recipe))
    wait_for_checkpoint(folders["killed"])
    killed.kill()
    killed.communicate()
    assert not list((folders["killed"] / "store" / "artifacts").glob("train-*"))

    interrupted = yibu(folders["killed"], "train", str(long_recipe))
    time.sleep(1.0)
    wait_for_checkpoint(folders["killed"])
    time.sleep(6.0)
    interrupted.send_signal(signal.SIGINT)
    output, _ = interrupted.communicate(timeout=60)
    assert interrupted.returncode in (0, 130), output

    last = yibu(folders["killed"], "train", str(long_recipe))
    output, _ = last.communicate(timeout=240)
    assert last.returncode == 0, output
    assert adapter_digest(folders["killed"]) == adapter_digest(folders["whole"])
    assert Store(folders["killed"] / "store").verify() == []
