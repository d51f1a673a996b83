"""Correction of a closed set's probabilities, from settings and validation answers to the report's figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny import tiny_base
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.evaluate import AnswerConfig, EvaluateSettings, ReportConfig, answer, calibrate, evaluate
from yibu.evaluate.calibrate import Correction, Scored, correction_for, decided_by, read_scores, report
from yibu.metrics.calibration import log_softmax, shift_prior
from yibu.tasks import settings_of
from yibu.train import BaseSettings, Config, TrainSettings, train

LABELS = ["often", "rare"]
NATURAL, EVEN = [0.95, 0.05], [0.5, 0.5]
BALANCE = {
    "remedy": "sampler",
    "strength": 1.0,
    "natural_prior": dict(zip(LABELS, NATURAL, strict=True)),
    "training_prior": dict(zip(LABELS, EVEN, strict=True)),
}
SETTINGS = EvaluateSettings(num_resamples=200)


def drawn(num_rows: int, seed: int, temperature: float = 1.0, prior: Any = EVEN) -> Scored:
    """A model that was shown even classes: calibrated there but for a temperature; rows at natural shares."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(num_rows) < NATURAL[1]).astype(np.intp)
    evidence = rng.normal(np.where(truth == 1, 1.5, -1.5), math.sqrt(3.0))
    score = np.stack([np.zeros(num_rows), evidence], axis=1) + np.log(prior)
    return Scored(log_softmax(score) * temperature, truth)


class TestCorrection:
    def test_without_a_remedy_or_validation_answers_nothing_is_done(self) -> None:
        found = correction_for(LABELS, None, SETTINGS, None)
        assert (found.steps, decided_by(found)) == ([], "raw")
        scored = drawn(20, 0)
        np.testing.assert_allclose(found.apply(scored.log_probs), log_softmax(scored.log_probs))
        assert "no validation answers" in found.left_out

    def test_after_a_remedy_scores_are_moved_to_natural_shares_and_scaled(self) -> None:
        found = correction_for(LABELS, BALANCE, SETTINGS, drawn(40_000, 1))
        assert (found.steps, decided_by(found)) == (["prior", "vector"], "corrected")
        scored = drawn(100, 2)
        np.testing.assert_allclose(found.shifted(scored.log_probs), shift_prior(scored.log_probs, EVEN, NATURAL))
        # The model was right but for its prior, so there is little left to mend.
        np.testing.assert_allclose(
            np.exp(found.apply(scored.log_probs)), np.exp(found.shifted(scored.log_probs)), atol=0.05
        )

    def test_without_validation_answers_the_prior_is_moved_all_the_same(self) -> None:
        found = correction_for(LABELS, BALANCE, SETTINGS, None)
        assert (found.steps, decided_by(found)) == (["prior"], "corrected")

    def test_asked_to_leave_the_prior_decisions_stay(self) -> None:
        settings = SETTINGS.model_copy(update={"correct_prior": False})
        found = correction_for(LABELS, BALANCE, settings, drawn(4000, 1))
        assert (found.steps, decided_by(found)) == (["temperature"], "raw")
        scored = drawn(500, 2)
        assert (found.apply(scored.log_probs).argmax(axis=1) == scored.log_probs.argmax(axis=1)).all()

    def test_without_a_remedy_only_a_temperature_is_fitted(self) -> None:
        found = correction_for(LABELS, None, SETTINGS, drawn(4000, 1, temperature=3.0, prior=NATURAL))
        assert (found.steps, decided_by(found)) == (["temperature"], "raw")
        assert found.scaling is not None
        assert found.scaling.temperature == pytest.approx(3.0, rel=0.15)

    def test_few_rows_of_a_label_give_it_no_bias_of_its_own(self) -> None:
        scored = drawn(60, 4)
        assert (scored.truth == 1).sum() < calibrate.MIN_ROWS_OF_LABEL
        found = correction_for(LABELS, BALANCE, SETTINGS, scored)
        assert found.steps == ["prior", "temperature"]
        assert "fewer than the 5" in found.left_out

    def test_few_rows_at_all_give_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("WARNING", logger="yibu"):
            found = correction_for(LABELS, BALANCE, SETTINGS, drawn(20, 1))
        assert found.steps == ["prior"]
        assert "20 validation rows are fewer than 50" in caplog.text

    def test_what_is_asked_for_is_done_with_few_rows_too(self) -> None:
        asked = SETTINGS.model_copy(update={"recalibrate": "vector"})
        assert correction_for(LABELS, None, asked, drawn(60, 1)).steps == ["vector"]
        none = SETTINGS.model_copy(update={"recalibrate": "none"})
        found = correction_for(LABELS, BALANCE, none, drawn(4000, 1))
        assert (found.steps, found.left_out) == (["prior"], "")

    def test_a_report_about_the_validation_rows_is_not_fitted_on_them(self) -> None:
        found = correction_for(LABELS, BALANCE, SETTINGS.model_copy(update={"split": "valid"}), drawn(4000, 1))
        assert found.steps == ["prior"]
        assert "looks too good" in found.left_out

    def test_what_is_written_down_is_enough_to_correct_a_score(self) -> None:
        found = correction_for(LABELS, BALANCE, SETTINGS, drawn(4000, 1, temperature=2.0))
        told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert told["steps"] == ["prior", "vector"]
        scored = drawn(50, 3, temperature=2.0)
        moved = log_softmax(scored.log_probs) + np.array([told["log_shift"][label] for label in LABELS])
        bias = np.array([told["bias"][label] for label in LABELS])
        np.testing.assert_allclose(
            log_softmax(log_softmax(moved) / told["temperature"] + bias), found.apply(scored.log_probs), atol=1e-9
        )

    def test_nothing_written_down_is_json_too(self) -> None:
        assert json.loads(json.dumps(Correction(("a", "b")).as_dict(), allow_nan=False))["steps"] == []


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    tuned, valid = drawn(3000, 5, temperature=1.5), drawn(3000, 6, temperature=1.5)
    corrections = {"tuned": correction_for(LABELS, BALANCE, SETTINGS, valid)}
    base = drawn(3000, 5, temperature=0.1)
    train = ["often"] * 950 + ["rare"] * 50
    return report({"base": base, "tuned": tuned}, corrections, train, LABELS, SETTINGS, None, BALANCE)


class TestReport:
    def test_each_system_before_and_after(self, table: dict[str, Any]) -> None:
        assert list(table["systems"]) == ["base", "tuned", "base_rate"]
        assert list(table["systems"]["base"]) == ["raw"]
        assert list(table["systems"]["tuned"]) == ["raw", "prior", "corrected"]
        assert table["decided_by"] == {"tuned": "corrected"}
        assert (table["remedy"], table["most_frequent_in_train"], table["rarest_in_train"]) == (
            "sampler",
            "often",
            "rare",
        )
        assert json.dumps(table, allow_nan=False)

    def test_the_correction_helps_and_ranks_alike(self, table: dict[str, Any]) -> None:
        raw, corrected = (table["systems"]["tuned"][form] for form in ("raw", "corrected"))
        assert raw["ece_classwise"]["value"] > 0.1 > 0.02 > corrected["ece_classwise"]["value"]
        assert corrected["brier"]["value"] < raw["brier"]["value"]
        assert corrected["nll"]["value"] < raw["nll"]["value"]
        assert corrected["accuracy"]["value"] > raw["accuracy"]["value"]
        assert corrected["average_precision"]["value"] == pytest.approx(raw["average_precision"]["value"])
        assert corrected["brier_skill"]["low"] > 0 > raw["brier_skill"]["high"]
        by_metric = {test["metric"]: test for test in table["tests"]}
        assert by_metric["brier"]["difference"] < 0
        assert by_metric["brier"]["p"] < 0.01

    def test_the_constant_is_calibrated_and_of_no_use(self, table: dict[str, Any]) -> None:
        constant = table["systems"]["base_rate"]["raw"]
        assert constant["ece"]["value"] < 0.02
        assert constant["brier_skill"]["value"] == 0
        assert constant["average_precision"]["value"] == pytest.approx(0.05, abs=0.01)
        assert constant["ece_rare_decisions"] is None

    def test_intervals_hold_their_value_and_bins_all_rows(self, table: dict[str, Any]) -> None:
        for forms in table["systems"].values():
            for measured in forms.values():
                for name in (
                    "ece",
                    "ece_equal_width",
                    "ece_classwise",
                    "brier",
                    "nll",
                    "average_precision",
                    "accuracy",
                ):
                    found = measured[name]
                    assert found["low"] <= found["value"] <= found["high"], name
                assert sum(row["n"] for row in measured["reliability"]) == 3000
                assert sum(row["n"] for row in measured["reliability_rarest"]) == 3000

    def test_ranking_of_each_label_and_over_all_of_them(self) -> None:
        from sklearn.metrics import average_precision_score

        scored = drawn(600, 3)
        probs_NK = np.exp(log_softmax(scored.log_probs))
        table = report({"tuned": scored}, {}, ["often"] * 19 + ["rare"], LABELS, SETTINGS, None, None)
        found = table["systems"]["tuned"]["raw"]["average_precision"]
        expected = [average_precision_score(scored.truth == label, probs_NK[:, label]) for label in (0, 1)]
        assert [found["by_label"][label]["value"] for label in LABELS] == pytest.approx(expected)
        assert found["macro"]["value"] == pytest.approx(np.mean(expected))
        assert found["value"] == pytest.approx(expected[1])  # the most frequent label is left out
        assert found["by_label"]["rare"]["chance"] == pytest.approx((scored.truth == 1).mean())
        for one in (found["macro"], *found["by_label"].values()):
            assert one["low"] <= one["value"] <= one["high"]

    def test_truths_outside_the_labels_count_as_wrong(self) -> None:
        scored = read_scores([{"log_probs": [-0.1, -3.0]}] * 3, LABELS, ["often", "never seen", "often"])
        assert scored.truth.tolist() == [0, -1, 0]
        table = report({"tuned": scored}, {}, ["often", "rare"], LABELS, SETTINGS, None, None)
        raw = table["systems"]["tuned"]["raw"]
        assert table["outside_labels"] == 1
        assert raw["accuracy"]["value"] == pytest.approx(2 / 3)
        assert raw["nll"]["n"] == 2


