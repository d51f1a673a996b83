"""What training a base would need, from its config alone: no weight is read, nothing is fetched.

The real class of transformers is built on torch's meta device, where a tensor has a shape and no memory: 671 billion
parameters take a second and a few megabytes. Configs of the DeepSeek family lie in ``yibu/bases/published``, each with
the addresses where its numbers were read.

Bytes of one card are the sum of

- weights: parameters x bytes of their type. ``bf16`` 2. ``fp8`` 1 and a scale of 4 bytes for each block of 128 x 128
  (DeepSeek-V3, arXiv 2412.19437, section 3.3.2), ``nf4`` 0.5 and 0.016 for the scales, themselves in 8 bits (QLoRA,
  arXiv 2305.14314, section 3: 0.127 bits a parameter). Both for linear layers and routed experts only, as the plug
  `qlora` packs them; embedding, head, norms, router (and in nf4 the indexer) keep 2;
- gathered: with FSDP2 (`fully_shard`, after ZeRO-3, arXiv 1910.02054) each of n cards keeps 1/n of every weight, but
  a layer is whole while it is computed, and the next is fetched meanwhile: two of the largest layers, or the root
  (embedding and head) and one of them;
- adapter, gradients, optimizer: 4 + 4 + 8 bytes a trained parameter (fp32, two moments of AdamW), over n cards 1/n of
  it. The best weights so far, 4 more, lie in main memory. Weights of the base that are trained themselves have their
  fp32 masters here and above the copy in 16 bits that a pass computes with; over n cards that copy is the gathered one.
  A gradient is whole while it is added up (n cards: in 16 bits, before it is shared out): two of the largest tensors;
- activations: tokens x `yibu.model.sizes.layer_bytes` x layers; every card has its own tokens. With ``recompute`` a
  layer keeps what came in, and one layer is whole. V3.2 (index scores) and V4 (several residual streams) need more than
  this says;
- output layer: see `yibu.model.sizes.output_bytes`; every token is taken for a target. A head that is not trained is
  held in fp32 besides;
- runtime: `RUNTIME` for what the driver, cuBLAS and NCCL hold. An allowance, not a measurement.

Disk is the base as it is published, multi-token prediction included; of one in FP8 the copy in bf16 that is trained;
the checkpoints of a run; the adapter; and the merged model in bf16.

These are estimates; the memory probe before the first step is what decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch

from yibu import adapters, bases
from yibu.core.errors import BaseModelError
from yibu.core.recipe import Settings
from yibu.model.published import Config, Published, read_config
from yibu.model.sizes import Sizes, Trained, layer_bytes, output_bytes

Weights = Literal["bf16", "fp8", "nf4"]

CARD = 80 * 10**9  # an "80 GB card", in the smallest of its meanings
RUNTIME = 2 * 10**9
MOST_CARDS = 1024
NUM_CHECKPOINTS = 3  # two are kept, one is being written
_PACKED_KINDS: dict[str, tuple[str, ...]] = {
    "bf16": (),
    "fp8": ("linear", "grouped", "indexer", "experts"),
    "nf4": ("linear", "experts"),
}
_PACKED_BYTES: dict[str, float] = {
    "bf16": 2.0,
    "fp8": 1 + 4 / 128**2,
    "nf4": 0.5 + 1 / 64 + 4 / (64 * 256),
    "fp4": 0.5 + 1 / 32,  # on disk only: MXFP4, a scale of 8 bits for 32 numbers (OCP Microscaling 1.0)
}
_NOT_SIZES = ("auto_map", "quantization_config", "expert_dtype", "torch_dtype", "dtype", "transformers_version")


@dataclass(frozen=True)
class Part:
    """Parameters of one role.

    Attributes:
        parameters: all of them; active: those that one token is multiplied with; trained: those of the adapter.
    """

    role: str
    kind: str
    parameters: int
    active: int
    trained: int


@dataclass(frozen=True)
class Card:
    """Bytes on each of `cards` cards, with activations kept or computed again; see the module's text."""

    cards: int
    weights: int
    gathered: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    output_layer: int
    runtime: int
    available: int
    recompute: bool

    @property
    def total(self) -> int:
        parts = (self.weights, self.gathered, self.adapter, self.gradients, self.optimizer)
        return sum(parts) + self.activations + self.output_layer + self.runtime

    @property
    def fits(self) -> bool:
        return self.total <= self.available


@dataclass(frozen=True)
class Disk:
    """Bytes of files.

    Attributes:
        base: as published.
        plain_base: its copy in bf16, where it is published in FP8 (`yibu.model.fp8`): what is trained.
        checkpoints: of one run, the one that is being written included.
        adapter: what training leaves.
        merged: base and adapter in one, in bf16.
    """

    base: int
    plain_base: int
    checkpoints: int
    adapter: int
    merged: int


