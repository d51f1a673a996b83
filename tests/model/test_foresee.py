"""Counts against what the makers state and against sums by hand; memory against its own parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import ARCHITECTURES, tiny_config, tiny_model
from yibu import adapters, bases
from yibu.core.errors import BaseModelError, RecipeError
from yibu.core.recipe import parse
from yibu.model import foresee as foreseeing
from yibu.model.foresee import CARD, Foresight, foresee, outline
from yibu.model.published import published, read_config
from yibu.train import estimate
from yibu.train.checkpoint import KEEP

LORA = adapters.FAMILY.load("lora").Settings
FULL = adapters.FAMILY.load("full").Settings
NAMES = sorted(published())


@pytest.fixture(scope="module")
def found() -> dict[str, Foresight]:
    return {name: foresee(name, cards=(1, 2, 64)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_that_the_makers_state(name: str, found: dict[str, Foresight]) -> None:
    stated, counted = published()[name], found[name]
    if stated.total is not None:
        assert counted.parameters == pytest.approx(stated.total, rel=0.02)
    if stated.active is not None:
        assert counted.active == pytest.approx(stated.active, rel=0.03)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("deepseek_v2_lite", 15_706_484_224),
        ("deepseek_v3", 671_026_404_352),
        ("r1_distill_qwen_7b", 7_615_616_512),
        ("r1_distill_llama_8b", 8_030_261_248),
    ],
)
def test_totals_to_the_last_parameter(name: str, total: int, found: dict[str, Foresight]) -> None:
    assert found[name].parameters == total


@pytest.mark.parametrize("name", [name for name in NAMES if "qwen" in name or "llama" in name or "llm" in name])
def test_dense_totals_by_hand(name: str, found: dict[str, Foresight]) -> None:
    c = published()[name].config
    hidden, wide, heads, kv = (
        c[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    )
    key = hidden // heads * kv
    biases = hidden + 2 * key if c["model_type"] == "qwen2" else 0
    layer = 2 * hidden * hidden + 2 * hidden * key + biases + 3 * hidden * wide + 2 * hidden
    assert found[name].parameters == c["num_hidden_layers"] * layer + hidden + 2 * c["vocab_size"] * hidden


def test_lora_by_hand(found: dict[str, Foresight]) -> None:
    """R1-Distill-Qwen-7B, r = 16: 16 (in + out) for each of seven matrices of 28 layers."""
    hidden, wide, key = 3584, 18944, 512
    layer = 16 * (2 * (hidden + hidden) + 2 * (hidden + key) + 3 * (hidden + wide))
    assert found["r1_distill_qwen_7b"].trained == 28 * layer
    assert sum(part.trained for part in found["r1_distill_qwen_7b"].parts) == 28 * layer
    assert sum(row["parameters"] for row in found["r1_distill_qwen_7b"].plan) == 28 * layer


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_has_a_role(name: str, found: dict[str, Foresight]) -> None:
    facts = bases.FAMILY.load(found[name].architecture).FACTS
    assert {part.role for part in found[name].parts} <= {role.name for role in facts.roles}
    assert sum(part.parameters for part in found[name].parts) == found[name].parameters


def test_disk_is_what_lies_on_the_hub(found: dict[str, Foresight]) -> None:
    """V2-Lite: three files of 8.59 GB and one of 5.64 GB (list of its files)."""
    assert found["deepseek_v2_lite"].disk.base == pytest.approx(3 * 8.59e9 + 5.64e9, rel=0.001)
    v3 = found["deepseek_v3"]
    # The hub counts 685 billion: the layer for multi-token prediction (11.5 and two of 0.9) lies in the files, too.
    assert v3.disk.base == pytest.approx(688.6e9, rel=0.01), "published in fp8"
    assert v3.disk.plain_base == pytest.approx(2 * 684.5e9, rel=0.001), "what is trained is the copy in bf16"
    assert v3.disk.merged == 2 * v3.parameters
    assert found["deepseek_v2_lite"].disk.plain_base == 0
    assert foreseeing.NUM_CHECKPOINTS == KEEP + 1
    assert v3.disk.checkpoints == (KEEP + 1) * 16 * v3.trained
    flash = found["deepseek_v4_flash"]
    assert flash.disk.base < 0.6 * flash.parameters, "experts in fp4"
    assert flash.disk.plain_base == 0, "which cannot be made plain"


def test_one_card_and_many(found: dict[str, Foresight]) -> None:
    for one in found.values():
        single, pair, many = one.memory
        assert [card.cards for card in one.memory] == [1, 2, 64]
        assert single.gathered == 0
        assert pair.gathered == many.gathered > 0
        assert single.weights == 2 * one.parameters
        assert many.weights == -(-single.weights // 64)
        assert (single.optimizer, many.optimizer) == (8 * one.trained, -(-8 * one.trained // 64))
        assert single.activations == many.activations, "every card has tokens of its own"
        assert single.fits == (single.total <= CARD)
    assert found["deepseek_v2_lite"].memory[0].fits
    assert found["deepseek_v2_lite"].smallest == 1
    assert not found["deepseek_v3"].memory[0].fits


def test_recomputing_needs_fewer_cards(found: dict[str, Foresight]) -> None:
    v3 = found["deepseek_v3"]
    assert v3.smallest_recompute is not None
    assert v3.smallest is None or v3.smallest_recompute <= v3.smallest
    again = foresee("deepseek_v3", recompute=True, cards=(v3.smallest_recompute,))
    assert again.memory[0].fits
    assert again.memory[0].activations < v3.memory[0].activations


def test_what_is_needed_is_told(found: dict[str, Foresight]) -> None:
    for one in found.values():
        needed = one.needed
        if one.smallest is not None:
            assert needed is not None
            assert (needed.cards, needed.recompute) == (one.smallest, False)
        elif one.smallest_recompute is not None:
            assert needed is not None
            assert (needed.cards, needed.recompute) == (one.smallest_recompute, True)
        assert needed is None or needed.fits
    assert found["deepseek_v3"].needed is not None


def test_full_fine_tuning_by_hand() -> None:
    """R1-Distill-Qwen-7B: 2 + 4 + 4 + 8 bytes each of 7.6 billion, and gradients of embedding and head that pass by."""
    number = 7_615_616_512
    one = foresee("r1_distill_qwen_7b", FULL(), cards=(1, 8))
    single, eight = one.memory
    assert one.trained == number
    parts = (single.weights, single.adapter, single.gradients, single.optimizer)
    passing = 2 * 152_064 * 3584
    assert parts == (2 * number, 4 * number, 4 * number + 4 * passing, 8 * number)
    assert not single.fits
    assert (eight.weights, eight.adapter) == (0, number // 2), "masters are shared out and cast where they are gathered"
    assert eight.fits
    assert one.smallest == 4
    assert one.host == 4 * number
    assert single.output_layer == 2048 * 152_064 * 10 + 4 * 152_064 * 3584


def test_types_of_weights() -> None:
    kinds: tuple[Any, ...] = ("bf16", "fp8", "nf4")
    weights = {kind: foresee("deepseek_v2_lite", weights=kind).memory[0].weights for kind in kinds}
    assert weights["nf4"] < weights["fp8"] < weights["bf16"]
    dense = foresee("r1_distill_qwen_7b", weights="nf4")
    linear = sum(part.parameters for part in dense.parts if part.kind == "linear")
    rest = dense.parameters - linear
    assert dense.memory[0].weights == pytest.approx(2 * rest + linear * 4.127 / 8, rel=1e-4)


def test_four_bits_are_what_the_plug_packs() -> None:
    """The formula's kinds of roles are the names in the plan of qlora; its scales can be left in fp32."""
    qlora = adapters.FAMILY.load("qlora")
    for architecture in ARCHITECTURES:
        model = tiny_model(architecture)
        plan = qlora.plan(model, bases.facts_for(model.config), qlora.Settings())
        packed = sum(
            parameter.numel()
            for name, parameter in model.named_parameters()
            if name in plan.quantised or name.rpartition(".")[0] in plan.quantised  # biases too: they are few
        )
        found = foresee(tiny_config(architecture).to_dict(), qlora.Settings())
        by_role = sum(part.parameters for part in found.parts if part.kind in ("linear", "experts"))
        assert by_role == packed
        assert found.weights == "nf4"
    single = foresee("r1_distill_qwen_7b", parse(qlora.Settings, {"kind": "qlora", "double_quant": False}))
    assert single.memory[0].weights > foresee("r1_distill_qwen_7b", qlora.Settings()).memory[0].weights


