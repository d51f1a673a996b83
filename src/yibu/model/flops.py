"""Floating point operations by counting shapes: of a forward pass, an answer, a step of training.

A product of ``[m, k]`` and ``[k, n]`` is ``2 m k n`` FLOPs; nothing else is counted (norms, softmax, rotations are
below 1 %). torch's own counter sees what it has a formula for: fused attention on a CPU and layers in 4 bits count as
nothing there, so that a rate of "FLOPs per joule" would jump by book-keeping alone. Here a layer counts by its shape
however it is stored or computed, and attention as the plain implementation does it: every query with every key, also
those that a mask hides. Kernels that leave hidden keys out do up to half of the attention, and those of V3.2 and V4
that read only the chosen keys much less.

Training with a frozen base is two thirds of training it whole: forward 2, gradient of the input 2, gradient of the
weight 2 per parameter and token, the last only for what is trained ("LoRA without regret", Schulman et al. 2025).

Legend: T tokens of a row, C keys that a query sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from yibu import bases
from yibu.adapters import adapted_name


@dataclass(frozen=True)
class Attention:
    """One layer's products of activations with activations.

    Attributes:
        pair: FLOPs of one query and one key, all heads, scores and values.
        index: those of a small indexer that chooses keys; it has no gradient.
        window: keys that a cache keeps; None keeps all.
        rate: tokens that are pressed into one more key; None where none are. Then the indexer sees only those.
        expand: latent attention (MLA) caches what keys and values are made from, and transformers makes them again at
            each step, for every token in the cache; engines that multiply into the latents instead do much less.
    """

    pair: float
    index: float = 0.0
    window: int | None = None
    rate: int | None = None
    expand: float = 0.0

    def of(self, queries: int, seen: int, cached: bool) -> tuple[float, float]:
        """FLOPs of attention itself and of the indexer.

        Args:
            queries: how many. seen: tokens up to and with the last of them.
            cached: they come one by one, so that keys outside the window are gone.
        """
        plain = min(seen, self.window) if cached and self.window is not None else seen
        pressed = seen // self.rate if self.rate is not None else 0
        indexed = pressed if self.rate is not None else plain
        again = self.expand * (plain - 1) if cached else 0.0
        return queries * (self.pair * (plain + pressed) + again), self.index * queries * indexed


@dataclass(frozen=True)
class Cost:
    """What one token costs, by parts; see `Cost.of`.

    Attributes:
        parameters: all, adapter included. activated: those that one token is multiplied with (of experts the chosen
            ones, no look-up of an embedding). trained: as ``requires_grad`` or the plan says.
        frozen_products: FLOPs of a token in frozen weights, without head and indexer.
        trained_products: the same in trained ones.
        index_products: the same in indexers, which have no gradient.
        head: FLOPs of a token in the output layer; head_is_trained: whether its weight is.
        layers: attention, layer by layer.
    """

    parameters: int
    activated: int
    trained: int
    frozen_products: float
    trained_products: float
    index_products: float
    head: float
    head_is_trained: bool
    layers: tuple[Attention, ...]

    @staticmethod
    def of(model: Any, plan: Sequence[dict[str, Any]] | None = None) -> Cost:
        """Read off a model, with or without an adapter attached; it may lie on the meta device.

        Args:
            plan: rows of ``plan.json`` of an adapter that is not attached, none for a base that is not trained;
                default: what is trained is what requires a gradient.
        """
        return _Counting(model, plan).cost()

    @property
    def per_token(self) -> float:
        """Forward FLOPs of one token in all weights, the head included; attention comes on top, see `forward`."""
        return self.frozen_products + self.trained_products + self.index_products + self.head

    @property
    def training_per_token(self) -> float:
        """The same of a step of training: 4 per frozen parameter, 6 per trained one."""
        head = (3 if self.head_is_trained else 2) * self.head
        return 2 * self.frozen_products + 3 * self.trained_products + self.index_products + head

    def forward(self, length: int, rows: int = 1) -> float:
        """One forward pass over rows of T tokens, logits for each of them."""
        pairs, index = self._attention(length)
        return rows * (length * self.per_token + pairs + index)

    def answer(self, prompt: int, new: int) -> float:
        """A prompt, then token by token with a cache; logits where a token is chosen; the last is not read."""
        pairs, index = self._attention(prompt)
        total = (prompt + new - 1) * (self.per_token - self.head) + new * self.head + pairs + index
        for seen in range(prompt + 1, prompt + new):
            total += sum(sum(layer.of(1, seen, cached=True)) for layer in self.layers)
        return total

    def training(self, length: int, rows: int = 1, recompute: bool = False) -> float:
        """One pass forward and backward over rows of T tokens, with a loss on each.

        Every product of frozen weights is counted with the gradient of its input. The first layer that is trained needs
        none below it, so that a shallow model does a little less.

        Args:
            recompute: activations are computed again, so that there is one forward pass more through the layers.
        """
        pairs, index = self._attention(length)
        again = length * (self.per_token - self.head) + pairs + index if recompute else 0.0
        return rows * (length * self.training_per_token + 3 * pairs + index + again)

    def _attention(self, length: int) -> tuple[float, float]:
        found = [layer.of(length, length, cached=False) for layer in self.layers]
        return sum(pairs for pairs, _ in found), sum(index for _, index in found)


class _Counting:
    """One walk over a model's modules and parameters."""

    def __init__(self, model: Any, plan: Sequence[dict[str, Any]] | None) -> None:
        self._model, self._plan = model, plan or ()
        self._is_planned = plan is not None  # then nothing of the model itself is trained but what the plan says
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._config = self._base.config.get_text_config()
        self._facts = bases.facts_for(self._base.config)
        self._chosen = int(getattr(self._config, "num_experts_per_tok", 0) or 0)
        self._products = {"frozen": 0.0, "trained": 0.0, "indexer": 0.0}
        self._parameters = self._trained = 0
        self._activated = 0.0

    def cost(self) -> Cost:
        embedding, head = self._base.get_input_embeddings(), self._base.get_output_embeddings()
        owned: set[int] = {id(embedding.weight)}
        head_weight: Any = None
        tied = embedding.weight is head.weight
        for name, module in self._model.named_modules():
            if not isinstance(module, nn.Linear):
                continue
            # By its features and not by its weight, which 4 bits leave packed in a column of bytes.
            count = module.in_features * module.out_features
            owned |= {id(parameter) for parameter in module.parameters(recurse=False)}
            trained = module.weight.requires_grad
            if module is head:
                head_weight = module.weight
                self._count(count, 1.0, trained and not self._is_planned)
                continue
            self._count(count, self._add(name, count, trained), trained)
            if module.bias is not None:
                self._count(module.bias.numel(), 1.0, module.bias.requires_grad)
        for name, parameter in self._model.named_parameters():
            if id(parameter) in owned:
                continue
            share = 1.0
            if parameter.dim() >= 2 and not name.endswith("bias"):
                share = self._add(name, parameter.numel(), parameter.requires_grad)
            self._count(parameter.numel(), share, parameter.requires_grad)
        if not tied:
            self._count(embedding.weight.numel(), 0.0, embedding.weight.requires_grad)
        self._products["frozen"] += self._streams()
        self._add_plan()
        features = head.in_features * head.out_features
        return Cost(
            parameters=self._parameters,
            activated=round(self._activated),
            trained=self._trained,
            frozen_products=self._products["frozen"],
            trained_products=self._products["trained"],
            index_products=self._products["indexer"],
            head=2.0 * features,
            head_is_trained=bool(head_weight is not None and head_weight.requires_grad and not self._is_planned),
            layers=_attention_of(self._config),
        )

    def _add(self, name: str, count: int, trained: bool) -> float:
        """Add the product of a weight and say which share of it a token sees."""
        base_name = adapted_name(name + ".")
        role = self._facts.role_of(base_name.rstrip(".")) or self._facts.role_of(base_name.rpartition(".")[0])
        kind = "other" if role is None else role.kind
        share = self._share_of_experts if kind == "experts" else 1.0
        where = "indexer" if kind == "indexer" else "trained" if trained and not self._is_planned else "frozen"
        self._products[where] += 2.0 * count * share
        return share

    @property
    def _share_of_experts(self) -> float:
        """Of all experts those that one token sees."""
        names = ("n_routed_experts", "num_local_experts", "num_experts")
        experts = next(int(value) for name in names if (value := getattr(self._config, name, None)))
        return self._chosen / experts

    def _count(self, number: int, share: float, trained: bool) -> None:
        self._parameters += number
        self._activated += share * number
        self._trained += number if trained and not self._is_planned else 0

    def _streams(self) -> float:
        """Mixing of V4's residual streams, twice a layer: ``[n, n]`` by ``[n, H]`` for each token."""
        streams = int(getattr(self._config, "hc_mult", 0) or 0)
        return 4.0 * int(self._config.num_hidden_layers) * streams**2 * int(self._config.hidden_size)

    def _add_plan(self) -> None:
        for row in self._plan:
            whole, count = row["kind"] == "whole", int(row["parameters"])
            share = self._share_of_experts if row["kind"] == "experts" else 1.0
            self._trained += count
            self._products["trained"] += 2.0 * count * share
            if whole:  # weights of the base itself, counted above as frozen
                self._products["frozen"] -= 2.0 * count * share
            else:
                self._parameters += count
                self._activated += share * count


def _attention_of(config: Any) -> tuple[Attention, ...]:
    """Attention of each layer, from the config: plain heads, latent heads (MLA), chosen keys, pressed keys."""
    heads, layers = int(config.num_attention_heads), int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    window = int(getattr(config, "sliding_window", 0) or 0) or None
    indexer = 2.0 * int(getattr(config, "index_n_heads", 0) or 0) * int(getattr(config, "index_head_dim", 0) or 0)
    rates = getattr(config, "compress_rates", None)
    expand = 0.0
    if getattr(config, "qk_nope_head_dim", None) and getattr(config, "v_head_dim", None):
        width = config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim
        expand = 2.0 * config.kv_lora_rank * heads * (config.qk_nope_head_dim + config.v_head_dim)
    else:
        width = 2 * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    pair = 2.0 * heads * width
    if rates is None:
        # A second product weighs the scores of the indexer's heads.
        index = indexer + 2.0 * int(config.index_n_heads) if indexer else 0.0
        return tuple(Attention(pair, index, window if "sliding" in kind else None, expand=expand) for kind in kinds)
    return tuple(
        Attention(pair, indexer if "sparse" in kind else 0.0, window, int(rates[kind]) if kind in rates else None)
        for kind in kinds
    )
