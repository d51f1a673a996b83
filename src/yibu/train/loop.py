"""The training loop, readable in one sitting.

What it promises: the gradient of a step does not depend on how its rows are cut into passes, nor on how many processes
share the passes, with class weights and without (the weighted sum is divided by the number of targets, so that a row
pulls by its own weight alone); an interrupted run that is started again ends in the same bits as one that was never
interrupted (same machine, same number of threads and processes); a planned module that receives no gradient stops the
run after its first step.

Several processes (`yibu.train.team`) all run this loop. Each takes its share of the passes of a step and of a
validation; what they add up to, all know, so that they decide alike. Rank 0 alone writes checkpoints.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from yibu import adapters
from yibu.core.errors import TrainingError
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.recipe import Settings
from yibu.model.lower import Lower
from yibu.model.packing import Pack, make_pack, pack_loss, split_by_tokens, target_losses
from yibu.model.render import Example
from yibu.train import TrainSettings
from yibu.train.batches import step_rows
from yibu.train.batchlog import LineLog, Pass, RowNames, as_lines, pass_seed
from yibu.train.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from yibu.train.fingerprint import differences
from yibu.train.layout import Cut, Layout, PassTooLarge, free_memory, is_out_of_memory, lengths_of, sharded_too_large
from yibu.train.shard import clip, put, whole
from yibu.train.stopping import stop_signals
from yibu.train.team import ALONE, Team, deal

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
        sharded: the base is cut over all ranks, which therefore run the same number of passes.
        lower: what the frozen layers below the lowest adapter make of every row, where it is kept.
    """

    device: torch.device
    dtype: torch.dtype
    packed: bool
    prefix: int = 0
    sharded: bool = False
    lower: Lower | None = None

    def feeding(self, pack: Pack) -> AbstractContextManager[None]:
        """A block in which a forward pass over this pack begins where its rows are kept, if they are."""
        return nullcontext() if self.lower is None else self.lower.feeding(pack)


