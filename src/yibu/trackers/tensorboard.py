"""TensorBoard event files in ``<work folder>/../tensorboard``; read them with ``tensorboard --logdir``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yibu.core.errors import MissingExtra


class Tracker:
    def __init__(self, name: str, config: Mapping[str, Any], folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("tensorboard", "tensorboard", "the tracker tensorboard") from error
        self._writer = SummaryWriter(str(folder / "tensorboard" / name))
        self._writer.add_text("config", f"```json\n{json.dumps(config, indent=1, default=str)}\n```")

    def log(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        self._writer.close()
