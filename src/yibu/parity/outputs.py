"""Logits and answers of two models on the same tokens.

Legend: T tokens of a text, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from yibu.core.errors import DataError
from yibu.core.store import Artifact
from yibu.model.packing import causal_model
from yibu.parity import Check, judged

Logits = Callable[[Sequence[int]], Tensor]


def logits_of(model: Any) -> Logits:
    """The model's own forward pass, as a function from token ids to logits ``[T, V]`` in fp32 on the CPU."""
    device = next(causal_model(model).parameters()).device

    @torch.no_grad()
    def logits(ids: Sequence[int]) -> Tensor:
        output: Tensor = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits
        return output[0].float().cpu()

    return logits


def remembered(logits: Logits, texts: Sequence[Sequence[int]]) -> Logits:
    """The same function for these texts alone, asked now: the model behind it is no longer needed afterwards."""
    known = {tuple(text): logits(text) for text in texts}
    return lambda ids: known[tuple(ids)]


def same_logits(
    name: str,
    one: Logits,
    other: Logits,
    texts: Sequence[Sequence[int]],
    *,
    bound: float,
    first_choices: float = 0.99,
    base: Logits | None = None,
    lost: float = 0.05,
) -> list[Check]:
    """Two or three checks of the distributions after every token of some texts.

    The largest difference of a probability (0 to 1; that of a logit would be one of words nobody says), the share of
    equal first choices, and, with a `base`, how much of the way from the base to `one` is missing in `other`: root mean
    square of the log probabilities' difference to `one`, divided by that of the base. A merge that lost the adapter has
    1, whatever the adapter's size; bounds on differences would let a small adapter be lost.

    Args:
        name: of the hand-over: ``adapter = merged``.
        one, other: functions from token ids to logits ``[T, V]``.
        bound: largest difference of a probability.
        first_choices: smallest share of positions with the same first choice.
        base: the model without adapter.
        lost: largest share of the adapter's effect that may be missing.

    Raises:
        DataError: no texts, or vocabularies of different size (padded ones are cut by who gives the function).
    """
    positions, same, apart, missing, effect = 0, 0, 0.0, 0.0, 0.0
    for text in texts:
        one_TV, other_TV = (side(text).log_softmax(-1) for side in (one, other))
        if one_TV.shape != other_TV.shape:
            shapes = f"{tuple(one_TV.shape)} and {tuple(other_TV.shape)}"
            raise DataError(f"The logits of {name!r} cannot be compared.", got=shapes, allowed="one shape")
        positions += len(one_TV)
        same += int((one_TV.argmax(-1) == other_TV.argmax(-1)).sum())
        difference = float((one_TV.exp() - other_TV.exp()).abs().max())
        apart = difference if not difference <= apart else apart  # NaN must not pass as small
        missing += float((one_TV - other_TV).square().sum())
        if base is not None:
            effect += float((one_TV - base(text).log_softmax(-1)).square().sum())
    if positions == 0:
        raise DataError(f"The logits of {name!r} need texts.", got="none")
    checks = [
        judged(f"{name}: largest difference of a probability", apart, bound, kind="at most", n=positions),
        judged(f"{name}: same first choice", same / positions, first_choices, kind="at least", n=positions),
    ]
    if base is not None:
        title = f"{name}: share of the adapter's effect that is missing"
        if effect == 0:
            detail = "the adapter changes nothing"
            checks.append(Check(title, None, None, lost, False, positions, detail=detail))
        else:
            checks.append(judged(title, (missing / effect) ** 0.5, lost, kind="at most", n=positions))
    return checks


def same_answers(name: str, one: Sequence[str], other: Sequence[str], *, bound: float = 1.0) -> Check:
    """The share of equal answers to the same questions, white space at the ends aside.

    Raises:
        DataError: not the same number of answers, or none.
    """
    if len(one) != len(other) or not one:
        raise DataError(f"The answers of {name!r} cannot be compared.", got=f"{len(one)} and {len(other)} answers")
    differing = [place for place, pair in enumerate(zip(one, other, strict=True)) if pair[0].strip() != pair[1].strip()]
    detail = f"questions {', '.join(map(str, differing[:5]))}" if differing else ""
    share = 1 - len(differing) / len(one)
    return judged(f"{name}: same answers", share, bound, kind="at least", n=len(one), detail=detail)


def answers_in(artifact: Artifact) -> list[str]:
    """The answers of an artifact that has ``answers.jsonl`` (`yibu.evaluate.answer` and what answers like it)."""
    lines = artifact.file("answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [str(json.loads(line)["answer"]) for line in lines]