@pytest.mark.parametrize("kind", adapters.FAMILY.names())
def test_every_adapter_can_be_foreseen(kind: str) -> None:
    settings = parse(adapters.FAMILY.load(kind).Settings, {"kind": kind})
    found = foresee("deepseek_v2_lite", settings)
    assert found.trained == sum(row["parameters"] for row in found.plan) > 0
    assert found.memory[0].optimizer == 8 * found.trained
    assert found.disk.adapter == 4 * found.trained


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_config_of_ones_own(architecture: str, tmp_path: Path) -> None:
    config, model = tiny_config(architecture), tiny_model(architecture)
    config.save_pretrained(tmp_path)
    found = foresee(tmp_path, parse(LORA, {"r": 4}))
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.published is None
    assert found.trained > 0
    assert json.loads(json.dumps(found.as_dict()))["memory"][0]["total"] == found.memory[0].total


def test_nothing_is_allocated() -> None:
    model = outline(read_config("deepseek-ai/DeepSeek-V3")[0])
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
    assert all(buffer.numel() < 10**7 or buffer.device.type == "meta" for buffer in model.buffers())


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "deepseek_v2", "deepseek_v3"])
def test_formula_is_that_of_a_run(architecture: str) -> None:
    """The estimate before a run and the one from a config must not drift apart."""
    model = tiny_model(architecture)
    facts = bases.facts_for(model.config)
    theirs, ours = estimate.Sizes.of(model, facts), foreseeing.Sizes.of(model, facts)
    shared = {name: getattr(theirs, name) for name in ours.__dataclass_fields__}
    assert {name: getattr(ours, name) for name in shared} == shared
    device = torch.bfloat16, False
    assert foreseeing.layer_bytes(ours, 16, *device) == estimate.layer_bytes(theirs, 16, *device)
    assert (foreseeing.Sizes, foreseeing.layer_bytes) == (estimate.Sizes, estimate.layer_bytes)


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ("deepseek-ai/DeepSeek-V2-Light", "deepseek-ai/DeepSeek-V2-Lite"),
        ("no/such-model-anywhere", "none is written down"),
        ({"model_type": "no_such_architecture"}, "No model can be built"),
        ({"hidden_size": 64}, "No model can be built"),
        ({"model_type": "llama", "hidden_size": 65, "num_attention_heads": 4}, "No model can be built"),
    ],
)
def test_bad_base(base: Any, says: str) -> None:
    with pytest.raises(BaseModelError, match=says):
        foresee(base)


def test_an_adapter_that_does_not_fit() -> None:
    with pytest.raises(RecipeError, match="no routed experts"):
        foresee("r1_distill_qwen_7b", parse(LORA, {"experts": True}))
    with pytest.raises(RecipeError, match="cannot be adapted"):
        foresee("deepseek_v3", parse(LORA, {"targets": ["mlp"]}))
