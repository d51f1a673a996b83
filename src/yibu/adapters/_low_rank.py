"""A linear layer and its low-rank update as one autograd node, however the frozen weight is stored.

peft computes ``base(x) + B(A(dropout(x))) * scaling`` as separate nodes: with fp32 adapters on a bf16 base it keeps an
fp32 copy of each input and one intermediate per layer. Here a layer keeps its input (shared by neighbouring
projections) and the rank-r product alone. A weight in few bits is read again in the backward pass and never kept.

Legend: N tokens, I input features, O output features, R rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Read = Callable[[Tensor, torch.dtype], Tensor]
"""From a stored weight and the type of a product to ``weight_OI`` of that type."""


def as_it_is(stored: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight that is stored as what it is."""
    return stored


class LoraProduct(torch.autograd.Function):
    """``x W^T + b + scaling * (x_dropped A^T) B^T`` with W and b frozen (Hu et al. 2021, arXiv 2106.09685)."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        stored: Tensor,
        read: Read,
        bias_O: Tensor | None,
        a_RI: Tensor,
        b_OR: Tensor,
        scaling: float,
        keep_NI: Tensor | None,
    ) -> Tensor:
        a, b = a_RI.to(x_NI.dtype), b_OR.to(x_NI.dtype)
        dropped = x_NI if keep_NI is None else x_NI * keep_NI
        low_NR = dropped @ a.T
        ctx.save_for_backward(x_NI, stored, a_RI, b_OR, low_NR, keep_NI)
        ctx.scaling, ctx.read = scaling, read
        return F.linear(x_NI, read(stored, x_NI.dtype), bias_O).addmm_(low_NR, b.T, alpha=scaling)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_NO,) = grads
        x_NI, stored, a_RI, b_OR, low_NR, keep_NI = ctx.saved_tensors
        grad_low_NR = (grad_NO @ b_OR.to(grad_NO.dtype)).mul_(ctx.scaling)
        grad_b = (grad_NO.T @ low_NR).to(b_OR.dtype).mul_(ctx.scaling)
        dropped = x_NI if keep_NI is None else x_NI * keep_NI
        grad_a = (grad_low_NR.T @ dropped).to(a_RI.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_NO @ ctx.read(stored, grad_NO.dtype)
            if keep_NI is None:
                grad_x.addmm_(grad_low_NR, a_RI.to(grad_NO.dtype))
            else:
                grad_x += (grad_low_NR @ a_RI.to(grad_NO.dtype)) * keep_NI
        return grad_x, None, None, None, grad_a, grad_b, None, None


def product_of(layer: Any, adapter: str, x: Tensor, stored: Tensor, bias_O: Tensor | None, read: Read) -> Tensor:
    """Forward pass of one of peft's LoRA layers by `LoraProduct`, dropout included; ``[..., out_features]``.

    Args:
        layer: a `peft.tuners.lora.LoraLayer`.
        adapter: which of its adapters, see `single_plain_adapter`.
        stored, bias_O: of its base layer.
    """
    flat_NI = x.reshape(-1, x.shape[-1])
    keep_NI, dropout = None, layer.lora_dropout[adapter]
    if layer.training and isinstance(dropout, nn.Dropout) and dropout.p > 0:
        # The mask alone is drawn here, so that the input need not be kept a second time.
        keep_NI = F.dropout(torch.ones_like(flat_NI), p=dropout.p)
    y_NO: Tensor = LoraProduct.apply(  # type: ignore[no-untyped-call]
        flat_NI,
        stored,
        read,
        bias_O,
        layer.lora_A[adapter].weight,
        layer.lora_B[adapter].weight,
        layer.scaling[adapter],
        keep_NI,
    )
    return y_NO.view(*x.shape[:-1], -1)


def single_plain_adapter(layer: Any) -> str | None:
    """The one active vanilla adapter of one of peft's LoRA layers, or None where peft's own path must decide."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    adapter: str = layer.active_adapters[0]
    if adapter not in layer.lora_A or adapter in layer.lora_variant or layer.lora_bias.get(adapter, False):
        return None
    return adapter
