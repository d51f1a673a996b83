"""`train.lower_cache`: the same run as without, only that the frozen lower layers are not run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load

from tiny import tiny_base
from yibu.core.errors import InputError, NoSpace
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.model import kept_rows, lower
from yibu.train import BaseSettings, Config, train
from yibu.train.replay import replay

TASK = {"kind": "generate", "prompt": "{text}", "target": "{note}"}
SPLITS = {"train": 24, "valid": 6, "test": 4}


class Rows(Settings):
    pass


@stage()
def given(config: Rows, work: Work) -> None:
    """Rows of different lengths; those of a few ids begin otherwise, so that the rest has a longer common beginning."""

    def row(split: str, n: int) -> Row:
        begin = "no" if n % 12 == 5 else "the patient has a"
        return Row(f"{split}-{n}", {"text": f"{begin} cough {n}", "note": "seen " * (1 + n % 5)})

    for split, count in SPLITS.items():
        work.write_text(f"{split}.jsonl", "".join(row(split, n).to_json() + "\n" for n in range(count)))
    work.write_json("summary.json", {"labels": None, "splits": SPLITS})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseSettings:
    folder = tiny_base(tmp_path_factory.mktemp("base") / "base")
    return BaseSettings(name="tiny", path=str(folder), digest="0" * 64)


def trained(folder: Path, base: BaseSettings, adapter: dict[str, Any], **settings: Any) -> tuple[Store, Artifact]:
    store = Store(folder)
    made = {"epochs": 3, "batch": 4, "accumulate": 2, "threads": 1, "dtype": "fp32", "device": "cpu", **settings}
    config = Config.model_validate({"base": base, "task": TASK, "train": made, "adapter": adapter})
    return store, store.run(train, config, data=store.run(given, Rows()))


def losses(model: Artifact) -> list[float]:
    lines = map(json.loads, model.file("history.jsonl").read_text().splitlines())
    return [line.get("valid_loss", line.get("loss")) for line in lines]


@pytest.mark.parametrize(
    ("adapter", "settings"),
    [
        ({"layers": "top-1", "dropout": 0.2}, {"pack_tokens": 64}),
        ({"layers": "top-1"}, {"lr": "auto", "max_steps": 4}),
        ({"kind": "bottleneck", "layers": "top-1"}, {}),
    ],
    ids=["dropout", "sweep", "bottleneck"],
)
def test_losses_are_those_of_the_whole_model(
    tmp_path: Path, base: BaseSettings, adapter: dict[str, Any], settings: dict[str, Any]
) -> None:
    _, whole = trained(tmp_path / "whole", base, adapter, **settings)
    _, kept = trained(tmp_path / "kept", base, adapter, lower_cache=True, **settings)
    assert losses(kept) == pytest.approx(losses(whole), abs=1e-5)
    assert len(losses(kept)) > 3
    assert kept.id == whole.id  # the same model is promised, so it has the same name
    assert whole.read_json("summary.json")["first_layer_run"] == 0
    assert kept.read_json("summary.json")["first_layer_run"] == 1


def test_a_second_run_computes_nothing_below(
    tmp_path: Path, base: BaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = {"layers": "top-1"}
    store, _ = trained(tmp_path, base, adapter, lower_cache=True)
    used = kept_rows.bytes_used(store.root / lower.LOWER)
    assert used > 0

    def refuse(*args: Any) -> None:
        raise AssertionError("rows were computed again")

    monkeypatch.setattr(lower.Lower, "_write", refuse)
    trained(tmp_path, base, adapter, lower_cache=True, seed=1)
    assert kept_rows.bytes_used(store.root / lower.LOWER) == used


def test_rows_may_be_left_out_of_a_replay(tmp_path: Path, base: BaseSettings) -> None:
    """Those that are left have a longer common beginning; their passes are still those of the run."""
    adapter = {"layers": "top-1"}
    gone = {f"train-{n}" for n in (5, 17)} | {"valid-5"}
    found = []
    for name, settings in {"whole": {}, "kept": {"lower_cache": True}}.items():
        store, made = trained(tmp_path / name, base, adapter, **settings)
        replay(made, store.run(given, Rows()), base, tmp_path / f"{name}-again", gone)
        found.append((tmp_path / f"{name}-again/adapter_model.safetensors").read_bytes())
    whole, kept = (load(data) for data in found)
    for name, tensor in whole.items():
        assert kept[name].numpy() == pytest.approx(tensor.numpy(), abs=1e-5)


def test_nothing_frozen_below_is_refused(tmp_path: Path, base: BaseSettings) -> None:
    with pytest.raises(InputError, match="no frozen layers below") as caught:
        trained(tmp_path, base, {}, lower_cache=True)
    assert caught.value.exit_code == 2
    assert "adapter.layers" in str(caught.value)


def test_a_disk_without_room_is_refused_before_training(
    tmp_path: Path, base: BaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lower, "RESERVE", 2**60)
    with pytest.raises(NoSpace, match="does not fit"):
        trained(tmp_path, base, {"layers": "top-1"}, lower_cache=True)
    assert not list((tmp_path / "artifacts").glob("train-*"))
