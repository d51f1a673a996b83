"""A model of ours in a process of its own (`yibu.engines.transformers`), asked over the loopback like any endpoint."""

from __future__ import annotations

from typing import Any

from yibu.engines import openai
from yibu.engines._child import Child
from yibu.engines.transformers import Settings, serve


class OwnEngine:
    """The process, while the block runs.

    Attributes:
        settings: how clients reach it; each of them is a process, too.
        facts: what it said when it was ready: ``device``, ``dtype``, ``threads``, ``load_seconds``.
    """

    settings: openai.Settings
    facts: dict[str, Any]

    def __init__(self, settings: Settings, ignore_eos: bool = False) -> None:
        self._child, self._ignore_eos = Child(serve, settings), ignore_eos

    def __enter__(self) -> OwnEngine:
        self._child.start()
        self.facts = self._child.facts
        endpoint = f"http://127.0.0.1:{self._child.port}/v1"
        self.settings = openai.Settings(endpoint=endpoint, ignore_eos=self._ignore_eos)
        return self

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._child.is_alive

    def __exit__(self, *_: object) -> None:
        self._child.stop()
