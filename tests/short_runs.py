"""Runs of the training loop on a tiny model that take a second: what several tests of `yibu.train` begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from tiny import tiny_ids, tiny_model
from yibu.model import attention
from yibu.model.render import Example
from yibu.train import TrainSettings
from yibu.train.loop import Progress, Setting, fit

SETTING = Setting(torch.device("cpu"), torch.float32, packed=True)


def rows(count: int, seed: int = 0) -> list[Example]:
    made = []
    for index in range(count):
        ids = tuple(tiny_ids(1, 10 + index % 5, seed * 1000 + index % 4)[0].tolist())
        made.append(Example(ids, tuple(place > 5 for place in range(len(ids))), f"row-{index}"))
    return made


def model(dropout: float = 0.0) -> Any:
    base = tiny_model("llama")
    base.set_attn_implementation(attention.NAME)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules=["q_proj", "down_proj"])
    torch.manual_seed(1)
    return get_peft_model(base, config)


def run(
    folder: Path,
    settings: TrainSettings,
    made: Any = None,
    classes: Any = None,
    valid: Any = None,
    train: Any = None,
    **kwargs: Any,
) -> tuple[dict[str, torch.Tensor], Progress]:
    made = made or model()
    trainable = {name: p for name, p in made.named_parameters() if p.requires_grad}
    classes = classes or {name: "mlp" if "down" in name else "attention" for name in trainable}
    folder.mkdir(exist_ok=True)
    torch.manual_seed(settings.seed)
    return fit(
        made,
        trainable,
        rows(24) if train is None else train,
        rows(4, seed=1) if valid is None else valid,
        settings,
        SETTING,
        folder / "history.jsonl",
        folder / "checkpoints",
        classes,
        {"threads": 1},
        **kwargs,
    )


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in history(folder) if "loss" in entry]
