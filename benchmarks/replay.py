"""Train a real base, make the adapter again from the log of its batches in a new process, and compare SHA-256.

Each trial is a run of its own settings in an empty store (dropout, another learning rate for B, a weighted sampler, a
run that is killed once and goes on). ``--dry`` writes no result.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from claims import record
from yibu.core.store import Store
from yibu.metrics.stats import wilson

ROOT = Path(__file__).parent.parent
COMMON = (
    "data.limit.train=48",
    "data.limit.valid=8",
    "train.batch=4",
    "train.epochs=1",
    "train.checkpoint_every=2",
    "train.evaluate_every=3",
)
TRIALS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "dropout": ("adapter.dropout=0.1", "train.seed=1"),
    "lora+": ("adapter.lr_ratio=8", "train.seed=2"),
    "small passes": ("train.pack_tokens=256", "adapter.dropout=0.1", "train.seed=3"),
    "killed once": ("adapter.dropout=0.1", "train.seed=4"),
}
console = Console()


def environment(store: Path) -> dict[str, str]:
    return {**os.environ, "YIBU_STORE": str(store)}


def train(store: Path, overrides: tuple[str, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "yibu.cli", "train", "recipes/quickstart.yaml", *COMMON, *overrides]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(store),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_in_training(process: subprocess.Popen[bytes], store: Path) -> None:
    """``kill -9`` when the first checkpoint is there."""
    while process.poll() is None:
        if list(store.glob("work/train-*/scratch/checkpoints/step-*")):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.05)
    raise SystemExit("the run was over before it could be killed")


def replay_here(store_path: Path, name: str) -> None:
    """In a process of its own: replay the newest model of a store and print what came out as JSON."""
    from yibu.train.replay import base_of, replay

    store = Store(store_path)
    model = store.get(name)
    with tempfile.TemporaryDirectory() as folder:
        found = replay(model, store.get(model.manifest.inputs["data"]), base_of(model, store), Path(folder) / "adapter")
        print(json.dumps(found.as_dict()))


def main(dry: bool) -> None:
    table = Table("run", "steps", "adapter SHA-256", "replayed in", "same")
    same = 0
    with tempfile.TemporaryDirectory() as folder:
        store_path = Path(folder)
        for trial, overrides in TRIALS.items():
            before = {path.name for path in store_path.glob("artifacts/train-*")}
            if trial == "killed once":
                kill_in_training(train(store_path, overrides), store_path)
            if train(store_path, overrides).wait() != 0:
                raise SystemExit(f"the run {trial!r} failed")
            (name,) = {path.name for path in store_path.glob("artifacts/train-*")} - before
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, __file__, "--one", name],
                cwd=ROOT,
                env=environment(store_path),
                stdout=subprocess.PIPE,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            same += found["same"]
            digest = found["recorded"]["adapter/adapter_model.safetensors"]
            seconds = f"{time.monotonic() - began:.1f} s"
            table.add_row(trial, str(found["steps"]), f"{digest[:16]}…", seconds, "yes" if found["same"] else "NO")
    console.print(table)
    total = len(TRIALS)
    console.print(f"{same} of {total} replays ended in the same bits")
    if dry:
        return
    interval = wilson([1] * same + [0] * (total - same))
    record(
        "adapt.replay_same_bits",
        same / total,
        low=interval.low,
        high=interval.high,
        n=total,
        unit="share of runs on SmolLM2-135M whose adapter, made again from its log, has the same SHA-256",
        goal="== 1",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--one", metavar="MODEL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        replay_here(Path(os.environ["YIBU_STORE"]), arguments.one)
    else:
        main(arguments.dry)
