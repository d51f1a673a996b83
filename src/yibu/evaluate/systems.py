"""What each system said to the rows of one split, decided as in use: calibrated, with class shares moved."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yibu import tasks
from yibu.core.progress import track
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact
from yibu.core.strict_json import read_json
from yibu.evaluate import ReportConfig, baselines, calibrate
from yibu.evaluate.compare import Answers
from yibu.metrics.calibration import Correction

Predictions = list[dict[str, Any]]
# Kinds of measures for which the input itself could be an answer; it is never JSON of the wanted form.
_COPIED = ("text", "number", "exact", "concepts", "note")


@dataclass(frozen=True)
class Systems:
    """All systems' answers to the rows of one split.

    Attributes:
        task: of the rows.
        rows, truth, groups: of the split, in order; groups are None where no row has one.
        said: the models' answers, ``base`` and ``tuned``, as corrected scores decide.
        cheap: baselines.
        calibration: what is known about the probabilities of a closed set, for ``metrics.json``.
    """

    task: Any
    rows: list[Row]
    truth: list[dict[str, str]]
    groups: list[str | None] | None
    said: dict[str, Predictions]
    cheap: list[Answers]
    calibration: dict[str, Any] | None

    @property
    def sources(self) -> list[str]:
        """Per row, what the answer was to be made from."""
        return [self.task.prompt_text(row) for row in self.rows]

    @property
    def answers(self) -> list[Answers]:
        """Of all systems, models first."""
        return [_model_answers(name, predictions) for name, predictions in self.said.items()] + self.cheap


def read_systems(
    config: ReportConfig,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
    valid_answers: Artifact | None = None,
    valid_base_answers: Artifact | None = None,
) -> Systems:
    """Read the models' answers, correct them on validation rows, and let the baselines answer the same rows."""
    settings = config.evaluate
    summary = data.read_json("summary.json")
    task = tasks.build(config.task, summary["labels"])
    rows = list(read_rows(data.file(f"{settings.split}.jsonl")))
    said = {"base": _read(base_answers), "tuned": _read(answers)}
    train_rows = list(read_rows(data.file("train.jsonl")))
    with track("baselines"):
        cheap = _baselines(task, train_rows, rows, summary["language"], settings.seed)
    groups = None if all(row.group is None for row in rows) else [row.group for row in rows]
    table = None
    if task.closed_set:
        held_out = {"tuned": valid_answers, "base": valid_base_answers}
        balance = model.read_json("summary.json").get("class_balance")
        table, said = _trust(config, task, data, said, held_out, balance, train_rows, rows, groups)
    return Systems(task, rows, [task.truth(row) for row in rows], groups, said, cheap, table)


def prediction_lines(
    rows: Sequence[Row], truth: Sequence[dict[str, str]], said: dict[str, Predictions], cheap: Sequence[Answers]
) -> Predictions:
    """One line per row and system; `correct` means that every measured field that the system gives is right."""
    lines: Predictions = []
    for place, (row, wanted) in enumerate(zip(rows, truth, strict=True)):
        for name, predictions in said.items():
            prediction = predictions[place]
            lines.append({**prediction, "system": name, "correct": _equal(prediction["fields"], wanted, tuple(wanted))})
        for system in cheap:
            fields = dict(system.fields[place])
            lines.append(
                {
                    "id": row.id,
                    "system": system.system,
                    "answer": " · ".join(fields.values()),
                    "fields": fields,
                    "correct": _equal(fields, wanted, tuple(system.gives or wanted)),
                }
            )
    return lines


def _equal(fields: dict[str, str], wanted: dict[str, str], names: Sequence[str]) -> bool:
    return all(_same(fields.get(name, "").strip(), wanted[name].strip()) for name in names)


def _same(said: str, wanted: str) -> bool:
    """Equal texts, or equal JSON where the order of names or white space differs."""
    if said == wanted or wanted[:1] not in ("{", "["):
        return said == wanted
    try:
        return bool(read_json(said) == read_json(wanted))
    except ValueError:
        return False


