"""peft's LoRA layer with one fused forward and backward (`yibu.adapters._low_rank`).

Same parameters, same state dict, same merge: it is a subclass of `peft.tuners.lora.Linear`, registered through peft's
mechanism for custom layers.
"""

from __future__ import annotations

from typing import Any

from peft.tuners.lora import Linear as PeftLoraLinear
from torch import Tensor, nn

from yibu.adapters._low_rank import as_it_is, product_of, single_plain_adapter


class FusedLoraLinear(PeftLoraLinear):  # type: ignore[misc]
    """`peft.tuners.lora.Linear` whose training step is one `LoraProduct`; everything else is peft's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As peft's."""
        adapter, base = single_plain_adapter(self), self.base_layer
        if adapter is None or args or kwargs or not isinstance(base, nn.Linear):
            plain: Tensor = super().forward(x, *args, **kwargs)
            return plain
        return product_of(self, adapter, x, base.weight, base.bias, as_it_is)
