"""The loop on a tiny model: it learns, resumes to the bit, and stops a run that would train nothing."""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import SETTING, history, losses, model, rows, run
from yibu.core.errors import TrainingError
from yibu.model.packing import example_losses, make_pack
from yibu.model.render import Example
from yibu.train import TrainSettings
from yibu.train.loop import validation_loss


def test_it_learns_and_writes_down_every_step(tmp_path: Path) -> None:
    _, progress = run(tmp_path / "a", TrainSettings(lr=2e-2, epochs=6, batch=4, accumulate=1))
    values = losses(tmp_path / "a")
    assert len(values) == progress.step == 36
    assert sum(values[-6:]) < 0.7 * sum(values[:6])
    assert progress.tokens == sum(entry.get("tokens", 0) for entry in history(tmp_path / "a"))
    assert set(progress.gradients) == {"attention", "mlp"}


def test_accumulation_changes_nothing(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "a", TrainSettings(epochs=1, batch=8, accumulate=1))
    four, _ = run(tmp_path / "b", TrainSettings(epochs=1, batch=2, accumulate=4))
    small, _ = run(tmp_path / "c", TrainSettings(epochs=1, batch=8, accumulate=1, pack_tokens=16))
    for name in one:
        torch.testing.assert_close(one[name], four[name], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(one[name], small[name], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(torch.tensor(losses(tmp_path / "a")), torch.tensor(losses(tmp_path / "b")))


def weighted_rows(count: int = 24) -> list[Example]:
    """Every sixth row weighs five times as much, on its last tokens only."""
    made = rows(count)
    for index in range(0, count, 6):
        marks = tuple(place > 8 for place in range(len(made[index].ids)))
        made[index] = replace(made[index], weight=5.0, label_tokens=marks)
    return made


def test_accumulation_and_packs_change_nothing_with_class_weights(tmp_path: Path) -> None:
    settings = TrainSettings(epochs=1, batch=8, accumulate=1, max_grad_norm=1e6)
    cuts = [{}, {"batch": 2, "accumulate": 4}, {"pack_tokens": 16}]
    found = [
        run(tmp_path / str(place), settings.model_copy(update=cut), train=weighted_rows())[0]
        for place, cut in enumerate(cuts)
    ]
    plain, _ = run(tmp_path / "plain", settings)
    for name in plain:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(found[0][name], found[2][name], rtol=1e-3, atol=1e-6)
    assert any(not torch.allclose(found[0][name], plain[name], rtol=1e-3, atol=1e-6) for name in plain)


def test_validation_is_weighted_like_what_was_trained(tmp_path: Path) -> None:
    made, valid = model().eval(), weighted_rows(12)
    losses_S = {row.name: float(example_losses(made, make_pack([row]))[0]) for row in valid}
    assert validation_loss(made, rows(12), 64, SETTING) == pytest.approx(
        sum(losses_S.values()) / sum(row.num_targets for row in valid), rel=1e-5
    )
    whole = [replace(row, label_tokens=None) for row in valid]
    expected = sum(row.weight * losses_S[row.name] for row in whole) / sum(r.weight * r.num_targets for r in whole)
    assert validation_loss(made, whole, 64, SETTING) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("stop_at", [2, 7])
def test_an_interrupted_run_with_a_weighted_sampler_ends_in_the_same_bits(tmp_path: Path, stop_at: int) -> None:
    settings = TrainSettings(
        sampler="weighted", epochs=4, batch=4, accumulate=2, checkpoint_every=3, evaluate_every=5, seed=1
    )
    weights = [5.0 if index % 6 == 0 else 1.0 for index in range(24)]

    def break_off(step: int, values: Any) -> None:
        if step == stop_at and "loss" in values:
            raise RuntimeError("power cut")

    whole, _ = run(tmp_path / "whole", settings, model(dropout=0.2), draw_weights=weights)
    with pytest.raises(RuntimeError):
        run(tmp_path / "cut", settings, model(dropout=0.2), listen=break_off, draw_weights=weights)
    resumed, progress = run(tmp_path / "cut", settings, model(dropout=0.2), draw_weights=weights)
    assert progress.step == 12
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    shuffled, _ = run(tmp_path / "shuffled", settings, model(dropout=0.2))
    assert any(not torch.equal(whole[name], shuffled[name]) for name in whole)


@pytest.mark.parametrize("stop_at", [1, 4, 7, 11])
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path: Path, stop_at: int) -> None:
    settings = TrainSettings(epochs=4, batch=4, accumulate=2, checkpoint_every=3, evaluate_every=5)

    def break_off(step: int, values: Any) -> None:
        if step == stop_at and "loss" in values:
            raise RuntimeError("power cut")

    whole, _ = run(tmp_path / "whole", settings, model(dropout=0.2))
    with pytest.raises(RuntimeError):
        run(tmp_path / "cut", settings, model(dropout=0.2), listen=break_off)
    resumed, progress = run(tmp_path / "cut", settings, model(dropout=0.2))
    assert progress.step == 12
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_ends_the_run_between_two_steps_and_the_next_run_goes_on(
    tmp_path: Path, number: int, error: type[BaseException]
) -> None:
    settings = TrainSettings(epochs=4, batch=4, accumulate=2, checkpoint_every=100)
    before = signal.getsignal(number)

    def interrupt(step: int, values: Any) -> None:
        if step == 5 and "loss" in values:
            os.kill(os.getpid(), number)

    whole, _ = run(tmp_path / "whole", settings)
    with pytest.raises(error) as raised:
        run(tmp_path / "cut", settings, listen=interrupt)
    if number == signal.SIGTERM:
        assert raised.value.code == 143
    assert signal.getsignal(number) is before
    resumed, _ = run(tmp_path / "cut", settings)
    assert len(losses(tmp_path / "cut")) == 12
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_another_fingerprint_is_said_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainSettings(epochs=1, batch=4, checkpoint_every=1)
    run(tmp_path / "a", settings)
    path = next((tmp_path / "a" / "checkpoints").glob("step-*")) / "state.json"
    assert '"threads": 1' in path.read_text()
    from yibu.train.checkpoint import load_checkpoint, save_checkpoint

    step, tensors, state = load_checkpoint(tmp_path / "a" / "checkpoints") or pytest.fail("none")
    save_checkpoint(tmp_path / "a" / "checkpoints", step, tensors, {**state, "fingerprint": {"threads": 8}})
    with caplog.at_level("WARNING", logger="yibu"):
        run(tmp_path / "a", settings)
    assert "will not end in the same bits" in caplog.text


def test_a_planned_class_without_gradient_stops_the_run(tmp_path: Path) -> None:
    made = model()
    for name, module in made.named_modules():
        if name.endswith("down_proj"):
            module.scaling["default"] = 0.0
    with pytest.raises(TrainingError, match="no gradient") as error:
        run(tmp_path / "a", TrainSettings(epochs=1), made)
    assert "mlp" in str(error.value)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    made = model()
    with torch.no_grad():
        made.get_base_model().model.norm.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="no longer a number"):
        run(tmp_path / "a", TrainSettings(epochs=1), made)


