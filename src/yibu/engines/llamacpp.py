"""llama.cpp's own server, found, started and watched: small, quick to start, fast on a CPU, GGUF only.

A GGUF file is run as it is; a Hugging Face folder and the LoRAs on it are put into GGUF first, by llama.cpp's own
converter (`yibu.exporters._llama`), and kept where ``work_path`` says. Each request names the scale of every adapter,
since one that names none gets a blend of all. llama-server reads adapters at its start only, so a new one starts a
second server beside the first (the file of the base is mapped once for both), which takes over when it is ready; the
first one answers what it has begun and ends.

A closed set of answers is scored exactly, an answer at a time (`yibu.engines._llama_client`): the engine transformers
does all in one pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yibu import engines
from yibu.core.errors import YibuError
from yibu.core.machine import end_with_parent, num_cores
from yibu.engines import GREEDY, Adapter, EngineFailed, Piece, ProcessSettings, Prompt, Sampling
from yibu.engines._child import Child, check_base
from yibu.engines._llama_client import LlamaClient
from yibu.engines._made import place_for, stamp
from yibu.exporters._llama import Llama, Server, not_loaded
from yibu.exporters._program import free_ports, started


class Settings(ProcessSettings):
    """Table ``{kind: llamacpp}``."""

    kind: Literal["llamacpp"] = "llamacpp"
    base_path: str = Field("", description="a GGUF file, or the folder of the base; `yibu serve` fills it in")
    quantise: Literal["f16", "Q8_0", "Q4_K_M", "Q4_0"] = Field(
        "f16", description="of a folder that is put into GGUF; an export to gguf is proven, this is not"
    )
    max_batch: int = Field(16, ge=1, description="answers that are written at once")
    context: int = Field(4096, ge=16, description="tokens of a prompt and its answer, each of max_batch has them")
    work_path: str | None = Field(None, description="folder for what is put into GGUF; default: a temporary one")


class _Program(ProcessSettings):
    """What the process is told.

    Attributes:
        adapters: GGUF files, in the order of their ids.
    """

    adapters: tuple[str, ...] = ()
    max_batch: int
    context: int


@dataclass(eq=False)
class _Running:
    """One llama-server, and how many requests it is answering."""

    child: Child
    client: LlamaClient
    names: tuple[str, ...]
    leases: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.contextmanager
    def lease(self) -> Iterator[LlamaClient]:
        self.leases += 1
        try:
            yield self.client
        finally:
            self.leases -= 1
            if not self.leases:
                self.idle.set()


class Engine(engines.Engine):
    """See `yibu.engines.Engine`."""

    can = frozenset({engines.GENERATE, engines.SCORE, engines.ADAPTERS})
    reads = frozenset({"folder", "gguf"})
    adapter_kinds = frozenset({"lora"})

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._running: _Running | None = None
        self._adapters: dict[str, Adapter] = {}
        if settings.adapter is not None:
            self._adapters[settings.adapter.name] = settings.adapter
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the server that answers now runs."""
        return self._running is not None and self._running.child.is_alive

    @property
    def pid(self) -> int | None:
        """Id of that server."""
        return None if self._running is None else self._running.child.facts["pid"]

    async def facts(self) -> dict[str, Any]:
        """What it was started with."""
        return {} if self._running is None else self._running.child.facts

    async def start(self) -> None:
        """See `yibu.engines.Engine.start`; called again, it starts again, with the adapters that it had."""
        async with self._changing:
            old, self._running = self._running, None
            if old is not None:
                await _end(old)
            self._running = await self._start()

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """See `yibu.engines.Engine.generate`."""
        with self._alive().lease() as client:
            async for piece in client.generate(prompt, max_new_tokens, sampling, adapter):
                yield piece

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        """See `yibu.engines.Engine.score`."""
        with self._alive().lease() as client:
            return await client.score(prompt, answers, adapter)

    async def load_adapter(self, adapter: Adapter) -> None:
        """See `yibu.engines.Engine.load_adapter`."""
        self._alive()
        if adapter.kind not in self.adapter_kinds:
            raise EngineFailed("unable")
        async with self._changing:
            self._adapters[adapter.name] = adapter
            try:
                new = await self._start()
            except BaseException:
                del self._adapters[adapter.name]
                raise
            old, self._running = self._running, new
            if old is not None:
                task = asyncio.create_task(_leave(old))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    async def unload_adapter(self, name: str) -> None:
        """See `yibu.engines.Engine.unload_adapter`; its memory is free when the next one is loaded."""
        self._adapters.pop(name, None)

    async def is_healthy(self) -> bool:
        """Whether the server runs and answers."""
        return self._running is not None and self.is_alive and await self._running.client.is_healthy()

    async def close(self) -> None:
        """End all servers."""
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        running, self._running = self._running, None
        if running is not None:
            await _end(running)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _alive(self) -> _Running:
        """
        Raises:
            EngineFailed: ``down``.
        """
        if self._running is None or not self.is_alive:
            raise EngineFailed("down")
        return self._running

    async def _start(self) -> _Running:
        adapters = dict(self._adapters)
        child = await asyncio.to_thread(self._launch, adapters)
        names = tuple(adapters)
        default = self.settings.adapter_name if self.settings.adapter is not None else None
        return _Running(child, LlamaClient(f"http://127.0.0.1:{child.port}/v1", names, default), names)

    def _launch(self, adapters: dict[str, Adapter]) -> Child:
        """A server with these adapters. Runs in a thread.

        Raises:
            InputError: the base or llama.cpp is not here, or it cannot put them into GGUF. YibuError: it did not start.
        """
        settings = self.settings
        check_base(settings)
        llama = Llama.find()
        if settings.work_path is None and self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="yibu-gguf-")
        made = _Made(llama, Path(settings.work_path or self._temporary.name))  # type: ignore[union-attr]
        base = Path(settings.base_path)
        program = _Program(
            base_path=str(base if base.is_file() else made.model(base, settings.quantise)),
            adapters=tuple(str(made.adapter(base, adapter.path)) for adapter in adapters.values()),
            threads=settings.threads,
            start_seconds=settings.start_seconds,
            max_batch=settings.max_batch,
            context=settings.context,
        )
        child = Child(serve, program)
        child.start()
        return child


