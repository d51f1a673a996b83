"""Packs: rows laid end to end without padding, and their loss.

Rows of one task mostly begin alike (system turn, instruction, the template's own words). That common beginning is
computed once per pack and every row attends to it: the same numbers for less work, in the forward and the backward
pass, since equal tokens at equal positions have equal states, and gradients of a shared state add up.

Legend: T tokens of a pack, N target tokens, S sequences, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from yibu.model.loss import CHUNK, head_loss
from yibu.model.render import Example


@dataclass(frozen=True)
class Pack:
    """Several examples as one sequence of tokens.

    Attributes:
        ids_1T: token ids; the common beginning first, then what is left of each example.
        positions_1T: position of each token in its own example, from 0.
        borders: ``[S + 1]``, where each example's own part begins and ends; the first border is the length of the
            common beginning.
        predict_N: positions whose next token is a target.
        targets_N: those next tokens.
        owner_N: index of the example that each target belongs to.
        factors_N: what the loss of each target is multiplied by; None: 1, as for rows without class weights.
    """

    ids_1T: Tensor
    positions_1T: Tensor
    borders: Tensor
    predict_N: Tensor
    targets_N: Tensor
    owner_N: Tensor
    factors_N: Tensor | None = None

    @property
    def num_tokens(self) -> int:
        return self.ids_1T.shape[1]

    @property
    def num_targets(self) -> int:
        return self.targets_N.shape[0]

    def to(self, device: torch.device | str) -> Pack:
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        moved: dict[str, Any] = {name: None if part is None else part.to(device) for name, part in parts.items()}
        return Pack(**moved)


def make_pack(examples: Sequence[Example], prefix: int = 0) -> Pack:
    """One pack of all the examples, in their order.

    Args:
        prefix: number of tokens that all examples begin with alike and that carry no loss, see `common_prefix`.
    """
    ids: list[int] = list(examples[0].ids[:prefix])
    positions: list[int] = list(range(prefix))
    borders = [prefix]
    predict: list[int] = []
    owner: list[int] = []
    for index, example in enumerate(examples):
        shift = len(ids) - prefix
        for place, trained in enumerate(example.trained):
            if trained and place > 0:
                # The token before the first own token is the last of the common beginning.
                predict.append(place - 1 if place == prefix else shift + place - 1)
                owner.append(index)
        ids += example.ids[prefix:]
        positions += range(prefix, len(example.ids))
        borders.append(len(ids))
    ids_1T = torch.tensor([ids])
    targets = [token for e in examples for place, token in enumerate(e.ids) if e.trained[place] and place > 0]
    return Pack(
        ids_1T=ids_1T,
        positions_1T=torch.tensor([positions]),
        borders=torch.tensor(borders, dtype=torch.int32),
        predict_N=torch.tensor(predict, dtype=torch.long),
        targets_N=torch.tensor(targets, dtype=torch.long),
        owner_N=torch.tensor(owner, dtype=torch.long),
        factors_N=_factors(examples),
    )


def _factors(examples: Sequence[Example]) -> Tensor | None:
    """The loss factor of each target, ``[N]``; None where all are 1, so that unweighted runs pay nothing."""
    if all(example.weight == 1.0 for example in examples):
        return None
    factors: list[float] = []
    for e in examples:
        marked = e.trained if e.label_tokens is None else e.label_tokens
        places = (place for place, trained in enumerate(e.trained) if trained and place > 0)
        factors += [e.weight if marked[place] else 1.0 for place in places]
    return torch.tensor(factors, dtype=torch.float32)


def common_prefix(examples: Sequence[Example]) -> int:
    """Number of tokens that all examples begin with alike, none of them a target, and none the last of an example."""
    first = examples[0]
    longest = min(min(len(e.ids) - 1, e.trained.index(True) if True in e.trained else 0) for e in examples)
    return next((place for place in range(longest) if any(e.ids[place] != first.ids[place] for e in examples)), longest)


def split_by_tokens(examples: Sequence[Example], max_tokens: int, packed: bool = True) -> Iterator[list[Example]]:
    """Consecutive runs of examples of at most `max_tokens` together (a longer one alone); one by one if not packed."""
    run: list[Example] = []
    size = 0
    for example in examples:
        if run and (not packed or size + len(example.ids) > max_tokens):
            yield run
            run, size = [], 0
        run.append(example)
        size += len(example.ids)
    if run:
        yield run


def causal_model(model: Any) -> Any:
    """The transformers model below a peft wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def context_length(model: Any) -> int:
    """Longest sequence the architecture was made for, in tokens."""
    return int(causal_model(model).config.get_text_config().max_position_embeddings)


