"""ms-swift: its hub, its sampling marks, its optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yibu import bases, importers
from yibu.core.errors import RecipeError
from yibu.core.recipe import load_yaml
from yibu.importers import Imported, Key
from yibu.pipeline import Recipe

FILE = Path(__file__).parent / "configs" / "swift.yaml"
SMALL = {"model": "a/b", "dataset": "rows.jsonl", "tuner_type": "lora"}


def convert(**keys: Any) -> tuple[Imported, dict[str, Key]]:
    found = importers.convert({**SMALL, **keys}, "x.yaml", Recipe)
    return found, {key.name: key for key in found.keys}


def test_a_whole_config() -> None:
    found = importers.convert(load_yaml(FILE), FILE, Recipe, bases.FAMILY.load("deepseek_v2").FACTS)
    assert found.recipe == {
        "name": "swift",
        "base": "deepseek-ai/DeepSeek-V2-Lite-Chat",
        "task": {"kind": "generate", "system": "你是一名严谨的医生助理。"},
        "data": {
            "source": {"train": "hospital/qa.jsonl", "valid": "hospital/valid.jsonl"},
            "limit": {"train": 2000},
        },
        "adapter": {"kind": "lora", "r": 16, "alpha": 32, "dropout": 0.05, "targets": "all"},
        "train": {
            "max_length": 3072,
            "pack_tokens": 3072,
            "lr": 1e-4,
            "epochs": 2,
            "batch": 2,
            "accumulate": 8,
            "weight_decay": 0.1,
            "betas": [0.9, 0.95],
            "dtype": "bf16",
            "evaluate_every": 50,
            "checkpoint_every": 50,
        },
        "evaluate": {"split": "valid"},
    }
    keys = {key.name: key for key in found.keys}
    assert keys["target_modules"].state == "changed", "all-linear is the routed experts and the router there"
    assert keys["truncation_strategy"].state == "not taken"
    assert keys["model"].state == "changed"
    assert "ModelScope" in keys["model"].why
    assert not keys["gradient_accumulation_steps"].given


@pytest.mark.parametrize(("batch", "accumulate"), [(1, 16), (3, 6), (16, 1), (32, 1)])
def test_accumulation_fills_a_step_of_sixteen_rows(batch: int, accumulate: int) -> None:
    assert convert(per_device_train_batch_size=batch)[0].recipe["train"]["accumulate"] == accumulate


@pytest.mark.parametrize(
    ("dataset", "source", "limit"),
    [
        ("c/d", "hub:c/d", None),
        ("c/d:zh#500", "hub:c/d:zh:train", 500),
        ("HF::c/d", "hub:c/d", None),
        (["a.jsonl#10", "b.jsonl#20"], ["a.jsonl", "b.jsonl"], None),
        ("a.jsonl b.jsonl", ["a.jsonl", "b.jsonl"], None),
        ("/data/有 空格.jsonl#7", "/data/有 空格.jsonl", 7),
    ],
)
def test_data_sets(dataset: Any, source: Any, limit: int | None) -> None:
    found, keys = convert(dataset=dataset)
    assert found.recipe["data"]["source"] == source
    assert found.recipe["data"].get("limit", {}).get("train") == limit
    asks_modelscope = isinstance(source, str) and source.startswith("hub:") and not str(dataset).startswith("HF::")
    assert ("ModelScope" in keys["dataset"].why) == asks_modelscope


def test_hugging_face_is_no_change() -> None:
    _, keys = convert(use_hf=True, dataset="c/d")
    assert keys["model"].state == keys["dataset"].state == "taken"


def test_full_has_another_rate() -> None:
    assert convert(tuner_type="full")[0].recipe["train"]["lr"] == 1e-5
    assert convert()[0].recipe["train"]["lr"] == 1e-4
    assert convert(tuner_type="longlora")[1]["tuner_type"].state == "not taken"


def test_older_names() -> None:
    found = importers.convert({"model": "a/b", "dataset": "x.jsonl", "train_type": "lora"}, "x.yaml", Recipe)
    assert found.recipe["adapter"]["kind"] == "lora"


def test_lengths() -> None:
    assert convert(max_length=99)[0].recipe["train"]["too_long"] == "drop", "delete is its default"
    assert convert(max_length=99, truncation_strategy="raise")[0].recipe["train"]["too_long"] == "refuse"


def test_variants() -> None:
    found, _ = convert(init_weights="pissa_niter_16", lorap_lr_ratio=16, use_rslora=True)
    assert found.recipe["adapter"]["init"] == "pissa"
    assert found.recipe["adapter"]["lr_ratio"] == 16
    assert convert(init_weights="olora")[1]["init_weights"].state == "not taken"
    assert convert(init_weights=True)[1]["init_weights"].state == "taken"
    found, _ = convert(target_parameters=["mlp.experts.gate_up_proj"])
    assert found.recipe["adapter"]["experts"] is True
    assert "dropout" not in found.recipe["adapter"]
    assert convert(target_regex=r".*q_proj", target_modules=["q_proj"])[1]["target_modules"].state == "not taken"


@pytest.mark.parametrize("keys", [{"rlhf_type": "dpo"}, {"task_type": "seq_cls"}])
def test_other_trainings_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cannot become a recipe"):
        convert(**keys)


def test_system_in_a_file_is_not_taken() -> None:
    assert convert(system="prompt.txt")[1]["system"].state == "not taken"
