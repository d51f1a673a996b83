"""LoRA and bottlenecks together: both learn, both are saved, both are switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tiny import tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import bottleneck, joint, lora
from yibu.core.errors import BaseModelError, RecipeError
from yibu.core.recipe import parse

SMALL = {"lora": {"r": 4}, "bottleneck": {"width": 8}}


def attached(architecture: str = "llama", **table: Any) -> tuple[Any, adapters.Plan]:
    model, settings = tiny_model(architecture), joint.Settings.model_validate({**SMALL, **table})
    plan = joint.plan(model, bases.facts_for(model.config), settings)
    torch.manual_seed(3)
    return joint.attach(model, plan, settings), plan


def randomise(tuned: Any) -> Any:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return tuned.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False).logits


def test_is_known_by_what_it_is() -> None:
    assert "lora+bottleneck" in adapters.FAMILY.names()
    assert "joint" not in adapters.FAMILY.names()
    assert adapters.FAMILY.load("lora+bottleneck") is joint


def test_settings_of_both_parts() -> None:
    settings = parse(joint.Settings, {"lora": {"r": 8, "lr_ratio": 4}, "bottleneck": {"form": "serial"}})
    assert (settings.r, settings.lr_ratio, settings.gates) == (8, 4.0, False)
    with pytest.raises(RecipeError, match=r"lora\.rank"):
        parse(joint.Settings, {"lora": {"rank": 8}})
    for part in ({"dora": True}, {"experts": True}, {"init": "pissa"}):
        with pytest.raises(RecipeError, match="gates"):
            parse(joint.Settings, {"gates": True, "lora": part})


def test_plan_is_both_plans() -> None:
    plan = attached()[1]
    model = tiny_model()
    facts = bases.facts_for(model.config)
    low_rank = lora.plan(model, facts, lora.Settings(r=4))
    beside = bottleneck.plan(model, facts, bottleneck.Settings(width=8))
    assert plan.table() == low_rank.table() + beside.table()
    gated = attached(gates=True)[1]
    inputs = sum(model.get_submodule(name).in_features for name in low_rank.names)
    assert gated.parameters - plan.parameters == inputs + 64 * len(beside.names)


def test_no_gate_where_none_can_be() -> None:
    with pytest.raises(RecipeError, match="cannot have a gate"):
        attached("deepseek_v4", gates=True, lora={"targets": ["attention_o_grouped"]})


@pytest.mark.parametrize("gates", [False, True])
def test_switched_off_it_is_the_base(gates: bool) -> None:
    tuned = randomise(attached(gates=gates)[0])
    answer = logits(tuned)
    with tuned.disable_adapter():
        assert torch.equal(logits(tuned), logits(tiny_model()))
    assert torch.equal(logits(tuned), answer)


def test_low_rank_part_is_a_plain_peft_folder(tmp_path: Path) -> None:
    tuned = randomise(attached()[0])
    joint.save(tuned, tmp_path)
    for part in tuned._switches:
        part.enabled = False
    plain = PeftModel.from_pretrained(tiny_model(), tmp_path)
    assert torch.equal(logits(plain), logits(tuned))


def test_each_tensor_lies_in_one_file(tmp_path: Path) -> None:
    tuned = randomise(attached(gates=True)[0])
    joint.save(tuned, tmp_path)
    low_rank, beside = load_file(tmp_path / lora.WEIGHTS), load_file(tmp_path / bottleneck.WEIGHTS)
    assert all("lora_A" in name or "lora_B" in name for name in low_rank)
    assert all(".bottleneck." in name or ".update_gate." in name for name in beside)
    total = sum(t.numel() for t in (*low_rank.values(), *beside.values()))
    assert total == sum(p.numel() for p in tuned.parameters() if p.requires_grad)


def test_a_gate_is_a_factor_on_the_update() -> None:
    tuned = randomise(attached(gates=True)[0])
    layer = tuned.get_base_model().get_submodule("model.layers.0.mlp.up_proj")
    x = torch.randn(3, 64)
    change = layer(x) - layer.base_layer(x)
    gate = torch.sigmoid(x @ layer.update_gate.weight.T)
    torch.testing.assert_close(change, gate * (x @ layer.get_delta_weight("default").T), rtol=1e-4, atol=1e-5)


def test_half_of_it_is_not_it(tmp_path: Path) -> None:
    tuned, _ = attached()
    joint.save(tuned, tmp_path)
    (tmp_path / bottleneck.CONFIG).unlink()
    with pytest.raises(BaseModelError, match="no bottleneck"):
        joint.load(tiny_model(), tmp_path)
    model, settings = tiny_model(), bottleneck.Settings()
    plan = bottleneck.plan(model, bases.facts_for(model.config), settings)
    bottleneck.save(bottleneck.attach(model, plan, settings), tmp_path / "alone")
    with pytest.raises(BaseModelError, match="without LoRA"):
        joint.load(tiny_model(), tmp_path / "alone")
