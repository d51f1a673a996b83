"""What keeping the frozen lower layers saves: LoRA on all layers against LoRA on the upper third, with and without.

SmolLM2-135M, rows of mts_dialog, two threads. Three models are trained side by side, step by step in turn, so that
whatever else the machine does meets all of them: on all layers; on the upper third; on the upper third from what is
kept. An epoch is its steps and its validation; running the lower layers once is counted in full against the kept way.

Rows are cut into five folds; a fold trains on four fifths and is validated on one, three epochs. What is kept is shared
by the folds, so it is paid for once. ``--measured`` folds are run; the others are counted like those, which have the
same number of rows within one (the claim's unit says so).

Quality is the validation loss after the same rows: that of the upper third less that of all layers, with its interval
over validation rows. The difference of losses with and without the cache is measured apart, in fp32, row by row.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from claims import record
from train_speed import LR, ROWS_PER_STEP, conversations, examples

TOKENS = 2048  # of one pass
SYSTEMS = ("all layers", "upper third", "upper third, kept")
DIGEST = "of the packaged SmolLM2-135M, the only base here"


class Run:
    """One model in training, and its own seconds."""

    def __init__(self, base: Path, layers: str, keep: Path | None, train: list[Any], valid: list[Any]) -> None:
        import torch

        from yibu.adapters.lora import Settings
        from yibu.model.assemble import for_training
        from yibu.model.lower import Lower
        from yibu.model.packing import common_prefix

        torch.manual_seed(0)
        made = for_training(base, Settings(layers=layers), "cpu", "auto")
        self.model, self.dtype = made.model, made.dtype
        self.train, self.valid = train, valid
        self.prefix = common_prefix([*train, *valid])
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LR, fused=True)
        self.seconds = self.cpu_seconds = self.once = 0.0
        self.losses: list[float] = []
        self.targets: list[int] = []
        self.lower: Any = None
        self.kept: Any = None
        if keep is not None:
            with self.clock():
                self.lower = Lower(self.model, keep, DIGEST)
                self.kept = self.lower.fill([*train, *valid], self.prefix)
                self.lower.check(train, self.prefix)
            self.once, self.seconds, self.cpu_seconds = self.seconds, 0.0, 0.0

    @contextmanager
    def clock(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu

    def packs(self, rows: list[Any]) -> list[Any]:
        from yibu.model.packing import make_pack, split_by_tokens

        return [make_pack(run, self.prefix) for run in split_by_tokens(rows, TOKENS)]

    def feeding(self, pack: Any) -> AbstractContextManager[None]:
        return nullcontext() if self.lower is None else self.lower.feeding(pack)

    def step(self, rows: list[int]) -> None:
        import torch

        from yibu.model.packing import pack_loss

        with self.clock():
            self.model.train()
            packs = self.packs([self.train[row] for row in rows])
            total = sum(pack.num_targets for pack in packs)
            for pack in packs:
                with self.feeding(pack):
                    loss = pack_loss(self.model, pack) / total
                loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def validate(self) -> None:
        """Summed loss of each validation row, and its targets."""
        from yibu.model.packing import example_losses

        self.losses, self.targets = [], [example.num_targets for example in self.valid]
        with self.clock():
            self.model.eval()
            for pack in self.packs(self.valid):
                with self.feeding(pack):
                    self.losses += example_losses(self.model, pack).tolist()


def exactness(base: Path, rows: list[Any], folder: Path, layers: str) -> float:
    """Largest difference of a row's mean loss with and without, in fp32, of an adapter that has an effect."""
    import torch

    from yibu.adapters.lora import Settings
    from yibu.model.assemble import for_training
    from yibu.model.lower import Lower
    from yibu.model.packing import common_prefix, example_losses, make_pack, split_by_tokens

    torch.manual_seed(0)
    model = for_training(base, Settings(layers=layers), "cpu", "fp32").model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.01)
    lower, prefix = Lower(model, folder, DIGEST), common_prefix(rows)
    differences = []
    lower.fill(rows, prefix)
    for run in split_by_tokens(rows, TOKENS):
        pack, targets = make_pack(run, prefix), torch.tensor([example.num_targets for example in run])
        whole = example_losses(model, pack) / targets
        with lower.feeding(pack):
            started = example_losses(model, pack) / targets
        differences.append((whole - started).abs())
    return float(torch.cat(differences).max())  # NaN where any is; Python's own max would drop it


def fold(base: Path, folder: Path, layers: str, train: list[Any], valid: list[Any], epochs: int) -> list[Run]:
    """Train the three side by side; each begins one step in three."""
    from yibu.train.batches import step_rows

    kinds = zip(("all", layers, layers), (None, None, folder), strict=True)
    runs = [Run(base, which, keep, train, valid) for which, keep in kinds]
    for epoch in range(epochs):
        for number, rows in enumerate(step_rows(len(train), ROWS_PER_STEP, epoch, 0)):
            for turn in range(len(runs)):
                runs[(number + turn) % len(runs)].step(rows)
        for run in runs:
            run.validate()
    return runs


