"""What keeping the frozen lower layers saves: LoRA on all layers against LoRA on the upper third, with and without.

SmolLM2-135M, rows of mts_dialog, two threads. Three models are trained side by side, step by step in turn, so that
whatever else the machine does meets all of them: on all layers; on the upper third; on the upper third from what is
kept. An epoch is its steps and its validation; running the lower layers once is counted in full, in time, against the
kept way, and what it wrote is stated.

Rows are cut into five folds; a fold trains on four and is validated on the fifth, three epochs. What is kept is shared
by the folds, so it is paid for once. Of the folds ``--measured`` are run; the others are counted like those, which have
the same rows within one (so marked in the claim's unit).

The quality is the validation loss after the same rows: that of the upper third less that of all layers, with its
interval over validation rows. The difference of losses with and without is measured apart, in fp32, over every row.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from train_speed import LR, ROWS_PER_STEP, conversations, examples

TOKENS = 2048  # of one pass
SYSTEMS = ("all layers", "upper third", "upper third, kept")
DIGEST = "of the packaged SmolLM2-135M, the only base here"


class Run:
    """One model in training: its packs go through one at a time, and its own seconds are counted."""

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
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=LR, fused=True)
        self.seconds = self.cpu_seconds = self.once = 0.0
        self.lower: Any = None
        self.kept: Any = None
        if keep is not None:
            with self.clock():
                self.lower = Lower(self.model, keep, DIGEST)
                self.kept = self.lower.fill([*train, *valid], self.prefix)
                self.lower.check(train, self.prefix)
            self.once, self.seconds = self.seconds, 0.0

    def clock(self) -> AbstractContextManager[None]:
        from contextlib import contextmanager

        @contextmanager
        def counting() -> Iterator[None]:
            wall, cpu = time.perf_counter(), time.process_time()
            yield
            self.seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu

        return counting()

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
            torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def validate(self) -> tuple[list[float], list[int]]:
        """Summed loss of each validation row, and its targets."""
        from yibu.model.packing import example_losses

        losses: list[float] = []
        with self.clock():
            self.model.eval()
            for pack in self.packs(self.valid):
                with self.feeding(pack):
                    losses += example_losses(self.model, pack).tolist()
        return losses, [example.num_targets for example in self.valid]


def exactness(base: Path, rows: list[Any], folder: Path, layers: str) -> float:
    """Largest difference of a row's mean loss with and without, in fp32, the adapter's effect not zero."""
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
    lower, prefix, worst = Lower(model, folder, DIGEST), common_prefix(rows), 0.0
    lower.fill(rows, prefix)
    for run in split_by_tokens(rows, TOKENS):
        pack, targets = make_pack(run, prefix), torch.tensor([example.num_targets for example in run])
        whole = example_losses(model, pack) / targets
        with lower.feeding(pack):
            started = example_losses(model, pack) / targets
        worst = max(worst, float((whole - started).abs().max()))
    return worst


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
            run.result = run.validate()  # type: ignore[attr-defined]
    return runs


def main(given: argparse.Namespace) -> None:
    import torch

    from yibu import bases
    from yibu.core.store import Store
    from yibu.model.assemble import load_renderer
    from yibu.model.resolve import resolve

    torch.set_num_threads(2)
    base = resolve("packaged:smollm2-135m", Store()).path
    renderer = load_renderer(base, bases.known()["llama"])
    examples(renderer, conversations("MTS-Dialog-TrainingSet.csv", given.rows))
    depth = 30
    f"top-{depth // 3}"
