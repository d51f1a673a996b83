"""What is asked of the thread that owns a model, by the threads of the connections."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

from yibu.core.errors import YibuError
from yibu.core.log import get
from yibu.engines import GREEDY, Adapter, Sampling

log = get("engines")


@dataclass(eq=False)
class Job:
    """A request, and what was said so far: pieces of text with their number of tokens, then None.

    Attributes:
        gone: nobody waits any longer. finish: why it ended. failed: it could not be answered.
    """

    ids: list[int]
    max_new_tokens: int
    adapter: str | None = None
    sampling: Sampling = GREEDY
    ignore_eos: bool = False
    said: queue.SimpleQueue[tuple[str, int] | None] = field(default_factory=queue.SimpleQueue)
    gone: bool = False
    finish: str = "length"
    num_tokens: int = 0
    failed: bool = False

    def end(self, failed: bool = False) -> None:
        """Nothing more is said."""
        self.failed = failed
        self.said.put(None)


@dataclass(eq=False)
class Call:
    """Something else that only the model's thread may do; ``done`` is set when ``result`` or ``error`` is there."""

    do: Any
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: Exception | None = None


@dataclass(eq=False)
class ScoreJob:
    """Answers to be scored after a prompt; see `Call`."""

    ids: list[int]
    answers: tuple[tuple[int, ...], ...]
    adapter: str | None
    done: threading.Event = field(default_factory=threading.Event)
    result: list[float] = field(default_factory=list)
    error: Exception | None = None


class Desk(Protocol):
    """Takes requests for a model; any thread may call it."""

    @property
    def names(self) -> list[str]:
        """Adapters that may be asked for."""

    def put(self, wanted: Job | ScoreJob) -> None:
        """Hand a request over; its own fields say what became of it."""

    def load(self, adapter: Adapter) -> None:
        """One more adapter.

        Raises:
            InputError: the name is taken, or it cannot be put on this model.
        """

    def forget(self, name: str) -> None:
        """Unload an adapter and what was computed with it.

        Raises:
            InputError: there is none of this name.
        """

    def embed(self, texts: Any, adapter: str | None) -> list[list[float]]:
        """Vectors of texts, given as token ids.

        Raises:
            InputError: this engine has none.
        """


def tell(error: Exception) -> None:
    """Log what failed: our own errors hold no text of a row, others may."""
    log.error("a request failed: %s", error.what if isinstance(error, YibuError) else type(error).__name__)
