"""The fused LoRA layer must be peft's layer: same value, same gradients, same merge."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import Linear as PeftLinear
from torch import nn

from yibu.model.lora_linear import FusedLoraLinear


def layer(cls: type, bias: bool = False, dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout)
    base = nn.Linear(12, 10, bias=bias, dtype=dtype).requires_grad_(False)
    made = cls(base, "default", config=config, r=4, lora_alpha=8)
    generator = torch.Generator().manual_seed(1)
    made.lora_A["default"].weight.data = torch.randn(4, 12, generator=generator)
    made.lora_B["default"].weight.data = torch.randn(10, 4, generator=generator)
    return made


def run(made: nn.Module, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(2)).to(dtype).requires_grad_(True)
    y = made(x)
    (y.float() ** 2).sum().backward()
    return {
        "y": y.detach(),
        "x": x.grad,
        "a": made.lora_A["default"].weight.grad,
        "b": made.lora_B["default"].weight.grad,
    }


@pytest.mark.parametrize("bias", [False, True])
def test_value_and_gradients_are_those_of_peft(bias: bool) -> None:
    ours, theirs = run(layer(FusedLoraLinear, bias)), run(layer(PeftLinear, bias))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-4, msg=name)


def test_in_bf16_gradients_point_where_those_of_peft_point() -> None:
    ours, theirs = (run(layer(cls, dtype=torch.bfloat16), torch.bfloat16) for cls in (FusedLoraLinear, PeftLinear))
    for name in ours:
        cosine = nn.functional.cosine_similarity(ours[name].float().flatten(), theirs[name].float().flatten(), dim=0)
        assert cosine > 0.995, name
    assert ours["a"].dtype == torch.float32


def test_dropout_drops_the_same_inputs_forward_and_backward() -> None:
    made = layer(FusedLoraLinear, dropout=0.5).double()
    x = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)

    def same_mask(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)
        made.lora_A["default"].weight.data, made.lora_B["default"].weight.data = a.data, b.data
        keep = nn.functional.dropout(torch.ones_like(x), p=0.5)
        from yibu.adapters._low_rank import LoraProduct, as_it_is

        return LoraProduct.apply(x, made.base_layer.weight, as_it_is, None, a, b, 2.0, keep)

    a = torch.randn(4, 12, dtype=torch.float64, requires_grad=True)
    b = torch.randn(10, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(same_mask, (x, a, b))


def test_dropout_is_off_in_evaluation_and_the_update_scales_by_its_mean() -> None:
    made = layer(FusedLoraLinear, dropout=0.5)
    x = torch.randn(1, 12)
    torch.testing.assert_close(made.eval()(x), layer(PeftLinear).eval()(x))
    made.train()
    with torch.no_grad():
        mean = torch.stack([made(x) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, made.eval()(x).detach(), rtol=0.1, atol=2.0)


def test_disabled_and_merged_layers_are_pefts_own() -> None:
    made, x = layer(FusedLoraLinear), torch.randn(3, 12)
    with_adapter = made(x).detach()
    made.enable_adapters(False)
    torch.testing.assert_close(made(x), made.base_layer(x))
    made.enable_adapters(True)
    made.merge()
    torch.testing.assert_close(made(x), with_adapter, rtol=1e-5, atol=1e-5)
