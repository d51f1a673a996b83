"""Memory and time of a training run, foreseen from the shapes of the model: estimates, and said to be.

**Memory** is the sum of

- weights: parameters x bytes of their type;
- adapter: 20 bytes a trained parameter (fp32 weight, gradient, two AdamW moments, the best weights so far);
- activations: tokens of the largest pack x layers x bytes that one token leaves behind in one layer for the backward
  pass. With H hidden size, A width of all query heads, K width of all key heads, I width of the feed-forward part that
  one token sees, r the rank, n norms of a layer, b bytes of the base's type and a bytes that attention computes in
  (4 on a CPU): ``4 n H`` (norms keep fp32) ``+ b (2 H + A + 4 I + 7 r) + a (2 A + 2 K)``. Counted with
  ``saved_tensors_hooks`` it is within 20 % for Llama, Qwen2, Gemma 3, DeepSeek V2 and V3; V3.2 and V4, which keep index
  scores and several residual streams, need more. With ``recompute`` a layer keeps ``b H``, and one layer is whole;
- output layer: logits of one chunk of targets, and the head in fp32 that validation compares answers with;
- libraries: what this process holds now.

**Time** is FLOPs over the speed of a matrix product of the run's own shape, measured here, times `efficiency`. A frozen
base costs 4 FLOPs a parameter and token (forward 2, gradient of the input 2; full fine-tuning needs 6), the head only
where there is a target.

Legend: T tokens, H hidden size, I feed-forward width.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from yibu.bases import Facts
from yibu.core import machine
from yibu.model.loss import CHUNK

ADAPTER_BYTES = 20
_MEASURE_SECONDS = 0.4


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


@dataclass(frozen=True)
class Memory:
    """Bytes, see the module's text; `available` is what the device can give."""

    weights: int
    adapter: int
    activations: int
    output_layer: int
    libraries: int
    available: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.output_layer + self.libraries


def foresee_memory(
    sizes: Sizes,
    trained: int,
    rank: int,
    tokens: int,
    dtype: torch.dtype,
    device: torch.device,
    recompute: bool = False,
) -> Memory:
    """Peak memory of training.

    Args:
        trained: parameters of the adapter.
        rank: of the adapter.
        tokens: of the largest pack.
        dtype: of the frozen base.
        recompute: activations are computed again in the backward pass.
    """
    on_cpu = device.type == "cpu"
    width = dtype.itemsize
    one_layer = layer_bytes(sizes, rank, dtype, on_cpu)
    kept = width * sizes.hidden * sizes.layers + one_layer if recompute else one_layer * sizes.layers
    fp32_head = 4 * sizes.head if dtype != torch.float32 else 0
    return Memory(
        weights=sizes.parameters * width,
        adapter=ADAPTER_BYTES * trained,
        activations=tokens * kept,
        output_layer=CHUNK * sizes.vocabulary * (4 + 2 * width) + fp32_head,
        libraries=machine.resident_bytes() if on_cpu else 0,
        available=machine.memory_bytes()[1] if on_cpu else torch.cuda.mem_get_info(device)[0],
    )


def layer_bytes(sizes: Sizes, rank: int, dtype: torch.dtype, on_cpu: bool) -> int:
    """What one token leaves behind in one layer for the backward pass; the formula of the module's text."""
    width, attention = dtype.itemsize, 4 if on_cpu else dtype.itemsize
    norms = 4 * sizes.norms * sizes.hidden
    linear = width * (2 * sizes.hidden + sizes.query + 4 * sizes.feed_forward + 7 * rank)
    return norms + linear + attention * (2 * sizes.query + 2 * sizes.key)


def training_flops(sizes: Sizes, tokens: int, targets: int, recompute: bool = False) -> float:
    """FLOPs of forward and backward over frozen weights."""
    return (6.0 if recompute else 4.0) * sizes.active * tokens + 4.0 * sizes.head * targets


def forward_flops(sizes: Sizes, tokens: int, targets: int) -> float:
    """FLOPs of a forward pass."""
    return 2.0 * sizes.active * tokens + 2.0 * sizes.head * targets


def efficiency(dtype: torch.dtype) -> float:
    """Share of the matrix speed that a step reaches, as measured with SmolLM2-135M on two cores.

    The faster the products, the more of a step is everything else (norms, attention, memory).
    """
    return 0.6 if dtype == torch.float32 else 0.35


def matmul_rate(device: torch.device, dtype: torch.dtype, tokens: int, sizes: Sizes) -> float:
    """FLOPs a second of ``[T, H] x [H, I]`` on this device, the best of what fits into half a second."""
    left = torch.randn(tokens, sizes.hidden, device=device).to(dtype)
    right = torch.randn(sizes.hidden, max(1, sizes.feed_forward), device=device).to(dtype)
    flops = 2.0 * left.shape[0] * left.shape[1] * right.shape[1]
    repeats = max(1, int(2e9 / flops))  # a single small product would measure the clock
    best = 0.0
    end = time.perf_counter() + _MEASURE_SECONDS
    torch.mm(left, right)  # the first product sets up the library
    while time.perf_counter() < end or best == 0.0:
        began = _now(device)
        for _ in range(repeats):
            torch.mm(left, right)
        best = max(best, flops * repeats / (_now(device) - began))
    return best


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
