"""vLLM, found, started and watched: the engine for GPUs, with adapters on one base that come and go while it runs.

It runs in a Python of its own (`yibu.engines._vllm_python`), since its pins clash with ours. It is given token ids,
made by the renderer of training, and ends an answer where training ended it (`yibu.engines._vllm_process`). It listens
on a Unix socket that only this user reaches, behind a key that only this process has. Nothing comes from the network,
and nothing is reported.

What it cannot carry is refused: adapters other than LoRAs on linear layers. Names of adapters are never used again for
other weights: vLLM keeps keys and values by name, and answers with those of the old one (vLLM #42125). An adapter that
is unloaded cannot be asked for any more; its memory is taken by the next one (vLLM #54839).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from yibu import engines
from yibu.core.disk import digest_folder
from yibu.core.errors import InputError
from yibu.engines import Adapter, EngineFailed, ProcessSettings
from yibu.engines._child import Child, ProcessEngine, check_base
from yibu.engines._vllm_client import BASE, VllmClient
from yibu.engines._vllm_process import HOST, Program, serve
from yibu.engines._vllm_python import VllmPython
from yibu.exporters._vllm import RANKS, rank_of, room_for, why_not_loaded

_DTYPES = {"auto": "auto", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_OURS = (
    *("--host", "--port", "--uds", "--api-key", "--config", "--model", "--served-model-name", "--tokenizer"),
    *("--generation-config", "--trust-remote-code", "--lora-modules", "--api-server-count", "--enable-log-requests"),
)
"""Arguments that are not for others to set: promises of this engine hang on them."""

_LORAS = 4


class Settings(ProcessSettings):
    """Table ``{kind: vllm}``."""

    kind: Literal["vllm"] = "vllm"
    python: str | None = Field(
        None,
        description="interpreter or environment that has vLLM; default: YIBU_VLLM, ~/.cache/yibu/vllm, or yibu's own",
    )
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: as the base is, in 16 bits")
    max_model_len: int | None = Field(None, ge=16, description="tokens of a prompt and its answer; default: the base's")
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="share of the GPU that it may take")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share the weights")
    max_loras: int | None = Field(
        None, ge=0, description=f"adapters in one batch; default: {_LORAS} where one is there from the start, else none"
    )
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] | None = Field(
        None, description="of adapters that may come; default: that of the first one, and 16 at least"
    )
    enforce_eager: bool = Field(False, description="no compilation and no CUDA graphs: it starts sooner, and is slower")
    cpu_cache_gib: int = Field(2, ge=1, description="memory for keys and values where it runs on a processor")
    arguments: tuple[str, ...] = Field((), description='further ones of vLLM\'s, e.g. ["--max-num-seqs", "64"]')

    @field_validator("arguments")
    @classmethod
    def _check_arguments(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        for argument in arguments:
            name = argument.partition("=")[0].replace("_", "-")
            if name.startswith("--") and any(own.startswith(name) for own in _OURS):  # argparse takes beginnings
                raise ValueError(f"{argument} is not for the recipe to set; what is: everything but {', '.join(_OURS)}")
        return arguments


class Engine(ProcessEngine):
    """See `yibu.engines.Engine`."""

    can = frozenset({engines.GENERATE, engines.SCORE, engines.ADAPTERS})
    reads = frozenset({"folder"})
    adapter_kinds = frozenset({"lora"})

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._child: Child | None = None
        self._key = ""
        self._digests: dict[str, str] = {}  # of every adapter that this engine ever had, by name

    @classmethod
    def why_not(cls, adapter: Adapter) -> str | None:
        """See `yibu.engines.Engine.why_not`."""
        return why_not_loaded(adapter.path)

    @property
    def is_alive(self) -> bool:
        """Whether vLLM runs; the process around it ends with it."""
        return self._child is not None and self._child.is_alive

    @property
    def pid(self) -> int | None:
        """Id of vLLM's process."""
        return self._facts.get("pid")

    async def facts(self) -> dict[str, Any]:
        """What it was started with."""
        return self._facts

    @property
    def _facts(self) -> dict[str, Any]:
        """What the process said when it was ready, if it was."""
        return getattr(self._child, "facts", {})

    def _launch(self) -> str:
        """
        Raises:
            InputError: the base or vLLM is not here, or it cannot load the adapter. YibuError: it did not start.
        """
        self._end()
        settings: Settings = self.settings
        check_base(settings)
        first = settings.adapter
        if first is not None:
            self._check(first)
            self._digests[first.name] = digest_folder(first.path)
        python = VllmPython.find(settings.python)
        self._key = secrets.token_urlsafe(32)
        program = Program(
            base_path=settings.base_path,
            threads=settings.threads,
            start_seconds=settings.start_seconds,
            python=str(python.program),
            version=python.version,
            is_cpu=python.is_cpu,
            arguments=_arguments(settings, self._max_loras, self._max_rank),
            key=self._key,
            cpu_cache_gib=settings.cpu_cache_gib,
        )
        self._child = Child(serve, program)  # known before it is there, so that `close` can end one that is loading
        self._child.start()
        return HOST

    def _connect(self, address: str) -> VllmClient:
        return VllmClient(self._facts, self._key, self.settings.adapter and self.settings.adapter.name)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()
            if (socket := getattr(child, "facts", {}).get("socket")) is not None:  # a process that was killed leaves it
                shutil.rmtree(Path(socket).parent, ignore_errors=True)

    async def load_adapter(self, adapter: Adapter) -> None:
        """See `yibu.engines.Engine.load_adapter`.

        Raises:
            InputError: vLLM cannot load it, or its name was another's.
        """
        client = self.client
        if adapter.kind not in self.adapter_kinds or not self._max_loras:
            raise EngineFailed("unable")
        self._check(adapter)
        digest = await asyncio.to_thread(digest_folder, adapter.path)
        if self._digests.get(adapter.name, digest) != digest:
            raise InputError("An adapter of this name was loaded; names are never used again.", got=adapter.name)
        await client.load_adapter(adapter)
        self._digests[adapter.name], self._adapters[adapter.name] = digest, adapter

    @property
    def _max_loras(self) -> int:
        wanted: int | None = self.settings.max_loras
        return wanted if wanted is not None else _LORAS if self.settings.adapter is not None else 0

    @property
    def _max_rank(self) -> int:
        wanted: int | None = self.settings.max_lora_rank
        first = self.settings.adapter
        return wanted or (16 if first is None else max(16, room_for(rank_of(first.path))))

    def _check(self, adapter: Adapter) -> None:
        """
        Raises:
            InputError: vLLM cannot load it.
        """
        if adapter.name == BASE:
            raise InputError("This name is the base's own.", got=adapter.name, do="give the adapter another one")
        if not self._max_loras:
            raise InputError("No adapters were asked for.", got="max_loras: 0", do="serve.engine.max_loras=4")
        if (reason := why_not_loaded(adapter.path)) is not None:
            raise InputError(
                "vLLM cannot load this adapter.",
                got=f"{adapter.name}: {reason}",
                do="serve.engine.kind=transformers, or serve what compress makes of it: its adapter is in the weights",
            )
        if rank_of(adapter.path) > self._max_rank:
            raise InputError(
                "The rank of this adapter is above the bound that vLLM was started with.",
                got=f"{adapter.name}: {rank_of(adapter.path)}",
                allowed=f"up to {self._max_rank}",
                do=f"serve.engine.max_lora_rank={min(RANKS[-1], room_for(rank_of(adapter.path)))}",
            )


def _arguments(settings: Settings, max_loras: int, max_rank: int) -> tuple[str, ...]:
    """Of vLLM's server, but for the address."""
    words: list[object] = ["--model", Path(settings.base_path).absolute(), "--served-model-name", BASE]
    # Chances and penalties in the base's generation config would change answers that nobody asked to be changed.
    words += ["--generation-config", "vllm", "--dtype", _DTYPES[settings.dtype]]
    words += ["--gpu-memory-utilization", settings.gpu_memory_utilization]
    words += ["--tensor-parallel-size", settings.tensor_parallel_size]
    words += ["--disable-uvicorn-access-log", "--disable-log-stats"]
    words += [] if settings.max_model_len is None else ["--max-model-len", settings.max_model_len]
    words += ["--enforce-eager"] if settings.enforce_eager else []
    if max_loras:
        words += ["--enable-lora", "--max-loras", max_loras, "--max-lora-rank", max_rank]
    if (first := settings.adapter) is not None:
        words += ["--lora-modules", json.dumps({"name": first.name, "path": str(first.path.absolute())})]
    return (*(str(word) for word in words), *settings.arguments)