@dataclass(frozen=True)
class TrainPass:
    """One forward and backward pass: its rows, the same as a pack, and the seed of its random numbers.

    An `idle` one adds nothing; it is run for the sake of other ranks, which wait for this one's shard of the base.
    """

    examples: Sequence[Example]
    pack: Pack
    seed: int
    idle: bool = False


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
    *,
    adapter: Settings | None = None,
    layout: Layout | None = None,
    batch_log: tuple[Path, RowNames] | None = None,
    team: Team = ALONE,
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
        adapter: its settings may let some parameters learn faster than others.
        layout: how steps are cut into passes; by the settings where none is given.
        batch_log: where every pass is written down, and by which names.
        team: the processes that share the work; ranks but the first write their logs elsewhere and no checkpoints.

    Returns:
        The best weights by name (on the CPU; sharded ones on rank 0 alone), and the progress.

    Raises:
        TrainingError: a loss that is no number, a planned class without gradient, or too little memory for one row.
    """
    assert not isinstance(settings.lr, str), "the sweep chooses a rate before"
    plan = step_plan(len(train), settings, draw_weights)
    steps_per_epoch = math.ceil(len(train) / (settings.batch * settings.accumulate))
    validate_every = settings.evaluate_every or min(steps_per_epoch, len(plan))
    warmup = settings.warmup_steps if settings.warmup_steps is not None else math.ceil(0.06 * len(plan))
    layout = layout or Layout(settings.batch, settings.pack_tokens)

    optimizer = make_optimizer(trainable, settings, adapter)
    scaler = torch.amp.GradScaler(setting.device.type, enabled=setting.dtype == torch.float16)
    progress = Progress()
    best: dict[str, Tensor] = {}
    found = _newest(checkpoints, team)
    if found is not None:
        progress, best = _restore(found, trainable, optimizer, scaler, fingerprint, setting)
        log.info("going on from the checkpoint of step %d of %d", progress.step, len(plan))
    history = LineLog(history_path, progress.step)
    batches = None if batch_log is None else LineLog(batch_log[0], progress.step)

    def checkpoint() -> None:
        tensors = _tensors(trainable, optimizer, best, team)
        state = {"progress": asdict(progress), "scaler": scaler.state_dict(), "fingerprint": dict(fingerprint)}
        if team.first:
            save_checkpoint(checkpoints, progress.step, tensors, state)

    try:
        with stop_signals() as stop, track("training", total=len(plan), done=progress.step) as bar:
            while progress.step < len(plan) and not progress.stopped_early:
                epoch, rows = plan[progress.step]
                began = time.perf_counter()
                lr = settings.lr * _schedule(progress.step, warmup, len(plan))
                examples = [train[row] for row in rows]
                passes, loss, norm = _fitting_step(
                    model, trainable, examples, progress.step, lr, optimizer, scaler, settings, setting, layout, team
                )
                if progress.step == 0:
                    progress.gradients = check_gradients(trainable, classes)
                optimizer.zero_grad(set_to_none=True)
                progress.step += 1
                seconds = time.perf_counter() - began
                tokens, targets = sum(p.pack.num_tokens for p in passes), sum(p.pack.num_targets for p in passes)
                progress.tokens += tokens
                progress.target_tokens += targets
                progress.seconds += seconds
                values = {"loss": loss, "lr": lr, "grad_norm": norm, "tokens": tokens, "target_tokens": targets}
                history.add([{"step": progress.step, "epoch": epoch, **values, "seconds": round(seconds, 4)}])
                if batches is not None and batch_log is not None:
                    batches.add(as_lines(logged(passes, progress.step, lr, batch_log[1])))
                listen(progress.step, values)
                if valid and (progress.step % validate_every == 0 or progress.step == len(plan)):
                    valid_loss = _fitting_validation(model, valid, progress.step, setting, layout, team)
                    history.add([{"step": progress.step, "valid_loss": valid_loss}])
                    listen(progress.step, {"valid_loss": valid_loss})
                    log.info(
                        "step %d of %d: loss %.4f, validation loss %.4f", progress.step, len(plan), loss, valid_loss
                    )
                    if valid_loss < progress.best_loss:
                        progress.best_loss, progress.best_step = valid_loss, progress.step
                        progress.validations_without_gain = 0
                        best = copies(trainable, team)
                    else:
                        progress.validations_without_gain += 1
                        patience = settings.patience
                        progress.stopped_early = patience is not None and progress.validations_without_gain >= patience
                stop.received = team.any_of(stop.received, f"after step {progress.step}")
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
        if batches is not None:
            batches.close()
    if not best:
        progress.best_step = progress.step
        best = copies(trainable, team)
    return best, progress


def step_plan(
    num_rows: int, settings: TrainSettings, draw_weights: Sequence[float] | None = None
) -> list[tuple[int, list[int]]]:
    """Epoch and row indices of every optimizer step of a run."""
    rows_per_step = settings.batch * settings.accumulate
    plan = [
        (epoch, rows)
        for epoch in range(settings.epochs)
        for rows in step_rows(num_rows, rows_per_step, epoch, settings.seed, draw_weights)
    ]
    return plan[: settings.max_steps]


def make_optimizer(
    trainable: Mapping[str, nn.Parameter], settings: TrainSettings, adapter: Settings | None
) -> torch.optim.Optimizer:
    """AdamW over the adapter's groups; the rate of each step is set by `take_step`."""
    # Its fused step takes sharded tensors or plain ones, not both in one group.
    groups = [
        {**group, "params": part}
        for group in adapters.parameter_groups(trainable, adapter, 0.0, settings.weight_decay)
        for sharded in (False, True)
        if (part := [parameter for parameter in group["params"] if isinstance(parameter, DTensor) == sharded])
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, fused=True)


def cut_rows(examples: Sequence[Example], cut: Cut, setting: Setting) -> list[list[Example]]:
    """The rows of a step as the rows of its passes."""
    runs: list[list[Example]] = []
    for begin in range(0, len(examples), cut.rows):
        runs += split_by_tokens(examples[begin : begin + cut.rows], cut.tokens, setting.packed)
    return runs


