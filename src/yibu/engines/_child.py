"""An engine that is a process of ours: started, watched, asked over the loopback, and started again when it died."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from yibu import engines
from yibu.core import log, progress
from yibu.core.errors import InputError, YibuError
from yibu.engines import GREEDY, Adapter, Embedded, EngineFailed, Piece, ProcessSettings, Prompt, Sampling, openai

Body = Callable[[Connection, Any], None]
"""What runs in the process: it sends ``(port, facts)`` once it answers, and ends when its pipe does. A fact ``failed``
is the reason for which it never will, ``do`` what is to be done about it."""


class Child:
    """A Python process that answers on a port of the loopback, while the block runs.

    Args:
        body: a function that can be imported.
        settings: its second argument.

    Attributes:
        port: where it answers. facts: what it said of itself.
    """

    port: int
    facts: dict[str, Any]

    def __init__(self, body: Body, settings: ProcessSettings) -> None:
        self._body, self._settings = body, settings
        self._process: Any = None

    def start(self) -> None:
        """
        Raises:
            InputError: the base is not there. YibuError: the process did not come up.
        """
        check_base(self._settings)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_process, args=(self._body, theirs, self._settings), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        try:
            if not ours.poll(self._settings.start_seconds):
                raise EOFError
            self.port, self.facts = ours.recv()
            if reason := self.facts.get("failed"):
                self.stop()
                raise YibuError("The engine does not load this model.", got=reason, do=self.facts.get("do"))
        except (EOFError, OSError) as error:
            self.stop()
            raise YibuError(
                "The process that is to run the model did not start.",
                got=f"exit code {self._process.exitcode}",
                do="run again with --verbose; what it printed is above",
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and bool(self._process.is_alive())

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        """End it, by force after ten seconds."""
        if self._process is None:
            return
        self._pipe.close()
        self._process.terminate()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Child:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def check_base(settings: ProcessSettings) -> None:
    """
    Raises:
        InputError: the base is not there.
    """
    if not settings.base_path or not Path(settings.base_path).exists():
        raise InputError("The base is no longer where it was.", got=settings.base_path or "no path")


def _process(body: Body, pipe: Connection, settings: ProcessSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides what it means
    progress.be_silent()  # whoever started it has the terminal
    log.hush()
    body(pipe, settings)


def until_closed(pipe: Connection) -> None:
    """Wait for the parent, which says nothing more: its end of the pipe closes when it is through, or dead."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()


class ProcessEngine(engines.Engine):
    """What all engines share that start a process; a plug says how.

    An adapter that was loaded is loaded again after a restart.
    """

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self._client: openai.Engine | None = None
        self._adapters: dict[str, Adapter] = {}

    @abc.abstractmethod
    def _launch(self) -> str:
        """Start the process and wait until it answers; its address, up to ``/v1``. Runs in a thread."""

    @abc.abstractmethod
    def _end(self) -> None:
        """End the process, if there is one. Runs in a thread."""

    def _connect(self, address: str) -> openai.Engine:
        """A client of the process that was launched."""
        return openai.Engine(openai.Settings(endpoint=address, model=self.settings.adapter_name), self.can)

    async def start(self) -> None:
        """See `yibu.engines.Engine.start`; called again, it starts again."""
        await self._disconnect()
        address = await asyncio.to_thread(self._launch)
        client = self._connect(address)
        try:
            for adapter in self._adapters.values():
                await client.load_adapter(adapter)
        except BaseException:
            await client.close()
            raise
        self._client = client

    @property
    def client(self) -> openai.Engine:
        """
        Raises:
            EngineFailed: ``down``.
        """
        if self._client is None or not self.is_alive:
            raise EngineFailed("down")
        return self._client

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """See `yibu.engines.Engine.generate`."""
        async for piece in self.client.generate(prompt, max_new_tokens, sampling, adapter):
            yield piece

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        """See `yibu.engines.Engine.score`."""
        self._need(engines.SCORE)
        return await self.client.score(prompt, answers, adapter)

    async def embed(self, texts: Sequence[str], adapter: str | None = None) -> Embedded:
        """See `yibu.engines.Engine.embed`."""
        self._need(engines.EMBED)
        return await self.client.embed(texts, adapter)

    async def load_adapter(self, adapter: Adapter) -> None:
        """See `yibu.engines.Engine.load_adapter`."""
        self._need(engines.ADAPTERS)
        await self.client.load_adapter(adapter)
        self._adapters[adapter.name] = adapter

    def _need(self, ability: str) -> None:
        """
        Raises:
            EngineFailed: ``unable``.
        """
        if ability not in self.can:
            raise EngineFailed("unable")

    async def unload_adapter(self, name: str) -> None:
        """See `yibu.engines.Engine.unload_adapter`."""
        self._adapters.pop(name, None)
        await self.client.unload_adapter(name)

    async def is_healthy(self) -> bool:
        """Whether the process runs and answers."""
        return self._client is not None and self.is_alive and await self._client.is_healthy()

    async def close(self) -> None:
        """End the process."""
        await self._disconnect()
        await asyncio.to_thread(self._end)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
