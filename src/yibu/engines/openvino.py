"""openvino-genai in a process of ours: continuous batching on a CPU, from wheels alone.

A Hugging Face folder is traced from transformers into OpenVINO's graph (`yibu.engines._stateful`), once, which takes
the memory of its weights in fp32, and kept where ``work_path`` says. Dense models with plain attention can be traced;
mixtures of experts, windows and compressed keys cannot, and are refused before anything is served. Prompts are
rendered, and tokens read, by yibu itself, as in training. LoRAs are taken as PEFT wrote them, while others answer
(`yibu.engines._pipelines`).
"""

from __future__ import annotations

import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yibu import engines
from yibu.core.errors import InputError, MissingExtra, YibuError
from yibu.core.machine import num_cores
from yibu.engines import ProcessSettings
from yibu.engines._child import Child, ProcessEngine, check_base, until_closed
from yibu.engines._made import place_for, stamp


class Settings(ProcessSettings):
    """Table ``{kind: openvino}``."""

    kind: Literal["openvino"] = "openvino"
    dtype: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 where the processor computes it")
    max_batch: int = Field(16, ge=1, description="answers that are written at once, of each adapter")
    max_tokens: int = Field(512, ge=16, description="tokens of one pass, those of prompts included")
    work_path: str | None = Field(None, description="folder for the graphs of bases; default: a temporary one")


class Engine(ProcessEngine):
    """See `yibu.engines.Engine`."""

    can = frozenset({engines.GENERATE, engines.ADAPTERS})
    reads = frozenset({"folder"})
    adapter_kinds = frozenset({"lora"})

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._child: Child | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.is_alive

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return None if self._child is None else self._child.pid

    async def facts(self) -> dict[str, Any]:
        """What the process said when it was ready."""
        return {} if self._child is None else self._child.facts

    async def load_adapter(self, adapter: engines.Adapter) -> None:
        """See `yibu.engines.Engine.load_adapter`."""
        if adapter.kind not in self.adapter_kinds:
            raise engines.EngineFailed("unable")
        await super().load_adapter(adapter)

    def _launch(self) -> str:
        check_base(self.settings)
        require()
        if self._child is not None:
            self._child.stop()
        if self.settings.work_path is None and self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="yibu-openvino-")
        folder = Path(self.settings.work_path or self._temporary.name)  # type: ignore[union-attr]
        graph = graph_of(Path(self.settings.base_path), folder)
        self._child = Child(serve, self.settings.model_copy(update={"work_path": str(graph)}))
        self._child.start()
        return f"http://127.0.0.1:{self._child.port}/v1"

    def _end(self) -> None:
        if self._child is not None:
            self._child.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def require() -> None:
    """
    Raises:
        MissingExtra: openvino-genai is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("openvino_genai") is None:
        raise MissingExtra("openvino-genai", extra="openvino", use="the engine openvino")


def graph_of(base: Path, folder: Path) -> Path:
    """Folder of the graph of a base, made where it is not there yet.

    Raises:
        InputError: OpenVINO cannot express the architecture. NoSpace: the disk is full.
    """
    from yibu.engines._stateful import convert

    if not base.is_dir():
        raise InputError(
            "The engine openvino reads folders of Hugging Face.", got=base.name, do="the engine llamacpp reads GGUF"
        )
    target = folder / f"base-{stamp(base)}"
    with place_for(target, "graph") as place:
        if place is not None:
            convert(base, place / "graph")
            (place / "graph").rename(target)
    return target


def serve(pipe: Connection, settings: Settings) -> None:
    """Body of the process: load, say the port and what is there, answer until the other end of the pipe is closed.

    Args:
        settings: ``work_path`` is the folder of the graph.
    """
    import torch
    from transformers import AutoConfig

    from yibu import bases
    from yibu.engines._pipelines import Pipelines
    from yibu.engines._server import listen
    from yibu.model.assemble import choose_dtype, load_renderer

    begun, base = time.monotonic(), Path(settings.base_path)
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    renderer = load_renderer(base, bases.facts_for(config))
    # Two threads that spin beside a busy neighbour are many times slower than one: whoever asks needs a core, too.
    threads = settings.threads or max(1, num_cores() - 1)
    dtype = str(choose_dtype(settings.dtype, torch.device("cpu"))).removeprefix("torch.")
    kind = {"float32": "f32", "bfloat16": "bf16"}[dtype]
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": kind,
        "KV_CACHE_PRECISION": kind,  # eight bits by default, and other answers
    }
    pipelines = Pipelines(Path(str(settings.work_path)), renderer, settings.max_batch, settings.max_tokens, options)
    default = None
    try:
        if settings.adapter is not None:
            default = settings.adapter.name
            pipelines.load(settings.adapter)
        else:
            pipelines.open_base()
    except YibuError as error:
        pipe.send((0, {"failed": f"{error.what} {error.got or ''}"}))
        return
    pipelines.start()
    server = listen(pipelines, renderer, config, default)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    facts = {
        "engine": f"openvino-genai, up to {settings.max_batch} answers at once",
        "device": "cpu",
        "dtype": dtype,
        "threads": threads,
        "load_seconds": round(time.monotonic() - begun, 3),
    }
    pipe.send((server.server_address[1], facts))
    until_closed(pipe)