def add_gradients(
    model: nn.Module,
    passes: Sequence[TrainPass],
    setting: Setting,
    scaler: torch.amp.GradScaler | None = None,
    targets: int | None = None,
) -> float:
    """Add the gradient of the mean loss per target, over all passes together; returns that loss.

    Args:
        targets: what to divide by, where other ranks have more of them; None: the targets of these passes.

    Raises:
        PassTooLarge: memory ended in a pass; what is in the gradients then is of no use.
    """
    total = sum(one.pack.num_targets for one in passes) if targets is None else targets
    summed = 0.0
    for one in passes:
        too_large = False
        try:
            torch.manual_seed(one.seed)
            pack = one.pack.to(setting.device)
            with setting.feeding(pack):
                loss = pack_loss(model, pack) / total
            loss = loss * 0 if one.idle else loss
            (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
            summed += float(loss.detach())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            too_large = True
        if too_large:  # outside of the handler, for the error holds on to the tensors of its frames
            raise sharded_too_large() if setting.sharded else PassTooLarge(lengths_of(one.examples))
    return summed


def take_step(
    model: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    passes: Sequence[TrainPass],
    lr: float,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    max_grad_norm: float,
    setting: Setting,
    team: Team = ALONE,
) -> tuple[float, float]:
    """One optimizer step; gradients are kept for the caller to look at.

    Args:
        passes: of all ranks; this one runs its share of them.

    Returns:
        Mean loss per target, and the norm of the gradient before it was clipped.

    Raises:
        TrainingError: the loss is no number, or memory ends in the optimizer.
        PassTooLarge: memory ended in a pass; nothing was changed but gradients.
    """
    model.train()
    for group in optimizer.param_groups:
        group["lr"] = lr * group["ratio"]
    targets = sum(one.pack.num_targets for one in passes)
    summed, too_large = 0.0, None
    try:
        summed = add_gradients(model, share_of(passes, setting, team), setting, scaler, targets)
    except PassTooLarge as error:
        too_large = error.lengths
    said = team.gather([summed, too_large], "at the end of a step's passes")
    for _, lengths in said:
        if lengths is not None:  # here or elsewhere: all cut alike
            raise PassTooLarge(lengths)
    summed = sum(part for part, _ in said)
    team.sum_gradients(list(trainable.values()))
    if not math.isfinite(summed):
        raise TrainingError(
            "The loss is no longer a number; the weights of the last checkpoint are whole.",
            got=summed,
            do="lower train.lr, or train in bf16 or fp32 (train.dtype)",
        )
    try:
        scaler.unscale_(optimizer)
        norm = clip(list(trainable.values()), max_grad_norm)
        scaler.step(optimizer)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise optimizer_too_large(trainable) from error
    scaler.update()
    return summed, norm


def share_of(passes: Sequence[TrainPass], setting: Setting, team: Team) -> list[TrainPass]:
    """The passes that this rank runs; where the base is sharded, as many as any other, the last ones idle."""
    shares = deal([one.pack.num_tokens for one in passes], team.size)
    mine = [passes[index] for index in shares[team.rank]]
    if setting.sharded:
        smallest = replace(min(passes, key=lambda one: one.pack.num_tokens), idle=True)
        mine += [smallest] * (max(map(len, shares)) - len(mine))
    return mine


def optimizer_too_large(trainable: Mapping[str, nn.Parameter]) -> TrainingError:
    """Memory ended where smaller passes do not help."""
    return TrainingError(
        "Memory does not suffice for the optimizer; the weights of the last checkpoint are whole.",
        got=f"{sum(p.numel() for p in trainable.values()):,} trained parameters, 8 bytes each for AdamW",
        do="train fewer parameters (adapter.r, adapter.layers, adapter.targets), or take a machine with more",
    )


def _fitting_step(
    model: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    examples: Sequence[Example],
    step: int,
    lr: float,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    settings: TrainSettings,
    setting: Setting,
    layout: Layout,
    team: Team,
) -> tuple[list[TrainPass], float, float]:
    """`take_step`, in smaller passes where memory ends."""
    while True:
        runs = cut_rows(examples, layout.at(step), setting)
        passes = [
            TrainPass(run, make_pack(run, setting.prefix), pass_seed(settings.seed, step + 1, index))
            for index, run in enumerate(runs)
        ]
        try:
            loss, norm = take_step(
                model, trainable, passes, lr, optimizer, scaler, settings.max_grad_norm, setting, team
            )
            return passes, loss, norm
        except PassTooLarge as error:
            lengths = error.lengths
        optimizer.zero_grad(set_to_none=True)
        free_memory(setting.device)
        layout.halve(step, lengths)


def _fitting_validation(
    model: nn.Module, valid: Sequence[Example], step: int, setting: Setting, layout: Layout, team: Team
) -> float:
    """`validation_loss`, in smaller passes where memory ends."""
    while True:
        try:
            return validation_loss(model, valid, layout.at(step).tokens, setting, team)
        except PassTooLarge as error:
            lengths = error.lengths
        free_memory(setting.device)
        layout.halve(step, lengths)


def logged(passes: Sequence[TrainPass], step: int, lr: float, names: RowNames) -> list[Pass]:
    """Passes as the batch log holds them."""
    return [
        Pass(step, index, lr, one.seed, tuple(names.of(example.name) for example in one.examples))
        for index, one in enumerate(passes)
    ]


def copies(trainable: Mapping[str, nn.Parameter], team: Team = ALONE) -> dict[str, Tensor]:
    """The trained weights as they are now, whole, on the CPU; sharded ones on rank 0 alone, empty elsewhere."""
    return {name: on_cpu(parameter, team).clone() for name, parameter in trainable.items()}


def on_cpu(tensor: Tensor, team: Team) -> Tensor:
    """A whole tensor on the CPU of a rank that has to keep it."""
    found = whole(tensor.detach())  # all ranks take part in gathering it
    return found.cpu() if team.first or not isinstance(tensor, DTensor) else torch.empty(0)


@torch.no_grad()
def validation_loss(
    model: nn.Module, examples: Sequence[Example], pack_tokens: int, setting: Setting, team: Team = ALONE
) -> float:
    """Mean loss per target token, by its weight where examples carry one; each rank runs its share of the passes.

    Raises:
        PassTooLarge: memory ended in a pass, here or on another rank.
    """
    model.eval()
    runs = list(split_by_tokens(examples, pack_tokens, setting.packed))
    shares = deal([sum(len(example.ids) for example in run) for run in runs], team.size)
    mine = shares[team.rank]
    idle = max(map(len, shares)) - len(mine) if setting.sharded else 0
    sums: list[tuple[float, float]] = []
    too_large = None
    for index in [*mine, *[0] * idle]:
        failed = False
        try:
            pack = make_pack(runs[index], setting.prefix).to(setting.device)
            with setting.feeding(pack):
                sums.append(_summed_losses(model, pack))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        if failed and setting.sharded:
            raise sharded_too_large()
        if failed:
            too_large = lengths_of(runs[index])
            break
    said = team.gather([dict(zip(map(str, mine), sums, strict=False)), too_large], "at the end of a validation")
    for _, lengths in said:
        if lengths is not None:
            raise PassTooLarge(lengths)
    # In the order of the rows, so that the sum has the same bits however many ranks there are.
    found = {int(index): pair for part, _ in said for index, pair in part.items()}
    total, targets = 0.0, 0.0
    for index in sorted(found):
        total, targets = total + found[index][0], targets + found[index][1]
    return total / targets


def _summed_losses(model: nn.Module, pack: Pack) -> tuple[float, float]:
    """Summed loss of a pack, and what to divide it by."""
    losses_N = target_losses(model, pack)
    if pack.factors_N is None:
        return float(losses_N.sum()), float(pack.num_targets)
    return float(losses_N @ pack.factors_N), float(pack.factors_N.sum())


def check_gradients(trainable: Mapping[str, nn.Parameter], classes: Mapping[str, str]) -> dict[str, float]:
    """Largest gradient of each planned class of modules after the first step.

    Raises:
        TrainingError: a class whose gradients are all zero or missing: it would look trained and not be.
    """
    largest: dict[str, float] = dict.fromkeys(classes.values(), 0.0)
    for name, parameter in trainable.items():
        if parameter.grad is not None:
            largest[classes[name]] = max(largest[classes[name]], float(whole(parameter.grad).abs().max()))
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
    team: Team,
) -> dict[str, Tensor]:
    tensors = {}  # no state of random numbers: every pass has a seed of its own
    for name, parameter in trainable.items():
        tensors[f"weight.{name}"] = on_cpu(parameter, team)
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = on_cpu(value, team)
    return tensors | {f"best.{name}": value for name, value in best.items()}


