"""A run again from its log: the same bytes, or without some rows; under other conditions it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import tiny_base
from yibu.core.errors import DataError, InputError
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.train import BaseSettings, Config, loop, train
from yibu.train import replay as module
from yibu.train.batchlog import RowNames, read_batches
from yibu.train.replay import replay

WEIGHTS = "adapter/adapter_model.safetensors"
TASK = {"kind": "generate", "prompt": "{text}", "target": "{label}: {note}", "score": {"label": "label"}}


class Rows(Settings):
    salt: str = ""


@stage()
def given(config: Rows, work: Work) -> None:
    """Two dozen rows of different lengths; one has an id that looks like a part."""

    def row(split: str, n: int) -> Row:
        label = "rare" if n % 4 == 3 else "often"
        name = "case#3" if n == 7 else f"{split}-{n}"
        fields = {"text": f"cough {n} {config.salt}", "label": label, "note": "seen " * (1 + n % 5)}
        return Row(name, fields, label=label)

    for split, count in (("train", 24), ("valid", 6), ("test", 4)):
        work.write_text(f"{split}.jsonl", "".join(row(split, n).to_json() + "\n" for n in range(count)))
    work.write_json("summary.json", {"labels": None, "splits": {"train": 24, "valid": 6, "test": 4}})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Artifact, BaseSettings]:
    folder = tmp_path_factory.mktemp("replay")
    store = Store(folder / "store")
    base = BaseSettings(name="tiny", path=str(tiny_base(folder / "base")), digest="0" * 64)
    return store, store.run(given, Rows()), base


def config(base: BaseSettings, adapter: dict[str, Any] | None = None, **settings: Any) -> Config:
    made = {"epochs": 3, "batch": 4, "accumulate": 2, "threads": 1, "dtype": "fp32", "device": "cpu", **settings}
    adapter = adapter or {"dropout": 0.2, "r": 4}
    return Config.model_validate({"base": base, "task": TASK, "train": made, "adapter": adapter})


@pytest.fixture(scope="module")
def trained(prepared: tuple[Store, Artifact, BaseSettings]) -> Artifact:
    store, data, base = prepared
    return store.run(train, config(base, pack_tokens=64, evaluate_every=2, lr=2e-3), data=data)


@pytest.mark.parametrize(
    ("adapter", "settings"),
    [
        ({}, {}),
        ({"dropout": 0.2, "lr_ratio": 8}, {"pack_tokens": 64, "evaluate_every": 2}),
        ({"dropout": 0.1}, {"sampler": "weighted", "evaluate_every": 1, "lr": 3e-2, "patience": 2}),
        ({}, {"class_weights": "balanced", "max_length": 60, "too_long": "split"}),
        ({}, {"lr": "auto", "max_steps": 4}),
        ({"init": "eva"}, {"max_steps": 3}),
        ({"kind": "bottleneck"}, {"max_steps": 3}),
        ({"kind": "full"}, {"max_steps": 3, "weight_decay": 0.1}),
        ({"layers": "top-1", "dropout": 0.2}, {"lower_cache": True, "pack_tokens": 64}),
    ],
    ids=["plain", "dropout", "weighted", "balanced", "auto", "eva", "bottleneck", "full", "lower_cache"],
)
def test_a_replay_ends_in_the_same_bytes(
    prepared: tuple[Store, Artifact, BaseSettings],
    tmp_path: Path,
    adapter: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    store, data, base = prepared
    made = store.run(train, config(base, adapter, **settings), data=data)
    torch.manual_seed(12345)  # what the process drew before is of no account
    found = replay(made, data, base, tmp_path / "again")
    assert found.same is True
    assert found.recorded == found.found != {}
    assert found.first_other_loss is None
    assert (found.touched, found.left_out) == ((), 0)
    assert found.best_step == made.read_json("summary.json")["best_step"]


@pytest.mark.parametrize(
    "adapter",
    [{"kind": "lora+bottleneck"}, {"kind": "experts", "p": 0.5, "sample_tokens": 200}],
    ids=["joint", "experts"],
)
def test_a_replay_of_a_mixture_ends_in_the_same_bytes(
    prepared: tuple[Store, Artifact, BaseSettings], tmp_path: Path, adapter: dict[str, Any]
) -> None:
    store, data, base = prepared
    mixture = base.model_copy(update={"path": str(tiny_base(tmp_path / "base", "deepseek_v2")), "digest": "2" * 64})
    made = store.run(train, config(mixture, adapter, max_steps=3), data=data)
    assert replay(made, data, mixture, tmp_path / "again").same is True


def test_the_log_is_followed_and_not_the_seed(
    prepared: tuple[Store, Artifact, BaseSettings],
    trained: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, data, base = prepared
    steps = read_batches(trained.file("batches.jsonl"))
    names = RowNames.read(trained.file("batches.salt"))
    assert {row for step in steps for one in step for row in one.rows} == {
        names.of("case#3" if n == 7 else f"train-{n}") for n in range(24)
    }
    assert "train-" not in trained.file("batches.jsonl").read_text()
    swapped = [steps[1], steps[0], *steps[2:]]
    monkeypatch.setattr(module, "read_batches", lambda path: swapped)
    found = replay(trained, data, base, tmp_path / "again")
    assert found.same is False
    assert found.first_other_loss == 1


def test_a_killed_run_leaves_the_log_of_an_uninterrupted_one(
    prepared: tuple[Store, Artifact, BaseSettings],
    trained: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = prepared[2]
    other = Store(tmp_path / "store")
    rows = other.run(given, Rows())
    settings = config(base, pack_tokens=64, evaluate_every=2, lr=2e-3, checkpoint_every=2)
    real, state = loop.take_step, {"calls": 0}

    def step_of(*args: Any) -> Any:
        state["calls"] += 1
        if state["calls"] == 6:
            raise OSError("power cut")
        return real(*args)

    monkeypatch.setattr(loop, "take_step", step_of)
    with pytest.raises(OSError, match="power cut"):
        other.run(train, settings, data=rows)
    monkeypatch.undo()
    resumed = other.run(train, settings, data=rows)
    assert resumed.file(WEIGHTS).read_bytes() == trained.file(WEIGHTS).read_bytes()
    ours, theirs = (read_batches(made.file("batches.jsonl")) for made in (resumed, trained))
    assert [[(p.lr, p.seed, len(p.rows)) for p in s] for s in ours] == [
        [(p.lr, p.seed, len(p.rows)) for p in s] for s in theirs
    ]
    assert ours != theirs  # another salt
    assert replay(resumed, rows, base, tmp_path / "again").same is True


def test_rows_are_left_out_and_the_steps_stay(
    prepared: tuple[Store, Artifact, BaseSettings], trained: Artifact, tmp_path: Path
) -> None:
    _, data, base = prepared
    gone = {"train-5", "case#3", "valid-2", "nobody"}
    found = replay(trained, data, base, tmp_path / "without", gone)
    assert found.same is None
    assert found.left_out == 3
    assert found.steps == 9
    names = RowNames.read(trained.file("batches.salt"))
    wanted = [
        number
        for number, step in enumerate(read_batches(trained.file("batches.jsonl")), start=1)
        if {names.of("train-5"), names.of("case#3")} & {row for one in step for row in one.rows}
    ]
    assert list(found.touched) == wanted
    assert 3 <= len(wanted) <= 6
    assert found.emptied == ()
    assert found.found != found.recorded
    again = replay(trained, data, base, tmp_path / "twice", gone)
    assert again.found == found.found


def test_a_step_that_lost_all_its_rows_is_not_taken_and_no_pass_sees_a_row_that_is_gone(
    prepared: tuple[Store, Artifact, BaseSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, data, base = prepared
    settings = config(base, {}, epochs=1, evaluate_every=100, batch=4, accumulate=1)
    made = store.run(train, settings, data=data)
    names = RowNames.read(made.file("batches.salt"))
    steps = read_batches(made.file("batches.jsonl"))
    gone = {f"train-{n}" for n in range(24) if names.of(f"train-{n}") in steps[2][0].rows} | {"train-1"}
    if names.of("case#3") in steps[2][0].rows:
        gone.add("case#3")
    found = replay(made, data, base, tmp_path / "without", gone)
    assert 3 in found.emptied

    real, calls = loop.take_step, []

    def counted(model: Any, trainable: Any, passes: Any, *rest: Any) -> Any:
        calls.append([row.name for one in passes for row in one.examples])
        return real(model, trainable, passes, *rest)

    monkeypatch.setattr(module, "take_step", counted)
    again = replay(made, data, base, tmp_path / "counted", gone)
    assert again.found == found.found
    assert len(calls) == 6 - len(found.emptied)
    assert not gone & {name for names_of_step in calls for name in names_of_step}


def test_class_weights_of_the_rows_that_are_left_touch_every_step(
    prepared: tuple[Store, Artifact, BaseSettings], tmp_path: Path
) -> None:
    store, data, base = prepared
    made = store.run(train, config(base, {}, class_weights="balanced", epochs=1), data=data)
    found = replay(made, data, base, tmp_path / "without", {"train-3"})
    assert found.touched == (1, 2, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"torch": "1.0"}, ["torch: 1.0 then", "install the torch"]),
        ({"threads": 64}, ["threads: 64 then, 1 now", "OMP_NUM_THREADS"]),
        ({"device": "cuda:0", "python": "3.9"}, ["device: cuda:0", "python: 3.9", "2 points"]),
        ({"base": "f" * 64}, ["base: ffff", "use the base"]),
        ({"rows": "f" * 64}, ["rows: ffff"]),
        ({"start": "f" * 64}, ["start: ffff"]),
        ({"oneDNN": "3.1"}, ["oneDNN: 3.1 then, absent now"]),
    ],
    ids=["version", "threads", "device", "base", "rows", "start", "unknown"],
)
def test_another_fingerprint_is_refused_with_every_difference(
    prepared: tuple[Store, Artifact, BaseSettings],
    trained: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    words: list[str],
) -> None:
    _, data, base = prepared
    real = Artifact.read_json

    def read_json(self: Artifact, name: str) -> Any:
        return {**real(self, name), **change} if name == "fingerprint.json" else real(self, name)

    monkeypatch.setattr(Artifact, "read_json", read_json)
    with pytest.raises(InputError, match="cannot be replayed to the bit") as error:
        replay(trained, data, base, tmp_path / "again")
    for word in words:
        assert word in str(error.value)
    assert not (tmp_path / "again").exists()


def test_another_base_and_other_rows_are_refused(
    prepared: tuple[Store, Artifact, BaseSettings], trained: Artifact, tmp_path: Path
) -> None:
    store, data, base = prepared
    with pytest.raises(InputError, match="fingerprint differs in 1 points") as error:
        replay(trained, data, base.model_copy(update={"digest": "1" * 64}), tmp_path / "again")
    assert "base: " in str(error.value)
    with pytest.raises(InputError, match="on other rows"):
        replay(trained, store.run(given, Rows(salt="x")), base, tmp_path / "again")
    with pytest.raises(InputError, match="no run that can be replayed"):
        replay(data, data, base, tmp_path / "again")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(InputError, match="not empty"):
        replay(trained, data, base, tmp_path / "full")


def test_a_log_with_another_salt_names_unknown_rows(
    prepared: tuple[Store, Artifact, BaseSettings],
    trained: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, data, base = prepared
    monkeypatch.setattr(RowNames, "read", staticmethod(lambda path: RowNames("ff" * 16)))
    with pytest.raises(DataError, match="rows that are not in the data"):
        replay(trained, data, base, tmp_path / "again")


def test_a_run_whose_passes_were_halved_replays_to_the_same_bytes(
    prepared: tuple[Store, Artifact, BaseSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data, base = prepared
    store = Store(tmp_path / "store")
    shutil.copytree(data.path.parent, store.root / "artifacts", ignore=shutil.ignore_patterns("train-*"))
    rows = store.run(given, Rows())
    real, state = loop.take_step, {"calls": 0}

    def step_of(*args: Any) -> Any:
        state["calls"] += 1
        if state["calls"] == 4:
            raise loop.PassTooLarge([30] * 4)
        return real(*args)

    monkeypatch.setattr(loop, "take_step", step_of)
    made = store.run(train, config(base), data=rows)
    monkeypatch.undo()
    summary = made.read_json("summary.json")
    assert summary["out_of_memory"] is True
    assert summary["cuts"] == made.read_json("fingerprint.json")["cuts"]
    assert summary["cuts"][1] == {"from_step": 3, "rows": 2, "tokens": 60}
    passes = [len(step) for step in read_batches(made.file("batches.jsonl"))]
    assert passes[:3] == [2, 2, 2]
    assert min(passes[3:]) >= 4
    assert replay(made, rows, base, tmp_path / "again").same is True


def test_the_fingerprint_says_what_the_bits_depend_on(trained: Artifact) -> None:
    found = json.loads(trained.file("fingerprint.json").read_text())
    for key in ("torch", "transformers", "peft", "threads", "device", "cpu", "dtype", "base", "data", "cuts", "prefix"):
        assert key in found
    assert found["threads"] == 1
