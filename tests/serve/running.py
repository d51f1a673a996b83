"""A gateway on a free port, in a thread of the test, in front of any engine; and one that says what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

import uvicorn

from yibu import engines
from yibu.engines import CLOCK, GREEDY, Adapter, Embedded, EngineFailed, Piece, Prompt, Sampling
from yibu.serve.app import Gateway
from yibu.serve.keys import Keys
from yibu.serve.routes import Routes, Version
from yibu.serve.settings import LimitSettings, ServeSettings

FREE = LimitSettings(requests_per_minute=None, tokens_per_minute=None)
FIRST = "train-0000000000000001"


class Says(engines.Engine):
    """Says the name of its adapter and the words of its script; remembers what it was asked.

    Attributes:
        gap: seconds between two words. fails: reason of a failure after the first word, None for none.
        hold: where set, no request goes on before ``go`` is set.
    """

    can = frozenset({engines.GENERATE, engines.SCORE, engines.EMBED, engines.ADAPTERS})

    def __init__(self, words: Sequence[str] = ("ok",), gap: float = 0.0) -> None:
        self.words, self.gap = words, gap
        self.fails: str | None = None
        self.asked: list[tuple[Prompt, int, Sampling, str | None]] = []
        self.loaded: list[str] = []
        self.unloaded: list[str] = []
        self.under_way = self.cancelled = self.most = 0
        self.hold = False
        self.go = asyncio.Event()

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        self.asked.append((prompt, max_new_tokens, sampling, adapter))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.hold:
                await self.go.wait()
            if adapter is not None:
                yield Piece(CLOCK(), text=f"{adapter} ")
            for place, word in enumerate(self.words):
                if place and self.fails:
                    raise EngineFailed(self.fails)
                await asyncio.sleep(self.gap)
                assert adapter is None or adapter not in self.unloaded, "unloaded while it answered"
                yield Piece(CLOCK(), text=word)
            if self.fails:
                raise EngineFailed(self.fails)
            yield Piece(CLOCK(), 0, len(self.words), 5, finish="stop")
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        if self.fails:
            raise EngineFailed(self.fails)
        return [-float(place) for place, _ in enumerate(answers)]

    async def embed(self, texts: Sequence[str], adapter: str | None = None) -> Embedded:
        if self.fails:
            raise EngineFailed(self.fails)
        return Embedded([[float(len(text)), 0.5] for text in texts], sum(map(len, texts)))

    async def load_adapter(self, adapter: Adapter) -> None:
        await asyncio.sleep(0)
        self.loaded.append(adapter.name)

    async def unload_adapter(self, name: str) -> None:
        self.unloaded.append(name)

    async def close(self) -> None:
        pass


class Running:
    """The gateway, while the block runs.

    Attributes:
        address: without ``/v1``.
    """

    def __init__(self, engine: engines.Engine, settings: ServeSettings | None = None, keys: Keys | None = None) -> None:
        self.gateway = Gateway(settings or ServeSettings(limits=FREE), engine, Routes(engine), keys)
        self._loop = asyncio.new_event_loop()
        self._door = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle's algorithm on
        self._door.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        config = uvicorn.Config(
            self.gateway.app, http="httptools", lifespan="off", access_log=False, log_config=None, server_header=False
        )
        self._server = uvicorn.Server(config)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of something that runs beside the requests."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def release(self) -> None:
        """Let go what `Says` holds."""
        self._loop.call_soon_threadsafe(self.gateway.engine.go.set)  # type: ignore[attr-defined]

    def serve_as(self, name: str, id: str = FIRST, **changes: Any) -> Version:
        version = Version(id, **changes)
        self.run(self.gateway.routes.switch(name, version))
        self.gateway.ready = True
        return version

    def __enter__(self) -> Running:
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        return self

    async def _serve(self) -> None:
        # Signals belong to the thread of the tests.
        with contextlib.suppress(asyncio.CancelledError):
            await self._server._serve([self._door])

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(30)
        self._door.close()


def wait_for(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Until something is so."""
    import time

    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.005)


@contextlib.contextmanager
def gateway(engine: engines.Engine | None = None, **changes: Any) -> Iterator[tuple[Running, Any]]:
    """A gateway that serves the model ``m``, and the official client of the OpenAI protocol.

    Args:
        changes: settings; ``keys`` are the keys.
    """
    import openai

    keys: Keys | None = changes.pop("keys", None)
    secret = "none" if keys is None else keys.add("test")
    settings = ServeSettings(**{"limits": FREE, **changes})
    with Running(engine or Says(), settings, keys) as running:
        running.serve_as("m")
        client = openai.OpenAI(base_url=f"{running.address}/v1", api_key=secret, max_retries=0, timeout=30)
        with client:
            yield running, client
