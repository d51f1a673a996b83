from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from tiny import tiny_config, tiny_model
from yibu import adapters, bases
from yibu.adapters import lora
from yibu.model import attention
from yibu.model.lora_linear import FusedLoraLinear
from yibu.model.packing import make_pack, pack_loss
from yibu.model.render import Example
from yibu.train.estimate import (
    ADAPTER_BYTES,
    Sizes,
    foresee_memory,
    forward_flops,
    layer_bytes,
    matmul_rate,
    training_flops,
)

CPU = torch.device("cpu")


def sizes_of(architecture: str) -> Sizes:
    model = tiny_model(architecture)
    return Sizes.of(model, bases.facts_for(model.config))


def counted_bytes(architecture: str, dtype: torch.dtype, num_tokens: int = 512) -> float:
    """Bytes that one token really leaves behind in one layer, counted by autograd's own hooks."""
    model = tiny_model(architecture, max_position_embeddings=num_tokens).to(dtype)
    facts = bases.facts_for(model.config)
    settings = lora.Settings()
    tuned = lora.attach(model, lora.plan(model, facts, settings), settings, linear_class=FusedLoraLinear)
    model.set_attn_implementation(attention.NAME)
    weights = {parameter.untyped_storage().data_ptr() for parameter in tuned.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    rows = [Example(tuple(range(5, 69)), (False,) * 60 + (True,) * 4, str(row)) for row in range(num_tokens // 64)]
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        pack_loss(tuned.train(), make_pack(rows))
    return sum(kept.values()) / num_tokens / model.config.num_hidden_layers


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "deepseek_v2", "deepseek_v3"])
def test_activations_are_foreseen_within_a_fifth(architecture: str, dtype: torch.dtype) -> None:
    foreseen = layer_bytes(sizes_of(architecture), lora.Settings().r, dtype, on_cpu=True)
    assert foreseen == pytest.approx(counted_bytes(architecture, dtype), rel=0.2)


def test_of_experts_only_the_chosen_ones_count() -> None:
    config = tiny_config("deepseek_v3")
    sizes = sizes_of("deepseek_v3")
    one_expert = 3 * config.hidden_size * config.moe_intermediate_size
    sparse_layers = config.num_hidden_layers - config.first_k_dense_replace
    idle = (config.n_routed_experts - config.num_experts_per_tok) * one_expert * sparse_layers
    assert sizes.active == sizes.parameters - idle - 2 * config.vocab_size * config.hidden_size


def test_a_tied_head_is_counted_once_as_a_parameter() -> None:
    sizes = sizes_of("llama")
    config = tiny_config("llama")
    assert sizes.head == config.vocab_size * config.hidden_size
    assert sizes.active + sizes.head == sizes.parameters


def test_sizes_need_no_weights() -> None:
    from transformers import AutoModelForCausalLM

    config = tiny_config("gemma3")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert Sizes.of(model, bases.facts_for(config)) == sizes_of("gemma3")


def test_memory_grows_with_what_causes_it() -> None:
    sizes = sizes_of("llama")
    small = foresee_memory(sizes, 1000, 16, 100, torch.float32, CPU)
    assert small.weights == 4 * sizes.parameters
    assert small.adapter == 1000 * ADAPTER_BYTES
    assert small.total < small.available
    assert foresee_memory(sizes, 1000, 16, 200, torch.float32, CPU).activations == 2 * small.activations
    assert foresee_memory(sizes, 1000, 16, 100, torch.bfloat16, CPU).weights == small.weights / 2
    assert foresee_memory(sizes, 1000, 16, 100, torch.float32, CPU, recompute=True).activations < small.activations


def test_flops_of_a_frozen_base() -> None:
    sizes = sizes_of("llama")
    assert training_flops(sizes, tokens=10, targets=2) == 4 * (sizes.active * 10 + sizes.head * 2)
    assert training_flops(sizes, 10, 2, recompute=True) > training_flops(sizes, 10, 2)
    assert forward_flops(sizes, 10, 2) == training_flops(sizes, 10, 2) / 2


def test_the_matrix_speed_is_a_speed() -> None:
    rate = matmul_rate(CPU, torch.float32, 64, sizes_of("llama"))
    assert 1e7 < rate < 1e13


def test_the_adapter_family_is_what_the_estimate_was_made_for() -> None:
    """The formula counts the low-rank products of seven linear layers; another kind of adapter needs its own term."""
    assert "lora" in adapters.FAMILY.names()
