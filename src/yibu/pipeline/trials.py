"""``train.lr: auto`` on a cluster: the rates are tried side by side, each as an artifact of its own."""

from __future__ import annotations

from typing import Any

from yibu.core.cluster import Share, side_by_side
from yibu.core.recipe import parse
from yibu.core.store import Artifact, Store
from yibu.train import TRIAL, Config, TrialConfig, trial


def trials_of(config: Config, store: Store, data: Artifact) -> dict[str, Artifact]:
    """What the stage `yibu.train.train` begins with: nothing where it tries the rates itself, or needs none.

    The rates are those that a run on one machine tries; where the best lies at the edge, one more afterwards.

    Raises:
        MissingExtra, TrainingError: as `yibu.core.cluster.side_by_side`.
    """
    settings = config.train
    if settings.lr != "auto" or settings.engine != "ray" or settings.processes > 1:
        return {}
    from yibu.train import sweep  # imports torch

    centre = sweep.centre_of(config.adapter)
    made = _try(sweep.rates(centre), config, store, data)
    further = sweep.beyond({lr: one.read_json(TRIAL)["valid_loss"] for lr, one in made.items()}, centre)
    made |= _try(further, config, store, data)
    return {f"rate_{lr:g}": one for lr, one in made.items()}


def _try(rates: list[float], config: Config, store: Store, data: Artifact) -> dict[float, Artifact]:
    """An artifact for each rate; those that are there are not made again."""
    given = {lr: TrialConfig(**dict(config), rate=lr) for lr in rates}
    missing = [one for one in given.values() if store.find(store.artifact_id(trial, one, data=data)) is None]
    table = {"root": str(store.root), "data": data.id}
    calls = [{**table, "config": one.as_config()} for one in missing]
    share = Share(config.train.threads, on_gpu=config.train.device != "cpu")
    if calls:
        for _ in side_by_side(_try_elsewhere, calls, share, "train.engine: ray"):
            pass
    return {lr: store.run(trial, one, data=data) for lr, one in given.items()}


def _try_elsewhere(config: dict[str, Any], root: str, data: str, threads: int) -> None:
    """In a worker of a cluster: a rate into the store."""
    given = parse(TrialConfig, config)
    local = given.train.model_copy(update={"engine": "local", "threads": threads})
    store = Store(root)
    store.run(trial, given.model_copy(update={"train": local}), data=store.get(data))
