"""peft's LoRA layer with one fused forward and backward.

peft computes ``base(x) + B(A(dropout(x))) * scaling`` as separate autograd nodes: with fp32 adapters on a bf16 base it
keeps an fp32 copy of each input and one intermediate per layer. Here the whole layer is one autograd node that keeps
the input (shared by neighbouring projections) and the rank-r product alone. Same parameters, same state dict, same
merge: it is a subclass of `peft.tuners.lora.Linear`, registered through peft's mechanism for custom layers.

Legend: N tokens, I input features, O output features, R rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear as PeftLoraLinear
from torch import Tensor, nn


class LoraProduct(torch.autograd.Function):
    """``x W^T + b + scaling * (x_dropped A^T) B^T`` with W and b frozen (Hu et al. 2021, arXiv 2106.09685)."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        a_RI: Tensor,
        b_OR: Tensor,
        scaling: float,
        keep_NI: Tensor | None,
    ) -> Tensor:
        a, b = a_RI.to(x_NI.dtype), b_OR.to(x_NI.dtype)
        dropped = x_NI if keep_NI is None else x_NI * keep_NI
        low_NR = dropped @ a.T
        ctx.save_for_backward(x_NI, weight_OI, a_RI, b_OR, low_NR, keep_NI)
        ctx.scaling = scaling
        return F.linear(x_NI, weight_OI, bias_O).addmm_(low_NR, b.T, alpha=scaling)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_NO,) = grads
        x_NI, weight_OI, a_RI, b_OR, low_NR, keep_NI = ctx.saved_tensors
        grad_low_NR = (grad_NO @ b_OR.to(grad_NO.dtype)).mul_(ctx.scaling)
        grad_b = (grad_NO.T @ low_NR).to(b_OR.dtype).mul_(ctx.scaling)
        dropped = x_NI if keep_NI is None else x_NI * keep_NI
        grad_a = (grad_low_NR.T @ dropped).to(a_RI.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_NO @ weight_OI
            if keep_NI is None:
                grad_x.addmm_(grad_low_NR, a_RI.to(grad_NO.dtype))
            else:
                grad_x += (grad_low_NR @ a_RI.to(grad_NO.dtype)) * keep_NI
        return grad_x, None, None, grad_a, grad_b, None, None


class FusedLoraLinear(PeftLoraLinear):  # type: ignore[misc]
    """`peft.tuners.lora.Linear` whose training step is `LoraProduct`; everything else is peft's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        adapter = self._single_plain_adapter()
        base = self.base_layer
        if adapter is None or args or kwargs or not isinstance(base, nn.Linear):
            plain: Tensor = super().forward(x, *args, **kwargs)
            return plain
        flat_NI = x.reshape(-1, x.shape[-1])
        keep = None
        dropout = self.lora_dropout[adapter]
        if self.training and isinstance(dropout, nn.Dropout) and dropout.p > 0:
            # The mask alone is drawn here, so that the input need not be kept a second time.
            keep = F.dropout(torch.ones_like(flat_NI), p=dropout.p)
        y_NO: Tensor = LoraProduct.apply(  # type: ignore[no-untyped-call]
            flat_NI,
            base.weight,
            base.bias,
            self.lora_A[adapter].weight,
            self.lora_B[adapter].weight,
            self.scaling[adapter],
            keep,
        )
        return y_NO.view(*x.shape[:-1], -1)

    def _single_plain_adapter(self) -> str | None:
        """The one active vanilla adapter, or None where peft's own path must decide."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1:
            return None
        adapter: str = self.active_adapters[0]
        if adapter not in self.lora_A or adapter in self.lora_variant or self.lora_bias.get(adapter, False):
            return None
        return adapter
