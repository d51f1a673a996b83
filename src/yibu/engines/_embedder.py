"""Texts as vectors: the mean of the last layer's states over the tokens of each, of length one.

The model was trained to go on with a text and not to compare texts, so these are what its states say and no more; of
the poolings that a causal model has, the mean uses all of them.

Legend: B texts of a batch, T tokens of the longest, D width of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch


def batches(texts: Sequence[Sequence[int]], max_tokens: int) -> Iterator[list[int]]:
    """Places of texts that one forward pass takes, padding counted; the longest first."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    while order:
        size = max(1, max_tokens // len(texts[order[-1]]))
        yield order[-size:]
        del order[-size:]


def embed(system: Any, model: Any, texts: Sequence[Sequence[int]]) -> list[list[float]]:
    """A vector ``[D]`` for each text, in one forward pass.

    Args:
        system: see `yibu.model.assemble.Assembled`.
        model: with the adapter switched on.
        texts: token ids, none empty.
    """
    from yibu.model.assemble import use_generating_attention
    from yibu.model.packing import causal_model

    use_generating_attention(model, system.facts)
    longest = max(map(len, texts))
    # Padding stands behind the texts, where no token of theirs can see it.
    ids_BT = torch.zeros(len(texts), longest, dtype=torch.long)
    own_BT = torch.zeros(len(texts), longest)
    for row, ids in enumerate(texts):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        own_BT[row, : len(ids)] = 1
    decoder = causal_model(model).get_decoder()
    states_BTD = decoder(input_ids=ids_BT.to(system.device), use_cache=False).last_hidden_state.float().cpu()
    means_BD = (states_BTD * own_BT[..., None]).sum(1) / own_BT.sum(1, keepdim=True)
    vectors: list[list[float]] = torch.nn.functional.normalize(means_BD, dim=-1).tolist()
    return vectors
