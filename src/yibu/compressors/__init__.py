"""Compressors: what makes a merged model smaller.

One file is one way. A plug defines

- ``Settings``: its table in the recipe, with a literal ``kind``;
- ``CHANGES``: ``"shape"`` where the model has other layers, words or experts afterwards, and may be trained again
  (section ``compress.prune``), or ``"bits"`` where only the form of its weights is another (``compress.quantise``);
- ``compress(model, settings, facts, calibration) -> dict``: changes a transformers model in fp32 on the CPU in place,
  and says what it did in JSON values; a tokenizer that no longer fits is replaced in the `Calibration`;
- ``save(model, folder, settings)``: a Hugging Face folder (weights and config) that plain transformers loads;
- ``bits(settings) -> int``: of a weight, which decides how much of the adapter's gain must be left.

Merging is not among them. What an adapter becomes in the weights is known to its kind (``merge`` in `yibu.adapters`),
and families do not see each other: `yibu.model.assemble.merged` brings them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("Settings", "CHANGES", "compress", "save", "bits"))

CALIBRATION_ROWS = 128


@dataclass
class Calibration:
    """What a compressor may look at: rows of train, never of test.

    Attributes:
        rows: token ids of some rows, prompt and answer, as they are trained.
        tokenizer: the model's; a plug that trims the vocabulary puts another one in its place.
        kept: token ids that must stay, however rare: of every train row and of every label.
        stops: ids at which an answer ends.
        shares: layer -> share of each routed expert in all choices of its router on these rows; empty without experts.
    """

    rows: Sequence[Sequence[int]]
    tokenizer: Any = None
    kept: frozenset[int] = frozenset()
    stops: Sequence[int] = ()
    shares: Mapping[int, Sequence[float]] = field(default_factory=dict)


def in_words(value: Any) -> Any:
    """``quantise: int4`` in a recipe as the table that it stands for."""
    return {"scheme": value} if isinstance(value, str) else value


def narrow(model: Any, dtype: Any) -> Any:
    """The model with its weights in another type, in place, but those that transformers reads in fp32 all the same.

    A cast of the whole model would round them first (the router's correction of DeepSeek V3, the hyper-connections and
    sinks of V4), for nothing: they are read as fp32 again.

    Args:
        model: of transformers, in fp32.
        dtype: a type of torch.
    """
    import torch

    kept = set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    if dtype == torch.float16:  # as transformers does
        kept |= set(getattr(model, "_keep_in_fp32_modules", None) or ())
    whole = {
        name: tensor.data.clone()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if tensor.is_floating_point() and kept & set(name.split("."))
    }
    model.to(dtype)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in whole:
            tensor.data = whole[name]
    return model
