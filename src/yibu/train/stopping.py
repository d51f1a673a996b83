"""Ctrl-C and SIGTERM end a run between two steps, with a checkpoint: half a step would be other bits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from yibu.core.log import get

log = get("train")


class StopSignals:
    """Which signal was received, if any.

    Attributes:
        received: its number.
    """

    received: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handler: the first time is remembered, the second obeyed at once."""
        if self.received is not None:  # asked twice: at once
            self.obey()
        self.received = number
        log.warning("stopping after this step (again to stop at once)")

    def obey(self) -> None:
        """End the process as the signal would have."""
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
