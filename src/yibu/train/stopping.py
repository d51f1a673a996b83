"""Ctrl-C and SIGTERM end a run between two steps, with a checkpoint: half a step would be other bits."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from yibu.core.log import get

log = get("train")
_TOGETHER_SECONDS = 1.0  # one Ctrl-C reaches a rank twice: from the terminal, and from the process that started it


class StopSignals:
    """Which signal was received, if any.

    Attributes:
        received: its number.
    """

    received: int | None = None
    _since: float = 0.0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handler: the first time is remembered, the second obeyed at once."""
        if self.received is not None:
            if time.monotonic() - self._since > _TOGETHER_SECONDS:  # asked twice: at once
                self.obey()
            return
        self.received, self._since = number, time.monotonic()
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