async def _leave(running: _Running) -> None:
    """Let a server answer what it has begun, then end it."""
    try:
        while running.leases:
            running.idle.clear()
            await running.idle.wait()
    finally:
        await asyncio.shield(_end(running))


async def _end(running: _Running) -> None:
    await running.client.close()
    await asyncio.to_thread(running.child.stop)


@dataclass(frozen=True)
class _Made:
    """GGUF files that are made of folders, once.

    Attributes:
        folder: a file in it is named by a digest of the names, sizes and times of what it was made of.
    """

    llama: Llama
    folder: Path

    def model(self, base: Path, kind: str) -> Path:
        target = self.folder / f"base-{stamp(base)}-{kind}.gguf"
        with place_for(target, "GGUF file") as place:
            if place is not None:
                whole = place / "f16.gguf"
                self.llama.convert(base, whole, "f16")
                if kind != "f16":
                    self.llama.quantise(whole, place / "out.gguf", kind)
                    whole = place / "out.gguf"
                whole.rename(target)
        return target

    def adapter(self, base: Path, adapter: Path) -> Path:
        target = self.folder / f"adapter-{stamp(adapter)}.gguf"
        with place_for(target, "GGUF file") as place:
            if place is not None:
                self.llama.convert_adapter(base, adapter, place / "out.gguf")
                (place / "out.gguf").rename(target)
        return target


def serve(pipe: Connection, program: _Program) -> None:
    """Body of the process: start llama-server, say its port, and end with it or when the pipe is closed."""
    begun = time.monotonic()
    llama, (port,) = Llama.find(), free_ports(1)
    # Two threads that spin beside a busy neighbour are many times slower than one: whoever asks needs a core, too.
    threads = program.threads or max(1, num_cores() - 1)
    words: list[object] = [llama.home / "bin" / "llama-server", "-m", program.base_path]
    words += ["--host", "127.0.0.1", "--port", port, "--offline", "--no-webui", "--no-slots"]
    words += ["-t", threads, "-np", program.max_batch, "-c", program.max_batch * program.context]
    # Prompts of others stay in no memory beyond the slots; a thought stays in the text, where the task parses it; the
    # last turn is never a beginning to go on with. All as transformers does it.
    words += ["--cache-ram", 0, "--reasoning-format", "none", "--no-prefill-assistant", "-lv", 2]
    words += ["--lora", ",".join(program.adapters)] if program.adapters else []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    command, server = [str(word) for word in words], Server(f"http://127.0.0.1:{port}")
    environment, seconds = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}, program.start_seconds
    # A server whose watcher is killed is killed, too; one that the watcher ends has no answer left to finish.
    running = started(
        command, environment, server.is_ready, not_loaded, grace=5, seconds=seconds, before=end_with_parent
    )
    try:
        with running as process:
            facts = {
                "engine": f"{llama.version()}, up to {program.max_batch} answers at once",
                "device": "cpu",
                "dtype": Path(program.base_path).name,
                "threads": threads,
                "load_seconds": round(time.monotonic() - begun, 3),
                "pid": process.pid,
                "port": port,
            }
            pipe.send((port, facts))
            while process.poll() is None and not pipe.poll(0.1):
                pass
    except YibuError as error:
        pipe.send((0, {"failed": str(error.got)}))
    except (EOFError, OSError):  # the parent is through, or dead
        pass
