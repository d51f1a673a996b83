"""The stage that makes one plain model of a base and an adapter, smaller where the recipe asks for it, and proves it.

First the adapter is merged into the unquantised base, in fp32 (`yibu.model.assemble.merged`; how is the business of
each kind of adapter). Then come the plugs of `yibu.compressors` that the recipe names. The result is a folder that
plain transformers loads, and ``parity.json``: what was compared on validation rows, never on test rows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from yibu.compressors import CALIBRATION_ROWS, in_words
from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage

MODEL = "model"
"""Folder of the plain model in the artifact."""


class CompressSettings(Settings):
    """What becomes of the merged model."""

    dtype: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32",
        description="of the merged weights on disk; 16 bits round small updates away, and the gates say how much",
    )
    quantise: Annotated[
        Annotated[Settings, PlugSettings("yibu.compressors", default="quantise")] | None, BeforeValidator(in_words)
    ] = Field(None, description="int8 | int4 | nf4, or a table of yibu.compressors.quantise")
    calibration_rows: int = Field(CALIBRATION_ROWS, ge=1, description="train rows that a compressor may look at")
    gain: float | None = Field(
        None, gt=0, le=1, description="least share of the adapter's gain that is left; default 0.95, in 4 bits 0.9"
    )
    rows: int = Field(500, ge=1, description="validation rows that it is measured on, at most")


class CompressConfig(Settings):
    """Everything that decides what comes out."""

    base: str
    base_path: str
    base_digest: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    compress: CompressSettings
    batch_size: int
    device: str
    threads: int | None


@stage(version=1, neutral=("base", "base_path", "device", "threads", "batch_size"))
def compress(
    config: CompressConfig,
    work: Work,
    *,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
) -> None:
    """Merge and compress a trained model: ``model/`` (a plain Hugging Face folder), ``parity.json``, ``summary.json``.

    Args:
        base_answers, answers: of base and adapter to the validation rows, in fp32.

    Raises:
        InputError: adapters of this kind cannot be merged; the settings do not fit the model.
        DataError: no validation rows, so that nothing could be proven.
        MissingExtra: a package is missing.
    """
    from yibu.compress.run import run

    run(config, work, data, model, base_answers, answers)


def checks_of(small: Artifact) -> list[dict[str, Any]]:
    """The parity checks of what this stage made, as they are written."""
    found: list[dict[str, Any]] = small.read_json("parity.json")["checks"]
    return found
