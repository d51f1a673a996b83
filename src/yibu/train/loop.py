"""The training loop, readable in one sitting.

What it promises: the gradient of a step does not depend on how its rows are cut into passes, with class weights and
without (the weighted sum is divided by the number of targets, so that a row pulls by its own weight alone); an
interrupted run that is started again ends in the same bits as one that was never interrupted (same machine, same
number of threads); a planned module that receives no gradient stops the run after its first step.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from yibu.core.errors import TrainingError
from yibu.core.log import get
from yibu.core.progress import track
from yibu.model.packing import Pack, make_pack, pack_loss, split_by_tokens, target_losses
from yibu.model.render import Example
from yibu.train import TrainSettings
from yibu.train.batches import step_rows
from yibu.train.checkpoint import load_checkpoint, save_checkpoint

log = get("train")


@dataclass
class Progress:
    """What changes from step to step besides tensors; saved with every checkpoint."""

    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    validations_without_gain: int = 0
    stopped_early: bool = False
    tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    gradients: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """Where and how tensors live during a run.

    Attributes:
        packed: rows may share a forward pass.
        prefix: number of tokens that all rows begin with alike; computed once per pack.
    """

    device: torch.device
    dtype: torch.dtype
    packed: bool
    prefix: int = 0


Listener = Callable[[int, Mapping[str, float]], None]


def fit(
    model: nn.Module,
    trainable: dict[str, nn.Parameter],
    train: Sequence[Example],
    valid: Sequence[Example],
    settings: TrainSettings,
    setting: Setting,
    history_path: Path,
    checkpoints: Path,
    classes: Mapping[str, str],
    fingerprint: Mapping[str, Any],
    listen: Listener = lambda step, values: None,
    draw_weights: Sequence[float] | None = None,
) -> tuple[dict[str, Tensor], Progress]:
    """Train until the last step or until validation stops improving.

    Args:
        model: base with adapters attached; only `trainable` is updated.
        trainable: name -> fp32 parameter.
        train, valid: rendered rows; without `valid` the last weights are the result, else the best.
        history_path: one JSON line per step and per validation.
        checkpoints: folder of checkpoints; the newest whole one is gone on from.
        classes: parameter name -> module class of the plan, for the gradient check.
        fingerprint: what must be equal for a resumed run to end in the same bits.
        listen: called with the values of each step and each validation.
        draw_weights: one per train row, to draw rows by; None: every row once an epoch.

    Returns:
        The best weights by name (on the CPU), and the progress.

    Raises:
        TrainingError: a loss that is no number, or a planned class without gradient.
    """
    rows_per_step = settings.batch * settings.accumulate
    plan = [
        (epoch, rows)
        for epoch in range(settings.epochs)
        for rows in step_rows(len(train), rows_per_step, epoch, settings.seed, draw_weights)
    ]
    plan = plan[: settings.max_steps]
    steps_per_epoch = math.ceil(len(train) / rows_per_step)
    validate_every = settings.evaluate_every or min(steps_per_epoch, len(plan))
    warmup = settings.warmup_steps if settings.warmup_steps is not None else math.ceil(0.06 * len(plan))

    optimizer = torch.optim.AdamW(
        trainable.values(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )
    scaler = torch.amp.GradScaler(setting.device.type, enabled=setting.dtype == torch.float16)
    progress = Progress()
    best: dict[str, Tensor] = {}
    found = load_checkpoint(checkpoints)
    if found is not None:
        progress, best = _restore(found, trainable, optimizer, scaler, fingerprint, setting)
        log.info("going on from the checkpoint of step %d of %d", progress.step, len(plan))
    history = _History(history_path, progress.step)

    def checkpoint() -> None:
        tensors = _tensors(trainable, optimizer, best, setting)
        state = {"progress": asdict(progress), "scaler": scaler.state_dict(), "fingerprint": dict(fingerprint)}
        save_checkpoint(checkpoints, progress.step, tensors, state)

    try:
        with stop_signals() as stop, track("training", total=len(plan), done=progress.step) as bar:
            while progress.step < len(plan) and not progress.stopped_early:
                epoch, rows = plan[progress.step]
                began = time.perf_counter()
                lr = settings.lr * _schedule(progress.step, warmup, len(plan))
                for group in optimizer.param_groups:
                    group["lr"] = lr
                packs = _packs([train[row] for row in rows], settings, setting)
                loss, norm = _step(model, trainable, packs, optimizer, scaler, settings.max_grad_norm, setting)
                if progress.step == 0:
                    progress.gradients = check_gradients(trainable, classes)
                optimizer.zero_grad(set_to_none=True)
                progress.step += 1
                seconds = time.perf_counter() - began
                tokens, targets = sum(p.num_tokens for p in packs), sum(p.num_targets for p in packs)
                progress.tokens += tokens
                progress.target_tokens += targets
                progress.seconds += seconds
                values = {"loss": loss, "lr": lr, "grad_norm": norm, "tokens": tokens, "target_tokens": targets}
                history.add({"step": progress.step, "epoch": epoch, **values, "seconds": round(seconds, 4)})
                listen(progress.step, values)
                if valid and (progress.step % validate_every == 0 or progress.step == len(plan)):
                    valid_loss = validation_loss(model, valid, settings.pack_tokens, setting)
                    history.add({"step": progress.step, "valid_loss": valid_loss})
                    listen(progress.step, {"valid_loss": valid_loss})
                    log.info(
                        "step %d of %d: loss %.4f, validation loss %.4f", progress.step, len(plan), loss, valid_loss
                    )
                    if valid_loss < progress.best_loss:
                        progress.best_loss, progress.best_step = valid_loss, progress.step
                        progress.validations_without_gain = 0
                        best = {name: p.detach().cpu().clone() for name, p in trainable.items()}
                    else:
                        progress.validations_without_gain += 1
                        patience = settings.patience
                        progress.stopped_early = patience is not None and progress.validations_without_gain >= patience
                if stop.received is not None or progress.step % settings.checkpoint_every == 0:
                    checkpoint()
                if stop.received is not None:
                    log.warning(
                        "stopped at step %d of %d; the same command goes on from here", progress.step, len(plan)
                    )
                    stop.obey()
                bar.advance(note=f"loss {loss:.3f} · {tokens / seconds:,.0f} tokens/s")
    finally:
        history.close()
    if not best:
        progress.best_step = progress.step
        best = {name: p.detach().cpu().clone() for name, p in trainable.items()}
    return best, progress


def _step(
    model: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    packs: Sequence[Pack],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    max_grad_norm: float,
    setting: Setting,
) -> tuple[float, float]:
    """One optimizer step; gradients are kept for the caller to look at. Returns mean loss per target and the norm."""
    model.train()
    total = sum(pack.num_targets for pack in packs)
    summed = 0.0
    for pack in packs:
        loss = pack_loss(model, pack.to(setting.device)) / total
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        summed += float(loss.detach())
    if not math.isfinite(summed):
        raise TrainingError(
            "The loss is no longer a number; the weights of the last checkpoint are whole.",
            got=summed,
            do="lower train.lr, or train in bf16 or fp32 (train.dtype)",
        )
    scaler.unscale_(optimizer)
    norm = float(nn.utils.clip_grad_norm_(list(trainable.values()), max_grad_norm))
    scaler.step(optimizer)
    scaler.update()
    return summed, norm


def _packs(examples: Sequence[Example], settings: TrainSettings, setting: Setting) -> list[Pack]:
    packs = []
    for begin in range(0, len(examples), settings.batch):
        micro = examples[begin : begin + settings.batch]
        packs += [
            make_pack(run, setting.prefix) for run in split_by_tokens(micro, settings.pack_tokens, setting.packed)
        ]
    return packs


@torch.no_grad()
def validation_loss(model: nn.Module, examples: Sequence[Example], pack_tokens: int, setting: Setting) -> float:
    """Mean loss per target token, by its weight where examples carry one."""
    model.eval()
    total, targets = 0.0, 0.0
    for run in split_by_tokens(examples, pack_tokens, setting.packed):
        pack = make_pack(run, setting.prefix).to(setting.device)
        losses_N = target_losses(model, pack)
        if pack.factors_N is None:
            total += float(losses_N.sum())
            targets += pack.num_targets
        else:
            total += float(losses_N @ pack.factors_N)
            targets += float(pack.factors_N.sum())
    return total / targets


def check_gradients(trainable: Mapping[str, nn.Parameter], classes: Mapping[str, str]) -> dict[str, float]:
    """Largest gradient of each planned class of modules after the first step.

    Raises:
        TrainingError: a class whose gradients are all zero or missing: it would look trained and not be.
    """
    largest: dict[str, float] = dict.fromkeys(classes.values(), 0.0)
    for name, parameter in trainable.items():
        if parameter.grad is not None:
            largest[classes[name]] = max(largest[classes[name]], float(parameter.grad.abs().max()))
    dead = sorted(name for name, value in largest.items() if value == 0.0)
    if dead:
        raise TrainingError(
            "Modules that were to be trained receive no gradient.",
            got=f"no gradient in: {', '.join(dead)}",
            allowed="a gradient in every class of the plan",
            do="leave these classes out with adapter.targets, or report the architecture",
        )
    return largest


def _schedule(step: int, warmup: int, total: int) -> float:
    """Linear warm-up to 1, then linear decay to 0 behind the last step."""
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total - step) / max(1, total - warmup))


def _tensors(
    trainable: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    setting: Setting,
) -> dict[str, Tensor]:
    tensors = {"rng.cpu": torch.get_rng_state()}
    if setting.device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(setting.device)
    for name, parameter in trainable.items():
        tensors[f"weight.{name}"] = parameter.detach().cpu()
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value.detach().cpu()
    return tensors | {f"best.{name}": value for name, value in best.items()}


def _restore(
    found: tuple[int, dict[str, Tensor], dict[str, Any]],
    trainable: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    fingerprint: Mapping[str, Any],
    setting: Setting,
) -> tuple[Progress, dict[str, Tensor]]:
    _, tensors, state = found
    changed = {
        key: (old, fingerprint.get(key)) for key, old in state["fingerprint"].items() if fingerprint.get(key) != old
    }
    if changed:
        log.warning("this run is not the one that was interrupted: %s; it will not end in the same bits", changed)
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(tensors[f"weight.{name}"])
            optimizer.state[parameter] = {
                key: tensors[f"optimizer.{key}.{name}"].to(setting.device) for key in ("step", "exp_avg", "exp_avg_sq")
            }
    scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"], setting.device)
    best = {name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")}
    return Progress(**state["progress"]), best


class StopSignals:
    """Ctrl-C and SIGTERM end a run between two steps: half a step in a checkpoint would be other bits."""

    received: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:  # asked twice: at once
            self.obey()
        self.received = number
        log.warning("stopping after this step (again to stop at once)")

    def obey(self) -> None:
        if self.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Catch the signals that end a run; only the main thread can, elsewhere nothing changes."""
    stop = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _History:
    """``history.jsonl``: lines behind the checkpoint that a run resumes from are taken back first."""

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    break  # the line that was being written when the process was killed
                if entry["step"] <= step:
                    kept.append(line)
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def add(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
