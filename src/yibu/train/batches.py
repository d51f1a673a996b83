"""Which rows make up which optimizer step: a pure function of rows, weights, seed and epoch, as resuming needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from yibu.core.errors import DataError
from yibu.model.render import Example

TooLong = Literal["refuse", "drop", "split"]


# torch.multinomial, which the sampler draws with, takes no more.
MOST_WEIGHTED = 2**24


def step_rows(
    num_rows: int, rows_per_step: int, epoch: int, seed: int, weights: Sequence[float] | None = None
) -> list[list[int]]:
    """Row indices of each optimizer step of one epoch; the last step may be smaller.

    Without weights no row is left out and none comes twice. With a weight per row, `num_rows` rows are drawn with
    replacement, each in proportion to its weight (torch's ``WeightedRandomSampler``).

    Raises:
        DataError: more weighted rows than can be drawn from.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if weights is None:
        order = torch.randperm(num_rows, generator=generator).tolist()
    else:
        if num_rows > MOST_WEIGHTED:
            raise DataError(
                "There are more rows than a weighted sampler can draw from.",
                got=num_rows,
                allowed=f"at most {MOST_WEIGHTED}",
                do="set train.class_weights: balanced instead of train.sampler, or data.limit.train",
            )
        order = list(torch.utils.data.WeightedRandomSampler(list(weights), num_rows, generator=generator))
    return [order[begin : begin + rows_per_step] for begin in range(0, num_rows, rows_per_step)]


@dataclass(frozen=True)
class Fitted:
    """Examples that fit, and what became of those that did not."""

    examples: list[Example]
    max_length: int
    lengths: list[int]
    dropped: list[str]
    split: list[str]


def fit_lengths(examples: Sequence[Example], max_length: int | None, context: int, too_long: TooLong) -> Fitted:
    """Keep every example whole, or do with it what the recipe says. A target is never cut.

    Args:
        max_length: longest example in tokens; None means the longest row there is, up to the context.
        context: longest sequence that the base can take.
        too_long: "refuse" stops the run; "drop" leaves the row out and names it; "split" trains a long target in
            parts, each behind the whole prompt and the last tokens of the part before.

    Raises:
        DataError: rows too long under "refuse", or a prompt that leaves no room for its target under "split".
    """
    limit = context if max_length is None else max_length
    if limit > context:
        raise DataError("train.max_length is more than the base's context.", got=limit, allowed=f"at most {context}")
    lengths = [len(example.ids) for example in examples]
    long = [example for example in examples if len(example.ids) > limit]
    if long and too_long == "refuse":
        raise DataError(
            f"{len(long)} of {len(examples)} rows are longer than {limit} tokens; a target is never cut.",
            got="rows " + ", ".join(f"{e.name} ({len(e.ids)})" for e in long[:5]) + (" …" if len(long) > 5 else ""),
            allowed=f"max_length up to the base's context of {context}, or train.too_long: split | drop",
            do="set train.too_long=split to train long targets in parts, or train.too_long=drop to leave the rows out",
        )
    kept: list[Example] = []
    split: list[str] = []
    for example in examples:
        if len(example.ids) <= limit:
            kept.append(example)
        elif too_long == "split":
            kept += _split(example, limit)
            split.append(example.name)
    dropped = [example.name for example in long] if too_long == "drop" else []
    if not kept:
        raise DataError(f"No row fits into {limit} tokens.", do="raise train.max_length or shorten the prompt")
    return Fitted(kept, limit, lengths, dropped, split)


def _split(example: Example, limit: int) -> list[Example]:
    first = example.trained.index(True)
    prompt, target = example.ids[:first], example.ids[first:]
    room = limit - len(prompt)
    if room < 16:
        raise DataError(
            f"The prompt of row {example.name} has {len(prompt)} tokens and leaves no room for a target.",
            got=f"max_length {limit}",
            allowed=f"a prompt of at most {limit - 16} tokens",
            do="raise train.max_length, shorten the prompt, or set train.too_long=drop",
        )
    overlap = room // 4
    parts: list[Example] = []
    begin = 0
    while begin < len(target):
        context = target[max(0, begin - overlap) : begin]
        end = min(len(target), begin + room - len(context))
        ids = (*prompt, *context, *target[begin:end])
        untrained = (False,) * (len(prompt) + len(context))
        own = slice(first + begin, first + end)
        marks = None if example.label_tokens is None else untrained + example.label_tokens[own]
        name = f"{example.name}#{len(parts) + 1}"
        parts.append(replace(example, ids=ids, trained=untrained + example.trained[own], name=name, label_tokens=marks))
        begin = end
    return parts
