"""Greedy answers in batches, with what an evaluation must know: did the model stop by itself?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from yibu import bases
from yibu.core.progress import track
from yibu.model.packing import causal_model
from yibu.model.render import Renderer


@dataclass(frozen=True)
class Answer:
    """One generated answer.

    Attributes:
        text: without special tokens.
        ids: generated token ids, the stop token included.
        stopped: True if the model ended its turn; False if it was cut at `max_new_tokens`.
    """

    text: str
    ids: tuple[int, ...]
    stopped: bool


@torch.no_grad()
def generate(
    model: Any,
    renderer: Renderer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    batch_size: int = 16,
    title: str = "answering",
) -> list[Answer]:
    """Greedy decoding of every prompt, in the order given.

    Prompts are padded on the left and batched by length; the padding is masked by the attention mask, never by token
    id (many tokenizers use one token for padding and for the end of a turn). Where an architecture has parts that no
    attention mask reaches, prompts of one length alone share a batch.
    """
    causal = causal_model(model)
    device = next(causal.parameters()).device
    stops = set(renderer.stop_ids)
    pad = renderer.tokenizer.pad_token_id
    pad = min(stops) if pad is None else pad
    answers: dict[int, Answer] = {}
    facts = bases.known().get(causal.config.model_type)
    mixed = facts is None or facts.masks_padding
    with track(title, total=len(prompts)) as progress:
        for batch in _batches([len(prompt) for prompt in prompts], batch_size, mixed):
            width = max(len(prompts[index]) for index in batch)
            ids = torch.full((len(batch), width), pad)
            mask = torch.zeros((len(batch), width), dtype=torch.long)
            for row, index in enumerate(batch):
                length = len(prompts[index])
                ids[row, width - length :] = torch.tensor(prompts[index])
                mask[row, width - length :] = 1
            output = model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=max_new_tokens,
                eos_token_id=sorted(stops),
                pad_token_id=pad,
            )
            for row, index in enumerate(batch):
                new = output[row, width:].tolist()
                end = next((place for place, token in enumerate(new) if token in stops), None)
                kept = new if end is None else new[: end + 1]
                answers[index] = Answer(renderer.decode(kept), tuple(kept), end is not None)
            progress.advance(len(batch))
    return [answers[index] for index in range(len(prompts))]


def _batches(lengths: Sequence[int], batch_size: int, mixed: bool) -> Iterator[list[int]]:
    """Places of prompts that share a batch, the longest first.

    Args:
        mixed: a batch may have prompts of different length.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if len(batch) == batch_size or (batch and not mixed and lengths[place] != lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
