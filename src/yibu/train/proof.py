"""What is proven before the first step of a run, on the user's own rows; ``proof.json`` holds the figures.

Each of these has gone wrong in a popular trainer without a word: packed rows that see each other, a loss averaged over
micro-batches and not over tokens, a model that never learned to stop, answers cut in the middle, a run that dies in its
first validation or its first checkpoint. A check that fails stops the run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yibu.core import machine
from yibu.core.errors import TrainingError
from yibu.core.log import get
from yibu.model.assemble import Assembled, packing_is_exact
from yibu.model.packing import example_losses, make_pack, split_by_tokens
from yibu.model.render import Example, Renderer
from yibu.train import TrainSettings
from yibu.train.batches import Fitted
from yibu.train.checkpoint import save_checkpoint
from yibu.train.layout import Layout, PassTooLarge, free_memory, is_out_of_memory
from yibu.train.loop import (
    Setting,
    TrainPass,
    add_gradients,
    copies,
    cut_rows,
    on_cpu,
    optimizer_too_large,
    step_plan,
    validation_loss,
)
from yibu.train.shard import own
from yibu.train.team import ALONE, Team

log = get("proof")
PROOF = "proof.json"
ROWS = 4  # that packing and accumulation are tried on, so that it takes seconds
# In 16 bits a row's gradient moves by some hundredths between two orders of summation. A loss that is averaged over
# micro-batches moves it by tenths wherever rows have targets of different lengths.
GRADIENT_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.1}


@dataclass(frozen=True)
class Check:
    """One thing that was proven, or was not.

    Attributes:
        name: a word for it.
        what: what was looked at, in a sentence.
        passed: whether the run may start.
        figure: what was measured.
        limit: what the figure was compared with; None where it is there to be read.
        unit: of both.
        details: further figures.
        do: what to do where it failed.
    """

    name: str
    what: str
    passed: bool
    figure: float
    limit: float | None
    unit: str
    details: Mapping[str, Any] = field(default_factory=dict)
    do: str = "report the architecture and the versions (`yibu doctor`)"

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        table = asdict(self)
        if self.passed:
            del table["do"]
        return table


@dataclass
class Proof:
    """All checks of one start."""

    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, check: Check) -> None:
        """Take note of a check and say it."""
        self.checks.append(check)
        limit = "" if check.limit is None else f" (limit {check.limit:.3g})"
        log.info("%s: %.4g %s%s", check.what, check.figure, check.unit, limit)

    def as_dict(self) -> dict[str, Any]:
        """``proof.json``."""
        return {
            "passed": all(check.passed for check in self.checks),
            "seconds": round(self.seconds, 2),
            "checks": [check.as_dict() for check in self.checks],
        }

    def require(self) -> None:
        """Stop the run where a check failed.

        Raises:
            TrainingError: names every check that failed, with its figure.
        """
        failed = [check for check in self.checks if not check.passed]
        if failed:
            raise TrainingError(
                "The run was stopped before its first step: " + "; ".join(check.what for check in failed) + ".",
                got="; ".join(f"{check.name} {check.figure:.4g} {check.unit}" for check in failed),
                allowed="; ".join(f"{check.name} {check.limit}" for check in failed),
                do="; ".join(dict.fromkeys(check.do for check in failed)),
            )


@contextmanager
def timed(proof: Proof) -> Iterator[None]:
    """Add the seconds of a block."""
    began = time.perf_counter()
    try:
        yield
    finally:
        proof.seconds += time.perf_counter() - began


def shortest(examples: Sequence[Example]) -> list[Example]:
    """The rows that packing is tried on."""
    return sorted(examples, key=lambda example: len(example.ids))[:ROWS]


def unlike(examples: Sequence[Example], tokens: int) -> list[Example]:
    """Rows with few and many targets, together no more than `tokens`: alike, they would hide a mean of means."""
    small = [example for example in examples if len(example.ids) <= tokens // ROWS] or shortest(examples)[:1]
    ordered = sorted(small, key=lambda example: (example.num_targets, len(example.ids)))
    last = len(ordered) - 1
    places = dict.fromkeys(round(last * number / (ROWS - 1)) for number in range(ROWS))
    return [ordered[place] for place in places]


def check_packing(base: Assembled, examples: Sequence[Example], prefix: int) -> tuple[bool, Check]:
    """Whether rows may share a pass, and by how much their losses differ if they do.

    Raises:
        TrainingError: the loss of a row alone is not that of the model's own forward pass.
    """
    few = shortest(examples)
    packed = packing_is_exact(base, few, prefix if base.packed else 0)
    difference = 0.0
    if packed:
        alone = torch.cat([example_losses(base.model, make_pack([row]).to(base.device)) for row in few])
        together = example_losses(base.model, make_pack(few, prefix).to(base.device))
        difference = float(((together - alone).abs() / alone.abs().clamp_min(1.0)).max())
    what = "loss of packed rows equals that of rows alone" if packed else "rows are run one by one, never packed"
    limit = 2e-4 if base.dtype == torch.float32 else 8e-2
    # `packing_is_exact` has decided, by its own comparison with the plain forward pass; this is its figure.
    return packed, Check(
        "packing", what, True, difference, limit, "largest relative difference", {"rows": len(few), "packed": packed}
    )


def check_accumulation(
    model: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    examples: Sequence[Example],
    setting: Setting,
    tokens: int = 1024,
) -> Check:
    """Whether the gradient of a step is the same in one micro-batch and in one per row. Dropout is off meanwhile.

    Args:
        tokens: most tokens of the rows that it is tried on, together.
    """
    few = unlike(examples, tokens)
    model.eval()

    def gradient(runs: Sequence[Sequence[Example]]) -> list[Tensor]:
        add_gradients(model, [TrainPass(run, make_pack(run, setting.prefix), 0) for run in runs], setting)
        # Of a sharded gradient each rank compares its own part.
        found = [own(p.grad.detach()).float().cpu() for p in trainable.values() if p.grad is not None]
        for parameter in trainable.values():
            parameter.grad = None
        return found

    one = gradient([few] if setting.packed else [[row] for row in few])
    many = gradient([[row] for row in few])
    size = sum(float(part.square().sum()) for part in one) ** 0.5
    apart = sum(float((a - b).square().sum()) for a, b in zip(one, many, strict=True)) ** 0.5
    difference = apart / size if size > 0 else float(apart > 0)
    limit = GRADIENT_TOLERANCE[setting.dtype]
    return Check(
        "accumulation",
        f"gradient of a step in 1 micro-batch equals that in {len(few)}",
        difference <= limit,
        difference,
        limit,
        "norm of the difference, relative",
        {"rows": len(few), "targets": [row.num_targets for row in few], "norm": size},
    )


def check_rows(train: Fitted, valid: Sequence[Example], valid_left_out: int, context: int) -> Check:
    """What became of the rows: a target is never cut, so nothing is ever lost without its count."""
    given = len(train.lengths)
    details = {
        "given": given,
        "trained_whole": given - len(train.split) - len(train.dropped),
        "cut": 0,
        "split": len(train.split),
        "parts": len(train.examples) - (given - len(train.split) - len(train.dropped)),
        "refused": len(train.dropped),
        "valid": len(valid),
        "valid_left_out": valid_left_out,
        "longest_tokens": max(train.lengths),
        "max_length": train.max_length,
        "context": context,
    }
    what = (
        f"{given} rows: 0 cut, {len(train.split)} split, {len(train.dropped)} refused; "
        f"{valid_left_out} validation rows left out"
    )
    return Check("rows", what, True, len(train.dropped) / given, None, "share refused", details)


def check_ends(examples: Sequence[Example], renderer: Renderer) -> Check:
    """Share of rows whose end of turn is trained; parts of a split row but the last have none."""
    stops = set(renderer.stop_ids)
    whole = [example for example in examples if "#" not in example.name]
    ends = sum(example.trained[-1] and example.ids[-1] in stops for example in whole)
    share = ends / len(whole) if whole else 1.0
    return Check(
        "end_of_turn",
        "end of turn is trained",
        share == 1.0,
        share,
        1.0,
        "share of rows",
        {"rows": len(whole), "stop_token": renderer.stop_token},
        "report the chat template of this base",
    )


def probe_memory(
    model: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    train: Sequence[Example],
    valid: Sequence[Example],
    settings: TrainSettings,
    setting: Setting,
    layout: Layout,
    scratch: Path,
    step: int = 0,
    draw_weights: Sequence[float] | None = None,
    team: Team = ALONE,
) -> Check:
    """Train, validate and save at the largest size that the run will meet, before it has begun.

    Where memory ends, passes are halved from `step` on, and it is tried again. Weights are left as they are.

    Args:
        scratch: where a checkpoint may be written and removed.
        step: index of the step that the run begins or goes on with.
        team: the cut that the most tightly held of its ranks needs is taken by all.

    Raises:
        TrainingError: a single row does not fit.
        NoSpace: a checkpoint does not fit on the disk.
    """
    rows = [[train[row] for row in rows] for _, rows in step_plan(len(train), settings, draw_weights)[step:]]
    halved = 0
    while True:
        cut = layout.at(step)
        largest = _largest([run for step_rows in rows for run in cut_rows(step_rows, cut, setting)], setting.prefix)
        checked = _largest(list(split_by_tokens(valid, cut.tokens, setting.packed)), setting.prefix)[:1]
        try:
            with _memory_that_ends(setting.device, team.local_size):
                moments = _rehearse(model, trainable, largest, checked, setting, cut.tokens)
            break
        except PassTooLarge as error:
            lengths = error.lengths
        for parameter in trainable.values():
            parameter.grad = None
        free_memory(setting.device)
        layout.halve(step, lengths)
        halved += 1
    layout.agree(team.gather(layout.as_list(), "after memory was probed"))
    _rehearse_saving(trainable, moments, scratch / "probe", team)
    peak = _peak_bytes(setting.device)
    return Check(
        "memory",
        f"training, validation and saving at the largest size fit into memory{', passes halved' if halved else ''}",
        True,
        peak / 2**30,
        _total_bytes(setting.device) / 2**30,
        "GiB at the peak",
        {
            "train_tokens": max((_tokens(run, setting.prefix) for run in largest), default=0),
            "longest_row": max((len(row.ids) for run in largest for row in run), default=0),
            "valid_tokens": max((_tokens(run, setting.prefix) for run in checked), default=0),
            "halved": halved,
            "rows_of_a_pass": cut.rows,
            "tokens_of_a_pass": cut.tokens,
        },
    )


def _rehearse(
    model: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    passes: Sequence[Sequence[Example]],
    valid: Sequence[Sequence[Example]],
    setting: Setting,
    tokens: int,
) -> dict[str, Tensor]:
    """Passes of training and validation beside what AdamW will hold from its first step on, which is returned."""
    try:
        # Filled, or the system would only promise the memory.
        moments = {f"{name}.{n}": torch.full_like(p, 0.0) for name, p in trainable.items() for n in range(2)}
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise optimizer_too_large(trainable) from error
    model.train()
    for run in passes:
        add_gradients(model, [TrainPass(run, make_pack(run, setting.prefix), 0)], setting)
    for run in valid:
        validation_loss(model, run, tokens, setting)
    for parameter in trainable.values():
        parameter.grad = None
    return moments


def _rehearse_saving(
    trainable: Mapping[str, nn.Parameter], moments: Mapping[str, Tensor], folder: Path, team: Team
) -> None:
    """A checkpoint of the size that the run will write, and gone again."""
    weights = copies(trainable, team)
    best = {f"best.{name}": weight.clone() for name, weight in weights.items()}
    averages = {name: on_cpu(moment, team) for name, moment in moments.items()}
    if not team.first:
        return
    try:
        save_checkpoint(folder, 0, {**weights, **best, **averages}, {})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _largest(runs: Sequence[list[Example]], prefix: int) -> list[list[Example]]:
    """The pass of most tokens, and the one with the longest row where that is another."""
    if not runs:
        return []
    most = max(runs, key=lambda run: _tokens(run, prefix))
    longest = max(runs, key=lambda run: max(len(row.ids) for row in run))
    return [most] if max(len(row.ids) for row in most) == max(len(row.ids) for row in longest) else [most, longest]


def _tokens(run: Sequence[Example], prefix: int) -> int:
    return prefix + sum(len(row.ids) - prefix for row in run)


@contextmanager
def _memory_that_ends(device: torch.device, processes: int = 1) -> Iterator[None]:
    """Let an allocation beyond the machine's free memory fail, as it does on a GPU.

    Linux promises more memory than there is and then ends the process that uses it, with no chance to cut the pass. A
    limit on the data segment (setrlimit(2), which since Linux 4.7 counts every private writable page) turns that into
    an error that can be caught.
    """
    held = _held_bytes()
    if device.type != "cpu" or not held:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held + machine.memory_bytes()[1] // processes
    if before[0] != resource.RLIM_INFINITY:
        limit = min(limit, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _held_bytes() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)


def _peak_bytes(device: torch.device) -> int:
    """Most memory that this process has held so far, on the device."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _total_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else machine.memory_bytes()[0]
