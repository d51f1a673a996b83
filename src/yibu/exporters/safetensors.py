"""What everybody loads: the merged model as a Hugging Face folder, and the adapter as a PEFT folder beside it.

``model/`` needs transformers and nothing else; ``adapter/`` needs peft and the base that it was trained on. Kinds of
adapter that peft does not have leave as ``model/`` alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from yibu.core.errors import InputError
from yibu.core.recipe import Settings as BaseSettings
from yibu.exporters import Bounds, Questions, Replies, Source, ask_plain

MODEL, ADAPTER = "model", "adapter"
WHAT = Literal["both", "model", "adapter"]


class Settings(BaseSettings):
    """Which of the two forms."""

    kind: Literal["safetensors"] = "safetensors"
    what: WHAT = Field("both", description="model: merged; adapter: a PEFT folder; both, where peft has the kind")


def write(source: Source, folder: Path, settings: Settings) -> None:
    """The folders ``model`` and ``adapter``.

    Raises:
        InputError: the adapter is asked for alone and peft does not have its kind.
    """
    if settings.what == "adapter" and (source.adapter is None or source.quantised is not None):
        raise InputError(
            "This model cannot leave as a PEFT folder: "
            + ("its kind is none of peft's." if source.adapter is None else "it is the adapter and fewer bits."),
            got=source.quantised or "an adapter that is not plain peft",
            allowed="export: [{kind: safetensors, what: model}], which has all of it in its weights",
        )
    if settings.what != "adapter":
        shutil.copytree(source.model, folder / MODEL, copy_function=shutil.copyfile)
    if settings.what != "model" and source.adapter is not None and source.quantised is None:
        shutil.copytree(source.adapter, folder / ADAPTER, copy_function=shutil.copyfile)
    (folder / "README.md").write_text(_usage(source, folder), encoding="utf-8")


def ask(source: Source, folder: Path, settings: Settings, questions: Questions) -> dict[str, Replies]:
    """The replies of ``model`` in plain transformers, and of ``adapter`` on its base in plain peft."""
    replies = {}
    if (folder / MODEL).is_dir():
        replies[MODEL] = ask_plain(questions, folder / MODEL)
    if (folder / ADAPTER).is_dir():
        replies[ADAPTER] = ask_plain(questions, source.base, folder / ADAPTER)
    return replies


def bounds(settings: Settings) -> Bounds:
    """Nothing is rounded here, so only the order of sums may differ."""
    return Bounds(probability=1e-3, first_choices=0.99, missing=0.05, answers=0.99)


def _usage(source: Source, folder: Path) -> str:
    lines = ["## Use\n", "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if (folder / MODEL).is_dir():
        lines += [f'model = AutoModelForCausalLM.from_pretrained("{MODEL}")']
        lines += [f'tokenizer = AutoTokenizer.from_pretrained("{MODEL}")']
    if (folder / ADAPTER).is_dir():
        lines += ["", "from peft import PeftModel  # the adapter alone, on the base that it was trained on"]
        lines += [f'base = AutoModelForCausalLM.from_pretrained("...")  # {source.base_name}']
        lines += [f'model = PeftModel.from_pretrained(base, "{ADAPTER}")']
    return "\n".join([*lines, "```", ""])
