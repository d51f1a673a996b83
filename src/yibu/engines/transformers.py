"""Our own process: transformers with continuous batching, any base and any adapter that yibu can train.

It is the engine that always works, and no match for one that was made for the machine (`yibu.engines.vllm` on GPUs,
llama.cpp on laptops). What it has that those lack: every adapter kind, and answers of a closed set scored in one pass
(`yibu.engines._scorer`). It listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yibu import engines
from yibu.core.machine import num_cores
from yibu.engines import ProcessSettings
from yibu.engines._child import Child, ProcessEngine, until_closed


class Settings(ProcessSettings):
    """Table ``{kind: transformers, base_path: ..., adapter_path: ...}``."""

    kind: Literal["transformers"] = "transformers"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    max_batch: int = Field(16, ge=1, description="answers that are written at once")
    max_tokens: int = Field(4096, ge=1, description="tokens of one forward pass over prompts")


class Engine(ProcessEngine):
    """See `yibu.engines.Engine`."""

    can = frozenset({engines.GENERATE, engines.SCORE, engines.EMBED, engines.ADAPTERS})
    reads = frozenset({"folder"})

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._child = Child(serve, settings)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._child.is_alive

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return self._child.pid

    async def facts(self) -> dict[str, Any]:
        """What the process said when it was ready."""
        return self._child.facts

    def _launch(self) -> str:
        self._child.stop()
        self._child.start()
        return f"http://127.0.0.1:{self._child.port}/v1"

    def _end(self) -> None:
        self._child.stop()


def serve(pipe: Connection, settings: Settings) -> None:
    """Body of the process: load, say the port and what is there, answer until the other end of the pipe is closed."""
    import torch

    from yibu.engines._bank import Bank
    from yibu.engines._schedule import Schedule
    from yibu.engines._server import listen

    begun = time.monotonic()
    # Two threads that spin beside a busy neighbour are many times slower than one: whoever asks needs a core, too.
    torch.set_num_threads(settings.threads or max(1, num_cores() - 1))
    bank = Bank(Path(settings.base_path), settings.adapter, settings.device, settings.dtype)
    schedule = Schedule(bank, settings.max_batch, settings.max_tokens)
    schedule.start()
    system, default = bank.system, settings.adapter_name if settings.adapter else None
    server = listen(schedule, system.renderer, system.model.config, default)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    facts = {
        "engine": f"transformers, up to {settings.max_batch} answers at once",
        "device": str(bank.system.device),
        "dtype": str(bank.system.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "load_seconds": round(time.monotonic() - begun, 3),
    }
    pipe.send((server.server_address[1], facts))
    until_closed(pipe)
