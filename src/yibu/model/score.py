"""Likelihood of each answer of a closed set, all in one forward pass per prompt.

The answers are laid out behind the prompt as a token tree (answers that begin alike share a branch); each token attends
to the prompt and to its own branch, and its position is its depth. So 22 labels cost one pass over prompt + tree
instead of 22 passes over prompt + label (the same device as tree attention in speculative decoding: Miao et al. 2024,
"SpecInfer", arXiv 2305.09781). What all prompts begin with (system turn, instruction) is computed once per batch.

Legend: B prompts of a batch, L answers, M tree tokens, P tokens of the common beginning, T longest rest of a prompt +
tree, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from yibu.core.log import get
from yibu.core.progress import track
from yibu.model.kernels import fast_fp32
from yibu.model.packing import causal_model, example_losses, head_logits, head_weight, make_pack
from yibu.model.render import Example

log = get("score")
# Largest disagreement that a tree may show against single passes, by type of the weights: as a share of the log
# probability and absolutely. 16 bits disagree with themselves by that much in another order of summation.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 8e-2, torch.float16: 2e-2}
_LOGITS_AT_ONCE = 256  # positions whose logits exist at once; more memory is asked of the system anew each time
# Tokens of one forward pass: on a CPU what a layer makes of more does not fit into its caches and takes a fifth longer.
_ON_CPU, _ON_GPU = 1200, 4096


@dataclass(frozen=True)
class AnswerTree:
    """A closed set of answers as a tree of tokens.

    Attributes:
        tokens: the inner tokens of the tree, parents before children (last tokens of answers are never inputs).
        parents: index of each token's parent; -1 is the end of the prompt.
        paths: for each answer its steps ``(index of the token that predicts, predicted id)``; -1 as above.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    paths: tuple[tuple[tuple[int, int], ...], ...]

    @staticmethod
    def of(answers: Sequence[Sequence[int]]) -> AnswerTree:
        tokens: list[int] = []
        parents: list[int] = []
        seen: dict[tuple[int, int], int] = {}
        paths = []
        for answer in answers:
            node, path = -1, []
            for position, token in enumerate(answer):
                path.append((node, token))
                if position == len(answer) - 1:
                    break
                if (node, token) not in seen:
                    seen[node, token] = len(tokens)
                    tokens.append(token)
                    parents.append(node)
                node = seen[node, token]
            paths.append(tuple(path))
        return AnswerTree(tuple(tokens), tuple(parents), tuple(paths))

    def depths(self) -> list[int]:
        result: list[int] = []
        for parent in self.parents:
            result.append(0 if parent < 0 else result[parent] + 1)
        return result

    def sees(self) -> Tensor:
        """``[M, M]`` True where a token may attend: itself and its ancestors."""
        mask = torch.eye(len(self.tokens), dtype=torch.bool)
        for child, parent in enumerate(self.parents):
            if parent >= 0:
                mask[child] |= mask[parent]
        return mask


