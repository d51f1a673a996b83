"""Where memory ends, passes shrink and steps keep their rows; what was cut smaller stays so for whoever goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import losses, model, rows, run
from yibu.core.errors import TrainingError
from yibu.train import TrainSettings, loop
from yibu.train.batchlog import RowNames, read_batches
from yibu.train.layout import Cut, Layout, is_out_of_memory

NAMES = RowNames("00" * 16)
TORCH_WORDS = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: Any = None, backward: bool = False) -> None:
    """An allocator that gives a pass no more than so many tokens."""
    real = loop.pack_loss
    raised = error or RuntimeError(TORCH_WORDS)

    def loss(made: Any, pack: Any) -> Any:
        if pack.num_tokens <= most:
            return real(made, pack)
        if not backward:
            raise raised
        value = real(made, pack)
        value.register_hook(lambda gradient: (_ for _ in ()).throw(raised))
        return value

    monkeypatch.setattr(loop, "pack_loss", loss)


SETTINGS = TrainSettings(epochs=1, batch=8, accumulate=1)


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError(TORCH_WORDS)],
    ids=["cuda", "python", "cpu"],
)
@pytest.mark.parametrize("backward", [False, True])
def test_out_of_memory_halves_the_pass_and_keeps_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Any, backward: bool
) -> None:
    whole, _ = run(tmp_path / "whole", SETTINGS)
    small_memory(monkeypatch, 60, error, backward)
    layout = Layout(8, 2048)
    with caplog.at_level("WARNING", logger="yibu"):
        cut, progress = run(tmp_path / "cut", SETTINGS, layout=layout, batch_log=(tmp_path / "batches.jsonl", NAMES))
    assert "out of memory" in caplog.text
    assert "a step keeps all its rows" in caplog.text
    assert layout.cuts == [Cut(0, 4, layout.cuts[0].tokens)]
    assert progress.step == 3
    steps = read_batches(tmp_path / "batches.jsonl")
    assert [sum(len(one.rows) for one in step) for step in steps] == [8, 8, 8]
    assert all(len(step) > 1 for step in steps)
    torch.testing.assert_close(torch.tensor(losses(tmp_path / "cut")), torch.tensor(losses(tmp_path / "whole")))
    for name in whole:
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-3, atol=1e-6)


def test_another_error_is_not_taken_for_missing_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch, 60, RuntimeError("size mismatch"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        run(tmp_path / "a", SETTINGS)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_single_row_that_does_not_fit_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch, 5)
    with pytest.raises(TrainingError, match="a single row") as error:
        run(tmp_path / "a", SETTINGS)
    assert "train.recompute" in str(error.value)


def test_validation_is_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.target_losses

    def losses_of(made: Any, pack: Any) -> Any:
        if pack.num_tokens > 30:
            raise MemoryError
        return real(made, pack)

    _, whole = run(tmp_path / "whole", SETTINGS)
    monkeypatch.setattr(loop, "target_losses", losses_of)
    layout = Layout(8, 2048)
    _, cut = run(tmp_path / "cut", SETTINGS, layout=layout)
    assert cut.best_loss == pytest.approx(whole.best_loss, rel=1e-5)
    assert layout.cuts[0] == Cut(0, 8, 2048)
    assert layout.cuts[-1].from_step == 3


def test_a_run_that_is_killed_behind_a_cut_goes_on_with_it_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainSettings(epochs=4, batch=8, accumulate=1, checkpoint_every=4)

    def full_at(step: int) -> None:
        """Memory ends once, in the step with this number."""
        real, state = loop.take_step, {"calls": 0}

        def step_of(*args: Any) -> Any:
            state["calls"] += 1
            if state["calls"] == step:
                raise loop.PassTooLarge([14] * 8)
            return real(*args)

        monkeypatch.setattr(loop, "take_step", step_of)

    def power_cut(step: int, values: Any) -> None:
        if step == 7 and "loss" in values:
            raise OSError("power cut")

    full_at(6)
    first = Layout(8, 2048, tmp_path / "first.json")
    whole, _ = run(tmp_path / "whole", settings, model(dropout=0.2), layout=first)
    monkeypatch.undo()
    full_at(6)
    with pytest.raises(OSError, match="power cut"):
        run(
            tmp_path / "cut",
            settings,
            model(dropout=0.2),
            listen=power_cut,
            layout=Layout(8, 2048, tmp_path / "second.json"),
        )
    monkeypatch.undo()
    again = Layout(8, 2048, tmp_path / "second.json")
    assert again.cuts == first.cuts == [Cut(0, 8, 2048), Cut(5, 4, 56)]
    resumed, progress = run(tmp_path / "cut", settings, model(dropout=0.2), layout=again)
    assert progress.step == 12
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_later_cut_gives_way_to_an_earlier_smaller_one() -> None:
    layout = Layout(8, 100)
    layout.halve(5, [10] * 8)
    layout.halve(2, [10] * 4)
    assert layout.cuts == [Cut(0, 8, 100), Cut(2, 2, 20)]
    layout.halve(2, [10] * 2)
    assert layout.at(1) == Cut(0, 8, 100)
    assert layout.at(2) == layout.at(9) == Cut(2, 1, 10)
    assert len(rows(2)) == 2
