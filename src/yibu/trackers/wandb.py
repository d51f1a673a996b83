"""Weights & Biases, offline unless ``WANDB_MODE`` says otherwise: yibu opens no connection that nobody asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yibu.core.errors import MissingExtra


class Tracker:
    def __init__(self, name: str, config: Mapping[str, Any], folder: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingExtra("wandb", "wandb", "the tracker wandb") from error
        mode = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(project="yibu", name=name, config=dict(config), dir=str(folder), mode=mode)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()
