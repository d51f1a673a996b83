"""A base in 4 bits by bitsandbytes, layer by layer, and the LoRA layer that lies on it.

Legend: N tokens, I input features, O output features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bitsandbytes as bnb
import torch
import torch.nn.functional as F
from peft.tuners.lora.bnb import Linear4bit as PeftLinear4bit
from torch import Tensor, nn
from torch.nn.utils import parametrize

from yibu.adapters._low_rank import product_of, single_plain_adapter


class FourBits(nn.Module):
    """Parametrization: a tensor kept in 4 bits and read in its own type.

    bitsandbytes has the like (``bitsandbytes.nn.parametrize``), whose scales do not follow a module to another device.
    """

    def __init__(self, state: Any) -> None:
        super().__init__()
        self.state = state

    @torch.no_grad()
    def forward(self, packed: Tensor) -> Tensor:
        """The tensor in its own type and shape."""
        if self.state.absmax.device != packed.device:
            self.state.to(packed.device)
        read: Tensor = bnb.functional.dequantize_4bit(packed, self.state)
        return read


class Product4bit(torch.autograd.Function):
    """``x W^T + b`` with W in 4 bits and frozen; W is read again in the backward pass, never kept."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, packed: Tensor, state: Any, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(packed)
        ctx.state = state
        return F.linear(x_NI, _read(packed, state, x_NI.dtype), bias_O)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_NO,) = grads
        (packed,) = ctx.saved_tensors
        return grad_NO @ _read(packed, ctx.state, grad_NO.dtype), None, None, None


class FrozenLinear4bit(bnb.nn.Linear4bit):  # type: ignore[misc]
    """bitsandbytes' layer, computed the same way in training and evaluation.

    On a CPU with AVX-512 bitsandbytes repacks the weight in place at the first evaluation, for a kernel that takes only
    some shapes (an assertion fails on others) and rounds otherwise than training did.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[..., out_features]`` in the type of the input."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        flat_NI = x.reshape(-1, x.shape[-1])
        y_NO: Tensor = Product4bit.apply(flat_NI, self.weight.data, self.weight.quant_state, bias)  # type: ignore[no-untyped-call]
        return y_NO.view(*x.shape[:-1], -1)


class LoraLinear4bit(PeftLinear4bit):  # type: ignore[misc]
    """peft's LoRA layer on a 4-bit layer, whose training step is one `LoraProduct`; everything else is peft's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As peft's."""
        adapter, base = single_plain_adapter(self), self.base_layer
        if adapter is None or args or kwargs:
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        state = base.weight.quant_state

        def read(packed: Tensor, dtype: torch.dtype) -> Tensor:
            return _read(packed, state, dtype)

        bias_O = None if base.bias is None else base.bias.to(x.dtype)
        return product_of(self, adapter, x, base.weight.data, bias_O, read)


def layer_classes() -> dict[type, Callable[..., Any]]:
    """Module class -> class of its LoRA layer, for peft's registry."""

    def on_four_bits(target: Any, adapter_name: str, **kwargs: Any) -> Any:
        return LoraLinear4bit(target, adapter_name, **kwargs)

    return {FrozenLinear4bit: on_four_bits}


def quantise_linear(model: Any, name: str, double_quant: bool, block: int) -> None:
    """Put a 4-bit layer in the place of a linear one."""
    parent_name, _, leaf = name.rpartition(".")
    layer = model.get_submodule(name)
    weight = layer.weight
    made = FrozenLinear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=weight.dtype,
        compress_statistics=double_quant,
        quant_type="nf4",
        device="meta",
    )
    made.weight = bnb.nn.Params4bit(
        weight.detach(),
        requires_grad=False,
        compress_statistics=double_quant,
        quant_type="nf4",
        blocksize=block,
        module=made,
    ).to(weight.device)
    if layer.bias is not None:
        made.bias = layer.bias
    setattr(model.get_submodule(parent_name), leaf, made.train(layer.training))


def quantise_parameter(model: Any, name: str, double_quant: bool, block: int) -> None:
    """Keep one parameter of a module in 4 bits; the module goes on reading it by its name."""
    parent_name, _, leaf = name.rpartition(".")
    module = model.get_submodule(parent_name)
    weight = getattr(module, leaf).detach()
    packed, state = bnb.functional.quantize_4bit(
        weight, blocksize=block, compress_statistics=double_quant, quant_type="nf4"
    )
    setattr(module, leaf, nn.Parameter(packed, requires_grad=False))
    parametrize.register_parametrization(module, leaf, FourBits(state), unsafe=True)


def _read(packed: Tensor, state: Any, dtype: torch.dtype) -> Tensor:
    weight_OI: Tensor = bnb.functional.dequantize_4bit(packed, state)
    return weight_OI.to(dtype)
