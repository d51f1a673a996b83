"""One file for llama.cpp and all that is built on it: weights, tokenizer and chat template in GGUF.

Made by llama.cpp's own converter and quantizer, proven in its own server (`yibu.exporters._llama`).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field

from yibu.core.errors import InputError
from yibu.core.recipe import Settings as BaseSettings
from yibu.exporters import Bounds, Questions, Replies, Source
from yibu.exporters._llama import Llama, ask_server

ADAPTER = "adapter-f16.gguf"


class Settings(BaseSettings):
    """How many bits."""

    kind: Literal["gguf"] = "gguf"
    quantise: Literal["f16", "Q8_0", "Q4_K_M", "Q4_0"] = Field(
        "Q8_0", description="type of the weights; rows that no multiple of 256 long get wider types in Q4_K_M"
    )
    lora: bool = Field(False, description="the adapter as a GGUF of its own, too, for one base with many adapters")


def write(source: Source, folder: Path, settings: Settings) -> None:
    """``<name>-<type>.gguf``, and the adapter beside it where it is asked for.

    Raises:
        InputError: llama.cpp is not here or does not know the architecture; the weights are quantised already; there is
            no plain adapter.
    """
    llama = Llama.find()
    if source.quantised is not None:
        raise InputError(
            "GGUF has its own ways to quantise, and would round what is rounded already.",
            got=f"compress.quantise: {source.quantised}",
            allowed="a model whose weights are whole",
            do="leave compress.quantise out, and say export: [{kind: gguf, quantise: Q4_0}]",
        )
    target = folder / _file(source, settings)
    if settings.quantise == "f16":
        llama.convert(source.model, target, "f16")
    else:
        with tempfile.TemporaryDirectory(prefix=".yibu-", dir=folder) as place:
            whole = Path(place, "f16.gguf")
            llama.convert(source.model, whole, "f16")
            llama.quantise(whole, target, settings.quantise)
    if settings.lora:
        if source.adapter is None:
            raise InputError(
                "This kind of adapter is none of peft's, so llama.cpp cannot load it by itself.",
                got="export.lora: true",
                do="leave lora out; the model has the adapter in its weights",
            )
        llama.convert_adapter(source.base, source.adapter, folder / ADAPTER)
    lora = f"\nOn the base alone, with many adapters: `llama-server -m base.gguf --lora {ADAPTER}`.\n"
    usage = f"## Use\n\n`llama-server -m {target.name} --host 127.0.0.1 --port 8080`\n{lora if settings.lora else ''}"
    (folder / "README.md").write_text(usage, encoding="utf-8")


def ask(source: Source, folder: Path, settings: Settings, questions: Questions) -> dict[str, Replies]:
    """The replies of llama-server; of the adapter on the base in f16, too."""
    llama = Llama.find()
    config = json.loads((source.model / "config.json").read_text(encoding="utf-8"))
    size = int(config["vocab_size"])
    replies = {"model": ask_server(llama, questions, folder / _file(source, settings), size)}
    if settings.lora:
        with tempfile.TemporaryDirectory(prefix="yibu-") as place:
            base = Path(place, "base.gguf")
            llama.convert(source.base, base, "f16")
            replies["adapter"] = ask_server(llama, questions, base, size, folder / ADAPTER)
    return replies


def bounds(settings: Settings) -> Bounds:
    """By the bits of a weight. What is lost of the adapter on the task is measured where weights are rounded."""
    return {
        "f16": Bounds(probability=0.02, first_choices=0.95, missing=0.05, answers=0.85),
        "Q8_0": Bounds(probability=0.15, first_choices=0.9, missing=0.2, answers=0.8, gain=0.95),
        "Q4_K_M": Bounds(probability=0.9, first_choices=0.7, missing=0.5, answers=0.5, gain=0.9),
        "Q4_0": Bounds(probability=0.9, first_choices=0.7, missing=0.5, answers=0.5, gain=0.9),
    }[settings.quantise]


def _file(source: Source, settings: Settings) -> str:
    return f"{source.name}-{settings.quantise}.gguf"
