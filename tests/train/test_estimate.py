from __future__ import annotations

from pathlib import Path
from typing import Any

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
from yibu.train.checkpoint import KEEP, save_checkpoint
from yibu.train.estimate import (
    ADAPTER_BYTES,
    Sizes,
    Trained,
    foresee_disk,
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


def trained_of(architecture: str, table: dict[str, Any]) -> tuple[Trained, Any]:
    model = tiny_model(architecture)
    facts, plug = bases.facts_for(model.config), adapters.FAMILY.load(table["kind"])
    settings = plug.Settings.model_validate(table)
    plan = plug.plan(model, facts, getattr(plug, "foreseen", lambda model, facts, given: given)(model, facts, settings))
    masters, rank = bool(getattr(plug, "MASTERS", False)), int(getattr(settings, "r", 0))
    return Trained.of(plan, model, facts, masters, rank), model


def test_memory_grows_with_what_causes_it() -> None:
    sizes = sizes_of("llama")
    thousand = Trained(1000, rank=16)
    small = foresee_memory(sizes, thousand, 100, 10, torch.float32, CPU)
    assert small.weights == 4 * sizes.parameters
    assert small.adapter == 1000 * ADAPTER_BYTES
    assert small.total < small.available
    assert foresee_memory(sizes, thousand, 200, 10, torch.float32, CPU).activations == 2 * small.activations
    assert foresee_memory(sizes, thousand, 100, 10, torch.bfloat16, CPU).weights == small.weights / 2
    assert foresee_memory(sizes, thousand, 100, 10, torch.float32, CPU, recompute=True).activations < small.activations


def test_flops_of_a_frozen_base() -> None:
    sizes = sizes_of("llama")
    assert training_flops(sizes, tokens=10, targets=2) == 4 * (sizes.active * 10 + sizes.head * 2)
    assert training_flops(sizes, 10, 2, recompute=True) > training_flops(sizes, 10, 2)
    assert forward_flops(sizes, 10, 2) == training_flops(sizes, 10, 2) / 2


def test_full_fine_tuning_needs_20_bytes_and_6_flops_a_parameter() -> None:
    """And in 16 bits 2 bytes more, for the copy that a pass computes with; gradients pass by on their way."""
    sizes, (trained, model) = sizes_of("qwen2"), trained_of("qwen2", {"kind": "full"})
    assert trained.parameters == trained.whole == sizes.parameters
    assert trained.used_whole == sizes.active
    assert trained.head
    assert trained.passing == sum(sorted(p.numel() for p in model.parameters())[-2:]) == 2 * sizes.head
    whole = foresee_memory(sizes, trained, 100, 10, torch.float32, CPU)
    assert whole.weights + whole.adapter == 20 * sizes.parameters + 4 * trained.passing
    half = foresee_memory(sizes, trained, 100, 10, torch.bfloat16, CPU)
    assert half.weights + half.adapter == 22 * sizes.parameters + 4 * trained.passing
    assert half.output_layer == 10 * sizes.vocabulary * 10 + 4 * sizes.head
    assert training_flops(sizes, 10, 2, trained=trained) == 6 * (sizes.active * 10 + sizes.head * 2)
    assert training_flops(sizes, 10, 2, True, trained) == 8 * sizes.active * 10 + 6 * sizes.head * 2


def test_a_tied_head_that_is_trained_costs_as_one() -> None:
    assert trained_of("llama", {"kind": "full"})[0].head, "its matrix is the embedding's"
    assert not trained_of("llama", {"kind": "full", "embeddings": False})[0].head


def test_of_some_layers_and_experts_only_these_cost_more() -> None:
    sizes, (top, model) = sizes_of("qwen2"), trained_of("qwen2", {"kind": "full", "layers": "top-1"})
    one_layer = sum(p.numel() for p in model.get_decoder().layers[-1].parameters())
    assert (top.whole, top.used_whole, top.head) == (one_layer, one_layer, False)
    memory = foresee_memory(sizes, top, 100, 10, torch.float32, CPU)
    assert memory.weights == 4 * (sizes.parameters - one_layer)

    sizes, (experts, model) = sizes_of("deepseek_v3"), trained_of("deepseek_v3", {"kind": "experts", "p": 0.5})
    config = model.config
    of_one = 3 * config.hidden_size * config.moe_intermediate_size
    assert experts.whole == experts.parameters == 2 * of_one, "two of four experts in one layer"
    assert experts.used_whole == experts.whole * config.num_experts_per_tok / config.n_routed_experts
    plain, tuned = (training_flops(sizes, 10, 2, trained=t) for t in (None, experts))
    assert tuned - plain == 2 * experts.used_whole * 10
    memory = foresee_memory(sizes, experts, 100, 10, torch.bfloat16, CPU)
    assert memory.weights == 2 * (sizes.parameters + experts.whole), "the differences lie beside the base"


def test_low_rank_updates_cost_6_flops_a_parameter() -> None:
    sizes, (trained, _) = sizes_of("llama"), trained_of("llama", {"kind": "lora"})
    assert (trained.whole, trained.passing, trained.head) == (0, 0, False)
    assert trained.used_beside == trained.parameters
    with_it, without = training_flops(sizes, 10, 2, trained=trained), training_flops(sizes, 10, 2)
    assert with_it - without == 6 * trained.parameters * 10


def test_disk_is_that_of_checkpoints_and_adapter(tmp_path: Path) -> None:
    tensors = {name: torch.zeros(1000) for name in ("weight", "exp_avg", "exp_avg_sq", "best")}
    for step in range(1, KEEP + 3):
        save_checkpoint(tmp_path, step, tensors, {})
    kept = sum(path.stat().st_size for path in tmp_path.rglob("tensors.safetensors"))
    disk = foresee_disk(1000, 500, tmp_path)
    assert disk.checkpoints * KEEP / (KEEP + 1) == pytest.approx(kept, rel=0.02)
    assert (disk.plain_base, disk.adapter) == (500, 4000)
    assert disk.total == 500 + 4000 + disk.checkpoints < disk.available


def test_the_matrix_speed_is_a_speed() -> None:
    rate = matmul_rate(CPU, torch.float32, 64, sizes_of("llama"))
    assert 1e7 < rate < 1e13


def test_the_adapter_family_is_what_the_estimate_was_made_for() -> None:
    """The formula counts the low-rank products of seven linear layers; another kind of adapter needs its own term."""
    assert "lora" in adapters.FAMILY.names()
