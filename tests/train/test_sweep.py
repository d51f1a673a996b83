"""``lr: auto``: the rate with the lowest validation loss, the same whenever asked, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import SETTING, model, rows
from yibu.core.errors import RecipeError, TrainingError
from yibu.train import TrainSettings, sweep
from yibu.train.sweep import CENTRE, Sweep, choose_lr, num_steps, rates

SETTINGS = TrainSettings(lr="auto", epochs=3, batch=4, accumulate=1)


def choose(folder: Path, made: Any = None, valid: Any = None, settings: TrainSettings = SETTINGS) -> Sweep:
    made = made or model()
    trainable = {name: p for name, p in made.named_parameters() if p.requires_grad}
    return choose_lr(
        made,
        trainable,
        rows(24),
        rows(8, seed=0) if valid is None else valid,
        settings,
        SETTING,
        dict.fromkeys(trainable, "all"),
        {},
        folder,
    )


def test_the_best_rate_is_chosen_and_the_weights_are_left_alone(tmp_path: Path) -> None:
    made = model(dropout=0.1)
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    found = choose(tmp_path, made)
    losses = {trial.lr: trial.valid_loss for trial in found.trials if trial.valid_loss is not None}
    assert list(losses) == sorted(losses)
    assert len(losses) in (5, 6)
    assert losses[found.lr] <= min(losses.values()) * 1.005
    assert all(loss > min(losses.values()) * 1.005 for lr, loss in losses.items() if lr < found.lr)
    assert all(torch.equal(p, before[name]) for name, p in made.named_parameters())
    assert all(p.grad is None for p in made.parameters())


def test_the_edge_is_passed_once(tmp_path: Path) -> None:
    """These rows are so easy that the largest rate is the best: one more is tried beyond it."""
    found = choose(tmp_path)
    assert len(found.trials) == 6
    assert found.trials[-1].lr == pytest.approx(6.3e-3)


def test_the_same_rows_give_the_same_rate_also_when_the_sweep_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = choose(tmp_path / "whole", model(dropout=0.2))
    real, state = sweep.fit, {"calls": 0}

    def fit(*args: Any, **kwargs: Any) -> Any:
        state["calls"] += 1
        if state["calls"] == 3:
            raise OSError("power cut")
        return real(*args, **kwargs)

    monkeypatch.setattr(sweep, "fit", fit)
    with pytest.raises(OSError, match="power cut"):
        choose(tmp_path / "cut", model(dropout=0.2))
    tried = len(json.loads((tmp_path / "cut" / "lr_sweep.json").read_text()))
    assert tried == 2
    state["calls"] = 10
    assert choose(tmp_path / "cut", model(dropout=0.2)) == whole
    assert state["calls"] == 10 + len(whole.trials) - tried


def test_a_rate_that_blows_up_is_out_of_the_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sweep.fit

    def fit(*args: Any, **kwargs: Any) -> Any:
        if args[4].lr > 1e-3:
            raise TrainingError("The loss is no longer a number; the weights of the last checkpoint are whole.")
        return real(*args, **kwargs)

    monkeypatch.setattr(sweep, "fit", fit)
    found = choose(tmp_path)
    assert [trial.lr for trial in found.trials if trial.valid_loss is None] == [2e-3]
    assert found.lr < 1e-3
    assert "null" in json.dumps(found.as_dict())


def test_nothing_but_numbers_and_other_errors_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(words: str) -> Any:
        def fit(*args: Any, **kwargs: Any) -> Any:
            raise TrainingError(words)

        return fit

    monkeypatch.setattr(sweep, "fit", fails("The loss is no longer a number; and so on."))
    with pytest.raises(TrainingError, match="No learning rate"):
        choose(tmp_path / "a")
    monkeypatch.setattr(sweep, "fit", fails("Modules that were to be trained receive no gradient."))
    with pytest.raises(TrainingError, match="no gradient"):
        choose(tmp_path / "b")


def test_without_validation_rows_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no validation rows") as error:
        choose(tmp_path, valid=[])
    assert "train.lr" in str(error.value)


def test_the_grid_and_the_budget() -> None:
    assert rates(CENTRE) == [2e-5, 6.3e-5, 2e-4, 6.3e-4, 2e-3]
    assert [num_steps(total) for total in (3, 8, 50, 200, 10_000)] == [3, 8, 8, 20, 30]
    assert TrainSettings().lr == CENTRE


@pytest.mark.parametrize("wrong", [0, -1e-4, "fast"])
def test_another_word_or_no_rate_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="lr"):
        TrainSettings(lr=wrong)
