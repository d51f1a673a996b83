"""The shapes of an architecture and a plan that memory and time depend on, and what a token leaves behind in a layer.

Read off a model, which may lie on the meta device: by the estimate before a run and by the one from a config alone.

Legend: H hidden size, A width of all query heads, K width of all key heads, I width of the feed-forward part that one
token sees, r rank of the adapter, n norms of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from yibu.adapters import Plan
from yibu.bases import Facts
from yibu.model.loss import CHUNK


@dataclass(frozen=True)
class Sizes:
    """The numbers of an architecture that cost depends on.

    Attributes:
        parameters: all of the base.
        active: those that one token is multiplied with, without embedding and head (of experts the chosen ones).
        head: those of the output layer.
        layers, hidden, vocabulary: as they are called.
        query, key: width of all query heads and of all key heads.
        feed_forward: width of the feed-forward part that one token sees.
        norms: norms of one layer that are as wide as the hidden state.
    """

    parameters: int
    active: int
    head: int
    layers: int
    hidden: int
    vocabulary: int
    query: int
    key: int
    feed_forward: int
    norms: int

    @staticmethod
    def of(model: Any, facts: Facts) -> Sizes:
        """Read off a model, which may lie on the meta device."""
        config = model.config.get_text_config()
        chosen = int(getattr(config, "num_experts_per_tok", 0) or 0)
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        active = 0.0
        for name, parameter in model.named_parameters():
            role = facts.role_of(name)
            if parameter is embedding or parameter is head:
                continue
            of_experts = role is not None and role.kind == "experts"
            active += parameter.numel() * (chosen / parameter.shape[0] if of_experts else 1)
        heads = int(config.num_attention_heads)
        parts = [getattr(config, name, None) for name in ("qk_nope_head_dim", "qk_rope_head_dim")]
        latent = all(part is not None for part in parts)
        size = sum(int(part) for part in parts if part) if latent else None
        size = size or getattr(config, "head_dim", None) or config.hidden_size // heads
        key_heads = heads if latent else int(getattr(config, "num_key_value_heads", None) or heads)
        return Sizes(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            active=round(active),
            head=head.numel(),
            layers=int(config.num_hidden_layers),
            hidden=int(config.hidden_size),
            vocabulary=head.shape[0],
            query=heads * int(size),
            key=key_heads * int(size),
            feed_forward=_feed_forward(config, chosen),
            norms=_norms(model, int(config.hidden_size)),
        )


@dataclass(frozen=True)
class Trained:
    """The numbers of a plan that cost depends on.

    Attributes:
        parameters: all that is trained.
        whole: those among them that are weights of the base themselves, or differences to them.
        masters: whether `whole` is trained in the place of the base's own weights, and not beside them.
        used_whole, used_beside: whole ones, and all others, that one token is multiplied with, embedding and head
            aside; of experts in the share in which one is chosen.
        head: whether the output layer is trained.
        passing: the largest two tensors of `whole`, whose gradients lie in memory once more while they are added up.
        rank: of the update of one matrix.
    """

    parameters: int
    whole: int = 0
    masters: bool = False
    used_whole: int = 0
    used_beside: int = 0
    head: bool = False
    passing: int = 0
    rank: int = 0

    @staticmethod
    def of(plan: Plan, model: Any, facts: Facts, masters: bool, rank: int) -> Trained:
        """Read off a plan and the model that it was made from, which may lie on the meta device.

        Args:
            masters: of the plug, see `yibu.adapters`.
            rank: of the adapter's settings.
        """
        chosen = int(getattr(model.config.get_text_config(), "num_experts_per_tok", 0) or 0)
        kinds = {role.name: role.kind for role in facts.roles}
        output = model.get_output_embeddings().weight
        whole, used_whole, used_beside, head = 0, 0.0, 0.0, False
        tensors: list[int] = []
        for planned in plan.classes:
            of_experts = len(planned.shapes[0]) == 3
            used = planned.parameters * (chosen / planned.shapes[0][0] if of_experts else 1)
            if planned.kind != "whole":
                used_beside += used
                continue
            whole += planned.parameters
            base = [model.get_parameter(name) for name in planned.names]
            head = head or any(weight is output for weight in base)
            share = planned.parameters / planned.base_parameters  # of the experts, the chosen ones
            tensors += [round(share * weight.numel()) for weight in base]
            used_whole += used if kinds.get(planned.role) not in ("embedding", "head") else 0
        return Trained(
            parameters=plan.parameters,
            whole=whole,
            masters=masters,
            used_whole=round(used_whole),
            used_beside=round(used_beside),
            head=head,
            passing=sum(sorted(tensors)[-2:]),
            rank=rank,
        )


def output_bytes(sizes: Sizes, trained: Trained, targets: int, dtype: torch.dtype) -> int:
    """Bytes of the output layer at its peak.

    Frozen, its logits exist for `CHUNK` targets at once (fp32, and twice in the base's type), and validation holds the
    matrix in fp32. Trained, those of all targets of a pass are kept, and their gradient beside them.

    Args:
        targets: of the largest pass.
    """
    width = dtype.itemsize
    fp32_head = 4 * sizes.head if dtype != torch.float32 else 0
    if not trained.head:
        return CHUNK * sizes.vocabulary * (4 + 2 * width) + fp32_head
    return targets * sizes.vocabulary * (8 + (width if width < 4 else 0)) + fp32_head


def _feed_forward(config: Any, chosen: int) -> int:
    """The wider of the dense layers and of the experts that one token sees, the shared ones included."""
    dense = int(getattr(config, "intermediate_size", 0) or 0)
    experts = chosen + int(getattr(config, "n_shared_experts", 0) or 0)
    return max(dense, experts * int(getattr(config, "moe_intermediate_size", 0) or 0))


def _norms(model: Any, hidden: int) -> int:
    """Norms of the hidden state in the layer that has most of them."""
    counts = [0]
    for layer in model.get_decoder().layers:
        weights = [getattr(child, "weight", None) for child in layer.children()]
        counts.append(sum(weight is not None and tuple(weight.shape) == (hidden,) for weight in weights))
    return max(counts)


def layer_bytes(sizes: Sizes, rank: int, dtype: torch.dtype, on_cpu: bool) -> int:
    """Bytes that one token leaves behind in one layer for the backward pass.

    With b bytes of the base's type and a bytes that attention computes in (4 on a CPU): ``4 n H`` (norms keep fp32)
    ``+ b (2 H + A + 4 I + 7 r) + a (2 A + 2 K)``. Counted with ``saved_tensors_hooks`` it is within 20 % for Llama,
    Qwen2, Gemma 3, DeepSeek V2 and V3; V3.2 and V4, which keep index scores and several residual streams, need more.
    """
    width, attention = dtype.itemsize, 4 if on_cpu else dtype.itemsize
    norms = 4 * sizes.norms * sizes.hidden
    linear = width * (2 * sizes.hidden + sizes.query + 4 * sizes.feed_forward + 7 * rank)
    return norms + linear + attention * (2 * sizes.query + 2 * sizes.key)