def _newest(checkpoints: Path, team: Team) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint to go on from; rank 0 chooses it and the others read the same."""
    found = load_checkpoint(checkpoints) if team.first else None
    chosen = None if found is None else [str(checkpoints.absolute()), found[0]]
    chosen = team.hear_first(chosen, "when a checkpoint was looked for")
    if team.first or chosen is None:
        return found
    folder, step = chosen
    return read_checkpoint(Path(folder), step)


def _restore(
    found: tuple[int, dict[str, Tensor], dict[str, Any]],
    trainable: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    fingerprint: Mapping[str, Any],
    setting: Setting,
) -> tuple[Progress, dict[str, Tensor]]:
    _, tensors, state = found
    changed = differences(state["fingerprint"], fingerprint)
    if changed:
        log.warning("this run is not the one that was interrupted: %s; it will not end in the same bits", changed)
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(put(parameter, tensors[f"weight.{name}"]))
            optimizer.state[parameter] = {
                "step": tensors[f"optimizer.step.{name}"].to(setting.device),
                **{key: put(parameter, tensors[f"optimizer.{key}.{name}"]) for key in ("exp_avg", "exp_avg_sq")},
            }
    scaler.load_state_dict(state["scaler"])
    best = {name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")}
    return Progress(**state["progress"]), best
