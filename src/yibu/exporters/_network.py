"""The network of `labels.Chooser` in plain transformers. Needs no yibu."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def log_probs_of(network: Any, cache: Any, ids: Any, positions: Any, mask: Any, places: Any) -> Any:
    """``log p`` of all tokens behind some places, fp32 ``[K, V]``; the cache grows.

    Args:
        mask: what is added to the scores of attention, ``[B, 1, T, S]``.
        places: into ``[B * T]``.
    """
    hidden = network.get_decoder()(
        input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
    ).last_hidden_state
    logits = network.get_output_embeddings()(hidden.flatten(0, 1).index_select(0, places)).float()
    config = network.config.get_text_config()
    # What some architectures do to their logits: Cohere, Granite, Gemma 2.
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    cap = getattr(config, "final_logit_softcapping", None)
    if scale != 1:
        logits = logits * scale
    if cap is not None:
        logits = torch.tanh(logits / cap) * cap
    return torch.log_softmax(logits, dim=-1)


class Transformers:
    """A causal model of transformers.

    Args:
        network: on its device.
        tokens: whose likelihoods are wanted.
        prefix: token ids that prompts of the task begin with.
    """

    def __init__(self, network: Any, tokens: Sequence[int], prefix: Sequence[int]) -> None:
        self._network = network
        weight = next(network.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        self._tokens = torch.tensor(tokens, device=self._device)
        self._prefix: Any = None
        if prefix:
            width = len(prefix)
            row = np.arange(width)[None]
            _, self._prefix = self.step(
                self.begin(False, 1), np.array([prefix]), row, np.tri(width, dtype=bool)[None], row[0, -1:]
            )

    def begin(self, prefix: bool, num_rows: int) -> Any:
        """Keys and values before the first token: of the common beginning, or none."""
        from transformers import DynamicCache

        if not prefix:
            return DynamicCache(config=self._network.config)
        cache = copy.deepcopy(self._prefix)
        cache.batch_repeat_interleave(num_rows)
        return cache

    def select(self, kept: Any, rows: Any) -> Any:
        """Those of some rows."""
        kept.batch_select_indices(torch.from_numpy(rows).to(self._device))
        return kept

    @torch.no_grad()
    def step(self, kept: Any, ids: Any, positions: Any, mask: Any, places: Any) -> tuple[Any, Any]:
        """One pass; see `labels.Network`."""
        seen = torch.from_numpy(mask[:, None]).to(self._device)
        hidden = torch.zeros(seen.shape, dtype=self._dtype, device=self._device)
        hidden.masked_fill_(~seen, torch.finfo(self._dtype).min)
        words, order, where = (
            torch.from_numpy(np.ascontiguousarray(one)).to(self._device) for one in (ids, positions, places)
        )
        found = log_probs_of(self._network, kept, words, order, hidden, where).index_select(1, self._tokens)
        return found.cpu().numpy(), kept
