"""Which tool a config is of, and what is no config of any."""

from __future__ import annotations

from typing import Any

import pytest

from yibu import importers
from yibu.core.errors import InputError, RecipeError
from yibu.pipeline import Recipe


@pytest.mark.parametrize(
    ("table", "tool"),
    [
        ({"stage": "sft", "finetuning_type": "lora", "model_name_or_path": "a/b", "dataset": "x"}, "llamafactory"),
        ({"base_model": "a/b", "datasets": [{"path": "c/d"}]}, "axolotl"),
        ({"model_name_or_path": "a/b", "dataset_name": "c/d"}, "trl"),
        ({"model_name_or_path": "a/b", "datasets": [{"path": "c/d"}]}, "trl"),
        ({"model": "a/b", "dataset": "c/d", "train_type": "lora"}, "swift"),
        ({"model": "a/b", "dataset": "c/d"}, "swift"),
    ],
)
def test_signatures(table: dict[str, Any], tool: str) -> None:
    assert importers.detect(table) == tool


@pytest.mark.parametrize("table", [{}, {"learning_rate": 1e-4}, {"model": "a/b"}])
def test_no_tool(table: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="of no tool"):
        importers.detect(table)


def test_several_tools_ask() -> None:
    table = {"base_model": "a/b", "datasets": [{"path": "c.jsonl"}], "tuner_type": "lora"}
    with pytest.raises(RecipeError, match="several tools") as error:
        importers.detect(table)
    assert error.value.got == ["axolotl", "swift"]
    assert importers.convert(table, "x.yaml", Recipe, tool="axolotl").tool == "Axolotl"


def test_a_recipe_is_no_config() -> None:
    with pytest.raises(RecipeError, match="already"):
        importers.detect({"data": {"source": "x"}})


def test_unknown_importer() -> None:
    with pytest.raises(InputError, match="no importers plug"):
        importers.convert({}, "x.yaml", Recipe, tool="unsloth")


def test_name_of_the_recipe() -> None:
    table = {"model": "a/b", "dataset": "c.jsonl", "tuner_type": "lora"}
    assert importers.convert(table, "/tmp/my run (2).yaml", Recipe).recipe["name"] == "my-run-2"
    assert importers.convert(table, "/tmp/病历.yaml", Recipe).recipe["name"] == "病历"
