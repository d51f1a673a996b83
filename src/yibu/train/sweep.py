"""``train.lr: auto``: a few learning rates are tried for a few steps each, and the validation rows choose.

Every rate begins from the same weights, sees the same rows in the same order and runs a whole schedule (warm-up and
decay to zero) of its own, so that losses can be compared. Five rates lie half a decade apart around the default; where
the best one lies at the edge, one more is tried beyond it. Of rates whose losses are as good as equal the smallest is
taken: a short run forgives a high rate more than a long one does. Test rows are never looked at.

What was tried is kept after each rate, so that a killed sweep goes on where it was. On a cluster each rate is a stage
of its own (`yibu.train.trial`), and the run begins with what they found.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yibu import adapters
from yibu.core.disk import write_atomically
from yibu.core.errors import RecipeError, TrainingError
from yibu.core.log import get
from yibu.core.recipe import Settings
from yibu.model.render import Example
from yibu.train import TrainSettings
from yibu.train.layout import Layout
from yibu.train.loop import Setting, fit, step_plan
from yibu.train.shard import own
from yibu.train.team import ALONE, Team

log = get("sweep")
FILE = "lr_sweep.json"
CENTRE = 2e-4  # default of train.lr
CENTRE_MASTERS = 2e-5  # where weights of the base itself are trained
NUM_RATES = 5
SHARE = 0.1  # of the steps of the run, for each rate
STEPS = (8, 30)  # fewest and most steps of each rate
MOST_VALID = 128  # validation rows that rates are compared on
AS_GOOD = 0.005  # relative difference of validation loss below which the smaller rate is taken


@dataclass(frozen=True)
class Trial:
    """One learning rate. `valid_loss` is None where the loss was no number any more."""

    lr: float
    valid_loss: float | None


@dataclass(frozen=True)
class Sweep:
    """What was tried, in ascending order, and what was chosen.

    Attributes:
        lr: the chosen rate.
        trials: all rates.
        steps: optimizer steps of each rate.
        valid_rows: validation rows that they were compared on.
    """

    lr: float
    trials: tuple[Trial, ...]
    steps: int
    valid_rows: int

    def as_dict(self) -> dict[str, Any]:
        """``lr_sweep.json``."""
        return {
            "lr": self.lr,
            "steps_of_each": self.steps,
            "valid_rows": self.valid_rows,
            "as_good_as_equal": AS_GOOD,
            "trials": [asdict(trial) for trial in self.trials],
        }


def rates(centre: float) -> list[float]:
    """`NUM_RATES` learning rates, half a decade apart, the middle one first known by experience."""
    return [_rate(centre, place - NUM_RATES // 2) for place in range(NUM_RATES)]


def centre_of(adapter: Settings) -> float:
    """The rate in the middle, for a kind of adapter."""
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    return CENTRE_MASTERS if getattr(plug, "MASTERS", False) else CENTRE


def beyond(tried: Mapping[float, float | None], centre: float) -> list[float]:
    """The next rate where the best one of `rates` lies at the edge.

    Raises:
        TrainingError: no rate gave a loss that is a number.
    """
    best = best_of(tried)
    ends = ((min(tried), -1 - NUM_RATES // 2), (max(tried), NUM_RATES - NUM_RATES // 2))
    return [_rate(centre, place) for end, place in ends if best == end]


def keep(folder: Path, tried: Mapping[float, float | None]) -> None:
    """Write down what was tried, for a sweep in this folder to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, json.dumps([[rate, loss] for rate, loss in tried.items()]))


def num_steps(plan_steps: int) -> int:
    """Steps of each rate, for a run of so many."""
    return min(plan_steps, max(STEPS[0], min(STEPS[1], math.ceil(SHARE * plan_steps))))


