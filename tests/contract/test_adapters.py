"""One test over every architecture: what is adapted is what was planned, it trains, it leaves in everybody's format.

The peft side of each check is plain peft: ``PeftModel.from_pretrained`` and ``AutoModelForCausalLM.from_pretrained``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from tiny import ARCHITECTURES, tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import lora
from yibu.core.errors import TrainingError

# Number of adapted modules of each role in the tiny models, counted by hand from their configs: two layers (V4 three),
# of which the first is dense in the mixtures.
DENSE = {"attention_q": 2, "attention_kv": 4, "attention_o": 2, "mlp": 6}
MIXTURE = {"attention_q": 4, "attention_kv": 4, "attention_o": 2, "dense_mlp": 3, "shared_experts": 3}
PLANNED = {
    "llama": DENSE,
    "qwen2": DENSE,
    "gemma3": DENSE,
    "deepseek_v2": {**MIXTURE, "attention_q": 2},
    "deepseek_v2_low_rank_q": MIXTURE,
    "deepseek_v3": MIXTURE,
    "deepseek_v32": MIXTURE,
    "deepseek_v4": {"attention_q": 6, "attention_kv": 3, "attention_o": 3, "shared_experts": 9},
}
ROUTED_EXPERTS = {"deepseek_v2": 2, "deepseek_v2_low_rank_q": 2, "deepseek_v3": 2, "deepseek_v32": 2, "deepseek_v4": 6}
# Here peft must be told a layer by its weight, and then computes (W + BA) x where yibu computes W x + B A x.
BY_WEIGHT = {"deepseek_v2", "deepseek_v2_low_rank_q", "deepseek_v3", "deepseek_v32"}

CASES = [(name, False) for name in ARCHITECTURES] + [(name, True) for name in ROUTED_EXPERTS]
each_case = pytest.mark.parametrize(("architecture", "experts"), CASES, ids=lambda v: str(v))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False).logits


def planned(architecture: str, experts: bool, **settings: Any) -> tuple[Any, adapters.Plan, lora.Settings]:
    model = tiny_model(architecture)
    chosen = lora.Settings(r=4, alpha=8, experts=experts, **settings)
    return model, lora.plan(model, bases.facts_for(model.config), chosen), chosen


def trained(architecture: str, experts: bool, steps: int = 3) -> tuple[Any, adapters.Plan, dict[str, float]]:
    """An adapted model after a few steps, its plan, and each role's largest gradient in the first step."""
    model, plan, settings = planned(architecture, experts)
    torch.manual_seed(1)
    tuned = lora.attach(model, plan, settings)
    tuned.train()
    parameters = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2)
    largest = {row.role: 0.0 for row in plan.classes}
    for step in range(steps):
        tuned(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
        if step == 0:
            for name, parameter in parameters.items():
                role = plan.role_of(name)
                largest[role] = max(largest[role], float(parameter.grad.abs().max()))
        optimizer.step()
        optimizer.zero_grad()
    return tuned.eval(), plan, largest


@each_case
def test_plan_and_reality_agree(architecture: str, experts: bool) -> None:
    model, plan, settings = planned(architecture, experts)
    expected = PLANNED[architecture] | ({"experts": ROUTED_EXPERTS[architecture]} if experts else {})
    assert {row.role: len(row.names) for row in plan.classes} == expected
    before = logits(model)

    tuned = lora.attach(model, plan, settings)

    adapters.check_attached(tuned, plan)
    assert adapters.adapted_targets(tuned) == sorted(plan.names)
    trainable = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    assert trainable == plan.parameters == sum(row["parameters"] for row in plan.table())
    assert torch.equal(logits(tuned), before), "a fresh adapter must not change an answer"


@each_case
def test_every_role_gets_gradient_and_the_rest_stays(architecture: str, experts: bool) -> None:
    untouched = {name: value.clone() for name, value in tiny_model(architecture).state_dict().items()}
    tuned, plan, largest = trained(architecture, experts)

    assert set(largest) == {row.role for row in plan.classes}
    assert min(largest.values()) > 0
    base = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in tuned.state_dict().items()
        if ".lora_" not in name
    }
    assert base.keys() == untouched.keys()
    assert [name for name in base if not torch.equal(base[name], untouched[name])] == []


@each_case
def test_saved_adapter_is_everybodys(architecture: str, experts: bool, tmp_path: Path) -> None:
    tuned, plan, _ = trained(architecture, experts)
    answer = logits(tuned)
    assert not torch.allclose(answer, logits(tiny_model(architecture)), atol=1e-2), "training changed nothing"

    lora.save(tuned, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    ours = lora.load(tiny_model(architecture), tmp_path)
    adapters.check_attached(lora.load(tiny_model(architecture), tmp_path, trainable=True), plan)
    assert torch.equal(logits(ours), answer)

    plain = PeftModel.from_pretrained(tiny_model(architecture), tmp_path)
    assert adapters.adapted_targets(plain) == sorted(plan.names)
    difference = float((logits(plain) - answer).abs().max())
    assert difference <= (5e-6 if architecture in BY_WEIGHT else 0.0)
    # Whatever the order of the sums: plain peft holds the same base with the same update, bit for bit.
    merged, plain_merged = lora.merge(ours).state_dict(), plain.merge_and_unload().state_dict()
    assert merged.keys() == plain_merged.keys()
    assert [name for name in merged if not torch.equal(merged[name], plain_merged[name])] == []


@each_case
def test_merged_model_is_plain(architecture: str, experts: bool, tmp_path: Path) -> None:
    tuned, plan, _ = trained(architecture, experts)
    answer = logits(tuned)
    untouched = tiny_model(architecture).state_dict()

    merged = lora.merge(tuned)

    assert float((logits(merged) - answer).abs().max()) < 1e-5
    weights = merged.state_dict()
    assert weights.keys() == untouched.keys()
    changed = {name.removesuffix(".weight") for name in weights if not torch.equal(weights[name], untouched[name])}
    assert changed == plan.names, "the merge must change the planned weights and no other: no router, no embedding"

    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert torch.equal(logits(again), logits(merged))


@pytest.mark.parametrize("architecture", sorted(BY_WEIGHT))
def test_what_peft_does_on_its_own_is_caught(architecture: str) -> None:
    """The trap itself: peft moves the shared expert and the dense layer to the routed experts and says nothing."""
    model, plan, _ = planned(architecture, experts=False)
    naive = get_peft_model(model, LoraConfig(r=4, target_modules=sorted(plan.names)))
    with pytest.raises(TrainingError) as caught:
        adapters.check_attached(naive, plan)
    without, not_planned = caught.value.what.splitlines()[1:]
    assert "layers.1.mlp.shared_experts.gate_proj" in without
    assert "layers.1.mlp.experts.gate_up_proj" in not_planned
