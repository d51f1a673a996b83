"""Compressors: what makes a merged model smaller.

One file is one way. A plug defines

- ``Settings``: its table in the recipe, with a literal ``kind``;
- ``compress(model, settings, facts, calibration) -> dict``: changes a transformers model in fp32 on the CPU in place,
  and says what it did in JSON values;
- ``save(model, folder, settings)``: a Hugging Face folder (weights and config) that plain transformers loads;
- ``bits(settings) -> int``: of a weight, which decides how much of the adapter's gain must be left.

Merging is not among them. What an adapter becomes in the weights is known to its kind (``merge`` in `yibu.adapters`),
and families do not see each other: `yibu.model.assemble.merged` brings them together.
"""

from __future__ import annotations

from typing import Any

from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("Settings", "compress", "save", "bits"))

CALIBRATION_ROWS = 128


def in_words(value: Any) -> Any:
    """``quantise: int4`` in a recipe as the table that it stands for."""
    return {"scheme": value} if isinstance(value, str) else value
