"""A stated wattage times seconds: no measurement, and marked as none wherever it is shown.

For machines that show no counter (most virtual ones). The wattage is what somebody says: from a meter at the plug, or
from a data sheet, which tells the most that a part may draw and not what it does.
"""

from __future__ import annotations

import time
from typing import Literal

from pydantic import Field

from yibu.core.recipe import Settings as _Settings


class Settings(_Settings):
    """Table ``{kind: modelled, watts: 65}``."""

    kind: Literal["modelled"] = "modelled"
    watts: float = Field(gt=0, description="mean power of what runs the model, as you state it")


class Meter:
    """See `yibu.meters`."""

    modelled = True

    def __init__(self, settings: Settings) -> None:
        self._watts = settings.watts
        self.covers = f"modelled: {settings.watts:g} W, as stated, times seconds; nothing was measured"

    def joules(self) -> float:
        """Watts times a clock."""
        return self._watts * time.monotonic()


def available(settings: Settings) -> str | None:
    """Arithmetic works everywhere."""
    return None