def measure(given: argparse.Namespace) -> tuple[list[Any], float, list[list[Run]], int]:
    """Rows, the largest difference of a loss, the folds that were run, and bytes on disk."""
    from yibu import bases
    from yibu.core.store import Store
    from yibu.model.assemble import load_renderer
    from yibu.model.kept_rows import bytes_used
    from yibu.model.resolve import resolve

    base = resolve("packaged:smollm2-135m", Store()).path
    talks = conversations("MTS-Dialog-TrainingSet.csv", given.rows)
    rows = examples(load_renderer(base, bases.known()["llama"]), talks)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        worst = exactness(base, rows[: given.exact_rows], folder / "exact", given.layers)
        folds = []
        for number in range(given.measured):
            valid = rows[number :: given.folds]
            train = [row for index, row in enumerate(rows) if index % given.folds != number]
            folds.append(fold(base, folder / "kept", given.layers, train, valid, given.epochs))
        return rows, worst, folds, bytes_used(folder / "kept")


def main(given: argparse.Namespace) -> None:
    """Measure, print, and record unless it is a trial."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from yibu.metrics.resample import mean
    from yibu.metrics.stats import bootstrap

    torch.set_num_threads(2)
    rows, worst, folds, used = measure(given)

    def total(system: int, clock: str = "seconds") -> float:
        return given.folds / given.measured * sum(float(getattr(runs[system], clock)) for runs in folds)

    first = folds[0][2]
    # Opening and checking is paid by every fold, running the lower layers by the first alone.
    once = first.kept.seconds + given.folds * (first.once - first.kept.seconds)
    seconds = [total(0), total(1), total(2) + once]
    losses = [[value for runs in folds for value in runs[system].losses] for system in range(3)]
    targets = [value for runs in folds for value in runs[0].targets]
    change = [(upper - whole) / n for upper, whole, n in zip(losses[2], losses[0], targets, strict=True)]
    quality = bootstrap(mean(change, targets))
    tokens = sum(len(row.ids) for row in rows)

    console, table = Console(width=120), Table("", "seconds", "times faster", "CPU seconds", "validation loss")
    for system, label in enumerate(SYSTEMS):
        loss = sum(losses[system]) / sum(targets)
        cells = (f"{seconds[system]:.1f}", f"{seconds[0] / seconds[system]:.2f}", f"{total(system, 'cpu_seconds'):.1f}")
        table.add_row(label, *cells, f"{loss:.4f}")
    console.print(table)
    console.print(f"{len(rows)} rows, {tokens:,} tokens, {first.prefix} of each in common, {first.dtype}")
    console.print(f"run once in {first.kept.seconds:.1f} s, checks {first.once - first.kept.seconds:.1f} s a fold")
    console.print(f"on disk {used:,} bytes; losses in fp32 differ by at most {worst:.2g}")
    console.print(f"quality {quality.value:+.4f} nats per target token ({quality.low:+.4f} to {quality.high:+.4f})")
    if given.trial:
        return
    how = f"{given.folds} folds x {given.epochs} epochs, {given.measured} run, the others counted like them"

    def claim(name: str, value: float, unit: str, n: int, **more: Any) -> None:
        record(f"adapt.lower_cache_{name}", value, unit=unit, n=n, **more)

    faster = f"time of LoRA on all layers over {given.layers} with the cache; {how}"
    claim("speedup", round(seconds[0] / seconds[2], 3), faster, len(rows), goal=">= 2.5")
    same = f"time of {given.layers} without the cache over with it; {how}"
    claim("speedup_same_layers", round(seconds[1] / seconds[2], 3), same, len(rows))
    cost = f"time of all folds of {given.layers} with the cache over one run on all layers on a fold's rows; {how}"
    record("proof.folds_cost", round(given.folds * seconds[2] / seconds[0], 3), unit=cost, n=len(rows), goal="<= 2.2")
    exact = "nats per target token, the largest of a row, fp32"
    claim("loss_difference", worst, exact, min(len(rows), given.exact_rows), goal="<= 1e-5")
    unit = f"validation loss of {given.layers} less that of all layers, nats per target token"
    between = {"low": round(quality.low, 4), "high": round(quality.high, 4)}
    claim("quality_difference", round(quality.value, 4), unit, len(change), **between)
    claim("bytes_per_token", round(used / tokens, 1), "bytes on disk per token of a row", tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--exact-rows", type=int, default=40, help="rows whose losses are compared in fp32")
    parser.add_argument("--layers", default="top-10", help="the upper third of 30 layers")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--measured", type=int, default=1, help="folds that are really run")
    parser.add_argument("--trial", action="store_true", help="record nothing")
    main(parser.parse_args())
