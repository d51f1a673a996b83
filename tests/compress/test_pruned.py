"""Prune, train again, merge, round: in this order, each an artifact, and only train rows are looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tiny import VOCABULARY
from tuned import Tuned, tuned
from yibu import pipeline
from yibu.compress import CompressSettings, calibrate, checks_of, pruned
from yibu.core.errors import GateRefused, RecipeError
from yibu.core.recipe import parse

PRUNE = "compress.prune={layers: 1, vocabulary: true}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tuned(tmp_path_factory.mktemp("tuned"), num_rows=240)


def check(small: Any, name: str) -> dict[str, Any]:
    return next(one for one in checks_of(small) if one["name"] == name)


def test_pruned_recovered_and_rounded(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    small = made.small(PRUNE, "compress.recover={epochs: 2}", "compress.quantise=int4")
    assert [step["kind"] for step in small.read_json("summary.json")["steps"]] == ["prune", "recover", "quantise"]
    model = AutoModelForCausalLM.from_pretrained(small.path / "model")
    tokenizer = AutoTokenizer.from_pretrained(small.path / "model")
    assert len(model.model.layers) == 1
    assert model.config.vocab_size == len(tokenizer) < VOCABULARY
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert check(small, "ids of training = ids of serving")["ok"]
    assert check(small, "gain kept")["ok"]
    assert check(small, "loss / the adapter's")["bound"] == 1.15


def test_recovery_brings_the_loss_back(made: Tuned) -> None:
    bare, again = (made.small(PRUNE, *more) for more in ((), ("compress.recover={epochs: 2}",)))
    losses = [check(small, "loss / the adapter's")["measured"] for small in (bare, again)]
    assert losses[1] < losses[0]
    assert again.manifest.inputs["pruned"] == bare.manifest.inputs["pruned"], "pruned once"
    weights = [AutoModelForCausalLM.from_pretrained(s.path / "model").model.layers[0].mlp for s in (bare, again)]
    assert not torch.equal(weights[0].up_proj.weight, weights[1].up_proj.weight)


def test_a_model_that_lost_too_much_is_refused(made: Tuned) -> None:
    recipe = made.with_sections(PRUNE, "compress.loss=0.1")
    small = made.small(PRUNE, "compress.loss=0.1")
    with pytest.raises(GateRefused, match="loss / the adapter's: FAILED"):
        pipeline.pass_parity(recipe, made.store, small)


def test_nothing_of_test_is_looked_at(made: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    real = calibrate.read_rows
    monkeypatch.setattr(calibrate, "read_rows", lambda path: seen.append(path) or real(path))
    made.small(PRUNE, "compress.calibration_rows=9")
    assert {path.name for path in seen} == {"train.jsonl"}


def test_a_pruned_model_leaves_and_its_engine_says_the_same(made: Tuned) -> None:
    sections = (PRUNE, "compress.recover={epochs: 2}", "export=[{kind: safetensors, what: model}]")
    recipe, small = made.with_sections(*sections), made.small(*sections)
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, small)
    assert json.loads((bundle.path / "bundle" / "model" / "config.json").read_text())["num_hidden_layers"] == 1


def test_a_config_that_tells_another_model_is_noticed(made: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pruned.load_model

    def other(path: Path, *given: Any) -> Any:
        model = real(path, *given)
        model.model.norm.weight.data.mul_(2)
        return model

    monkeypatch.setattr(pruned, "load_model", other)
    with pytest.raises(Exception, match="cannot be pruned so"):
        made.small("compress.prune={layers: 1}", "compress.calibration_rows=8")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"recover": {}}, "nothing is pruned"),
        ({"prune": {"kind": "quantise"}}, "no way to prune"),
        ({"quantise": {"kind": "prune", "layers": 1}}, "no way to quantise"),
        ({"prune": {}}, "nothing would be dropped"),
    ],
)
def test_tables_that_mean_nothing(table: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse(CompressSettings, table)


def test_experts_of_a_mixture_go_too(tmp_path: Path) -> None:
    made = tuned(tmp_path, "deepseek_v3", num_rows=60, train={"lr": 1e-2, "epochs": 1, "threads": 1})
    small = made.small("compress.prune={experts: 3}", "compress.recover={}")
    assert AutoModelForCausalLM.from_pretrained(small.path / "model").config.n_routed_experts == 3
    assert [step["kind"] for step in small.read_json("summary.json")["steps"]] == ["prune", "recover"]
