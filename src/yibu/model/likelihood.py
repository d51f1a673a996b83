"""``log p(continuation | context)`` of many texts, each token of a common beginning computed once.

Sorted by their tokens, texts that begin alike lie side by side; a batch of them is a tree of tokens, laid out in one
sequence without padding. Each token attends to its ancestors alone. So the two sentences of a minimal pair, the choices
of a question and questions that begin alike share what they share, and the head, a fifth of a small model's work, is
applied only where a token is scored. `yibu.model.score` does the same for one set of answers behind every prompt.

Legend: T tokens of a batch, U tokens that predict, H hidden size, V vocabulary, N scored tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from yibu.core.log import get
from yibu.core.progress import track
from yibu.model.kernels import fast_fp32
from yibu.model.packing import causal_model, head_logits, head_weight, hidden_states, make_pack
from yibu.model.render import Example
from yibu.model.score import TOLERANCE

log = get("likelihood")

_LOGITS_AT_ONCE = 128  # tokens whose logits over the vocabulary exist at once; more memory is asked of the system anew
_PER_TREE = 3  # a batch holds at least so many times its longest text, or long beginnings would be shared by nobody


@dataclass(frozen=True, slots=True)
class Asked:
    """A continuation to be scored, as token ids.

    Attributes:
        context: at least one token.
        continuation: what is scored; none gives the log probability 0.
    """

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.context, "the first token of a text has no probability"

    @property
    def read(self) -> tuple[int, ...]:
        """What the model must read: all but the last token."""
        return (*self.context, *self.continuation)[:-1]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What a model says of a continuation.

    Attributes:
        log_prob: natural logarithm, summed over the continuation's tokens.
        greedy: True if each token is the model's first choice.
    """

    log_prob: float
    greedy: bool


@dataclass
class _Tree:
    """A batch: tokens in the order of a walk through the tree, parents before children.

    Attributes:
        tokens, depths: of each token.
        ends: for each token the place behind its last descendant.
        places: for each scored token the place of the token that predicts it.
        targets, owners: the scored tokens, and whose they are.
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)


def likelihoods(
    model: Any, asked: Sequence[Asked], *, tree: bool = True, max_tokens: int = 320, title: str = "scoring"
) -> list[Likelihood]:
    """The likelihood of every continuation, in the order given.

    Args:
        model: a causal model; for the tree it must take a boolean mask, which `tree_fits` finds out.
        asked: what to score.
        tree: False computes each text in a pass of its own.
        max_tokens: tokens of one forward pass, or thrice the longest text if that is more.
        title: of the progress bar.
    """
    log_probs = [0.0] * len(asked)
    greedy = [True] * len(asked)
    with track(title, total=len(asked)) as progress, fast_fp32():
        parts = _trees(asked, max_tokens) if tree else _lines(asked)
        head_VH = head_weight(model)
        for part in parts:
            if tree:
                scores_N, first_N = _in_tree(model, part, head_VH)
            else:
                scores_N, first_N = _alone(model, asked[part.owners[0]], head_VH)
            for owner, score, first in zip(part.owners, scores_N.tolist(), first_N.tolist(), strict=True):
                log_probs[owner] += score
                greedy[owner] = greedy[owner] and first
            progress.advance(len(set(part.owners)))
    return [Likelihood(*pair) for pair in zip(log_probs, greedy, strict=True)]


def tree_fits(model: Any, asked: Sequence[Asked], most: int = 4) -> bool:
    """Whether trees and single passes agree on the longest texts: asked before a model is trusted with trees."""
    by_length = sorted((one for one in asked if one.continuation), key=lambda one: -len(one.read))
    if not by_length:
        return True
    longest = by_length[0]
    # Texts that begin like the longest one, and one that leaves it: without a fork a tree is a line and shows nothing.
    others = sorted(by_length[1:], key=lambda one: -_shared(one.read, longest.read))
    fork = Asked(longest.context[: max(1, len(longest.context) // 2)], longest.continuation)
    sample = [longest, fork, *others[: most - 2]]
    try:
        together = torch.tensor([one.log_prob for one in likelihoods(model, sample, title="trying trees")])
    except (ValueError, RuntimeError, TypeError) as error:
        log.info("this architecture takes no tree mask (%s); texts are scored one by one", type(error).__name__)
        return False
    alone = torch.tensor([one.log_prob for one in likelihoods(model, sample, tree=False, title="trying trees")])
    tolerance = TOLERANCE[next(causal_model(model).parameters()).dtype]
    exact = torch.allclose(together, alone, rtol=tolerance, atol=tolerance)
    if not exact:
        log.warning(
            "scores of trees and of single passes differ by %.3g; texts are scored one by one",
            float((together - alone).abs().max()),
        )
    return exact


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of tokens that both begin with."""
    for place, (mine, yours) in enumerate(zip(one, other, strict=False)):
        if mine != yours:
            return place
    return min(len(one), len(other))


