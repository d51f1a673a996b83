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