def choose_lr(
    model: nn.Module,
    trainable: dict[str, nn.Parameter],
    train: Sequence[Example],
    valid: Sequence[Example],
    settings: TrainSettings,
    setting: Setting,
    classes: Mapping[str, str],
    fingerprint: Mapping[str, Any],
    folder: Path,
    *,
    centre: float = CENTRE,
    only: float | None = None,
    draw_weights: Sequence[float] | None = None,
    adapter: Settings | None = None,
    layout: Layout | None = None,
    team: Team = ALONE,
) -> Sweep:
    """The learning rate with the lowest validation loss after a few steps; the weights are left as they were.

    Args:
        settings: of the run; ``lr`` is not looked at.
        folder: keeps what is done, for a sweep that is killed and goes on.
        centre: the rate in the middle.
        only: try this rate and no other.
        classes, fingerprint, draw_weights, adapter, layout, team: as for `yibu.train.loop.fit`.

    Raises:
        RecipeError: there are no validation rows.
        TrainingError: no rate gave a loss that is a number; or as `fit`.
    """
    if not valid:
        raise RecipeError(
            "train.lr: auto chooses by the validation loss, and there are no validation rows.",
            do="give the data a validation split (data.split), or set train.lr to a number such as 2e-4",
        )
    total = len(step_plan(len(train), settings, draw_weights))
    steps = num_steps(total)
    few = valid[:: math.ceil(len(valid) / MOST_VALID)]
    start = {name: own(parameter.detach()).cpu().clone() for name, parameter in trainable.items()}
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[float, float | None] = dict(
        team.hear_first(list(_read(folder / FILE).items()), "before learning rates were tried")
    )
    if only is None:
        log.info(
            "trying %d to %d learning rates, %d steps each: %d to %d steps beside the run's %d; %d validation rows",
            *(NUM_RATES, NUM_RATES + 1, steps, NUM_RATES * steps, (NUM_RATES + 1) * steps, total, len(few)),
        )

    def loss_of(lr: float) -> float | None:
        if lr not in done:
            done[lr] = _try(
                lr,
                folder,
                lambda short: (
                    fit(
                        model,
                        trainable,
                        train,
                        few,
                        settings.model_copy(update=short),
                        setting,
                        folder / "history.jsonl",
                        folder / "checkpoints",
                        classes,
                        fingerprint,
                        draw_weights=draw_weights,
                        adapter=adapter,
                        layout=layout,
                        team=team,
                    )[1].best_loss
                ),
                steps,
            )
            with torch.no_grad():
                for name, parameter in trainable.items():
                    own(parameter.detach()).copy_(start[name])
                    parameter.grad = None
            keep(folder, done)
        return done[lr]

    tried = {lr: loss_of(lr) for lr in (rates(centre) if only is None else [only])}
    if only is not None:
        return Sweep(only, (Trial(only, tried[only]),), steps, len(few))
    tried |= {further: loss_of(further) for further in beyond(tried, centre)}
    chosen = best_of(tried)
    trials = tuple(Trial(lr, tried[lr]) for lr in sorted(tried))
    shown = ", ".join(f"{t.lr:.2g}: {'no number' if t.valid_loss is None else f'{t.valid_loss:.4f}'}" for t in trials)
    log.info("learning rate %.2g; validation losses: %s", chosen, shown)
    return Sweep(chosen, trials, steps, len(few))


def _try(lr: float, folder: Path, run: Any, steps: int) -> float | None:
    """Validation loss of a rate; None where the loss is no number any more."""
    short = {
        "lr": lr,
        "max_steps": steps,
        "evaluate_every": steps,
        "patience": None,
        "warmup_steps": None,
    }
    mark = folder / "rate.json"
    if not mark.is_file() or json.loads(mark.read_text(encoding="utf-8")) != lr:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of the rate before
        (folder / "history.jsonl").unlink(missing_ok=True)
        write_atomically(mark, json.dumps(lr))
    try:
        loss = float(run(short))
    except TrainingError as error:
        if "no longer a number" not in error.what:
            raise
        log.info("learning rate %.2g: the loss was no number any more", lr)
        return None
    return loss if math.isfinite(loss) else None


def best_of(tried: Mapping[float, float | None]) -> float:
    """The smallest rate whose loss is as good as the lowest."""
    finite = {lr: loss for lr, loss in tried.items() if loss is not None}
    if not finite:
        raise TrainingError(
            "No learning rate gave a loss that is a number.",
            got=", ".join(f"{lr:.2g}" for lr in sorted(tried)),
            do="train in bf16 or fp32 (train.dtype), and look at the rows with `yibu check`",
        )
    lowest = min(finite.values())
    return min(lr for lr, loss in finite.items() if loss <= lowest * (1 + AS_GOOD))


def _rate(centre: float, half_decades: int) -> float:
    """Two significant digits, so that a recipe can name the rate."""
    return float(f"{centre * 10 ** (half_decades / 2):.1e}")


def _read(path: Path) -> dict[float, float | None]:
    if not path.is_file():
        return {}
    return {float(lr): loss for lr, loss in json.loads(path.read_text(encoding="utf-8"))}