@dataclass(frozen=True)
class Foresight:
    """What `foresee` found.

    Attributes:
        architecture: name of the facts that were used.
        model: class of transformers.
        parameters, active, trained: counts; `active` without the embedding, as DeepSeek counts.
        parts: the same by role, the largest first.
        plan: one row per class of adapted modules, as in ``plan.json``.
        weights: type that the base is held in.
        tokens: of one forward pass of one card.
        memory: for each number of cards that was asked for.
        host: bytes of main memory for the best weights so far.
        smallest: the least number of cards, among powers of two, that holds it; None if not even `MOST_CARDS` do.
        smallest_recompute: the same where activations are computed again (``train.recompute``).
        needed: what `smallest` cards hold, else `smallest_recompute`; None where neither is.
        published: whose numbers these are; None for a config of the user's own.
    """

    architecture: str
    model: str
    parameters: int
    active: int
    trained: int
    parts: tuple[Part, ...]
    plan: tuple[dict[str, Any], ...]
    weights: Weights
    tokens: int
    memory: tuple[Card, ...]
    host: int
    smallest: int | None
    smallest_recompute: int | None
    needed: Card | None
    disk: Disk
    published: Published | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        table = asdict(self)
        table["memory"] = [_card(card) for card in self.memory]
        table["needed"] = None if self.needed is None else _card(self.needed)
        return table


def _card(card: Card) -> dict[str, Any]:
    return {**asdict(card), "total": card.total, "fits": card.fits}


