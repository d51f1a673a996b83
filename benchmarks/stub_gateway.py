"""The gateway of `yibu serve` in a process of its own, in front of an engine that computes nothing, or of any other.

The server, the guard, the keys and the log are those of the verb; only the model is missing, so that what is measured
is the gateway. A pipe tells it to move a name to another adapter, and asks it for its own processor time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from yibu import engines
from yibu.core import log
from yibu.engines import CLOCK, GREEDY, Adapter, EngineFailed, Piece, Prompt, Sampling
from yibu.serve.settings import ServeSettings

MODEL = "production"


class Stub(engines.Engine):
    """Says the name of its adapter, waits, and says it again.

    Args:
        seconds: bounds of the wait, which is drawn evenly; (0, 0) is no wait at all.
    """

    can = frozenset({engines.GENERATE, engines.ADAPTERS})

    def __init__(self, seconds: tuple[float, float] = (0.0, 0.0)) -> None:
        self._seconds, self._draw = seconds, random.Random(7)
        self.loaded: set[str] = set()

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """An adapter that is unloaded before the answer has ended is an error, as it would be in an engine."""
        for place in range(2):
            if adapter not in self.loaded:
                raise EngineFailed("error")
            yield Piece(CLOCK(), text=f"{adapter} ")
            if self._seconds[1] and not place:
                await asyncio.sleep(self._draw.uniform(*self._seconds))
        yield Piece(CLOCK(), 0, 2, 5, finish="stop")

    async def load_adapter(self, adapter: Adapter) -> None:
        await asyncio.sleep(0.01)
        self.loaded.add(adapter.name)

    async def unload_adapter(self, name: str) -> None:
        self.loaded.discard(name)

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        raise EngineFailed("unable")

    async def close(self) -> None:
        pass


class StubGateway:
    """The process, while the block runs.

    Args:
        settings: of the gateway.
        folder: for the file of keys and the log.
        seconds: of the stub engine.
        engine: settings of a plug of `yibu.engines`, whose base is asked; the gateway is then kept on no core.

    Attributes:
        port: where it listens, on the loopback. key: one that may do everything. pid: of the process.
        log: the file that has what it wrote on stderr.
    """

    def __init__(
        self,
        settings: ServeSettings,
        folder: Path,
        seconds: tuple[float, float] = (0.0, 0.0),
        engine: Any = None,
    ) -> None:
        from yibu.serve.keys import Keys

        keys = folder / "keys.json"
        self.key = Keys(keys).add("benchmark")
        self.log = folder / "log"
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        # An engine that starts a process has children, which a daemon may not have.
        words = (there, settings, keys, self.log, seconds, engine)
        self._process = context.Process(target=_run, args=words, daemon=engine is None)

    def __enter__(self) -> StubGateway:
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        if not self._pipe.poll(300):
            raise RuntimeError(f"the gateway did not start: {self.log.read_text()}")
        self.port: int = self._pipe.recv()
        return self

    def tell(self, *words: Any) -> Any:
        """Ask the process for something; what it says."""
        self._pipe.send(words)
        return self._pipe.recv()

    def memory_bytes(self) -> int:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(30)


def pin(core: int) -> None:
    """Keep this process on one core, where there are two for the two processes."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def _run(
    pipe: Any, settings: ServeSettings, keys: Path, written: Path, seconds: tuple[float, float], engine: Any
) -> None:
    import uvloop

    os.dup2(os.open(written, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), sys.stderr.fileno())
    log.configure(json_lines=True)
    if engine is None:
        pin(1)
    uvloop.run(_serve(pipe, settings, keys, seconds, engine))


async def _serve(pipe: Any, settings: ServeSettings, keys: Path, seconds: tuple[float, float], wanted: Any) -> None:
    from yibu.serve.app import Gateway
    from yibu.serve.keys import Keys
    from yibu.serve.routes import Routes, Version
    from yibu.serve.run import _listening, _server

    engine = Stub(seconds) if wanted is None else engines.FAMILY.load(wanted.kind).Engine(wanted)
    await engine.start()
    gateway = Gateway(settings, engine, Routes(engine), Keys(keys))
    if wanted is None:
        await _switch(gateway, 0)
    else:
        await gateway.routes.switch(MODEL, Version("compress-0000000000000000"))
    gateway.ready = True
    loop = asyncio.get_running_loop()
    tasks = set()

    async def obey(words: tuple[Any, ...]) -> None:
        if words[0] == "switch":
            await _switch(gateway, words[1])
            pipe.send(None)
        elif words[0] == "loaded":
            await gateway.routes.settle()
            pipe.send(sorted(engine.loaded))
        elif words[0] == "facts":
            pipe.send(await engine.facts())
        else:
            pipe.send(time.process_time())

    def heard() -> None:
        try:
            task = loop.create_task(obey(pipe.recv()))
        except EOFError:
            loop.remove_reader(pipe.fileno())
            return
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_reader(pipe.fileno(), heard)
    with _listening(settings) as door:
        door.listen(2048)
        pipe.send(door.getsockname()[1])
        await _server(gateway, settings).serve(sockets=[door])
    await engine.close()


async def _switch(gateway: Any, number: int) -> None:
    from yibu.serve.routes import Version

    name = f"train-{number:016x}"
    await gateway.routes.switch(MODEL, Version(name, Adapter(name, Path("/nowhere"))))