@torch.no_grad()
def score_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    tree: bool = True,
    max_tokens: int | None = None,
    title: str = "scoring",
) -> Tensor:
    """``log p(answer | prompt)`` of every answer after every prompt.

    Args:
        model: a causal model; for the tree it must run with yibu's packed attention, or any that takes a boolean mask.
        prompts: token ids of each prompt.
        answers: token ids of each answer, the end of the turn included, so that the numbers are true probabilities of
            whole answers and no length correction is due.
        tree: False computes each answer in a pass of its own, for architectures whose attention takes no mask.
        max_tokens: tokens of one forward pass; default: what is fast on the device.

    Returns:
        ``[len(prompts), len(answers)]`` fp32 on the CPU.
    """
    device = next(causal_model(model).parameters()).device
    at_once = max_tokens or (_ON_CPU if device.type == "cpu" else _ON_GPU)
    scores = torch.empty(len(prompts), len(answers))
    branches = AnswerTree.of(answers)
    prefix = _common_beginning(prompts)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    with track(title, total=len(prompts)) as progress, fast_fp32():
        if not tree:
            for index in order:
                scores[index] = _one_by_one(model, prompts[index], answers, device)
                progress.advance()
            return scores
        head_VH = head_weight(model)
        while order:
            longest = len(prompts[order[-1]]) - prefix + len(branches.tokens)
            batch = order[-max(1, at_once // longest) :]
            del order[-len(batch) :]
            asked = [prompts[index] for index in batch]
            scores[batch] = _score_batch(model, asked, branches, prefix, device, head_VH=head_VH)
            progress.advance(len(batch))
    return scores


def _common_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """Number of tokens that all prompts begin with alike; at least the last token of each is its own."""
    first, shortest = prompts[0], min(len(prompt) for prompt in prompts)
    return next(
        (place for place in range(shortest - 1) if any(prompt[place] != first[place] for prompt in prompts)),
        shortest - 1,
    )


@torch.no_grad()
def keep_prefix(model: Any, ids: Sequence[int]) -> Any:
    """Keys and values of what several prompts begin with, for `score_after`."""
    from transformers import DynamicCache

    causal = causal_model(model)
    device = next(causal.parameters()).device
    cache = DynamicCache(config=causal.config)
    causal.get_decoder()(input_ids=torch.tensor([ids], device=device), past_key_values=cache, use_cache=True)
    return cache


@torch.no_grad()
def score_after(model: Any, prompts: Sequence[Sequence[int]], tree: AnswerTree, prefix: int, kept: Any) -> Tensor:
    """`score_answers` in one pass, behind a beginning whose keys and values are kept.

    Args:
        prompts: they all begin with the same `prefix` tokens.
        kept: what `keep_prefix` made of those; left as it is.

    Returns:
        ``[len(prompts), len(answers)]`` fp32 on the CPU.
    """
    cache = copy.deepcopy(kept)
    return _score_batch(model, prompts, tree, prefix, next(causal_model(model).parameters()).device, cache)


def _score_batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tree: AnswerTree,
    prefix: int,
    device: torch.device,
    cache: Any = None,
    head_VH: Tensor | None = None,
) -> Tensor:
    decoder = causal_model(model).get_decoder()
    head_VH = head_weight(model) if head_VH is None else head_VH
    if prefix:
        cache = keep_prefix(model, prompts[0][:prefix]) if cache is None else cache
        cache.batch_repeat_interleave(len(prompts))
    num_nodes = len(tree.tokens)
    rests = [prompt[prefix:] for prompt in prompts]
    longest = max(len(rest) for rest in rests)
    total = longest + num_nodes
    ids_BT = torch.zeros(len(rests), total, dtype=torch.long)
    positions_BT = torch.zeros(len(rests), total, dtype=torch.long)
    mask_BTS = torch.zeros(len(rests), total, prefix + total, dtype=torch.bool)
    mask_BTS[:, :, prefix:] |= torch.eye(total, dtype=torch.bool)  # padding sees itself: a softmax of nothing is NaN
    depths, sees_MM = torch.tensor(tree.depths(), dtype=torch.long), tree.sees()
    nodes = torch.tensor(tree.tokens, dtype=torch.long)
    for row, rest in enumerate(rests):
        start = longest - len(rest)  # padding in front, so that all trees begin at one place
        own, behind = slice(prefix + start, prefix + longest), slice(prefix + longest, prefix + total)
        ids_BT[row, start:longest] = torch.tensor(rest)
        ids_BT[row, longest:] = nodes
        positions_BT[row, start:longest] = torch.arange(prefix, prefix + len(rest))
        positions_BT[row, longest:] = prefix + len(rest) + depths
        mask_BTS[row, start:, :prefix] = True
        mask_BTS[row, start:longest, own] |= torch.ones(len(rest), len(rest)).tril().bool()
        mask_BTS[row, longest:, own] = True
        mask_BTS[row, longest:, behind] = sees_MM
    output = decoder(
        input_ids=ids_BT.to(device),
        position_ids=positions_BT.to(device),
        attention_mask=mask_BTS[:, None].to(device),
        past_key_values=cache,
        use_cache=cache is not None,
    )
    # Only the end of the prompt and the inner tokens of the tree predict anything.
    hidden_BMH = output.last_hidden_state[:, longest - 1 :]
    steps = [(answer, node + 1, token) for answer, path in enumerate(tree.paths) for node, token in path]
    owners_N, places_N, tokens_N = (torch.tensor(column, device=device) for column in zip(*steps, strict=True))
    scores_BL = torch.zeros(len(prompts), len(tree.paths), device=device)
    rows_at_once = max(1, _LOGITS_AT_ONCE // (num_nodes + 1))
    for begin in range(0, len(prompts), rows_at_once):
        rows = slice(begin, begin + rows_at_once)
        logits_BMV = head_logits(model, hidden_BMH[rows], head_VH)
        said_BN = logits_BMV[:, places_N, tokens_N]
        # In place: another array of this size costs more than the sum.
        best_BM = logits_BMV.amax(dim=-1)
        normaliser_BM = logits_BMV.sub_(best_BM[..., None]).exp_().sum(dim=-1).log_().add_(best_BM)
        scores_BL[rows] = scores_BL[rows].index_add(1, owners_N, said_BN - normaliser_BM[:, places_N])
    return scores_BL.cpu()


def _one_by_one(model: Any, prompt: Sequence[int], answers: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    losses = []
    for answer in answers:
        example = Example((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))
        losses.append(example_losses(model, make_pack([example]).to(device)))
    return -torch.cat(losses).cpu()


@torch.no_grad()
def tree_is_exact(model: Any, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> bool:
    """Whether tree and single passes agree on one prompt: asked before a tree is trusted with an architecture."""
    weight = next(causal_model(model).parameters())
    prefix = len(prompt) // 2
    try:
        tree = _score_batch(model, [prompt], AnswerTree.of(answers), prefix, weight.device)[0]
    except (ValueError, RuntimeError, TypeError) as error:
        log.info("this architecture takes no tree mask (%s); answers are scored one by one", type(error).__name__)
        return False
    single = _one_by_one(model, prompt, answers, weight.device)
    worst, tolerance = float((tree - single).abs().max()), TOLERANCE[weight.dtype]
    exact = torch.allclose(tree, single, rtol=tolerance, atol=tolerance)
    if not exact:
        log.warning("scores of a tree and of single passes differ by %.3g; answers are scored one by one", worst)
    return exact
