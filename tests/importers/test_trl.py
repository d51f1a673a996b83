"""TRL: without use_peft everything is trained, and with it only two matrices of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yibu import importers
from yibu.core.errors import RecipeError
from yibu.core.recipe import load_yaml
from yibu.importers import Imported, Key
from yibu.pipeline import Recipe

FILE = Path(__file__).parent / "configs" / "trl.yaml"
SMALL = {"model_name_or_path": "a/b", "dataset_name": "c/d"}


def convert(**keys: Any) -> tuple[Imported, dict[str, Key]]:
    found = importers.convert({**SMALL, **keys}, "x.yaml", Recipe)
    return found, {key.name: key for key in found.keys}


def test_a_whole_config() -> None:
    found = importers.convert(load_yaml(FILE), FILE, Recipe)
    assert found.recipe == {
        "name": "trl",
        "base": "deepseek-ai/deepseek-llm-7b-base",
        "data": {"source": "hub:someone/bank-questions:zh:train"},
        "adapter": {
            "kind": "qlora",
            "double_quant": False,
            "r": 8,
            "alpha": 16,
            "dropout": 0.05,
            "targets": "all",
        },
        "train": {
            "max_length": 2048,
            "lr": 1e-4,
            "epochs": 400,
            "max_steps": 400,
            "batch": 4,
            "accumulate": 4,
            "warmup_steps": 20,
            "dtype": "bf16",
            "recompute": False,
        },
    }
    keys = {key.name: key for key in found.keys}
    assert keys["lr_scheduler_type"].state == "taken"
    assert keys["packing"].state == "changed"
    assert keys["push_to_hub"].state == "not taken"
    assert not keys["use_bnb_nested_quant"].given


def test_without_peft_everything_is_trained() -> None:
    found, keys = convert(lora_r=8)
    assert found.recipe["adapter"] == {"kind": "full"}
    assert found.recipe["train"]["lr"] == 2e-5
    assert keys["lora_r"].state == "not taken"
    assert convert(use_peft=False)[0].recipe["adapter"] == {"kind": "full"}


def test_default_targets() -> None:
    found, keys = convert(use_peft=True)
    assert found.recipe["adapter"]["targets"] == ["attention_q", "attention_kv"]
    assert found.recipe["adapter"]["dropout"] == 0.05
    assert not keys["lora_target_modules"].given


def test_mixtures() -> None:
    entries = [
        {"path": "c/d", "name": "zh", "split": "train", "columns": ["a"]},
        {"data_files": "rows.jsonl", "path": "json"},
    ]
    found = importers.convert({"model_name_or_path": "a/b", "datasets": entries}, "x.yaml", Recipe)
    assert found.recipe["data"]["source"] == ["hub:c/d:zh:train", "rows.jsonl"]
    named = {key.name for key in found.keys}
    assert {f"datasets.{n}.{name}" for n, entry in enumerate(entries) for name in entry} <= named


def test_lengths() -> None:
    assert convert(max_length=None)[1]["max_length"].state == "taken"
    assert "cut" in convert(max_length=64)[1]["max_length"].why
    assert not convert()[1]["max_length"].given


def test_what_carries_loss() -> None:
    assert convert(completion_only_loss=False)[1]["completion_only_loss"].state == "not taken"
    assert convert(assistant_only_loss=True)[1]["assistant_only_loss"].state == "changed"
    assert convert(dataset_text_field="body")[0].recipe["task"] == {"kind": "generate", "target": "{body}"}


@pytest.mark.parametrize("keys", [{"beta": 0.1}, {"num_generations": 8}, {"reward_funcs": ["x"]}])
def test_other_trainers_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cannot become a recipe"):
        convert(**keys)
