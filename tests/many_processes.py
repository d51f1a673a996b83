"""A small run of the stage `train` that can be had in one process or several, and what happened in it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.train import BaseSettings, Config

TASK = {"kind": "generate", "prompt": "{text}", "target": "{note}", "max_new_tokens": 4}


class Nothing(Settings):
    pass


@stage()
def given(config: Nothing, work: Work) -> None:
    """Thirty-six rows of different lengths."""
    for split, count in (("train", 36), ("valid", 9), ("test", 1)):
        rows = [
            Row(f"{split}-{n}", {"text": f"cough {n} " + "and fever " * (n % 5), "note": f"seen {n * 7 % 11}"})
            for n in range(count)
        ]
        work.write_text(f"{split}.jsonl", "".join(row.to_json() + "\n" for row in rows))
    work.write_json("summary.json", {"labels": None, "splits": {"train": 36, "valid": 9, "test": 1}})


def config(base: Path, adapter: dict[str, Any] | None = None, **settings: Any) -> Config:
    made = {
        **{"epochs": 3, "batch": 4, "accumulate": 4, "lr": 1e-2, "dtype": "fp32", "device": "cpu", "threads": 1},
        **{"checkpoint_every": 2, **settings},
    }
    table = {"kind": "lora", "r": 4, "alpha": 8, "dropout": 0.1} if adapter is None else adapter
    named = BaseSettings(name="tiny", path=str(base), digest="0" * 64)
    return Config.model_validate({"base": named, "task": TASK, "train": made, "adapter": table})


def history(model: Artifact) -> list[dict[str, Any]]:
    return [json.loads(line) for line in model.file("history.jsonl").read_text(encoding="utf-8").splitlines()]


def curve(model: Artifact) -> list[float]:
    """Training and validation losses, in their order."""
    return [entry.get("loss", entry.get("valid_loss")) for entry in history(model)]


def weights(model: Artifact) -> dict[str, Tensor]:
    name = next(name for name in model.manifest.files if name.startswith("adapter/") and name.endswith(".safetensors"))
    return load_file(model.file(name))


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def rank_processes(parent: int | None = None) -> dict[int, int]:
    """Process ids of the ranks that this process (or another one) has started, by rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            environment = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat[1]) == (parent or os.getpid()) and b"yibu.train.rank" in words:
            rank = next(word for word in environment if word.startswith(b"RANK="))
            found[int(rank.removeprefix(b"RANK="))] = int(folder.name)
    return found


def send_at(store: Store, step: int, rank: int, number: signal.Signals) -> threading.Thread:
    """Send a signal to a rank as soon as a checkpoint of this step or a later one is there."""

    def there() -> bool:
        return any(
            int(path.name[5:]) >= step for path in (store.root / "work").glob("train-*/scratch/checkpoints/step-*")
        )

    return when(there, lambda: os.kill(rank_processes()[rank], number))


def when(there: Callable[[], bool], act: Callable[[], None], seconds: float = 120) -> threading.Thread:
    """Do something in the background as soon as something holds."""

    def watch() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not there():
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread
