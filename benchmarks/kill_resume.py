"""kill -9 a training run at random moments, run it again, and compare the SHA-256 of the adapter.

Each trial starts in an empty store, is killed once at a moment drawn uniformly over the length of an uninterrupted
run (imports, saving and hashing included), and is started again until it ends. The base is real.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from claims import record
from yibu.core.store import digest_file
from yibu.metrics.stats import wilson

ROOT = Path(__file__).parent.parent
OVERRIDES = (
    "data.limit.train=48",
    "data.limit.valid=8",
    "train.batch=4",
    "train.epochs=1",
    "train.checkpoint_every=2",
    "train.evaluate_every=5",
    "adapter.dropout=0.1",
)
console = Console()


def train(store: Path) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("yibu")), "train", "recipes/quickstart.yaml", *OVERRIDES]
    environment = {**os.environ, "YIBU_STORE": str(store)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def finish(store: Path) -> str:
    """Run to the end; SHA-256 of the adapter."""
    if train(store).wait() != 0:
        raise SystemExit(f"a run in {store} failed")
    (adapter,) = (store / "artifacts").glob("train-*/adapter/adapter_model.safetensors")
    return digest_file(adapter)


def main(trials: int, seed: int) -> None:
    chance = random.Random(seed)
    table = Table("trial", "killed after", "state found", "adapter SHA-256", "same")
    same = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The base and the rows are made once and copied, so that every kill falls into a training run.
        finish(folder / "warm")
        for part in (folder / "warm" / "artifacts").glob("train-*"):
            shutil.rmtree(part)
        shutil.copytree(folder / "warm", folder / "whole")
        began = time.monotonic()
        expected = finish(folder / "whole")
        length = time.monotonic() - began
        console.print(f"uninterrupted: {length:.1f} s, SHA-256 {expected[:16]}…")
        for trial in range(1, trials + 1):
            store = folder / f"trial-{trial}"
            shutil.copytree(folder / "warm", store)
            moment = chance.uniform(0, length)
            process = train(store)
            time.sleep(moment)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            steps = sorted(path.name for path in store.glob("work/train-*/scratch/checkpoints/step-*"))
            state = "finished" if list(store.glob("artifacts/train-*")) else steps[-1] if steps else "no checkpoint"
            found = finish(store)
            same += found == expected
            table.add_row(str(trial), f"{moment:.1f} s", state, f"{found[:16]}…", "yes" if found == expected else "NO")
            shutil.rmtree(store)
    console.print(table)
    interval = wilson([1] * same + [0] * (trials - same))
    record(
        "spine.kill_resume.same_bits",
        same / trials,
        low=interval.low,
        high=interval.high,
        n=trials,
        unit="share of runs killed at a random moment whose adapter has the SHA-256 of an uninterrupted run",
        goal="== 1",
    )
    console.print(f"{same} of {trials} ended in the same bits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.trials, arguments.seed)
