"""Axolotl: lists of data sets, packs, and what it leaves to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yibu import bases, importers
from yibu.core.errors import RecipeError
from yibu.core.recipe import load_yaml
from yibu.importers import Imported, Key
from yibu.pipeline import Recipe

FILE = Path(__file__).parent / "configs" / "axolotl.yaml"
SMALL = {
    "base_model": "a/b",
    "adapter": "lora",
    "lora_r": 16,
    "lora_alpha": 32,
    "learning_rate": 2e-4,
    "datasets": [{"path": "rows.jsonl", "type": "alpaca"}],
}


def convert(facts: str | None = None, **keys: Any) -> tuple[Imported, dict[str, Key]]:
    found = importers.convert({**SMALL, **keys}, "x.yml", Recipe, bases.FAMILY.load(facts).FACTS if facts else None)
    return found, {key.name: key for key in found.keys}


def test_a_whole_config() -> None:
    found = importers.convert(load_yaml(FILE), FILE, Recipe, bases.FAMILY.load("llama").FACTS)
    assert found.recipe == {
        "name": "axolotl",
        "base": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        "data": {
            "source": {"train": "contracts/train.jsonl", "valid": "contracts/held_out.jsonl"},
            "shape": "sharegpt",
        },
        "adapter": {
            "kind": "qlora",
            "r": 64,
            "alpha": 16,
            "dropout": 0.05,
            "targets": ["attention_q", "attention_kv", "attention_o"],
        },
        "train": {
            "max_length": 8192,
            "pack_tokens": 8192,
            "lr": 2e-4,
            "epochs": 600,
            "max_steps": 600,
            "batch": 4,
            "accumulate": 2,
            "warmup_steps": 60,
            "weight_decay": 0.0,
            "dtype": "auto",
            "recompute": True,
            "trackers": ["wandb"],
        },
        "evaluate": {"split": "valid"},
    }
    keys = {key.name: key for key in found.keys}
    assert keys["excess_length_strategy"].state == "not taken"
    assert keys["chat_template"].state == "taken"
    assert keys["optimizer"].state == "changed"
    assert keys["sample_packing"].state == "changed"
    assert "rows of a pack" in keys["sample_packing"].why
    for part in ("path", "ds_type", "type", "field_messages", "message_property_mappings", "train_on_eos"):
        assert keys[f"datasets.0.{part}"].state == "taken"
    assert keys["datasets.0.roles_to_train"].state == "changed"
    assert keys["wandb_entity"].state == "not taken"


@pytest.mark.parametrize(
    ("entry", "source", "shape"),
    [
        ({"path": "someone/rows", "type": "alpaca"}, "hub:someone/rows", "alpaca"),
        ({"path": "someone/rows", "name": "zh", "split": "train"}, "hub:someone/rows:zh:train", None),
        ({"path": "someone/rows", "split": "train[:20%]", "type": "completion"}, "hub:someone/rows:train", "text"),
        ({"path": "json", "data_files": ["a.jsonl", "b.jsonl"]}, ["a.jsonl", "b.jsonl"], None),
        ({"path": "./rows", "type": "chat_template"}, "./rows", "messages"),
        ({"path": "someone/rows", "revision": "v2"}, "hub:someone/rows@v2", None),
    ],
)
def test_data_sets(entry: dict[str, Any], source: Any, shape: str | None) -> None:
    found, keys = convert(datasets=[entry])
    assert found.recipe["data"]["source"] == source
    assert found.recipe["data"].get("shape") == shape
    assert {f"datasets.0.{name}" for name in entry} <= set(keys)


def test_a_prompt_of_its_own_is_told() -> None:
    kind = {"field_instruction": "question", "field_output": "answer", "format": "{instruction}"}
    found, keys = convert(datasets=[{"path": "rows.jsonl", "type": kind, "field_messages": "dialogue"}])
    assert "shape" not in found.recipe["data"]
    assert "task.prompt" in keys["datasets.0.type"].why
    assert keys["datasets.0.field_messages"].state == "not taken"


def test_shapes_that_differ_are_left_open() -> None:
    found, _ = convert(datasets=[{"path": "a.jsonl", "type": "alpaca"}, {"path": "b.jsonl", "type": "chat_template"}])
    assert found.recipe["data"] == {"source": ["a.jsonl", "b.jsonl"]}


def test_long_rows() -> None:
    assert convert(sequence_len=512)[0].recipe["train"]["too_long"] == "drop", "that is what it does unless told"
    assert convert(sequence_len=512, excess_length_strategy="raise")[0].recipe["train"]["too_long"] == "refuse"
    found, keys = convert(sequence_len=512, excess_length_strategy="truncate")
    assert "too_long" not in found.recipe["train"]
    assert "cut" in keys["sequence_len"].why


def test_experts() -> None:
    names = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    assert convert(lora_target_parameters=names)[0].recipe["adapter"]["targets"] == ["experts"]
    found, _ = convert("deepseek_v3", lora_target_parameters=names, lora_target_linear=True)
    assert found.recipe["adapter"]["targets"] == "all"
    assert found.recipe["adapter"]["experts"] is True
    found, keys = convert(lora_target_parameters=names, lora_target_linear=True, lora_dropout=0.1)
    assert keys["lora_target_parameters"].state == "not taken"
    assert "without dropout" in keys["lora_target_parameters"].why


def test_without_an_adapter_everything_is_trained() -> None:
    table = {name: value for name, value in SMALL.items() if name != "adapter"}
    found = importers.convert(table, "x.yml", Recipe)
    keys = {key.name: key for key in found.keys}
    assert found.recipe["adapter"] == {"kind": "full"}
    assert keys["lora_r"].state == "not taken"
    assert not keys["adapter"].given


def test_whole_batch() -> None:
    assert convert(micro_batch_size=4, batch_size=32)[0].recipe["train"]["accumulate"] == 8
    found, keys = convert(micro_batch_size=4, batch_size=32, gradient_accumulation_steps=2)
    assert found.recipe["train"]["accumulate"] == 2
    assert keys["batch_size"].state == "not taken"


def test_warmup_that_is_unsaid_is_a_share() -> None:
    found, keys = convert()
    assert "warmup_steps" not in found.recipe["train"]
    assert "3 %" in keys["warmup_steps"].why
    assert not keys["warmup_steps"].given


def test_epochs_are_one_unless_said() -> None:
    assert convert()[0].recipe["train"]["epochs"] == 1
    assert convert(num_epochs=4)[0].recipe["train"]["epochs"] == 4


@pytest.mark.parametrize("keys", [{"rl": "dpo"}, {"reward_model": True}, {"process_reward_model": True}])
def test_other_trainings_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cannot become a recipe"):
        convert(**keys)