def hidden_states(model: Any, pack: Pack) -> Tensor:
    """Final hidden states of the positions that predict a target, ``[N, H]``."""
    # A single row needs no borders, so that it runs under any attention.
    borders = {"cu_seq_lens_q": pack.borders} if len(pack.borders) > 2 or int(pack.borders[0]) else {}
    output = causal_model(model).get_decoder()(
        input_ids=pack.ids_1T, position_ids=pack.positions_1T, use_cache=False, **borders
    )
    hidden_NH: Tensor = output.last_hidden_state[0, pack.predict_N]
    return hidden_NH


def logit_scale(causal: Any) -> float:
    """What the architecture multiplies its logits by: Cohere's ``logit_scale``, Granite's ``1 / logits_scaling``."""
    config = causal.config.get_text_config()
    return float(getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1))


def softcap_of(causal: Any) -> float | None:
    """The ``tanh`` cap on the logits, where the architecture has one (Gemma 2)."""
    return getattr(causal.config.get_text_config(), "final_logit_softcapping", None)


def pack_loss(model: Any, pack: Pack) -> Tensor:
    """Summed cross entropy over the targets of a pack, each times its factor; differentiable."""
    causal = causal_model(model)
    scale = logit_scale(causal)
    hidden_NH = hidden_states(model, pack)
    scaled_NH = hidden_NH if scale == 1 else hidden_NH * scale
    return head_loss(scaled_NH, causal.get_output_embeddings(), pack.targets_N, softcap_of(causal), pack.factors_N)


@torch.no_grad()
def example_losses(model: Any, pack: Pack) -> Tensor:
    """Summed cross entropy of each example of a pack, ``[S]`` in fp32; class weights play no part.

    The head is applied in fp32: bf16 logits near 20 come in steps of 0.125, too coarse to compare answers by.
    """
    losses_N = target_losses(model, pack)
    return torch.zeros(len(pack.borders) - 1, device=losses_N.device).index_add_(0, pack.owner_N, losses_N)


@torch.no_grad()
def target_losses(model: Any, pack: Pack) -> Tensor:
    """Cross entropy of each target of a pack, ``[N]`` in fp32, without its factor."""
    return -target_log_probs(model, hidden_states(model, pack), pack.targets_N)


@torch.no_grad()
def target_log_probs(model: Any, hidden_NH: Tensor, targets_N: Tensor) -> Tensor:
    """``log p(target)`` of each position, ``[N]``, with the head in fp32."""
    parts = []
    for begin in range(0, len(targets_N), CHUNK):
        logits_NV = head_logits(model, hidden_NH[begin : begin + CHUNK])
        parts.append(-F.cross_entropy(logits_NV, targets_N[begin : begin + CHUNK], reduction="none"))
    return torch.cat(parts) if parts else torch.zeros(0)


@torch.no_grad()
def head_weight(model: Any) -> Tensor:
    """The output layer's weight ``[V, H]`` in fp32: a copy unless it is so, for whoever asks for logits many times."""
    weight: Tensor = causal_model(model).get_output_embeddings().weight
    return weight.float()


def head_logits(model: Any, hidden_NH: Tensor, weight_VH: Tensor | None = None) -> Tensor:
    """Logits ``[N, V]`` in fp32, scaled and capped as the architecture does.

    Args:
        weight_VH: see `head_weight`.
    """
    causal = causal_model(model)
    bias = causal.get_output_embeddings().bias
    weight_VH = head_weight(model) if weight_VH is None else weight_VH
    logits_NV = F.linear(hidden_NH.float() * logit_scale(causal), weight_VH, None if bias is None else bias.float())
    softcap = softcap_of(causal)
    return logits_NV if softcap is None else torch.tanh(logits_NV / softcap) * softcap
