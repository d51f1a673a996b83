"""LLaMA-Factory: its names, its defaults, its ways of counting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yibu import bases, importers
from yibu.core.errors import RecipeError
from yibu.core.recipe import load_yaml
from yibu.importers import Imported, Key
from yibu.pipeline import Recipe

FILE = Path(__file__).parent / "configs" / "llamafactory.yaml"
SMALL = {"stage": "sft", "finetuning_type": "lora", "model_name_or_path": "a/b", "dataset": "notes"}


def convert(facts: str | None = None, **keys: Any) -> tuple[Imported, dict[str, Key]]:
    found = importers.convert({**SMALL, **keys}, "x.yaml", Recipe, bases.FAMILY.load(facts).FACTS if facts else None)
    return found, {key.name: key for key in found.keys}


def test_a_whole_config() -> None:
    found = importers.convert(load_yaml(FILE), FILE, Recipe, bases.FAMILY.load("qwen2").FACTS)
    assert found.recipe == {
        "name": "llamafactory",
        "base": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        "data": {
            "source": "clinic/dataset_info.json:notes,letters",
            "split": {"train": 0.85, "valid": 0.05, "test": 0.1},
            "limit": {"train": 5000},
        },
        "adapter": {
            "kind": "lora",
            "r": 32,
            "alpha": 64,
            "dropout": 0.1,
            "targets": ["attention_q", "attention_kv"],
            "rslora": True,
            "lr_ratio": 16.0,
        },
        "train": {
            "max_length": 4096,
            "pack_tokens": 4096,
            "lr": 2e-4,
            "epochs": 3,
            "batch": 2,
            "accumulate": 4,
            "warmup_steps": 50,
            "weight_decay": 0.01,
            "max_grad_norm": 1e9,
            "dtype": "bf16",
            "evaluate_every": 100,
            "checkpoint_every": 200,
            "patience": 3,
            "trackers": ["tensorboard"],
            "seed": 7,
        },
    }
    keys = {key.name: key for key in found.keys}
    assert keys["lora_target"].state == "changed"
    assert "k_proj" in keys["lora_target"].why
    assert keys["num_train_epochs"].state == "changed"
    assert "cut" in keys["cutoff_len"].why
    assert "swanlab" in keys["report_to"].why
    assert keys["template"].state == "changed"
    assert not keys["lora_alpha"].given


def test_defaults_hold_for_what_is_unsaid() -> None:
    found, keys = convert()
    assert found.recipe["adapter"] == {"kind": "lora", "r": 8, "alpha": 16}
    assert found.recipe["train"] == {"lr": 5e-5, "epochs": 3, "batch": 8, "accumulate": 1, "warmup_steps": 0}
    assert found.recipe["data"] == {"source": "data/dataset_info.json:notes"}
    assert [key.name for key in found.keys if not key.given][:2] == ["val_size", "lora_rank"]
    assert "cut" in keys["cutoff_len"].why
    assert not keys["cutoff_len"].given


def test_alpha_follows_the_rank() -> None:
    assert convert(lora_rank=64)[0].recipe["adapter"]["alpha"] == 128
    assert convert(lora_rank=64, lora_alpha=16)[0].recipe["adapter"]["alpha"] == 16


def test_steps_decide_the_length() -> None:
    """There max_steps alone counts; here the epochs bound too, so they must not."""
    found, keys = convert(max_steps=700, num_train_epochs=3)
    assert found.recipe["train"]["max_steps"] == 700
    assert found.recipe["train"]["epochs"] == 700
    assert "overrides" in keys["num_train_epochs"].why
    assert convert(max_steps=-1, num_train_epochs=3)[0].recipe["train"]["epochs"] == 3


def test_warmup() -> None:
    assert convert(warmup_ratio=0.1, max_steps=55)[0].recipe["train"]["warmup_steps"] == 6
    assert convert(warmup_steps=0.1, max_steps=55)[0].recipe["train"]["warmup_steps"] == 6, "below one it is a share"
    assert convert(warmup_ratio=0.0)[0].recipe["train"]["warmup_steps"] == 0
    found, keys = convert(warmup_ratio=0.1)
    if "warmup_ratio" not in found.recipe["train"]:
        assert "warmup_steps" not in found.recipe["train"]
        assert keys["warmup_ratio"].state == "not taken"
    found, keys = convert(warmup_ratio=0.1, warmup_steps=20)
    assert found.recipe["train"]["warmup_steps"] == 20
    assert "overrides" in keys["warmup_ratio"].why


def test_validation() -> None:
    assert convert(val_size=200)[0].recipe["data"]["limit"] == {"valid": 200}
    split = convert(val_size=0.95)[0].recipe["data"]["split"]
    assert split["train"] + split["valid"] + split["test"] == pytest.approx(1)
    found, keys = convert(eval_dataset="held", val_size=0.1)
    assert found.recipe["data"]["source"] == {
        "train": "data/dataset_info.json:notes",
        "valid": "data/dataset_info.json:held",
    }
    assert found.recipe["evaluate"] == {"split": "valid"}
    assert keys["val_size"].state == "not taken"


def test_where_data_sets_are() -> None:
    assert convert(dataset="a/b", dataset_dir="ONLINE")[0].recipe["data"]["source"] == "hub:a/b"
    assert convert(dataset=["x", "y"])[0].recipe["data"]["source"] == "data/dataset_info.json:x,y"


@pytest.mark.parametrize(
    ("wanted", "facts", "targets", "state"),
    [
        ("all", None, "all", "taken"),
        ("all", "llama", "all", "taken"),
        ("all", "deepseek_v3", "all", "changed"),
        ("q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", "llama", "all", "taken"),
        ("q_proj,k_proj,v_proj", "llama", ["attention_q", "attention_kv"], "taken"),
        ("q_proj,v_proj", "llama", ["attention_q", "attention_kv"], "changed"),
        ("gate_proj", "llama", ["mlp"], "changed"),
        ("q_a_proj,q_b_proj,o_proj", "deepseek_v3", ["attention_q", "attention_o"], "taken"),
        ("gate_proj,up_proj,down_proj", "deepseek_v3", ["dense_mlp", "shared_experts"], "taken"),
        ("q_proj,lm_head", "qwen2", ["attention_q"], "changed"),
    ],
)
def test_targets(wanted: str, facts: str | None, targets: Any, state: str) -> None:
    found, keys = convert(facts, lora_target=wanted)
    assert found.recipe["adapter"]["targets"] == targets
    assert keys["lora_target"].state == state
    if "lm_head" in wanted:
        assert "lm_head" in keys["lora_target"].why


@pytest.mark.parametrize("wanted", ["lm_head", r".*\.q_proj", ""])
def test_targets_without_counterpart(wanted: str) -> None:
    found, keys = convert("llama", lora_target=wanted)
    assert "targets" not in found.recipe["adapter"]
    assert keys["lora_target"].state == "not taken"


def test_four_bits() -> None:
    found, keys = convert(quantization_bit=4)
    assert found.recipe["adapter"]["kind"] == "qlora"
    assert keys["quantization_bit"].state == "taken"
    found, keys = convert(quantization_bit=8, quantization_method="hqq")
    assert found.recipe["adapter"]["kind"] == "lora"
    assert keys["quantization_bit"].state == keys["quantization_method"].state == "not taken"


def test_variants() -> None:
    found, keys = convert(use_dora=True, pissa_init=False, use_rslora=False)
    assert found.recipe["adapter"]["dora"] is True
    assert keys["use_rslora"].state == "taken"
    assert convert(pissa_init=True)[0].recipe["adapter"]["init"] == "pissa"
    found, keys = convert(use_dora=True, pissa_init=True)
    assert keys["pissa_init"].state == "not taken", "what excludes another setting is left out, with the reason"
    assert "exclude" in keys["pissa_init"].why


def test_full_and_what_has_no_counterpart() -> None:
    found, keys = convert(finetuning_type="full", lora_rank=8)
    assert found.recipe["adapter"] == {"kind": "full"}
    assert "full" in keys["lora_rank"].why
    assert convert(finetuning_type="freeze")[1]["finetuning_type"].state == "not taken"


def test_packing() -> None:
    _, keys = convert(packing=True, cutoff_len=1024)
    assert "see each other" in keys["packing"].why
    assert keys["packing"].becomes == "train.pack_tokens: 1024"
    _, keys = convert(packing=False)
    assert keys["packing"].state == "changed"


def test_raw_text() -> None:
    found, keys = convert(stage="pt")
    assert found.recipe["data"]["shape"] == "text"
    assert "mask_history" not in keys


def test_system_turn() -> None:
    assert convert(default_system="Be brief.")[0].recipe["task"] == {"kind": "generate", "system": "Be brief."}


@pytest.mark.parametrize("keys", [{"stage": "dpo"}, {"stage": "rm"}, {"do_train": False}])
def test_other_trainings_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cannot become a recipe"):
        convert(**keys)


def test_values_that_a_recipe_refuses() -> None:
    found, keys = convert(lora_dropout=1.5, learning_rate="fast", gradient_accumulation_steps=0)
    assert "dropout" not in found.recipe["adapter"]
    assert "less than 1" in keys["lora_dropout"].why
    for name in ("learning_rate", "gradient_accumulation_steps"):
        assert keys[name].state == "not taken"
        assert keys[name].why


def test_numbers_written_as_texts() -> None:
    assert convert(learning_rate="1e-4")[0].recipe["train"]["lr"] == 1e-4
