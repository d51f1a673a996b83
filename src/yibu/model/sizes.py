"""The shapes of an architecture that memory and time depend on, and what a token leaves behind in one of its layers.

Read off a model, which may lie on the meta device: by the estimate before a run and by the one from a config alone.

Legend: H hidden size, A width of all query heads, K width of all key heads, I width of the feed-forward part that one
token sees, r rank of the adapter, n norms of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from yibu.bases import Facts


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
