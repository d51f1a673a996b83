"""A cross-validation from the recipe to the matrix, on a tiny base; and gates at its end."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tiny import tiny_base
from yibu import pipeline
from yibu.core.errors import DataError, GateRefused, RecipeError
from yibu.core.store import Store

WORDS = {"heart": ["chest pain", "palpitations"], "hand": ["cut finger", "broken thumb"]}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    chance = random.Random(0)
    with (folder / "rows.jsonl").open("w") as lines:
        for number in range(120):
            label = chance.choice(list(WORDS))
            text = f"{chance.choice(WORDS[label])}, case {number}"
            lines.write(json.dumps({"text": text, "label": label, "patient": f"p{number % 40}"}) + "\n")
    table = {
        "base": str(tiny_base(folder / "base")),
        "data": {"source": str(folder / "rows.jsonl"), "split": {"group": "patient"}},
        "train": {"lr": 1e-2, "epochs": 2, "threads": 1, "lower_cache": True},
        "adapter": {"layers": "top-1"},
        "augment": {"steps": [{"kind": "keyboard", "share": 0.2}], "robustness": None},
        "evaluate": {"folds": 3, "fold_seeds": 2, "gates": {"accuracy.low": ">= 0.5", "trainable_ratio": "<= 0.5"}},
    }
    (folder / "tiny.yaml").write_text(json.dumps(table))
    return folder / "tiny.yaml"


@pytest.fixture(scope="module")
def built(recipe: Path) -> tuple[Store, pipeline.Built]:
    store = Store(recipe.parent / "store")
    return store, pipeline.build(pipeline.load(recipe), store)


def pooled(store: Store) -> Any:
    [artifact] = [found for found in store.artifacts() if found.manifest.stage == "pool"]
    return artifact


def test_every_row_is_answered_by_each_seed_of_its_fold_and_by_no_model_that_saw_it(
    built: tuple[Store, pipeline.Built],
) -> None:
    store, made = built
    found = pooled(store).read_json("folds.json")
    assert (found["k"], found["seeds"], len(found["folds"])) == (3, 2, 6)
    splits = made.data.read_json("summary.json")["splits"]
    lines = [json.loads(line) for line in pooled(store).file("predictions.jsonl").read_text().splitlines()]
    times = Counter(line["id"] for line in lines if line["system"] == "tuned")
    assert set(times.values()) == {2}
    originals = [json.loads(line) for line in made.data.file("train.jsonl").read_text().splitlines()]
    originals = [row["id"] for row in originals if "augmented" not in row.get("flags", ())]
    valid = [json.loads(line)["id"] for line in made.data.file("valid.jsonl").read_text().splitlines()]
    assert set(times) == set(originals) | set(valid)
    assert len(times) == found["n"] < splits["train"] + splits["valid"]
    for fold in found["folds"]:
        data = store.get(store.get(fold["model"]).manifest.inputs["data"])
        trained = {json.loads(line)["id"] for line in data.file("train.jsonl").read_text().splitlines()}
        tested = {line["id"] for line in lines if (line["fold"], line["seed"]) == (fold["fold"], fold["seed"])}
        assert tested
        assert not trained & tested


def test_pooled_figures_are_the_mean_of_the_folds_weighted_by_rows(built: tuple[Store, pipeline.Built]) -> None:
    found = pooled(built[0]).read_json("folds.json")
    accuracy = next(table for table in found["metrics"] if table["metric"] == "accuracy")
    sizes = [fold["test"] for fold in found["folds"]]
    for system, values in accuracy["by_fold"].items():
        mean = sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
        assert accuracy["values"][system]["value"] == pytest.approx(mean, abs=1e-4)
    # Both seeds' answers to a row are of one patient, so that they do not count twice.
    assert "groups" in accuracy["values"]["tuned"]["interval"]
    assert {test["b"] for test in accuracy["tests_over_folds"]} == {"base", "majority", "tfidf_svm"}
    assert all(test["n"] == 6 for test in accuracy["tests_over_folds"])


def test_the_matrix_takes_the_folds_first_and_keeps_the_test_split_beside(built: tuple[Store, pipeline.Built]) -> None:
    store, made = built
    metrics = made.report.read_json("metrics.json")
    found = pooled(store).read_json("folds.json")
    accuracy = next(table for table in found["metrics"] if table["metric"] == "accuracy")["values"]["tuned"]
    on_test = next(table for table in metrics["metrics"] if table["metric"] == "accuracy")["values"]["tuned"]
    matrix = metrics["matrix"]
    assert (matrix["accuracy"]["value"], matrix["accuracy"]["where"]) == (accuracy["value"], "folds")
    assert (matrix["test.accuracy"]["value"], matrix["test.accuracy"]["where"]) == (on_test["value"], "test")
    assert matrix["trainable_ratio"]["value"] == made.model.read_json("summary.json")["trainable_ratio"]
    assert {"accuracy.over.base", "accuracy.over.tfidf_svm", "ece", "target_loss"} <= set(matrix)
    assert [gate["gate"] for gate in metrics["gates"]] == ["accuracy.low", "trainable_ratio"]


def test_what_exists_is_not_made_again_and_a_lost_fold_alone_is(
    recipe: Path, built: tuple[Store, pipeline.Built]
) -> None:
    store, made = built
    before = {artifact.id for artifact in store.artifacts()}
    assert pipeline.build(pipeline.load(recipe), store).report.id == made.report.id
    assert {artifact.id for artifact in store.artifacts()} == before


def test_passed_gates_move_a_ref_and_missed_ones_do_not_unless_forced(
    recipe: Path, built: tuple[Store, pipeline.Built]
) -> None:
    store, made = built
    loaded = pipeline.load(recipe)
    pipeline.pass_gates(loaded, store, made.report)
    assert store.refs()["tiny/passed"] == made.report.id

    strict = pipeline.load(recipe, ["evaluate.gates={accuracy: '> 1'}"])
    report = pipeline.build(strict, store).report
    with pytest.raises(GateRefused, match="1 of 1 gates"):
        pipeline.pass_gates(strict, store, report)
    assert store.refs()["tiny/passed"] == made.report.id
    pipeline.pass_gates(strict, store, report, force=True)
    assert store.refs()["tiny/passed"] == report.id
    assert "forced past missed gates: accuracy is" in store.ledger()[-1].why


def test_a_champion_is_asked_for_once_there_is_one(recipe: Path, tmp_path: Path) -> None:
    """The first run has none; the second is compared with the first; asked again, it is the same report."""
    store = Store(tmp_path / "store")
    plain = ["evaluate.folds=null", "evaluate.gates={accuracy.over.champion.low: '>= -1'}"]
    first = pipeline.load(recipe, plain)
    report = pipeline.build(first, store).report
    metrics = report.read_json("metrics.json")
    assert (metrics["gates"], metrics["gates_without_champion"]) == ([], ["accuracy.over.champion.low"])
    pipeline.pass_gates(first, store, report)
    assert pipeline.build(first, store).report.id == report.id

    second = pipeline.load(recipe, [*plain, "train.seed=5"])
    challenger = pipeline.build(second, store).report
    metrics = challenger.read_json("metrics.json")
    assert [gate["gate"] for gate in metrics["gates"]] == ["accuracy.over.champion.low"]
    assert metrics["matrix"]["accuracy.over.champion"]["n"] == metrics["n"]
    assert challenger.manifest.inputs["champion"] == report.id
    pipeline.pass_gates(second, store, challenger)
    assert store.refs()["tiny/passed"] == challenger.id
    assert pipeline.build(second, store).report.id == challenger.id


def test_gates_on_what_is_not_measured_stop_before_training(recipe: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(RecipeError, match="does not measure"):
        pipeline.build(pipeline.load(recipe, ["evaluate.gates={rouge1: '>= 0.4'}"]), store)
    assert {artifact.manifest.stage for artifact in store.artifacts()} <= {"prepare", "augment"}


def test_more_folds_than_rows_of_a_class_are_refused_before_anything_is_trained(recipe: Path, tmp_path: Path) -> None:
    rows = [{"text": f"pain, case {n}", "label": "common"} for n in range(300)]
    rows += [{"text": f"nothing, case {n}", "label": "rare"} for n in range(4)]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows)))
    split = ["data.split.stratify=label", "data.split.group=null", "data.split.on_missing_label=refuse"]
    wanted = [f"data.source={tmp_path / 'few.jsonl'}", *split, "evaluate.folds=5"]
    store = Store(tmp_path / "store")
    with pytest.raises(DataError, match="fewer rows than there are folds") as error:
        pipeline.build(pipeline.load(recipe, wanted), store)
    assert error.value.exit_code == 2
    assert "rare" in str(error.value)
    assert "5" in str(error.value)
    assert not list(store.artifacts())


def test_two_numbers_of_folds_are_refused(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"evaluate.folds is 3 and data.split.folds is 5"):
        pipeline.load(recipe, ["data.split.folds=5"])
