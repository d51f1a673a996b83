"""Two processes give what one gives; one that is killed or hangs ends the run in seconds, by name, and it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from many_processes import Nothing, config, curve, given, history, largest_difference, send_at, weights
from tiny import tiny_base
from yibu import pipeline
from yibu.core.errors import InputError, TrainingError
from yibu.core.store import Artifact, Store
from yibu.train import train
from yibu.train.launch import why
from yibu.train.rank import Job, place, require_gpus
from yibu.train.replay import replay


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Artifact:
    store = Store(tmp_path_factory.mktemp("alone"))
    return store.run(train, config(base), data=store.run(given, Nothing()))


def test_two_processes_give_the_run_of_one_and_go_on_after_one_was_killed(
    tmp_path: Path, base: Path, alone: Artifact
) -> None:
    store = Store(tmp_path)
    data = store.run(given, Nothing())
    wanted = config(base, processes=2, hang_seconds=60)
    send_at(store, 4, 1, signal.SIGKILL)
    with pytest.raises(TrainingError, match="rank 1 of 2 ended") as error:
        store.run(train, wanted, data=data)
    assert error.value.exit_code == 1
    assert "SIGKILL" in str(error.value)
    assert "goes on from the last checkpoint" in str(error.value)

    made = store.run(train, wanted, data=data)
    assert made.manifest.notes["resumed"]
    assert made.id == alone.id, "how many processes there are is not part of what a run is"
    # Dropout is on: each pass has a seed of its own, wherever it runs.
    assert curve(made) == pytest.approx(curve(alone), abs=2e-6)
    assert [entry["tokens"] for entry in history(made) if "loss" in entry] == [
        entry["tokens"] for entry in history(alone) if "loss" in entry
    ]
    assert largest_difference(weights(made), weights(alone)) < 1e-5
    assert set(made.manifest.files) == set(alone.manifest.files)
    assert made.read_json("summary.json")["processes"] == 2

    with pytest.raises(InputError, match="processes: 2 then, 1 now"):
        replay(made, data, config(base).base, tmp_path / "again")
    without = replay(made, data, config(base).base, tmp_path / "without", frozenset({"train-3"}))
    assert without.left_out == 1


def test_a_process_that_hangs_is_named_in_time(tmp_path: Path, base: Path) -> None:
    store = Store(tmp_path)
    data = store.run(given, Nothing())
    send_at(store, 2, 1, signal.SIGSTOP)
    with pytest.raises(TrainingError, match=r"rank 1 \(process \d+ on .*\) does not answer") as error:
        store.run(train, config(base, processes=2, hang_seconds=4, epochs=200), data=data)
    assert "nothing for 4 seconds" in str(error.value)
    assert "train.hang_seconds" in str(error.value)


def left_behind(folder: Path, rank: int, what: str, silent: bool | None, time: float = 0.0) -> None:
    table = {"error": "DataError", "what": what, "got": None, "allowed": None, "do": None}
    (folder / f"error-{rank}.json").write_text(json.dumps({**table, "rank": rank, "time": time, "silent": silent}))


def test_of_several_failures_the_first_cause_is_told(tmp_path: Path) -> None:
    job = Job({}, str(tmp_path), "")
    job.errors.mkdir(parents=True)
    assert isinstance(why(job, {0: 130, 1: 130}, 2), KeyboardInterrupt)
    assert "exit code 3" in str(why(job, {0: 3, 1: -15}, 2))
    assert "rank 1" in str(why(job, {0: -15, 1: -9}, 2))
    left_behind(job.errors, 0, "rank 1 is gone", silent=False)
    assert "rank 1 of 2 ended" in str(why(job, {0: 1, 1: -9}, 2))
    assert "rank 1 is gone" in str(why(job, {0: 1}, 2))
    left_behind(job.errors, 0, "rank 1 is silent", silent=True)
    assert "rank 1 is silent" in str(why(job, {0: 1, 1: -9}, 2))
    left_behind(job.errors, 1, "bad row", silent=None, time=2.0)
    left_behind(job.errors, 2, "worse row", silent=None, time=1.0)
    found = why(job, {0: 1, 1: 1, 2: 1}, 3)
    assert "worse row" in str(found)
    assert isinstance(found, InputError)
    assert found.exit_code == 2


WHOLE = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in (*WHOLE, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_the_place_that_a_launcher_gave_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert place() is None
    environment(monkeypatch, LOCAL_RANK="0")  # left over from something else, says nothing
    assert place() is None
    environment(monkeypatch, **WHOLE)
    found = place()
    assert found is not None
    assert (found.rank, found.size, found.local_rank, found.local_size) == (1, 2, 1, 2)


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_half_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    environment(monkeypatch, **{name: value for name, value in WHOLE.items() if name != missing})
    with pytest.raises(InputError, match="did not say all") as error:
        place()
    assert f"without {missing}" in str(error.value)


@pytest.mark.parametrize("wrong", [{"RANK": "2"}, {"RANK": "x"}, {"LOCAL_WORLD_SIZE": "3"}, {"WORLD_SIZE": "0"}])
def test_a_place_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    environment(monkeypatch, **{**WHOLE, **wrong})
    with pytest.raises(InputError, match="do not say which process"):
        place()


def test_torchrun_starts_the_whole_command_and_the_ranks_share_one_store(tmp_path: Path, base: Path) -> None:
    """Weights of the base itself are trained and sharded: the folder is that of one process all the same."""
    rows = [{"text": f"cough {n} and fever", "label": ["often", "rare"][n % 2]} for n in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: tiny\nbase: {base}\ndata: {{source: {tmp_path / 'rows.jsonl'}, split: {{stratify: label, "
        "on_missing_label: warn}}\nadapter: {kind: full}\n"
        "train: {epochs: 1, batch: 2, accumulate: 4, lr: 1.0e-3, dtype: fp32, device: cpu, threads: 1}\n"
    )
    store = Store(tmp_path / "together")
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "yibu"]
    done = subprocess.run(
        [sys.executable, *command, "train", str(recipe), "train.shard=full", "--store", str(store.root)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Model: ") == 1, "one of the two speaks"
    together = store.ref("tiny/model")
    assert together is not None
    assert together.read_json("summary.json")["sharded"]

    alone = Store(tmp_path / "alone")
    wanted = pipeline.load(recipe)
    data = pipeline.make_data(wanted, alone)
    one = pipeline.make_model(wanted, alone, data)
    assert one.id == together.id
    assert curve(one) == pytest.approx(curve(together), abs=2e-6)
    assert largest_difference(weights(one), weights(together)) < 1e-5
    assert store.verify() == []


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_gpus("auto", 64)  # there is no GPU here, so the CPU it is
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    require_gpus("cpu", 2)
    require_gpus("auto", 1)
    with pytest.raises(InputError, match="more processes than GPUs") as error:
        require_gpus("auto", 2)
    assert "train.device: cpu" in str(error.value)
    assert error.value.exit_code == 2
