"""Bottlenecks: what they compute, where they hang, and what their files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from tiny import tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import bottleneck
from yibu.adapters._bottleneck import Bottleneck, bottlenecks, hang
from yibu.core.errors import BaseModelError, RecipeError
from yibu.core.recipe import parse


def attached(architecture: str = "llama", **settings: Any) -> tuple[Any, adapters.Plan]:
    model, chosen = tiny_model(architecture), bottleneck.Settings(**settings)
    plan = bottleneck.plan(model, bases.facts_for(model.config), chosen)
    torch.manual_seed(3)
    return bottleneck.attach(model, plan, chosen), plan


def randomise(tuned: Any) -> Any:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if ".bottleneck." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return tuned.eval()


def logits(model: Any, **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False, **more).logits


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"places": []}, "each once"),
        ({"places": ["mlp", "mlp"]}, "each once"),
        ({"places": ["router"]}, "places"),
        ({"form": "stacked"}, "form"),
        ({"width": 0}, "width"),
        ({"scale": 0}, "scale"),
        ({"size": 8}, "unknown key"),
        ({"layers": "top-x"}, "top-N"),
    ],
)
def test_settings_are_checked_at_the_door(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(bottleneck.Settings, table)


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_computes_what_the_papers_say(form: Any) -> None:
    """Serial: y + s U f(D y) (Houlsby et al.); parallel: y + s U f(D x) (He et al.), x in, y out of the block."""
    block = torch.nn.Linear(6, 6)
    made = Bottleneck(6, 3, scale=4.0, activation="relu", dropout=0.0)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 5, 6)
    y = block(x)
    hang(block, made, form)
    seen = y if form == "serial" else x
    inner = F.relu(seen @ made.down.weight.T + made.down.bias)
    torch.testing.assert_close(block(x), y + 4.0 * (inner @ made.up.weight.T + made.up.bias))
    made.enabled = False
    assert torch.equal(block(x), y)


def test_a_gate_closes_and_opens_token_by_token() -> None:
    made = Bottleneck(4, 2, scale=1.0, activation="gelu", dropout=0.0, gated=True)
    torch.nn.init.normal_(made.up.weight)
    assert made.gate is not None
    with torch.no_grad():
        made.gate.weight.copy_(torch.tensor([[100.0, 0, 0, 0]]))
    x = torch.randn(3, 4)
    x[:, 0] = torch.tensor([-1.0, 0.0, 1.0])
    free = made(x)
    made.gate = None
    torch.testing.assert_close(free, made(x) * torch.tensor([[0.0], [0.5], [1.0]]))


@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3", "deepseek_v4"])
def test_hangs_on_blocks_and_renames_nothing(architecture: str) -> None:
    tuned, plan = attached(architecture)
    depth = tuned.config.num_hidden_layers
    assert {row.role: row.names for row in plan.classes} == {
        "attention_bottleneck": tuple(f"model.layers.{n}.self_attn" for n in range(depth)),
        "mlp_bottleneck": tuple(f"model.layers.{n}.mlp" for n in range(depth)),
    }
    base = {name for name in tuned.get_base_model().state_dict() if ".bottleneck." not in name}
    assert base == set(tiny_model(architecture).state_dict())


def test_places_and_layers() -> None:
    tuned, plan = attached(places=("mlp",), layers=(1,), width=8)
    assert adapters.adapted_targets(tuned) == ["model.layers.1.mlp"] == sorted(plan.names)
    assert plan.parameters == 2 * 8 * 64 + 8 + 64
    with pytest.raises(RecipeError, match="beyond the depth"):
        attached(layers="top-3")


def test_architecture_without_a_file_of_its_own() -> None:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig

    config = GPTNeoXConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    plan = bottleneck.plan(model, bases.facts_for(model.config), bottleneck.Settings())
    assert sorted(plan.names) == [f"gpt_neox.layers.{n}.{block}" for n in range(2) for block in ("attention", "mlp")]
    before = logits(model)
    tuned = bottleneck.attach(model, plan, bottleneck.Settings())
    assert torch.equal(logits(tuned), before)
    assert not torch.equal(logits(randomise(tuned)), before)


def test_switched_off_it_is_the_base() -> None:
    tuned = randomise(attached()[0])
    answer = logits(tuned)
    with tuned.disable_adapter():
        assert torch.equal(logits(tuned), logits(tiny_model()))
    assert torch.equal(logits(tuned), answer)
    with pytest.raises(ZeroDivisionError), tuned.disable_adapter():
        raise ZeroDivisionError
    assert torch.equal(logits(tuned), answer), "an error inside must not leave it off"


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_writes_with_a_cache_as_it_reads_without(form: str) -> None:
    """A token must not see what comes after it, gate or no gate."""
    tuned = randomise(attached(form=form)[0])
    ids = tiny_ids(1, 8)
    written = tuned.generate(input_ids=ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    for end in range(8, written.shape[1]):
        with torch.no_grad():
            assert int(tuned(input_ids=written[:, :end]).logits[0, -1].argmax()) == int(written[0, end])


def test_dropout_is_for_training_alone() -> None:
    tuned = randomise(attached(dropout=0.5)[0])
    assert torch.equal(logits(tuned), logits(tuned))
    tuned.train()
    assert not torch.equal(logits(tuned), logits(tuned))


def test_is_fp32_on_a_bf16_base() -> None:
    model = tiny_model("deepseek_v3").bfloat16()
    settings = bottleneck.Settings()
    tuned = bottleneck.attach(model, bottleneck.plan(model, bases.facts_for(model.config), settings), settings)
    assert {p.dtype for p in tuned.parameters() if p.requires_grad} == {torch.float32}
    assert logits(tuned).dtype == torch.bfloat16


def test_files(tmp_path: Path) -> None:
    tuned = randomise(attached(width=8)[0])
    bottleneck.save(tuned, tmp_path / "one", base="owner/name")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {bottleneck.CONFIG, bottleneck.WEIGHTS}
    record = json.loads((tmp_path / "one" / bottleneck.CONFIG).read_text())
    assert record["base_model_name_or_path"] == "owner/name"
    assert record["blocks"] == sorted(bottlenecks(tuned.get_base_model()))
    assert record["settings"]["width"] == 8
    names = set(load_file(tmp_path / "one" / bottleneck.WEIGHTS))
    assert "model.layers.0.mlp.bottleneck.down.weight" in names
    again = bottleneck.load(tiny_model(), tmp_path / "one", trainable=True)
    assert sum(p.requires_grad for p in again.parameters()) == len(names)


def test_damaged_files(tmp_path: Path) -> None:
    bottleneck.save(attached()[0], tmp_path)
    tensors = load_file(tmp_path / bottleneck.WEIGHTS)
    name = "model.layers.0.mlp.bottleneck.up.weight"
    save_file({key: value for key, value in tensors.items() if key != name}, tmp_path / bottleneck.WEIGHTS)
    with pytest.raises(BaseModelError, match=r"layers\.0\.mlp\.bottleneck\.up"):
        bottleneck.load(tiny_model(), tmp_path)
    for text in ("{", "[]", "{}"):
        (tmp_path / bottleneck.CONFIG).write_text(text)
        with pytest.raises(BaseModelError, match="record"):
            bottleneck.load(tiny_model(), tmp_path)
