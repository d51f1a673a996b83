"""Counts from shapes against torch's own counter, on the plain implementation, which it sees whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tiny import ARCHITECTURES, tiny_config, tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.model.flops import Cost
from yibu.model.foresee import foresee, outline

LORA = adapters.FAMILY.load("lora")


def plain(architecture: str) -> Any:
    model = tiny_model(architecture)
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    return model


def counted(model: Any, length: int, rows: int = 2, backward: bool = False) -> int:
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        logits = model(input_ids=tiny_ids(rows, length), use_cache=False).logits
        if backward:
            logits.logsumexp(-1).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("length", [24, 97])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_forward_is_what_the_counter_sees(architecture: str, length: int) -> None:
    model = plain(architecture)
    assert Cost.of(model).forward(length, rows=2) == pytest.approx(counted(model, length), rel=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_whole_is_what_the_counter_sees(architecture: str) -> None:
    model = plain(architecture)
    cost = Cost.of(model)
    assert cost.training(32, rows=2) == pytest.approx(counted(model, 32, backward=True), rel=0.01)
    assert cost.trained == cost.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["lora", "bottleneck"])
@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3", "deepseek_v4"])
def test_training_an_adapter_is_what_the_counter_sees(architecture: str, kind: str) -> None:
    model, plug = plain(architecture), adapters.FAMILY.load(kind)
    settings = plug.Settings()
    plan = plug.plan(model, bases.facts_for(model.config), settings)
    foreseen = Cost.of(model, plan.table())
    tuned = plug.attach(model, plan, settings)
    inner = tuned.get_base_model() if hasattr(tuned, "get_base_model") else model
    inner.enable_input_require_grads()  # the counter then sees the gradient of the first layer's input, too
    cost = Cost.of(tuned.train())
    assert cost.training(32, rows=2) == pytest.approx(counted(tuned, 32, backward=True), rel=0.01)
    assert cost.trained == sum(weight.numel() for weight in tuned.parameters() if weight.requires_grad)
    # What the plan tells beforehand is what is there afterwards; its biases are taken for weights.
    assert (foreseen.trained, foreseen.parameters, foreseen.activated) == (
        cost.trained,
        cost.parameters,
        cost.activated,
    )
    assert foreseen.training(32) == pytest.approx(cost.training(32), rel=0.01)


@pytest.mark.parametrize("architecture", ["gemma3", "deepseek_v2", "deepseek_v32", "deepseek_v4"])
def test_answer_with_a_cache_is_what_the_counter_sees(architecture: str) -> None:
    model = plain(architecture)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.generate(input_ids=tiny_ids(1, 20), max_new_tokens=6, min_new_tokens=6, do_sample=False)
    assert Cost.of(model).answer(20, 6) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_fused_attention_costs_the_same_here_and_nothing_there() -> None:
    model = plain("llama")
    seen = counted(model, 64)
    model.set_attn_implementation("sdpa")
    assert counted(model, 64) < 0.95 * seen
    assert Cost.of(model).forward(64, rows=2) == pytest.approx(seen, rel=0.01)


def test_layers_in_four_bits_count_by_their_shape() -> None:
    class Packed(nn.Linear):
        """Two numbers in a byte, as bitsandbytes keeps them."""

        def __init__(self, layer: nn.Linear) -> None:
            super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None)
            packed = torch.zeros((layer.weight.numel() // 2, 1), dtype=torch.uint8)
            self.weight = nn.Parameter(packed, requires_grad=False)

    model = tiny_model("llama")
    whole = Cost.of(model, [])
    for layer in model.model.layers:
        layer.mlp.gate_proj = Packed(layer.mlp.gate_proj)
        layer.self_attn.q_proj = Packed(layer.self_attn.q_proj)
    assert Cost.of(model, []) == whole


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "deepseek_v2", "deepseek_v3"])
def test_parameters_are_those_that_are_foreseen(architecture: str) -> None:
    found = foresee(tiny_config(architecture).to_dict())
    cost = Cost.of(outline(tiny_config(architecture).to_dict()), found.plan)
    assert cost.parameters == found.parameters + found.trained
    assert cost.activated == found.active + found.trained
    assert cost.trained == found.trained
    assert cost.training_per_token == pytest.approx(
        2 * (cost.per_token - cost.trained_products) + 3 * cost.trained_products
    )


def test_a_window_bounds_what_a_token_costs_with_a_cache_and_recomputing_adds_a_pass() -> None:
    cost = Cost.of(tiny_model("gemma3"))
    sliding, full = cost.layers
    assert sliding.of(1, 100, cached=True)[0] == full.of(1, 16, cached=True)[0]
    assert sliding.of(1, 100, cached=False) == full.of(1, 100, cached=False)
    more = cost.training(32, recompute=True) - cost.training(32)
    assert more == cost.forward(32) - 32 * cost.head