def outline(config: Mapping[str, Any]) -> Any:
    """The model on the meta device: every name and shape, no memory.

    Raises:
        BaseModelError: transformers has no such language model, or its class refuses these numbers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {key: value for key, value in config.items() if key not in _NOT_SIZES}
    kind = str(sizes.pop("model_type", None))
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    except Exception as error:  # a wrong config shows as any kind of error, down in the class of each architecture
        raise BaseModelError(
            "No model can be built from this config.",
            got=f"model_type {kind}: {type(error).__name__}: {error}",
            allowed="the config.json of a language model that the installed transformers knows",
        ) from error


def foresee(
    base: Config,
    adapter: Settings | None = None,
    *,
    tokens: int = 2048,
    cards: Sequence[int] = (1, 8),
    weights: Weights | Literal["auto"] = "auto",
    recompute: bool = False,
    card_bytes: int = CARD,
) -> Foresight:
    """Parameters, memory and disk of training an adapter on a base.

    Args:
        base: see `read_config`.
        adapter: settings of any plug of `yibu.adapters`; None is LoRA as it is by default.
        tokens: of one forward pass of one card (``train.pack_tokens``).
        weights: type of the frozen base in memory; auto is nf4 for the adapter ``qlora`` and bf16 for any other. fp8 is
            what a server of the base needs: to be trained or merged, such a base is dequantised first.
        recompute: activations are computed again in the backward pass.

    Raises:
        BaseModelError: see `read_config` and `outline`.
        RecipeError: an adapter that does not fit the architecture.
    """
    config, source = read_config(base)
    model = outline(config)
    facts = bases.facts_for(model.config)
    settings: Any = adapters.FAMILY.load("lora").Settings() if adapter is None else adapter
    plug = adapters.FAMILY.load(settings.kind)
    if hasattr(plug, "foreseen"):  # its choice depends on rows, so its size is told by a stand-in
        settings = plug.foreseen(model, facts, settings)
    plan = plug.plan(model, facts, settings)
    held: Weights = ("nf4" if settings.kind == "qlora" else "bf16") if weights == "auto" else weights
    parts = _parts(model, facts, plan)
    masters, rank = bool(getattr(plug, "MASTERS", False)), int(getattr(settings, "r", 0))
    packed = _PACKED_BYTES[held]
    if held == "nf4" and not getattr(settings, "double_quant", True):
        packed = 0.5 + 4 / 64  # a scale in fp32 for 64 numbers
    trained = Trained.of(plan, model, facts, masters, rank)
    need = _Need(model, facts, parts, trained, held, packed, tokens, recompute)
    again = replace(need, recompute=True)
    smallest, smallest_recompute = need.smallest(card_bytes), again.smallest(card_bytes)
    needed = None if smallest is None else need.on(smallest, card_bytes)
    if needed is None and smallest_recompute is not None:
        needed = again.on(smallest_recompute, card_bytes)
    return Foresight(
        architecture=facts.name,
        model=type(model).__name__,
        parameters=sum(part.parameters for part in parts),
        active=sum(part.active for part in parts),
        trained=plan.parameters,
        parts=parts,
        plan=tuple(plan.table()),
        weights=held,
        tokens=tokens,
        memory=tuple(need.on(number, card_bytes) for number in cards),
        host=4 * plan.parameters,
        smallest=smallest,
        smallest_recompute=smallest_recompute,
        needed=needed,
        disk=_disk(config, model, parts, plan.parameters),
        published=source,
    )


@dataclass(frozen=True)
class _Need:
    """What does not depend on the number of cards."""

    model: Any
    facts: bases.Facts
    parts: tuple[Part, ...]
    trained: Trained
    weights: Weights
    packed: float
    tokens: int
    recompute: bool

    def on(self, cards: int, available: int) -> Card:
        sizes, trained = self.sizes, self.trained
        one_layer = layer_bytes(sizes, trained.rank, torch.bfloat16, on_cpu=False)
        kept = 2 * sizes.hidden * sizes.layers + one_layer if self.recompute else one_layer * sizes.layers
        weights = sum(self.bytes_of(part.kind, part.parameters) for part in self.parts)
        if trained.masters and cards > 1:
            weights -= 2 * trained.whole  # the masters are shared out, and cast where they are gathered
        elif not trained.masters:
            weights += 2 * trained.whole

        def share(total: float) -> int:
            return math.ceil(total / cards)

        return Card(
            cards=cards,
            weights=share(weights),
            gathered=self.gathered if cards > 1 else 0,
            adapter=share(4 * trained.parameters),
            gradients=share(4 * trained.parameters) + (4 if cards == 1 else 2) * trained.passing,
            optimizer=share(8 * trained.parameters),
            activations=self.tokens * kept,
            output_layer=output_bytes(sizes, trained, self.tokens, torch.bfloat16),
            runtime=RUNTIME,
            available=available,
            recompute=self.recompute,
        )

    def smallest(self, available: int) -> int | None:
        powers = (2**power for power in range(int(math.log2(MOST_CARDS)) + 1))
        return next((cards for cards in powers if self.on(cards, available).fits), None)

    def bytes_of(self, kind: str, parameters: int) -> float:
        return parameters * (self.packed if kind in _PACKED_KINDS[self.weights] else 2.0)

    @cached_property
    def sizes(self) -> Sizes:
        return Sizes.of(self.model, self.facts)

    @cached_property
    def gathered(self) -> int:
        """Two of the largest layers, or the root and one of them."""
        names = {module: name for name, module in self.model.named_modules()}
        layers = sorted(
            sum(
                self.bytes_of(_role(self.facts, f"{names[layer]}.{name}").kind, parameter.numel())
                for name, parameter in layer.named_parameters()
            )
            for layer in self.model.get_decoder().layers
        )
        root = 2 * sum(part.parameters for part in self.parts if part.kind in ("embedding", "head"))
        return math.ceil(layers[-1] + max(root, layers[-2] if len(layers) > 1 else 0))


def _parts(model: Any, facts: bases.Facts, plan: adapters.Plan) -> tuple[Part, ...]:
    chosen = int(getattr(model.config.get_text_config(), "num_experts_per_tok", 0) or 0)
    trained = {planned.role: planned.parameters for planned in plan.classes}
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    every: dict[tuple[str, str], list[float]] = {}
    for name, parameter in model.named_parameters():
        role = _role(facts, name)
        count = parameter.numel()
        active: float = 0 if parameter is table and table is not head else count  # a look-up multiplies nothing
        if role.kind == "experts":
            active = count * chosen / parameter.shape[0]
        sums = every.setdefault((role.name, role.kind), [0, 0])
        sums[0] += count
        sums[1] += active
    found = [
        Part(role, kind, int(count), round(active), trained.get(role, 0))
        for (role, kind), (count, active) in every.items()
    ]
    return tuple(sorted(found, key=lambda part: -part.parameters))


def _role(facts: bases.Facts, name: str) -> bases.Role:
    found = facts.role_of(name) or facts.role_of(name.rpartition(".")[0])
    return found if found is not None else bases.Role("other", ".*", "other")


def _disk(config: Mapping[str, Any], model: Any, parts: Sequence[Part], trained: int) -> Disk:
    stored = (config.get("quantization_config") or {}).get("quant_method")
    base = 0.0
    for part in parts:
        width = 2.0
        if stored == "fp8" and part.kind in _PACKED_KINDS["fp8"]:
            of_experts = part.kind == "experts" and config.get("expert_dtype") == "fp4"
            width = _PACKED_BYTES["fp4" if of_experts else "fp8"]
        base += part.parameters * width
    total = sum(part.parameters for part in parts)
    ahead = _predicting_ahead(config, model)
    return Disk(
        base=math.ceil(base + ahead * base / total),
        plain_base=2 * (total + ahead) if stored == "fp8" and config.get("expert_dtype") != "fp4" else 0,
        checkpoints=NUM_CHECKPOINTS * 16 * trained,
        adapter=4 * trained,
        merged=2 * total,
    )


def _predicting_ahead(config: Mapping[str, Any], model: Any) -> int:
    """Parameters of the layers for multi-token prediction, which lie in the files and in no class of transformers.

    Each is one more layer with a projection of two hidden states, and an embedding and a head of its own (DeepSeek-V3,
    README_WEIGHTS.md: 11.5 billion without the last two).
    """
    number = int(config.get("num_nextn_predict_layers") or 0)
    if not number:
        return 0
    layer: int = sum(parameter.numel() for parameter in model.get_decoder().layers[-1].parameters())
    hidden = int(model.config.get_text_config().hidden_size)
    ends: int = sum(part.weight.numel() for part in (model.get_input_embeddings(), model.get_output_embeddings()))
    return number * (layer + 2 * hidden * hidden + ends)