class Nothing(Settings):
    folder: str


@stage()
def given(config: Nothing, work: Work) -> None:
    """Files that a test has made, as an artifact."""
    for path in sorted(Path(config.folder).iterdir()):
        work.write_text(path.name, path.read_text(encoding="utf-8"))


def artifact(store: Store, folder: Path, files: Mapping[str, Any]) -> Artifact:
    folder.mkdir()
    for name, value in files.items():
        lines = value if isinstance(value, str) else json.dumps(value)
        (folder / name).write_text(lines, encoding="utf-8")
    return store.run(given, Nothing(folder=str(folder)))


def lines(values: list[Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def rows_of(split: str, scored: Scored) -> str:
    made = [
        Row(f"{split}{place}", {"text": f"text {place} {LABELS[label]}", "label": LABELS[label]}, label=LABELS[label])
        for place, label in enumerate(scored.truth)
    ]
    return "".join(row.to_json() + "\n" for row in made)


def answers_of(split: str, scored: Scored) -> str:
    return lines(
        [
            {
                "id": f"{split}{place}",
                "answer": LABELS[int(row.argmax())],
                "fields": {"label": LABELS[int(row.argmax())]},
                "stopped": True,
                "loss": -float(row[truth]),
                "num_targets": 2,
                "log_probs": [round(float(value), 4) for value in row],
            }
            for place, (row, truth) in enumerate(zip(scored.log_probs, scored.truth, strict=True))
        ]
    )


@pytest.mark.parametrize("correct", [True, False])
def test_the_stage_decides_by_corrected_scores_and_says_so(tmp_path: Path, correct: bool) -> None:
    store = Store(tmp_path / "store")
    test, valid, train = drawn(400, 8), drawn(1500, 9), drawn(100, 10)
    summary = {"labels": LABELS, "language": "en", "splits": {"train": 100, "valid": 1500, "test": 400}}
    data = artifact(
        store,
        tmp_path / "data",
        {
            "summary.json": summary,
            **{f"{name}.jsonl": rows_of(name, s) for name, s in (("train", train), ("valid", valid), ("test", test))},
        },
    )
    model = artifact(
        store,
        tmp_path / "model",
        {"summary.json": {"class_balance": BALANCE}, "plan.json": [], "history.jsonl": ""},
    )
    said = {
        name: artifact(store, tmp_path / name, {"answers.jsonl": answers_of(split, scored)})
        for name, split, scored in (
            ("answers", "test", test),
            ("base_answers", "test", drawn(400, 8, temperature=0.1)),
            ("valid_answers", "valid", valid),
        )
    }
    config = ReportConfig(
        recipe="r",
        base="b",
        task=settings_of({"kind": "classify"}),
        evaluate=SETTINGS.model_copy(update={"correct_prior": correct}),
    )
    made = store.run(evaluate, config, data=data, model=model, **said)
    metrics = made.read_json("metrics.json")
    table = metrics["calibration"]
    form = "corrected" if correct else "raw"
    assert table["decided_by"] == {"tuned": form}
    [accuracy] = [metric for metric in metrics["metrics"] if metric["metric"] == "accuracy"]
    assert accuracy["values"]["tuned"]["value"] == table["systems"]["tuned"][form]["accuracy"]["value"]
    raw, corrected = (table["systems"]["tuned"][name]["accuracy"]["value"] for name in ("raw", "corrected"))
    assert (raw < corrected) == correct
    tuned = [
        line
        for line in map(json.loads, made.file("predictions.jsonl").read_text().splitlines())
        if line["system"] == "tuned"
    ]
    changed = [line for line in tuned if "raw" in line]
    assert bool(changed) == correct
    assert all(line["raw"] != line["answer"] == line["fields"]["label"] for line in changed)
    assert all(0 <= line["probability"] <= 1 for line in tuned)

    without = store.run(evaluate, config, data=data, model=model, **{k: said[k] for k in ("answers", "base_answers")})
    assert without.id != made.id
    steps = without.read_json("metrics.json")["calibration"]["corrections"]["tuned"]["steps"]
    assert steps == (["prior"] if correct else [])


TASK = {"kind": "classify", "prompt": "{text}", "label": "{label}"}


@pytest.mark.parametrize("remedy", [{"sampler": "weighted"}, {"class_weights": "balanced"}, {}])
def test_a_model_that_can_learn_nothing_but_shares_learns_those_it_is_shown_and_is_moved_back(
    tmp_path: Path, remedy: dict[str, str]
) -> None:
    store = Store(tmp_path / "store")
    names = ["a", "b"]  # one token each: nothing but the share is to be learned
    base = tiny_base(tmp_path / "base", initializer_range=0.3)  # logits large enough to be sure of a token
    made = [
        Row(str(place), {"text": "the same for all", "label": names[place % 10 == 0]}, label=names[place % 10 == 0])
        for place in range(40)
    ]
    text = "".join(row.to_json() + "\n" for row in made)
    summary = {"labels": names, "language": "en", "splits": {"train": 40, "valid": 0, "test": 40}}
    data = artifact(
        store,
        tmp_path / "data",
        {"summary.json": summary, "train.jsonl": text, "valid.jsonl": "", "test.jsonl": text},
    )
    settings = TrainSettings.model_validate(
        {
            "lr": 1e-2,
            "epochs": 60,
            "batch": 40,
            "accumulate": 1,
            "checkpoint_every": 1000,
            "threads": 1,
            "dtype": "fp32",
            "device": "cpu",
            **remedy,
        }
    )
    config = Config.model_validate(
        {
            "base": BaseSettings(name="tiny", path=str(base), digest="0" * 64),
            "task": TASK,
            "adapter": {"kind": "lora", "dropout": 0.0},
            "train": settings,
        }
    )
    model = store.run(train, config, data=data)
    balance = model.read_json("summary.json")["class_balance"]
    asked = AnswerConfig(
        base_path=str(base),
        base_digest="0" * 64,
        task=settings_of(TASK),
        split="test",
        batch_size=16,
        dtype="fp32",
        device="cpu",
        threads=1,
    )
    said = store.run(answer, asked, data=data, model=model)
    empty = store.run(answer, asked.model_copy(update={"split": "valid"}), data=data, model=model)
    assert empty.file("answers.jsonl").read_text() == ""
    lines = [json.loads(line) for line in said.file("answers.jsonl").read_text().splitlines()]
    scored = read_scores(lines, names, [row.label or "" for row in made])
    rare = np.exp(log_softmax(scored.log_probs))[:, 1].mean()
    corrected = np.exp(correction_for(names, balance, SETTINGS, None).apply(scored.log_probs))[:, 1].mean()
    if remedy:
        assert balance["counts"] == {"a": 36, "b": 4}
        assert rare == pytest.approx(0.5, abs=0.12)
    else:
        assert balance is None
    assert corrected == pytest.approx(0.1, abs=0.04)
