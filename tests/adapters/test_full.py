"""Full fine-tuning: what is trained, in which type, and what is saved of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tiny import tiny_base, tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import full
from yibu.core.errors import BaseModelError, InputError, RecipeError, TrainingError
from yibu.model.resolve import load_model


def attached(architecture: str = "llama", **settings: Any) -> tuple[Any, adapters.Plan]:
    model, chosen = tiny_model(architecture), full.Settings(**settings)
    plan = full.plan(model, bases.facts_for(model.config), chosen)
    return full.attach(model, plan, chosen), plan


def trained(tuned: Any) -> set[str]:
    return {adapters.adapted_name(name) for name, p in tuned.named_parameters() if p.requires_grad}


def test_everything_but() -> None:
    every = {name for name, _ in tiny_model("qwen2").named_parameters()}
    assert trained(attached("qwen2")[0]) == every
    assert every - trained(attached("qwen2", embeddings=False)[0]) == {"model.embed_tokens.weight", "lm_head.weight"}
    upper = trained(attached("qwen2", layers="top-1")[0])
    assert upper == {name for name in every if ".layers.1." in name}
    assert trained(attached("qwen2", targets=("mlp",))[0]) == {name for name in every if ".mlp." in name}
    with pytest.raises(RecipeError, match="did you mean 'mlp'"):
        attached("qwen2", targets=("mlpp",))
    with pytest.raises(RecipeError, match="beyond the depth"):
        attached("qwen2", layers=(2,))
    with pytest.raises(RecipeError, match="Nothing would be trained"):
        attached("qwen2", layers=(0,), targets=("embedding",))


def test_what_no_gradient_reaches_is_left_out() -> None:
    names = trained(attached("deepseek_v4")[0])
    assert not any("indexer" in name or "compressor" in name for name in names)
    assert any("experts.gate_up_proj" in name for name in names)
    assert any(name.endswith("mlp.gate.weight") for name in names), "the router is part of the reference"


def test_a_parameter_without_a_role() -> None:
    import dataclasses

    facts = bases.FAMILY.load("llama").FACTS
    fewer = tuple(role for role in facts.roles if role.name != "norm")
    with pytest.raises(TrainingError, match="norm"):
        full.plan(tiny_model(), dataclasses.replace(facts, roles=fewer), full.Settings())


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "deepseek_v3", "deepseek_v4"])
@pytest.mark.parametrize("embeddings", [True, False])
def test_masters_are_fp32_and_compute_is_bf16(architecture: str, embeddings: bool, tmp_path: Path) -> None:
    """The same answers as a base in bf16, gradients and steps in fp32, and steps that bf16 would lose are kept."""
    half = load_model(tiny_base(tmp_path / "base", architecture), dtype=torch.bfloat16)
    with torch.no_grad():
        expected = half(input_ids=tiny_ids(), use_cache=False).logits
    tuned, plan = attached(architecture, embeddings=embeddings)
    adapters.hold_masters(tuned, torch.bfloat16)
    adapters.check_attached(tuned, plan)
    assert {p.dtype for p in tuned.parameters() if p.requires_grad} == {torch.float32}
    output = tuned(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False)
    assert output.logits.dtype == torch.bfloat16
    assert torch.equal(output.logits, expected)
    output.loss.backward()
    gradients = {n: p.grad for n, p in tuned.named_parameters() if p.requires_grad and p.grad is not None}
    assert {grad.dtype for grad in gradients.values()} == {torch.float32}
    assert {plan.role_of(name) for name in gradients} == {row.role for row in plan.classes}

    before = {adapters.adapted_name(n): p.detach().clone() for n, p in tuned.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.mul_(1 + 1e-4)  # a bf16 weight moves by no less than 1/256 of itself
    full.save(tuned, tmp_path / "tuned")
    saved = load_file(tmp_path / "tuned" / full.WEIGHTS)
    assert set(saved) == plan.names
    for name, value in saved.items():
        torch.testing.assert_close(value, before[name] * (1 + 1e-4), rtol=1e-6, atol=0)
    merged = full.merge(tuned)
    assert set(merged.state_dict()) == set(tiny_model(architecture).state_dict())


def test_tied_ends_stay_tied() -> None:
    tuned, _ = attached("llama")
    adapters.hold_masters(tuned, torch.bfloat16)
    tuned(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.5)
    merged = full.merge(tuned)
    assert merged.get_input_embeddings().weight is merged.get_output_embeddings().weight


def test_there_is_no_base_to_go_back_to() -> None:
    tuned, _ = attached()
    with pytest.raises(InputError, match="no adapter that could be switched off"), tuned.disable_adapter():
        pass


def test_files_of_another_kind(tmp_path: Path) -> None:
    full.save(attached()[0], tmp_path)
    (tmp_path / full.CONFIG).write_text("{}")
    with pytest.raises(BaseModelError, match="not whole"):
        full.load(tiny_model(), tmp_path)
    (tmp_path / full.CONFIG).unlink()
    with pytest.raises(BaseModelError, match="no trained weights"):
        full.load(tiny_model(), tmp_path)
