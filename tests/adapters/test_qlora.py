"""QLoRA: what is in 4 bits, gradients through it, and the way back to the whole base."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import lora, qlora
from yibu.core.errors import BaseModelError, InputError, MissingExtra, RecipeError
from yibu.core.recipe import parse

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def attached(architecture: str = "llama", dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    model, chosen = tiny_model(architecture).to(dtype), qlora.Settings(**{"r": 4, **settings})
    plan = qlora.plan(model, bases.facts_for(model.config), chosen)
    torch.manual_seed(3)
    return qlora.attach(model, plan, chosen)


def randomise(tuned: Any) -> Any:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return tuned.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False).logits


def dequantised(architecture: str, tuned: Any) -> Any:
    """A plain model whose weights are what the 4-bit ones are read as."""
    import bitsandbytes as bnb
    from torch.nn.utils import parametrize

    plain = tiny_model(architecture)
    quantised = tuned.get_base_model()
    for name in tuned.yibu_quantised["names"]:
        parent, _, leaf = name.rpartition(".")
        if parametrize.is_parametrized(quantised.get_submodule(parent), leaf):
            value = getattr(quantised.get_submodule(parent), leaf)
        else:
            module = quantised.get_submodule(name)
            weight = getattr(module, "base_layer", module).weight
            value, name = bnb.functional.dequantize_4bit(weight.data, weight.quant_state), f"{name}.weight"
        plain.get_parameter(name).data = value.detach().clone()
    return plain


def test_settings_are_checked_at_the_door() -> None:
    assert parse(qlora.Settings, {}).as_config()["kind"] == "qlora"
    for table, message in (({"experts": True}, "4-bit base"), ({"init": "pissa"}, "4 bits cannot hold")):
        with pytest.raises(RecipeError, match=message):
            parse(qlora.Settings, table)


def test_plan_names_what_is_quantised() -> None:
    model = tiny_model("deepseek_v3")
    plan = qlora.plan(model, bases.facts_for(model.config), qlora.Settings(r=4))
    assert plan.table() == lora.plan(model, bases.facts_for(model.config), lora.Settings(r=4)).table()
    assert "model.layers.1.mlp.experts.gate_up_proj" in plan.quantised
    assert not any(part in name for name in plan.quantised for part in ("embed", "lm_head", "mlp.gate.", "norm"))
    assert not any(name.endswith("mlp.gate") for name in plan.quantised)
    grouped = tiny_model("deepseek_v4")
    with pytest.raises(RecipeError, match="cannot adapt these parts"):
        qlora.plan(grouped, bases.facts_for(grouped.config), qlora.Settings(targets=("attention_o_grouped",)))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="qlora"):
        qlora.quantise(tiny_model(), {"names": [], "double_quant": True})


@needs_bitsandbytes
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "deepseek_v3"])
def test_value_and_gradient_are_those_of_the_dequantised_base(architecture: str) -> None:
    """Exact: the same LoRA on a plain model that holds the 4-bit weights as they are read."""
    tuned = randomise(attached(architecture))
    plain = dequantised(architecture, tuned)
    settings = lora.Settings(r=4)
    reference = lora.attach(plain, lora.plan(plain, bases.facts_for(plain.config), settings), settings)
    values = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    for name, parameter in reference.named_parameters():
        if parameter.requires_grad:
            parameter.data = values[name].detach().clone()
    torch.testing.assert_close(logits(tuned), logits(reference), rtol=1e-5, atol=1e-5)
    for model in (tuned.train(), reference.train()):
        model(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
    for name, parameter in reference.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(values[name].grad, parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


@needs_bitsandbytes
def test_base_is_a_quarter(tmp_path: Path) -> None:
    """4 bits and 1/64 of a scale for each quantised number, in place of 16."""
    model = tiny_model("deepseek_v3").bfloat16()
    plan = qlora.plan(model, bases.facts_for(model.config), qlora.Settings(r=4))
    whole = {name: p.numel() for name, p in model.named_parameters()}
    numbers = sum(whole.get(name, whole.get(f"{name}.weight", 0)) for name in plan.quantised)
    qlora.quantise(model, {"names": list(plan.quantised), "double_quant": True})
    kept = sum(p.numel() * p.element_size() for p in model.parameters())
    assert kept == 2 * (sum(whole.values()) - numbers) + numbers // 2


@needs_bitsandbytes
def test_dropout_drops_the_update_alone() -> None:
    tuned = randomise(attached(dropout=0.5))
    answer = logits(tuned)
    assert torch.equal(answer, logits(tuned))
    tuned.train()
    assert not torch.equal(logits(tuned), logits(tuned))
    with tuned.disable_adapter():
        assert torch.equal(logits(tuned), logits(tuned))


@needs_bitsandbytes
def test_learns_in_bf16() -> None:
    tuned = attached("deepseek_v3", torch.bfloat16)
    trained = [p for p in tuned.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(6):
        loss = tuned.train()(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.5


@needs_bitsandbytes
@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3", "deepseek_v4"])
def test_is_merged_into_the_base_that_was_not_quantised(architecture: str, tmp_path: Path) -> None:
    tuned = randomise(attached(architecture))
    qlora.save(tuned, tmp_path)
    with pytest.raises(InputError, match="base as it is on disk"):
        qlora.merge(tuned)
    whole = lora.load(tiny_model(architecture), tmp_path)
    answer = logits(whole)
    merged = qlora.merge(whole)
    assert float((logits(merged) - answer).abs().max()) < 1e-5
    name = "model.layers.0.self_attn.o_b_proj" if architecture == "deepseek_v4" else "model.layers.0.self_attn.o_proj"
    update = tuned.get_base_model().get_submodule(name).get_delta_weight("default")
    expected = tiny_model(architecture).get_parameter(f"{name}.weight") + update
    torch.testing.assert_close(merged.get_parameter(f"{name}.weight"), expected, rtol=1e-6, atol=1e-6)


@needs_bitsandbytes
def test_a_folder_that_does_not_say_how(tmp_path: Path) -> None:
    model, settings = tiny_model(), lora.Settings(r=4)
    lora.save(lora.attach(model, lora.plan(model, bases.facts_for(model.config), settings), settings), tmp_path)
    with pytest.raises(BaseModelError, match="how its base was quantised"):
        qlora.load(tiny_model(), tmp_path)
    assert adapters.FAMILY.load("qlora") is qlora
