"""A model with adapters of yibu's own, seen as a peft model is seen, and weights that are trained themselves.

Callers ask a peft model for ``get_base_model()``, ``disable_adapter()``, ``generate()`` and a forward pass; `Adapted`
answers the same for the kinds that peft does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from yibu.core.errors import InputError


class Adapted(nn.Module):
    """A network around which adapters lie.

    Args:
        network: a transformers model with adapters in it, or a peft model around one.
        record: what is saved beside the tensors, plain JSON values.
        switches: modules with an ``enabled`` flag that turns an adapter off; None where the adapter is the weights
            themselves and cannot be turned off.
    """

    def __init__(self, network: nn.Module, record: dict[str, Any], switches: list[nn.Module] | None) -> None:
        super().__init__()
        self.network = network
        self.record = record
        self._switches = switches

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """That of the network."""
        return self.network(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """That of the network."""
        network: Any = self.network
        return network.generate(*args, **kwargs)

    def get_base_model(self) -> Any:
        """The transformers model."""
        network: Any = self.network
        return network.get_base_model() if hasattr(network, "get_base_model") else network

    @property
    def config(self) -> Any:
        """That of the transformers model."""
        return self.get_base_model().config

    @property
    def device(self) -> torch.device:
        """Where the transformers model lies."""
        where: torch.device = self.get_base_model().device
        return where

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside of this the model answers as its base.

        Raises:
            InputError: the weights themselves were trained, so the base is no longer there.
        """
        if self._switches is None:
            raise InputError(
                "This model has no adapter that could be switched off: its own weights were trained.",
                do="ask the base itself, without a tuned model",
            )
        network: Any = self.network
        with ExitStack() as stack:
            if hasattr(network, "disable_adapter"):
                stack.enter_context(network.disable_adapter())
            for switch in self._switches:
                stack.callback(setattr, switch, "enabled", switch.enabled)
                switch.enabled = False  # type: ignore[assignment]
            yield


class CastTo(nn.Module):
    """Parametrization: an fp32 weight that is used in another type; its gradient arrives in fp32."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as the forward pass sees it."""
        return weight.to(self.dtype)


def compute_in(model: Any, dtype: torch.dtype) -> None:
    """Let a model whose own weights are trained compute in 16 bits, with fp32 master weights.

    AdamW's step is often below half a unit of a bf16 weight and would be lost in it, so trained weights stay fp32 and
    are cast where they are used (Micikevicius et al. 2018, "Mixed Precision Training", arXiv 1710.03740); frozen ones
    are cast once. What transformers keeps in fp32 stays there.

    Args:
        model: in fp32, with ``requires_grad`` set; changed in place.
        dtype: of the forward pass; fp32 changes nothing.
    """
    if dtype == torch.float32:
        return
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    kept = set(getattr(causal, "_keep_in_fp32_modules_strict", None) or ())
    if dtype == torch.float16:
        kept |= set(getattr(causal, "_keep_in_fp32_modules", None) or ())
    for module_name, module in list(causal.named_modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            whole = f"{module_name}.{name}"
            if not parameter.is_floating_point() or kept & set(whole.split(".")):
                continue
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)
            elif ".lora_" not in f".{whole}" and ".bottleneck." not in f".{whole}.":
                parametrize.register_parametrization(module, name, CastTo(dtype), unsafe=True)


def fold_masters(model: Any) -> None:
    """Undo `compute_in`: trained weights are plain fp32 parameters again."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name, chain in list(module.parametrizations.items()):
                if any(isinstance(step, CastTo) for step in chain):
                    parametrize.remove_parametrizations(module, name, leave_parametrized=False)
