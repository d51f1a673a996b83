"""Where training curves go besides the artifact, when a recipe asks: one file per service.

A plug defines ``Tracker(name, config, folder)`` with ``log(values, step)`` and ``close()``. Numbers and settings are
sent, never rows. Nothing is tracked unless ``train.trackers`` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("Tracker",))


class TrackerLike(Protocol):
    """What the training loop calls."""

    def __init__(self, name: str, config: Mapping[str, Any], folder: Path) -> None: ...

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...
