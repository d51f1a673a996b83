"""How chosen experts are computed: the base's own tensors, and a trained difference to those of a few experts.

An implementation of transformers' `ExpertsInterface`, so that no method of the library is replaced. What is trained
hangs on each experts module as `PART`; `yibu.adapters.experts` decides which experts these are, saves and loads them.

Legend: T tokens, K experts of a token, E experts, C chosen experts, S pairs of a token and one of its experts, H hidden
size, I input and O output features, N tokens of one expert, R rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yibu.core.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

    from yibu.adapters.experts import Settings

# The two fused tensors of a layer, in the order in which a token passes them.
FUSED = ("gate_up_proj", "down_proj")
# In transformers' registry; what stands behind it is the implementation that the model had before.
NAME = "yibu_chosen_experts+"
# Where on an experts module the trained part hangs.
PART = "chosen"


def difference(part: Any, fused: str) -> Tensor:
    """What is added to the chosen experts of a fused tensor, ``[C, O, I]`` in fp32."""
    if part.method == "whole":
        whole: Tensor = getattr(part, f"{fused}_delta")
        return whole
    a_CRI, b_COR = getattr(part, f"{fused}_A"), getattr(part, f"{fused}_B")
    low: Tensor = (b_COR @ a_CRI) * part.scaling
    return low


def chosen_experts_forward(
    experts: Any, hidden_TH: Tensor, top_k_index: Tensor, top_k_weights: Tensor, before: str = "grouped_mm"
) -> Tensor:
    """Forward pass of an experts module, the difference of its chosen experts included.

    Tokens are sorted by expert as transformers' ``grouped_mm`` sorts them, and summed up in its order, so that a
    difference of zero changes no bit. An expert that is not chosen costs no gradient of a weight.

    Args:
        experts: the module; one without chosen experts is left to its implementation of `before`.
        top_k_index, top_k_weights: ``[T, K]``, experts of each token and their weights.
    """
    import torch

    part = getattr(experts, PART, None)
    if part is None or not part.enabled:
        plain: Tensor = _plain_forward(experts, before)(experts, hidden_TH, top_k_index, top_k_weights)
        return plain
    num_tokens, num_picked = top_k_index.shape
    sorted_S, order_S = torch.sort(top_k_index.reshape(-1), stable=True)
    counts = torch.bincount(sorted_S, minlength=experts.num_experts).tolist()
    up_S = _products(part, "gate_up_proj", experts.gate_up_proj, hidden_TH[order_S // num_picked], counts)
    down_SH = _products(part, "down_proj", experts.down_proj, experts._apply_gate(up_S), counts)
    weighted_SH = down_SH * top_k_weights.reshape(-1)[order_S].unsqueeze(-1)
    back_S = torch.empty_like(order_S)
    back_S[order_S] = torch.arange(len(order_S), device=order_S.device)
    summed: Tensor = weighted_SH[back_S].view(num_tokens, num_picked, -1).sum(dim=1)
    return summed.to(hidden_TH.dtype)


def _products(part: Any, fused: str, weight_EOI: Tensor, x_SI: Tensor, counts: list[int]) -> Tensor:
    """``x W^T`` of each pair by the weights of its expert, trained ones where it is chosen; ``[S, O]``."""
    import torch
    import torch.nn.functional as F

    whole = part.method == "whole"
    if whole:
        index = torch.tensor(part.experts, device=weight_EOI.device)
        # Rounded to the base's type as the merged weights will be: what is trained is what will be served.
        trained = (weight_EOI[index] + getattr(part, f"{fused}_delta")).to(weight_EOI.dtype).unbind(0)
    else:
        a, b = (getattr(part, f"{fused}_{kind}").to(x_SI.dtype).unbind(0) for kind in ("A", "B"))
    inputs = torch.split(x_SI, counts)
    frozen = F.grouped_mm(x_SI, weight_EOI.transpose(-2, -1), offs=_ends(counts, x_SI)) if _can_group(x_SI) else None
    frozen_parts = None if frozen is None else torch.split(frozen, counts)
    outputs = []
    for expert, x_NI in enumerate(inputs):
        if not counts[expert]:
            continue
        slot = part.slots.get(expert)
        if slot is not None and whole:
            outputs.append(F.linear(x_NI, trained[slot]))
            continue
        y_NO = F.linear(x_NI, weight_EOI[expert]) if frozen_parts is None else frozen_parts[expert]
        if slot is not None:
            low_NR = F.linear(F.dropout(x_NI, part.dropout, part.training), a[slot])
            y_NO = y_NO + F.linear(low_NR, b[slot]) * part.scaling
        outputs.append(y_NO)
    return torch.cat(outputs)


def _can_group(x_SI: Tensor) -> bool:
    """Whether one kernel computes all experts: on GPUs, where a launch for each costs more than the work it saves."""
    import torch

    return (
        x_SI.device.type == "cuda"
        and x_SI.dtype == torch.bfloat16
        and torch.cuda.get_device_capability(x_SI.device) >= (8, 0)
    )


def _ends(counts: list[int], x_SI: Tensor) -> Tensor:
    import torch

    return torch.tensor(counts, device=x_SI.device).cumsum(0, dtype=torch.int32)


def _plain_forward(experts: Any, before: str) -> Any:
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    # The class's own forward pass, below the decorator that asks the registry.
    return ALL_EXPERTS_FUNCTIONS.get_interface(before, type(experts).forward.__wrapped__)


def use_chosen(model: Any) -> None:
    """Have the experts of this model computed by `chosen_experts_forward`."""
    from functools import partial

    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    before = _implementation(model)
    if before.startswith(NAME):
        raise TrainingError("The experts of this model are trained already.", do="load the base anew")
    ALL_EXPERTS_FUNCTIONS.register(NAME + before, partial(chosen_experts_forward, before=before))
    model.set_experts_implementation(NAME + before)
    if _implementation(model) != NAME + before:
        raise TrainingError(
            "This architecture's experts cannot be computed otherwise than transformers does.",
            got=type(model).__name__,
            do="use adapter.kind: lora",
        )


def use_plain(model: Any) -> None:
    """Have the experts of this model computed as before `use_chosen`."""
    model.set_experts_implementation(_implementation(model).removeprefix(NAME))


def _implementation(model: Any) -> str:
    return str(model.config.get_text_config()._experts_implementation or "eager")


def empty_part(experts: Any, name: str, chosen: tuple[int, ...], settings: Settings) -> Any:
    """An empty module that holds what is trained of an experts module."""
    from torch import nn

    plain = getattr(experts, "has_gate", False) and not (
        experts.has_bias or experts.is_transposed or experts.has_post_expert_norm or experts._is_expert_parallel
    )
    if not plain:
        raise TrainingError(
            "The experts of this architecture have a layout that yibu cannot train.",
            got=f"{name} of {type(experts).__name__}",
            allowed="gated experts [num_experts, out, in] without bias, all on one device",
        )
    part = nn.Module()
    part.experts, part.slots = chosen, {expert: slot for slot, expert in enumerate(chosen)}  # type: ignore[assignment]
    part.method, part.scaling, part.dropout = settings.method, settings.alpha / settings.r, settings.dropout  # type: ignore[assignment]
    part.enabled = True  # type: ignore[assignment]
    part.train(experts.training)
    return part


def shapes_of(shape: tuple[int, ...], num_chosen: int, settings: Settings) -> dict[str, tuple[int, int, int]]:
    """Kind -> shape of what is trained of one fused tensor."""
    _, out, into = shape
    if settings.method == "whole":
        return {"delta": (num_chosen, out, into)}
    return {"A": (num_chosen, settings.r, into), "B": (num_chosen, out, settings.r)}
