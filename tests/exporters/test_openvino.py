"""A classifier in OpenVINO gives the model's labels, by programs that know no yibu; what it cannot carry is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tuned import WORDS, Tuned, tuned
from yibu import pipeline
from yibu.core.errors import GateRefused, InputError
from yibu.core.store import Artifact
from yibu.exporters import openvino

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def bundle(made: Tuned) -> Artifact:
    recipe = made.with_sections("export=[openvino]")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())
    return bundle


def test_it_was_proven_in_openvino(bundle: Artifact) -> None:
    parity = bundle.read_json("parity.json")
    assert parity["engine"].startswith("OpenVINO 20")
    checks = {check["name"]: check for check in parity["checks"]}
    assert all(check["ok"] for check in checks.values())
    labels = checks["tuned = labels: labels: same answers"]
    assert labels["bound"] == 0.99
    assert labels["n"] > 8
    assert checks["labels: ids of training = ids of serving"]["n"] == 50


def test_the_folder_answers_lines_of_texts_by_itself(bundle: Artifact) -> None:
    folder = bundle.path / "bundle"
    texts = ["chest pain", "a cough", json.dumps({"fields": {"text": "a cough"}})]
    program = [sys.executable, "-I", "-B", str(folder / "classify.py")]
    done = subprocess.run(program, input="\n".join(texts), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(one["probabilities"]) for one in answers] == [set(WORDS)] * 3
    assert answers[1] == answers[2] != answers[0]
    assert all(abs(sum(one["probabilities"].values()) - 1) < 1e-6 for one in answers)


def test_labels_are_as_likely_as_in_the_report(made: Tuned, bundle: Artifact) -> None:
    report = made.store.ref(f"{made.recipe.name}/report")
    assert report is not None
    assert report.read_json("metrics.json")["calibration"]["corrections"]["tuned"]["steps"] == ["prior", "vector"]
    told = {
        line["id"]: line
        for line in map(json.loads, report.file("predictions.jsonl").read_text().splitlines())
        if line["system"] == "tuned"
    }
    rows = [json.loads(line) for line in made.data.file("test.jsonl").read_text().splitlines()]
    texts = "\n".join(json.dumps({"fields": {"text": row["fields"]["text"]}}) for row in rows)
    program = [sys.executable, "-I", "-B", str(bundle.path / "bundle" / "classify.py")]
    answers = subprocess.run(program, input=texts, capture_output=True, text=True, check=True).stdout.splitlines()
    for row, said in zip(rows, map(json.loads, answers), strict=True):
        assert said["answer"] == told[row["id"]]["answer"]
        assert said["probabilities"][said["answer"]] == pytest.approx(told[row["id"]]["probability"], abs=2e-3)


def test_other_labels_than_the_models_are_not_published(made: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    right = openvino.ask

    def ask(*given: object) -> object:
        (replies,) = right(*given).values()  # type: ignore[arg-type]
        assert replies.chosen is not None
        replies.chosen[0:2] = ["hand" if label != "hand" else "lung" for label in replies.chosen[0:2]]
        return {"labels": replies}

    monkeypatch.setattr(openvino, "ask", ask)
    recipe = made.with_sections("export=[{kind: openvino, precision: bf16}]")
    with pytest.raises(GateRefused, match="labels: same answers"):
        pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())


def test_a_window_and_free_text_are_refused(tmp_path: Path) -> None:
    made = tuned(tmp_path, "gemma3", num_rows=40, train={"max_steps": 2, "threads": 1})
    recipe = made.with_sections("export=[openvino]")
    with pytest.raises(InputError, match="window"):
        pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small(), force=True)
