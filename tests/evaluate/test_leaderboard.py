"""Runs beside each other: on the same rows, with the same answers, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from yibu.cli.comparison import comparison_view
from yibu.core.errors import InputError
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.evaluate import EvaluateSettings, ReportConfig
from yibu.evaluate.leaderboard import Run, leaderboard, read_predictions
from yibu.tasks import settings_of

TASK = {"kind": "classify", "prompt": "{text}", "label": "{label}", "labels": ["a", "b"]}


class Given(Settings):
    ids: tuple[str, ...]
    flip: bool = False


@stage(name="given_rows")
def given_rows(config: Given, work: Work) -> None:
    lines = []
    for n, id in enumerate(config.ids):
        label = "ab"[(n + config.flip) % 2]
        lines.append(Row(id, {"text": id, "label": label}, label=label).to_json() + "\n")
    work.write_text("test.jsonl", "".join(lines))
    work.write_json("summary.json", {"labels": ["a", "b"], "language": "en"})


class Said(ReportConfig):
    right: int
    field: str = "label"


@stage(name="evaluate")
def given_report(config: Said, work: Work, *, data: Artifact) -> None:
    lines = []
    for n, line in enumerate(data.file("test.jsonl").read_text().splitlines()):
        row = json.loads(line)
        label = row["label"] if n < config.right else "ab"[row["label"] == "a"]
        for system in ("base", "tuned"):
            said = {"id": row["id"], "system": system, "fields": {config.field: label if system == "tuned" else "a"}}
            lines.append({**said, "answer": label, "loss": float(n < config.right), "num_targets": 1})
    work.write_text("predictions.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def run(
    store: Store, ids: list[str], right: int, field: str = "label", flip: bool = False
) -> tuple[Artifact, Artifact]:
    data = store.run(given_rows, Given(ids=tuple(ids), flip=flip))
    config = Said(recipe="r", base="b", task=settings_of(TASK), evaluate=EvaluateSettings(), right=right, field=field)
    return store.run(given_report, config, data=data), data


IDS = [f"row-{n}" for n in range(60)]


def board(runs: dict[str, tuple[Artifact, Artifact]]) -> dict[str, Any]:
    first = dict(next(iter(runs.values()))[0].manifest.config)
    del first["right"], first["field"]  # the stage of these tests has settings more than the real one
    given = {name: Run(data, read_predictions(report)) for name, (report, data) in runs.items()}
    return leaderboard(ReportConfig.model_validate(first), given)


def test_the_first_is_tested_against_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = board({"best": run(store, IDS, 55), "middle": run(store, IDS, 52), "worst": run(store, IDS, 20)})
    accuracy = found["metrics"][0]
    assert [accuracy["values"][name]["value"] for name in found["systems"]] == pytest.approx([55 / 60, 52 / 60, 1 / 3])
    tests = {test["b"]: test for test in accuracy["tests"]}
    assert set(tests) == {"middle", "worst"}
    assert tests["worst"]["p_adjusted"] < 0.001 < 0.05 < tests["middle"]["p_adjusted"]
    assert (found["n"], found["left_out"]) == (60, 0)

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(comparison_view(found, "en"))
    text = console.export_text()
    assert "60 rows that all of these runs answered" in text
    assert "-58.3 pp" in text
    assert "less best" in text


def test_rows_that_not_all_answered_are_left_out_and_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = board({"one": run(store, IDS[:40], 40), "other": run(store, IDS[:50], 45)})
    assert (found["n"], found["left_out"]) == (40, 10)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"ids": [f"x{n}" for n in range(9)]}, "no row in common"),
        ({"ids": IDS, "flip": True}, "other right answers"),
        ({"ids": IDS, "field": "class"}, "other right answers"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, other: dict[str, Any], told: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(InputError, match=told) as caught:
        board({"one": run(store, IDS, 50), "other": run(store, right=40, **other)})
    assert caught.value.exit_code == 2


def test_one_run_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two"):
        board({"one": run(Store(tmp_path), IDS, 50)})
