"""A folder and a command line for vLLM: the base with the adapter beside it, or the merged model.

vLLM shares one base among many adapters, so an adapter that it can load stays one (``--lora-modules``); anything else
leaves merged. The name of an adapter ends in its digest: vLLM 0.33 keeps the keys and values of a name, so one that is
loaded again with other weights would answer from the old ones. Routed experts leave merged, since vLLM misreads their
adapters. vLLM is not asked here (it takes gigabytes and minutes); the files in the bundle are asked in plain
transformers and peft instead.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from yibu.core.disk import digest_folder
from yibu.core.errors import InputError
from yibu.core.recipe import Settings as BaseSettings
from yibu.exporters import Bounds, Questions, Replies, Source, ask_plain
from yibu.exporters._vllm import rank_of, room_for, why_not_loaded

START = "start.sh"


class Settings(BaseSettings):
    """Adapter or merged, and how vLLM shall start."""

    kind: Literal["vllm"] = "vllm"
    form: Literal["auto", "lora", "merged"] = Field("auto", description="auto: lora, where vLLM can load the adapter")
    max_loras: int = Field(4, ge=1, description="adapters in one batch")
    max_length: int = Field(4096, ge=16, description="tokens of prompt and answer")
    gpu_memory: float = Field(0.9, gt=0, le=1, description="share of the GPU that vLLM may take")
    cuda_graphs: bool = True


def write(source: Source, folder: Path, settings: Settings) -> None:
    """``model/`` or ``adapters/<name>-<digest>/``, and ``start.sh``.

    Raises:
        InputError: the adapter is to stay one, and vLLM cannot load it.
    """
    reason = _not_loaded(source)
    if settings.form == "lora" and reason is not None:
        raise InputError(
            "vLLM cannot load this adapter.",
            got=reason,
            allowed="form: merged",
            do="export: [{kind: vllm, form: merged}]",
        )
    arguments = ["vllm", "serve"]
    if settings.form != "merged" and reason is None:
        assert source.adapter is not None
        name = f"{source.name}-{digest_folder(source.adapter)[:12]}"
        shutil.copytree(source.adapter, folder / "adapters" / name, copy_function=shutil.copyfile)
        arguments += ["BASE", "--enable-lora", "--max-loras", str(settings.max_loras)]
        arguments += ["--max-lora-rank", str(room_for(rank_of(source.adapter)))]
        arguments += ["--lora-modules", f"{name}=adapters/{name}"]
    else:
        shutil.copytree(source.model, folder / "model", copy_function=shutil.copyfile)
        arguments += ["model", "--served-model-name", source.name]
    arguments += ["--host", "127.0.0.1", "--port", "8000", "--max-model-len", str(settings.max_length)]
    arguments += ["--gpu-memory-utilization", str(settings.gpu_memory)]
    # Who asks for nothing else gets what was measured: the likeliest tokens, without the base's own penalties.
    arguments += ["--override-generation-config", json.dumps({"temperature": 0.0, "repetition_penalty": 1.0})]
    arguments += [] if settings.cuda_graphs else ["--enforce-eager"]
    line = shlex.join(arguments).replace("BASE", '"${BASE:?set BASE to the folder of the base}"')
    (folder / START).write_text(
        f'#!/bin/sh\n# The base: {source.base_name}\ncd "$(dirname "$0")" || exit 1\nexec {line}\n'
    )
    (folder / "README.md").write_text(f"## Use\n\n`sh {START}`\n", encoding="utf-8")


def ask(source: Source, folder: Path, settings: Settings, questions: Questions) -> dict[str, Replies]:
    """The replies of the folder in plain transformers, or of the adapter in plain peft."""
    if (folder / "model").is_dir():
        return {"model": ask_plain(questions, folder / "model")}
    (adapter,) = (folder / "adapters").iterdir()
    return {"adapter": ask_plain(questions, source.base, adapter)}


def bounds(settings: Settings) -> Bounds:
    """Nothing is rounded here."""
    return Bounds(probability=1e-3, first_choices=0.99, missing=0.05, answers=0.99)


def _not_loaded(source: Source) -> str | None:
    """Why vLLM cannot load the adapter as one; None where it can."""
    if source.quantised is not None:
        return f"the weights below it are in {source.quantised}"
    if source.adapter is None:
        return "it is no plain LoRA of peft"
    return why_not_loaded(source.adapter)