def _trust(
    config: ReportConfig,
    task: Any,
    data: Artifact,
    said: dict[str, Predictions],
    held_out: Mapping[str, Artifact | None],
    balance: Mapping[str, Any] | None,
    train: Sequence[Row],
    rows: Sequence[Row],
    groups: Sequence[str | None] | None,
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """Fit corrections on the validation answers, apply them to the answers of this split, measure both.

    Returns:
        What is known about the probabilities, and the answers as the corrected ones decide.

    The base was never shown other class shares, so its scores are not moved, only scaled.
    """
    labels: list[str] = task.labels
    valid_truth = [task.label(row) for row in read_rows(data.file("valid.jsonl"))]
    scored = {
        name: calibrate.read_scores(answers, labels, [task.label(row) for row in rows])
        for name, answers in said.items()
    }
    corrections = {}
    for name in said:
        artifact = held_out[name]
        valid = None if artifact is None else calibrate.read_scores(_read(artifact), labels, valid_truth)
        own = balance if name == "tuned" else None
        if valid is not None or own is not None:
            corrections[name] = calibrate.correction_for(labels, own, config.evaluate, valid)
    with track("calibration"):
        table = calibrate.report(
            scored, corrections, [task.label(row) for row in train], labels, config.evaluate, groups, balance
        )
    decided = {
        name: _decide(task, answers, scored[name], corrections[name]) if name in corrections else answers
        for name, answers in said.items()
    }
    return table, decided


def _decide(task: Any, answers: Predictions, scored: calibrate.Scored, correction: Correction) -> Predictions:
    """The answers with their corrected probability; those that the correction changes keep what was said as ``raw``."""
    labels: list[str] = task.labels
    log_probs_NK = correction.apply(scored.log_probs)
    moved = calibrate.decided_by(correction) == "corrected"
    decided = []
    for answer, log_probs in zip(answers, log_probs_NK, strict=True):
        label = labels[int(log_probs.argmax())] if moved else answer["answer"]
        line = {**answer, "probability": round(math.exp(float(log_probs[labels.index(label)])), 6)}
        if label != answer["answer"]:
            line |= {"answer": label, "fields": task.parse(task.answer_text(label)), "raw": answer["answer"]}
        decided.append(line)
    return decided


def _read(artifact: Artifact) -> Predictions:
    lines = artifact.file("answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _model_answers(name: str, predictions: Predictions) -> Answers:
    return Answers(
        name,
        [prediction["fields"] for prediction in predictions],
        stopped=None if "num_tokens" not in predictions[0] else [prediction["stopped"] for prediction in predictions],
        loss=[prediction["loss"] for prediction in predictions],
        num_targets=[prediction["num_targets"] for prediction in predictions],
        written=None if "num_tokens" not in predictions[0] else [prediction["answer"] for prediction in predictions],
    )


def _baselines(task: Any, train: Sequence[Row], test: Sequence[Row], language: str, seed: int) -> list[Answers]:
    """Cheap systems that could beat the model: majority and SVM for labels, copying and retrieval for texts."""
    inputs, asked = [task.prompt_text(row) for row in train], [task.prompt_text(row) for row in test]
    truths = [task.truth(row) for row in train]
    label_fields = [measure.field for measure in task.measures if measure.kind == "label"]
    text_fields = [measure.field for measure in task.measures if measure.kind in _COPIED]
    learned_fields = [measure.field for measure in task.measures if measure.kind != "label"]
    groups = None if all(row.group is None for row in train) else [row.group for row in train]

    def system(name: str, fields: Mapping[str, Sequence[str]]) -> Answers:
        by_row = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
        return Answers(name, by_row, gives=tuple(fields))

    found = []
    if label_fields:
        labels = {field: [truth[field] for truth in truths] for field in label_fields}
        found.append(
            system("majority", {field: [baselines.majority(labels[field])] * len(test) for field in label_fields})
        )
        svm = {
            field: baselines.tfidf_svm(inputs, labels[field], asked, language, groups, seed) for field in label_fields
        }
        found.append(system("tfidf_svm", svm))
    if text_fields:
        found.append(system("copy_input", {field: baselines.copy_input(asked) for field in text_fields}))
    if learned_fields:
        nearest = {
            field: baselines.nearest_target(inputs, [truth[field] for truth in truths], asked, language)
            for field in learned_fields
        }
        found.append(system("nearest_target", nearest))
    return found
