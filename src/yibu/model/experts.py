"""Which experts a mixture uses on given rows: what `yibu.adapters.experts` chooses by.

The two scores of Wang et al. 2024 (arXiv 2407.01906, section 3.3), over the tokens of a sample of rows: how often an
expert is chosen, in shares of all choices (token selection ratio), and its mean gate weight (average gate score). They
are read off the routers' own outputs by hooks during packed forward passes. Prompt and answer both count, as in
DeepSeek's code; a common beginning is computed for each row, or it would count once in a pack and not once in a row.

The same rows, settings and machine give the same scores: rows are drawn by a hash of the seed and their id, sums are
made in fp64 on the CPU in the order of the passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from yibu import adapters
from yibu.adapters.experts import Scores
from yibu.bases import Facts
from yibu.core.chance import digest
from yibu.core.errors import DataError, RecipeError, TrainingError
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.recipe import Settings
from yibu.model.packing import hidden_states, make_pack, split_by_tokens
from yibu.model.render import Example

log = get("experts")
# Scores are compared and written down; what lies behind this is the order of a sum, not the use of an expert.
DIGITS = 9


def completed(
    adapter: Settings,
    model: Any,
    facts: Facts,
    examples: Sequence[Example],
    *,
    packed: bool,
    pack_tokens: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Settings:
    """Adapter settings that a plan can be made from: those of a kind that chooses experts get their scores.

    Args:
        adapter: of any kind; one that needs no scores comes back as it is, and no row is looked at.
        model: the base, before an adapter is attached.
        examples: all rendered training rows; a sample is drawn.
        packed, pack_tokens, device: as in `score_experts`.
        seed: of the run.

    Raises:
        YibuError: as `score_experts`.
    """
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    if not hasattr(plug, "needs_scores") or not plug.needs_scores(adapter):
        return adapter
    sample = draw_sample(examples, adapter.sample_tokens, seed)  # type: ignore[attr-defined]
    scores = score_experts(model, facts, sample, packed=packed, pack_tokens=pack_tokens, device=device)
    done: Settings = plug.with_scores(adapter, scores)
    return done


def draw_sample(examples: Sequence[Example], num_tokens: int, seed: int) -> list[Example]:
    """Rows in an order drawn from their ids, until together they have `num_tokens` tokens (the last one is whole).

    Args:
        examples: rendered training rows.
        seed: of the run.
    """

    sample: list[Example] = []
    found = 0
    for example in sorted(examples, key=lambda example: digest(seed, example.name, "experts")):
        if found >= num_tokens:
            break
        sample.append(example)
        found += len(example.ids)
    return sample


def score_experts(
    model: Any,
    facts: Facts,
    examples: Sequence[Example],
    *,
    packed: bool,
    pack_tokens: int,
    device: torch.device | str = "cpu",
) -> Scores:
    """Scores of every routed expert on these rows; the model is left as it was.

    Args:
        model: a base, before an adapter is attached. Where rows are packed, its attention must keep them apart.
        examples: the sample, see `draw_sample`.
        packed: whether rows may share a forward pass.
        pack_tokens: largest forward pass.
        device: where the model lies.

    Raises:
        RecipeError: a base without routed experts.
        DataError: no rows.
        TrainingError: a router that does not say what it chose.
    """
    if not examples:
        raise DataError("There are no training rows to score experts on.")
    routers = _routers(model, facts)
    uses = {layer: _Use(router.weight.shape[0]) for layer, router in routers.items()}
    num_tokens = sum(len(example.ids) for example in examples)
    with _listening(routers, uses), _evaluating(model), torch.no_grad(), track("scoring experts", num_tokens) as bar:
        for run in split_by_tokens(examples, pack_tokens, packed):
            pack = make_pack(run).to(device)
            hidden_states(model, pack)
            bar.advance(pack.num_tokens)
    if wrong := [layer for layer, use in uses.items() if use.num_tokens != num_tokens]:
        raise TrainingError("Routers did not see every token of the sample.", got=f"layers {wrong[:6]}")
    log.info("scored the experts of %d layers on %d tokens of %d rows", len(uses), num_tokens, len(examples))
    return Scores(
        token={layer: use.token_shares() for layer, use in uses.items()},
        gate={layer: use.gate_means() for layer, use in uses.items()},
        num_tokens=num_tokens,
        num_rows=len(examples),
    )


class _Use:
    """What one router chose so far."""

    def __init__(self, num_experts: int) -> None:
        self.num_experts = num_experts
        self.num_tokens = 0
        self.choices_E = torch.zeros(num_experts, dtype=torch.long)
        self.weights_E = torch.zeros(num_experts, dtype=torch.float64)

    def add(self, weights_TK: Tensor, indices_TK: Tensor) -> None:
        # On a GPU the order of such a sum is not fixed.
        indices = indices_TK.reshape(-1).cpu()
        weights = weights_TK.reshape(-1).cpu().double()
        self.num_tokens += indices_TK.shape[0]
        self.choices_E += torch.bincount(indices, minlength=self.num_experts)
        self.weights_E += torch.bincount(indices, weights, minlength=self.num_experts)

    def token_shares(self) -> tuple[float, ...]:
        return tuple(round(float(share), DIGITS) for share in self.choices_E.double() / self.choices_E.sum())

    def gate_means(self) -> tuple[float, ...]:
        return tuple(round(float(mean), DIGITS) for mean in self.weights_E / self.num_tokens)


def _routers(model: Any, facts: Facts) -> dict[int, Any]:
    """Layer -> its router, from the bottom up."""
    found: dict[int, Any] = {}
    for name, module in model.named_modules():
        role = facts.role_of(name)
        number = re.search(r"\.layers\.(\d+)\.", f".{name}.")
        if role is not None and role.kind == "router" and number is not None:
            found[int(number.group(1))] = module
    if not found:
        raise RecipeError(
            "Experts cannot be scored: this base has no routed experts, or yibu does not know its routers.",
            got=f"{type(model).__name__}, architecture {facts.name}",
            allowed="a mixture of experts such as DeepSeek V2, V3, V3.2 or V4",
            do="use adapter.kind: lora",
        )
    return dict(sorted(found.items()))


@contextmanager
def _listening(routers: dict[int, Any], uses: dict[int, _Use]) -> Iterator[None]:
    def hook(use: _Use) -> Any:
        def listen(module: Any, inputs: Any, output: Any) -> None:
            if not isinstance(output, tuple) or len(output) != 3 or output[2].is_floating_point():
                raise TrainingError(
                    "This router does not say which experts it chose.",
                    got=type(module).__name__,
                    allowed="logits, weights and indices of the chosen experts",
                )
            use.add(output[1], output[2])

        return listen

    handles = [router.register_forward_hook(hook(uses[layer])) for layer, router in routers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, and in the mode of before afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