def test_training_stops_early_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    settings = TrainSettings(lr=5e-2, epochs=20, batch=4, accumulate=1, evaluate_every=3, patience=2, warmup_steps=0)
    best, progress = run(tmp_path / "a", settings)
    validations = {entry["step"]: entry["valid_loss"] for entry in history(tmp_path / "a") if "valid_loss" in entry}
    assert progress.stopped_early
    assert progress.step < 120
    assert progress.best_step == min(validations, key=validations.__getitem__)
    again, _ = run(tmp_path / "b", settings.model_copy(update={"max_steps": progress.best_step, "patience": None}))
    assert progress.best_step < progress.step
    assert set(best) == set(again)


def test_without_validation_rows_the_last_weights_are_the_result(tmp_path: Path) -> None:
    made = model()
    best, progress = run(tmp_path / "a", TrainSettings(epochs=1), made, valid=[])
    assert progress.best_step == progress.step
    assert all(torch.equal(best[name], p) for name, p in made.named_parameters() if p.requires_grad)


def test_the_schedule_warms_up_and_ends_at_zero(tmp_path: Path) -> None:
    run(tmp_path / "a", TrainSettings(lr=1.0e-3, epochs=4, batch=4, accumulate=1, warmup_steps=4))
    rates = [entry["lr"] for entry in history(tmp_path / "a") if "lr" in entry]
    assert rates[:4] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3])
    assert rates[-1] == pytest.approx(1e-3 / 20)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[3:]))
