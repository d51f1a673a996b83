"""`yibu import`: a config of another tool becomes a recipe on disk, and every key is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from yibu.cli import app
from yibu.pipeline import load

CONFIG = """
model_name_or_path: deepseek-ai/DeepSeek-R1-Distill-Qwen-7B
stage: sft
finetuning_type: lora
lora_target: all
lora_rank: 8
dataset: notes
cutoff_len: 2048
learning_rate: 1.0e-4
num_train_epochs: 2
no_such_key: 1
"""


@pytest.fixture(name="config")
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.yaml"
    path.write_text(CONFIG)
    return path


def test_a_recipe_is_written_and_every_key_told(config: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import", str(config), "--out", "recipe.yaml", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert {key["name"] for key in told["keys"] if key["given"]} >= {"lora_rank", "cutoff_len", "no_such_key"}
    assert next(key for key in told["keys"] if key["name"] == "no_such_key")["state"] == "not taken"
    recipe = load(tmp_path / "recipe.yaml")
    assert recipe.train.epochs == 2
    assert recipe.adapter.as_config()["r"] == 8


def test_nothing_is_written_over(config: Path) -> None:
    done = CliRunner().invoke(app, ["import", str(config), "--out", str(config)])
    assert done.exit_code == 2
    assert config.read_text() == CONFIG


def test_an_unknown_tool_asks(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\n")
    done = CliRunner().invoke(app, ["import", str(path)])
    assert done.exit_code == 2
    assert "--tool" in done.output
