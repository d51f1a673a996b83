"""Rows that compressors may see: of train, as many as asked for, and more where experts saw too little."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuned import Tuned, tuned
from yibu import bases, pipeline, tasks
from yibu.compress.calibrate import calibration_of
from yibu.compressors import Calibration
from yibu.model.assemble import load_renderer
from yibu.model.resolve import load_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    return tuned(folder, "deepseek_v3", num_rows=80, train={"lr": 1e-2, "epochs": 1, "threads": 1})


def calibrated(made: Tuned, count: int, expert_tokens: int = 0) -> Calibration:
    import torch

    base = Path(made.recipe.base)
    model = load_model(base, torch.float32)
    facts = bases.facts_for(model.config)
    task = tasks.build(pipeline.task_of(made.data), made.data.read_json("summary.json")["labels"])
    return calibration_of(model, facts, load_renderer(base, facts), task, made.data, count, expert_tokens)


def test_rows_are_added_until_every_expert_saw_enough_or_none_is_left(made: Tuned) -> None:
    few, more, most = (calibrated(made, 8, tokens) for tokens in (0, 60, 10**9))
    assert len(few.rows) == 8
    least = min(few.shares[1]) * sum(map(len, few.rows)) * 2
    assert least < 60, "or the next line shows nothing"
    assert 8 < len(more.rows) < len(most.rows)
    assert min(more.shares[1]) * sum(map(len, more.rows)) * 2 >= 60 - 1e-6
    assert len(most.rows) == made.data.read_json("summary.json")["splits"]["train"]
    assert sum(most.shares[1]) == pytest.approx(1)


def test_tokens_of_all_rows_and_of_every_label_stay(made: Tuned) -> None:
    few, most = calibrated(made, 1), calibrated(made, 10**6)
    assert few.kept == most.kept == {*few.kept, *(token for row in most.rows for token in row)}
    assert set(few.stops) <= few.kept
