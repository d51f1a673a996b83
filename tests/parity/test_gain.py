"""What is left of an adapter's gain, and the gate on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tiny import tiny_ids, tiny_model
from yibu import bases
from yibu.adapters import lora
from yibu.core.errors import DataError, GateRefused
from yibu.parity import gate
from yibu.parity.gain import gain_kept, loss_grown

IDS = tiny_ids(30, 20)


def adapted() -> Any:
    """A model with an adapter that does something, without training."""
    model = tiny_model()
    settings = lora.Settings()
    made = lora.attach(model, lora.plan(model, bases.facts_for(model.config), settings), settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if ".lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return made.eval()


def quantised(model: Any, bits: int) -> Any:
    """Weights of the linear layers rounded to equal steps per row, as the plainest int4 does."""
    most = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                step = module.weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-9) / most
                module.weight.copy_((module.weight / step).round() * step)
    return model


def hits(model: Any, truth: torch.Tensor, sure: torch.Tensor) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return (model(input_ids=IDS).logits.argmax(-1) == truth)[sure].float().numpy()


def test_an_int4_that_lost_half_the_gain_is_caught_and_an_int8_is_not() -> None:
    # The task is what the adapter learnt to say, where it is sure of it.
    with torch.no_grad():
        best = adapted()(input_ids=IDS).logits.topk(2)
    truth, gap = best.indices[..., 0], best.values[..., 0] - best.values[..., 1]
    sure = gap > gap.median()
    base, adapter = hits(tiny_model(), truth, sure), hits(adapted(), truth, sure)
    eight = gain_kept(base, adapter, hits(quantised(lora.merge(adapted()), 8), truth, sure))
    four = gain_kept(base, adapter, hits(quantised(lora.merge(adapted()), 4), truth, sure))
    assert eight.ok
    assert four.ok is False
    assert four.measured is not None
    assert 0.3 < four.measured < 0.7
    gate([eight])
    with pytest.raises(GateRefused, match="gain kept"):
        gate([eight, four])


def test_the_share_and_its_interval() -> None:
    base, adapter = np.zeros(200), np.ones(200)
    exported = (np.arange(200) % 10 != 0).astype(float)
    check = gain_kept(base, adapter, exported)
    assert check.measured == pytest.approx(0.9)
    assert check.low is not None
    assert check.high is not None
    assert 0.8 < check.low < 0.9 < check.high < 0.97
    assert not check.ok
    assert gain_kept(base, adapter, exported, bound=0.9).ok


def test_a_loss_is_better_lower() -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(3, 0.3, 100)
    adapter, exported = base - 1, base - 0.97
    check = gain_kept(base, adapter, exported, better="lower")
    assert check.measured == pytest.approx(0.97)
    assert check.ok


def test_without_a_gain_nothing_is_judged_unless_something_was_lost() -> None:
    draw = np.random.default_rng(0)
    base = (draw.random(100) < 0.6).astype(float)
    assert gain_kept(base, base, base).ok is None
    lost = gain_kept(base, base, base * (np.arange(100) % 2))
    assert lost.ok is False
    assert "surely worse" in lost.detail


def test_only_the_same_items_count() -> None:
    with pytest.raises(DataError, match="same items"):
        gain_kept([0, 1], [1, 1], [1])
    with pytest.raises(DataError, match="same items"):
        gain_kept([], [], [])


def test_the_loss_that_grew_is_a_ratio_of_sums_with_its_interval() -> None:
    before = np.linspace(0.5, 1.5, 80)
    same = loss_grown(before, before, bound=1.15)
    assert (same.ok, same.measured, same.low, same.high) == (True, 1.0, 1.0, 1.0)
    grown = loss_grown(before, before * np.linspace(1.1, 1.3, 80), bound=1.15)
    assert grown.ok is False
    assert grown.measured == pytest.approx(float((before * np.linspace(1.1, 1.3, 80)).sum() / before.sum()))
    assert grown.low is not None
    assert grown.high is not None
    assert grown.low < grown.measured < grown.high
    assert loss_grown(before, before * 9, bound=None).ok is None
    assert loss_grown(before, before * float("nan"), bound=1.15).ok is False
    with pytest.raises(DataError):
        loss_grown(before, before[:3], bound=1.15)
