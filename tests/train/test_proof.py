"""What is proven before the first step: figures are right, and a check that cannot hold stops the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import SETTING, model, rows
from tiny import tiny_base, tiny_tokenizer
from yibu.core.errors import TrainingError
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.model.render import Example, Renderer
from yibu.train import BaseSettings, Config, TrainSettings, loop, proof, train
from yibu.train import run as running
from yibu.train.batches import fit_lengths
from yibu.train.layout import Cut, Layout
from yibu.train.proof import Check, Proof, check_accumulation, check_ends, check_rows, probe_memory


def parts(made: Any) -> dict[str, Any]:
    return {name: p for name, p in made.named_parameters() if p.requires_grad}


def uneven(count: int = 6) -> list[Example]:
    """Rows with 2 to 12 targets."""
    made = rows(count)
    return [
        replace(row, trained=tuple(p >= len(row.ids) - 2 - 2 * n for p in range(len(row.ids))))
        for n, row in enumerate(made)
    ]


def test_one_micro_batch_and_many_have_the_same_gradient_and_leave_none_behind() -> None:
    made = model(dropout=0.5)
    found = check_accumulation(made, parts(made), uneven(), SETTING)
    assert found.passed
    assert 0 < found.figure < 1e-5
    assert len(set(found.details["targets"])) > 1
    assert all(p.grad is None for p in made.parameters())
    alone = check_accumulation(made, parts(made), uneven(), replace(SETTING, packed=False))
    assert (alone.passed, alone.figure) == (True, 0.0)


def test_a_loss_that_is_averaged_over_micro_batches_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.pack_loss

    def mean_of_means(made: Any, pack: Any) -> Any:
        return real(made, pack) / pack.num_targets * 6  # what trainers did until 2024

    monkeypatch.setattr(loop, "pack_loss", mean_of_means)
    made = model()
    found = check_accumulation(made, parts(made), uneven(), SETTING)
    assert not found.passed
    assert found.figure > 0.1
    for dtype in (torch.bfloat16, torch.float16):
        assert found.figure > proof.GRADIENT_TOLERANCE[dtype]
    report = Proof()
    report.add(found)
    assert report.as_dict()["passed"] is False
    with pytest.raises(TrainingError, match="stopped before its first step") as error:
        report.require()
    assert "accumulation" in str(error.value)


def test_rows_are_counted_whole_split_and_refused() -> None:
    made = [Example(tuple(range(5, 5 + n)), tuple(p > 3 for p in range(n)), f"r{n}") for n in (10, 20, 60, 70)]
    dropped = check_rows(fit_lengths(made, 30, 256, "drop"), made[:1], 3, 256).details
    assert (dropped["given"], dropped["trained_whole"], dropped["refused"], dropped["split"]) == (4, 2, 2, 0)
    assert (dropped["cut"], dropped["valid"], dropped["valid_left_out"], dropped["parts"]) == (0, 1, 3, 0)
    split = check_rows(fit_lengths(made, 30, 256, "split"), [], 0, 256).details
    assert (split["trained_whole"], split["split"], split["refused"]) == (2, 2, 0)
    assert split["parts"] >= 6
    assert split["longest_tokens"] == 70


def test_the_share_of_trained_ends_is_measured() -> None:
    renderer = Renderer(tiny_tokenizer())
    stop = renderer.stop_ids[0]
    good = Example((7, 8, stop), (False, True, True), "a")
    bad = Example((7, 8, stop), (False, True, False), "b")
    assert check_ends([good, replace(bad, name="a#1"), replace(good, name="a#2")], renderer).figure == 1.0
    found = check_ends([good, bad], renderer)
    assert (found.passed, found.figure) == (False, 0.5)


def test_the_probe_runs_the_largest_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    made = model(dropout=0.3)
    before = {name: p.detach().clone() for name, p in parts(made).items()}
    settings = TrainSettings(epochs=2, batch=4, accumulate=2)
    found = probe_memory(made, parts(made), rows(24), rows(5), settings, SETTING, Layout(4, 2048), tmp_path)
    assert found.passed
    assert found.details["longest_row"] == 14
    assert 40 < found.details["train_tokens"] <= 56
    assert found.details["valid_tokens"] == sum(len(row.ids) for row in rows(5))
    assert 0 < found.figure <= (found.limit or 0)
    assert all(torch.equal(p, before[name]) for name, p in parts(made).items())
    assert all(p.grad is None for p in made.parameters())
    assert list(tmp_path.iterdir()) == []


def test_the_probe_halves_passes_until_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.pack_loss
    monkeypatch.setattr(
        loop, "pack_loss", lambda made, pack: real(made, pack) if pack.num_tokens <= 30 else _no_memory()
    )
    made, layout = model(), Layout(8, 2048)
    found = probe_memory(made, parts(made), rows(24), [], TrainSettings(batch=8), SETTING, layout, tmp_path, step=2)
    assert found.details["halved"] >= 1
    assert found.details["train_tokens"] <= 30
    assert layout.at(0) == Cut(0, 8, 2048)
    assert layout.at(2).tokens <= 30


def test_too_little_memory_for_the_optimizer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof.torch, "full_like", lambda *_: _no_memory())
    made = model()
    with pytest.raises(TrainingError, match="for the optimizer"):
        probe_memory(made, parts(made), rows(8), [], TrainSettings(), SETTING, Layout(8, 2048), tmp_path)


def _no_memory() -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limit is set on Linux")
def test_memory_beyond_what_the_machine_has_ends_in_an_error_and_not_in_a_kill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof.machine, "memory_bytes", lambda: (2**30, 2**28))
    with proof._memory_that_ends(torch.device("cpu")):
        torch.ones(2**20)
        with pytest.raises(RuntimeError, match="allocate") as error:
            torch.ones(2**28)
        assert proof.is_out_of_memory(error.value)
    assert torch.ones(2**27).sum() > 0  # the limit is gone again


class Nothing(Settings):
    pass


@stage()
def few(config: Nothing, work: Work) -> None:
    """A dozen rows."""
    text = "".join(
        Row(f"r{n}", {"text": f"cough {n}", "note": "seen " * (1 + n % 4)}).to_json() + "\n" for n in range(12)
    )
    for split in ("train", "valid", "test"):
        work.write_text(f"{split}.jsonl", text)
    work.write_json("summary.json", {"labels": None, "splits": {"train": 12, "valid": 12, "test": 12}})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Artifact, Config]:
    folder = tmp_path_factory.mktemp("proof")
    store = Store(folder / "store")
    config = Config.model_validate(
        {
            "base": BaseSettings(name="tiny", path=str(tiny_base(folder / "base")), digest="0" * 64),
            "task": {"kind": "generate", "prompt": "{text}", "target": "{note}"},
            "adapter": {"r": 2},
            "train": {"epochs": 1, "batch": 4, "threads": 1, "dtype": "fp32", "device": "cpu"},
        }
    )
    return store, store.run(few, Nothing()), config


def test_every_run_writes_down_what_was_proven(prepared: tuple[Store, Artifact, Config]) -> None:
    store, data, config = prepared
    made = store.run(train, config, data=data)
    found = made.read_json("proof.json")
    assert found["passed"] is True
    checks = {check["name"]: check for check in found["checks"]}
    assert set(checks) == {"packing", "accumulation", "end_of_turn", "rows", "memory"}
    assert all(check["passed"] for check in checks.values())
    assert checks["packing"]["figure"] < 2e-4
    assert checks["accumulation"]["figure"] < 1e-3
    assert checks["end_of_turn"]["figure"] == 1.0
    assert checks["rows"]["details"]["trained_whole"] == 12
    assert len(made.read_json("preview.json")) == 5
    assert found["seconds"] < 60


def test_a_failed_proof_stops_the_run_before_its_first_step(
    prepared: tuple[Store, Artifact, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, data, config = prepared
    failed = Check("accumulation", "gradients agree", False, 0.5, 0.1, "relative")
    monkeypatch.setattr(running, "check_accumulation", lambda *_: failed)
    monkeypatch.setattr(running, "fit", lambda *_, **__: pytest.fail("a step was taken"))
    changed = config.model_copy(update={"train": config.train.model_copy(update={"seed": 3})})
    with pytest.raises(TrainingError, match="gradients agree"):
        store.run(train, changed, data=data)
    (kept,) = (store.root / "work").glob("train-*/proof.json")
    assert '"passed": false' in kept.read_text()
