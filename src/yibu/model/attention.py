"""Attention over packed sequences, one sequence at a time.

Several rows are laid end to end in one forward pass, with no padding. A block mask over the whole pack would compute
the products between rows only to throw them away; here each row attends to itself, so a neighbour cannot be seen by
construction. Registered through transformers' own `AttentionInterface`; row borders arrive as ``cu_seq_lens_q``, the
argument that transformers passes to variable-length attention.

Legend: B batch (1 for a pack), H heads, K heads of keys, T tokens, S keys, D head size, Q queries of a group of heads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

NAME = "yibu_packed"
_SMALL = 2**18  # query times key positions of one head up to which all scores may exist at once
# Tokens of a row between which, in bf16 on a CPU, products take a third of the time of the fused kernel; above, the
# weights that wait for the backward pass would take too much memory.
_SHORT, _LONG = 48, 1536
_BLOCK = 512  # queries of one product: what lies behind the last of them is not computed


def packed_attention(
    module: torch.nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence of a pack, or attention under an explicit boolean mask.

    Args:
        query_BHTD, key_BHTD, value_BHTD: keys and values may have fewer heads (grouped-query attention).
        attention_mask: boolean ``[B, 1, T, S]`` over S keys (True = may attend), for trees of answers; None for a pack.
        cu_seq_lens_q: ``[num_sequences + 1]``, borders of the sequences up to T; None is one sequence. Tokens before
            the first border are a beginning that all sequences have in common and attend to.
        sliding_window: tokens that a token may look back, itself included.

    Returns:
        ``[B, T, H, D]`` and no weights.

    Raises:
        ValueError: for a score transform (``softcap``, attention sinks) that would be lost in silence here.
    """
    for lost in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(lost) is not None:
            raise ValueError(f"packed attention cannot apply {lost!r}; use attn_implementation='eager'")
    dtype = query_BHTD.dtype
    on_cpu = query_BHTD.device.type == "cpu"
    multiplies = on_cpu and dtype == torch.bfloat16 and attention_mask is None and not dropout
    grouped = query_BHTD.shape[1] != key_BHTD.shape[1]

    def product(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        if on_cpu:  # the fused fp32 kernel is faster than the bf16 one, and more exact
            query, key, value = query.float(), key.float(), value.float()
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=mask is None, scale=scaling, enable_gqa=grouped
        )

    def attend(row: Sequence[Tensor], beginning: Sequence[Tensor] | None = None) -> Tensor:
        query, key, value = row
        length, prefix = query.shape[2], 0 if beginning is None else beginning[0].shape[2]
        windowed = sliding_window is not None and prefix + length > sliding_window
        mask, repeated = None, False
        if beginning is not None:
            key, value = (torch.cat(pair, dim=2) for pair in zip(beginning[1:], row[1:], strict=True))
        if multiplies and not windowed and _SHORT <= prefix + length <= _LONG:
            return _in_blocks(query, key, value, scaling)
        if beginning is not None and not windowed and 2 * prefix <= length:
            # A mask makes the kernel compute what it hides, so a short beginning is asked once more with each row.
            query, repeated = torch.cat([beginning[0], query], dim=2), True
        if windowed or (prefix and not repeated):
            mask = _causal(length, prefix, sliding_window if windowed else None, query.device)
        return product(query, key, value, mask)[:, :, -length:]

    if attention_mask is not None:
        small = attention_mask.shape[-1] * attention_mask.shape[-2] <= _SMALL and not torch.is_grad_enabled()
        if small and on_cpu and attention_mask.dtype == torch.bool and not dropout:
            # Added, and not filled in head by head, which takes twice as long.
            hidden_B1TS = torch.zeros(attention_mask.shape).masked_fill_(~attention_mask, float("-inf"))
            output_BHTD = _by_products(query_BHTD.float(), key_BHTD.float(), value_BHTD.float(), hidden_B1TS, scaling)
        else:
            output_BHTD = product(query_BHTD, key_BHTD, value_BHTD, attention_mask)
        return output_BHTD.transpose(1, 2).to(dtype).contiguous(), None

    borders = [0, query_BHTD.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    sizes = [borders[0], *(end - begin for begin, end in itertools.pairwise(borders))]
    # Split once: the gradient of a slice is a tensor of the whole pack, for every row.
    beginning, *rows = zip(
        *(torch.split(whole, sizes, dim=2) for whole in (query_BHTD, key_BHTD, value_BHTD)), strict=True
    )
    parts = [attend(beginning)] if sizes[0] else []
    parts += [attend(row, beginning if sizes[0] else None) for row in rows]
    output_BHTD = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return output_BHTD.transpose(1, 2).to(dtype).contiguous(), None


def _by_products(
    query_BHTD: Tensor, key_BKSD: Tensor, value_BKSD: Tensor, hidden: Tensor, scaling: float | None
) -> Tensor:
    """The same as two matrix products and a softmax: for small trees half the time of the fused kernel on a CPU.

    K heads of keys; the query heads that share one are laid end to end, so that no key is repeated.

    Args:
        hidden: what is added to the scores, 0 or minus infinity; broadcast to ``[B, H, T, S]``.
    """
    batch, heads, length, size = query_BHTD.shape
    groups, seen = key_BKSD.shape[1:3]
    scale = size**-0.5 if scaling is None else scaling
    query_BKQD = query_BHTD.reshape(batch, groups, heads // groups * length, size)
    scores_BHTS = (query_BKQD @ key_BKSD.transpose(-1, -2)).view(batch, heads, length, seen)
    weights_BHTS = torch.softmax(torch.add(hidden, scores_BHTS, alpha=scale), dim=-1)
    weights_BKQS = weights_BHTS.view(batch, groups, heads // groups * length, seen)
    return (weights_BKQS @ value_BKSD).view(batch, heads, length, value_BKSD.shape[-1])


def _in_blocks(query_BHTD: Tensor, key_BKSD: Tensor, value_BKSD: Tensor, scaling: float | None) -> Tensor:
    """Causal attention of the last T of S tokens by products, some queries at a time."""
    length, seen = query_BHTD.shape[2], key_BKSD.shape[2]
    begin, parts = seen - length, []
    for query in torch.split(query_BHTD, -(-length // -(-length // _BLOCK)), dim=2):
        end = begin + query.shape[2]
        hidden = _future(query.dtype)[begin:end, :end]
        parts.append(_by_products(query, key_BKSD[:, :, :end], value_BKSD[:, :, :end], hidden, scaling))
        begin = end
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


@cache
def _future(dtype: torch.dtype) -> Tensor:
    """``[_LONG, _LONG]``: minus infinity where a key lies behind its query, else 0; rows are cut out of it."""
    return torch.full((_LONG, _LONG), float("-inf"), dtype=dtype).triu_(1)


def _causal(length: int, prefix: int, window: int | None, device: torch.device) -> Tensor:
    """``[length, prefix + length]``: True where a token behind the prefix may look."""
    query = torch.arange(prefix, prefix + length, device=device)[:, None]
    distance = query - torch.arange(prefix + length, device=device)[None, :]
    return distance >= 0 if window is None else (distance >= 0) & (distance < window)


AttentionInterface.register(NAME, packed_attention)
