"""The bottleneck itself, and how it hangs in a model.

It lies below the block that it belongs to, under the name ``bottleneck``, and is called by a forward hook, so no name
of the base changes and no method is replaced: checkpointing, sharding and caches stay as they are.

Legend: T tokens (any leading shape), H hidden size, S width of the bottleneck.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear as PeftLoraLinear
from torch import Tensor, nn

NAME = "bottleneck"
Form = Literal["parallel", "serial"]
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


class Bottleneck(nn.Module):
    """``scale * up(f(down(x)))``, zero at the start because ``up`` is.

    Weights are fp32 and are cast to the type of what flows in, as yibu's LoRA layer does. With a gate, the result is
    multiplied by ``sigmoid(w x)``, token by token. (UniPELT averages its gate over the sequence, which in a model
    that writes from left to right would let a token see what comes after it.)

    Args:
        hidden: features in and out.
        width: features between.
        scale: constant factor.
        activation: one of `ACTIVATIONS`.
        dropout: share of the inner features that training drops.
        gated: whether there is a gate.
    """

    def __init__(
        self, hidden: int, width: int, scale: float, activation: str, dropout: float, gated: bool = False
    ) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, width, dtype=torch.float32)
        self.up = nn.Linear(width, hidden, dtype=torch.float32)
        self.gate = nn.Linear(hidden, 1, bias=False, dtype=torch.float32) if gated else None
        self.scale = scale
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        self.enabled = True
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))  # as LoRA's A (He et al. 2021, section 4.1)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)

    def forward(self, x_TH: Tensor) -> Tensor:
        """``[T, H]`` of the input's type."""
        inner_TS = self.activation(_linear(self.down, x_TH))
        inner_TS = F.dropout(inner_TS, self.dropout, self.training)
        change_TH = _linear(self.up, inner_TS) * self.scale
        return change_TH if self.gate is None else change_TH * torch.sigmoid(_linear(self.gate, x_TH))


class GatedLoraLinear(PeftLoraLinear):  # type: ignore[misc]
    """peft's LoRA layer whose update is multiplied by a gate of its own, ``W x + sigmoid(w x) * s B A x``.

    UniPELT (Mao et al. 2022, arXiv 2110.07577) gates each method; here each adapted layer has its gate, token by token.
    Plain peft would read the saved update without its gate; such an adapter is for yibu alone, and cannot be merged.
    """

    def __init__(self, base_layer: nn.Module, adapter_name: str, **kwargs: Any) -> None:
        super().__init__(base_layer, adapter_name, **kwargs)
        # Its name is known to `lora.write`, which keeps it out of the plain folder; peft freezes it, `joint` thaws it.
        where = self.get_base_layer().weight.device
        self.update_gate = nn.Linear(self.in_features, 1, bias=False, dtype=torch.float32, device=where)
        nn.init.zeros_(self.update_gate.weight)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As `peft.tuners.lora.Linear`, gated."""
        plain: Tensor = self.base_layer(x, *args, **kwargs)
        (adapter,) = self.active_adapters
        if self.disable_adapters or adapter not in self.lora_A:
            return plain
        dropped = self.lora_dropout[adapter](x)
        change = _linear(self.lora_B[adapter], _linear(self.lora_A[adapter], dropped)) * self.scaling[adapter]
        gated: Tensor = plain + change * torch.sigmoid(_linear(self.update_gate, x))
        return gated


def hang(block: nn.Module, bottleneck: Bottleneck, form: Form) -> None:
    """Let a bottleneck change what a block gives back.

    Args:
        block: attention or MLP of a layer; gives a tensor ``[..., H]``, or a tuple that begins with one.
        form: ``serial`` reads the block's output, ``parallel`` its input.
    """
    block.add_module(NAME, bottleneck)
    block.register_forward_hook(_after if form == "serial" else _beside, with_kwargs=True)


def bottlenecks(model: nn.Module) -> dict[str, Bottleneck]:
    """Whole name of the block in `model` -> its bottleneck."""
    return {
        name.removesuffix(f".{NAME}"): module
        for name, module in model.named_modules()
        if isinstance(module, Bottleneck)
    }


def _after(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    return _add(block, _first(output), output)


def _beside(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    return _add(block, args[0] if args else kwargs["hidden_states"], output)


def _add(block: Any, seen_TH: Tensor, output: Any) -> Any:
    if not block.bottleneck.enabled:
        return output
    changed = _first(output) + block.bottleneck(seen_TH)
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


def _first(output: Any) -> Tensor:
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    weight: Any = layer.weight
    bias: Any = layer.bias
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