def _trees(asked: Sequence[Asked], max_tokens: int) -> Iterator[_Tree]:
    reads = [one.read for one in asked]
    order = sorted((index for index, one in enumerate(asked) if one.continuation), key=reads.__getitem__)
    tree, path = _Tree(), list[int]()
    before: tuple[int, ...] = ()
    for index in order:
        read = reads[index]
        if len(tree.tokens) >= max(max_tokens, _PER_TREE * len(read)):
            yield _closed(tree, path)
            tree, path, before = _Tree(), [], ()
        kept = _shared(before, read)
        for place in path[kept:]:
            tree.ends[place] = len(tree.tokens)
        del path[kept:]
        for depth in range(kept, len(read)):
            path.append(len(tree.tokens))
            tree.tokens.append(read[depth])
            tree.depths.append(depth)
            tree.ends.append(0)
        begin = len(asked[index].context) - 1
        tree.places += path[begin:]
        tree.targets += asked[index].continuation
        tree.owners += [index] * len(asked[index].continuation)
        before = read
    if tree.tokens:
        yield _closed(tree, path)


def _closed(tree: _Tree, path: list[int]) -> _Tree:
    for place in path:
        tree.ends[place] = len(tree.tokens)
    return tree


def _lines(asked: Sequence[Asked]) -> Iterator[_Tree]:
    """Each text for itself; only its owners are asked for."""
    for index, one in enumerate(asked):
        if one.continuation:
            yield _Tree(owners=[index] * len(one.continuation))


@torch.no_grad()
def _in_tree(model: Any, tree: _Tree, head_VH: Tensor) -> tuple[Tensor, Tensor]:
    device = next(causal_model(model).parameters()).device
    place_T = torch.arange(len(tree.tokens))
    # In the order of a walk a token's descendants are a run behind it.
    mask_TT = (place_T[None, :] <= place_T[:, None]) & (place_T[:, None] < torch.tensor(tree.ends)[None, :])
    output = causal_model(model).get_decoder()(
        input_ids=torch.tensor([tree.tokens], device=device),
        position_ids=torch.tensor([tree.depths], device=device),
        attention_mask=mask_TT[None, None].to(device),
        use_cache=False,
    )
    # A token before a fork predicts several; its logits are computed once.
    places_U, which_N = torch.unique(torch.tensor(tree.places), return_inverse=True)
    hidden_UH = output.last_hidden_state[0, places_U.to(device)]
    return _gathered(model, hidden_UH, head_VH, which_N, tree.targets)


@torch.no_grad()
def _alone(model: Any, one: Asked, head_VH: Tensor) -> tuple[Tensor, Tensor]:
    marks = (False,) * len(one.context) + (True,) * len(one.continuation)
    pack = make_pack([Example((*one.context, *one.continuation), marks)])
    device = next(causal_model(model).parameters()).device
    hidden_NH = hidden_states(model, pack.to(device))
    return _gathered(model, hidden_NH, head_VH, torch.arange(len(one.continuation)), one.continuation)


def _gathered(
    model: Any, hidden_UH: Tensor, head_VH: Tensor, which_N: Tensor, targets: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Log probability of each target, and whether it is the first choice, on the CPU."""
    targets_N = torch.tensor(list(targets), device=hidden_UH.device)
    scores_N = torch.zeros(len(targets))
    first_N = torch.zeros(len(targets), dtype=torch.bool)
    for begin in range(0, len(hidden_UH), _LOGITS_AT_ONCE):
        logits_UV = head_logits(model, hidden_UH[begin : begin + _LOGITS_AT_ONCE], head_VH)
        best_U = logits_UV.amax(dim=-1)
        here = torch.nonzero((which_N >= begin) & (which_N < begin + len(logits_UV)))[:, 0]
        rows = (which_N[here] - begin).to(hidden_UH.device)
        said_N = logits_UV[rows, targets_N[here.to(hidden_UH.device)]]
        # In place: another array of this size costs more than the sum.
        normaliser_U = logits_UV.sub_(best_U[:, None]).exp_().sum(dim=-1).log_().add_(best_U)
        scores_N[here] = (said_N - normaliser_U[rows]).cpu()
        first_N[here] = (said_N >= best_U[rows]).cpu()
    return scores_N, first_N
