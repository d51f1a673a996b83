"""A base that does not fit on one device: FSDP2 (``torch.distributed.fsdp.fully_shard``), one group per decoder layer.

What is cut is decided by what it costs. The layers hold nearly all numbers of a base; each rank keeps 1/N of every one
of their weights, and a layer is whole on a device only while it runs. Left whole on every rank are

- embedding and output layer: the loss reads the output layer's weight without calling the layer, and the two may be
  the same tensor;
- an adapter's own weights: they are few, fp32 in a 16-bit base (FSDP wants one type for what is trained in a group),
  and as plain tensors they are summed, clipped, saved and loaded as in one process.

So with LoRA only frozen weights are sharded and no gradient ever is. Where weights of the base are trained themselves
(``adapter: full``), their gradients are summed (never averaged) into shards in the backward pass, AdamW's averages are
shards, and checkpoints and the saved folder gather one tensor after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from yibu import adapters
from yibu.core.errors import InputError, RecipeError
from yibu.core.recipe import Settings
from yibu.model.packing import causal_model
from yibu.train.team import Team


def refuse_unshardable(adapter: Settings, dtype: torch.dtype) -> None:
    """Refuse before anything is loaded.

    Raises:
        RecipeError: a kind of adapter, or a type of number, that cannot be sharded.
    """
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    if getattr(plug, "SHRINKS", False):
        raise RecipeError(
            "train.shard: full cannot cut a base whose weights are packed into four bits.",
            got=f"adapter.kind: {adapter.kind}",  # type: ignore[attr-defined]
            allowed="adapter.kind: lora, which trains the same on a sharded 16-bit base",
            do="set adapter.kind: lora, or train.shard: none",
        )
    if hasattr(plug, "needs_scores") and plug.needs_scores(adapter):
        raise RecipeError(
            "train.shard: full cannot score experts, for that takes the whole base on one device.",
            got=f"adapter.kind: {adapter.kind}",  # type: ignore[attr-defined]
            allowed="experts of your own choice",
            do="name them in adapter.experts, as plan.json of an unsharded run lists them, or set train.shard: none",
        )
    if getattr(plug, "MASTERS", False) and dtype == torch.float16:
        raise RecipeError(
            "train.shard: full cannot scale the loss of sharded weights, which fp16 needs.",
            got="train.dtype: fp16",
            allowed="bf16 or fp32",
            do="set train.dtype: bf16",
        )


def shard(model: Any, team: Team, device: torch.device, masters: bool) -> None:
    """Cut the layers of a model over all ranks and move the rest to the device; the model is changed in place.

    Args:
        masters: whether weights of the base are trained, which then are sharded too.

    Raises:
        InputError: the decoder has no list of layers.
    """
    decoder = causal_model(model).get_decoder()
    layers = [child for child in decoder.children() if isinstance(child, nn.ModuleList) and len(child) > 0]
    if not layers:
        raise InputError("train.shard: full finds no list of layers in this base.", got=type(decoder).__name__)
    mesh = init_device_mesh(device.type, (team.size,))
    inside = {parameter for part in layers for parameter in part.parameters()}
    whole_ones = {p for p in model.parameters() if p not in inside or (p.requires_grad and not masters)}
    for layer in (layer for part in layers for layer in part):
        if any(parameter not in whole_ones for parameter in layer.parameters()):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=whole_ones)
    # The root holds nothing; it lets the layers share their streams, so that the next one is fetched meanwhile.
    fully_shard(decoder, mesh=mesh, ignored_params=whole_ones)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    for tensor in (*whole_ones, *model.buffers()):
        tensor.data = tensor.data.to(device)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; a sharded one is gathered, so all ranks have to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def put(target: Tensor, value: Tensor) -> Tensor:
    """A whole value as `target` is laid out and placed; every rank takes its part of the value it has."""
    if not isinstance(target, DTensor):
        return value.to(target.device)
    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements, src_data_rank=None)


def clip(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most `max_norm`; returns the norm before.

    Norms of sharded gradients are taken over all ranks, those of whole ones on each, where they are the same.
    """
    sharded = [parameter for parameter in parameters if isinstance(parameter, DTensor)]
    if not sharded:
        return float(nn.utils.clip_grad_norm_(parameters, max_norm))
    plain = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    parts: list[list[nn.Parameter]] = [[*sharded], plain]
    norms = [
        float(whole(nn.utils.get_total_norm([p.grad for p in part if p.grad is not None]))) for part in parts if part
    ]
    norm = math.hypot(*norms)
    for part in parts:
        nn.utils.clip_grads_with_norm_(part, max_norm, torch.tensor(norm))
    return norm


def replace_by_whole(model: nn.Module, name: str, value: Tensor) -> None:
    """Put a plain tensor where a sharded parameter was, for saving; the model cannot run any more."""
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    module.register_parameter(leaf, nn.Parameter(value, requires_grad=True))
