"""The stages that make one plain model of a base and an adapter, smaller where the recipe asks for it, and prove it.

First the adapter is merged into the unquantised base, in fp32 (`yibu.model.assemble.merged`; how is the business of
each kind of adapter). What the recipe drops of that model is dropped by `prune`; what is left may be trained again on
the same rows (``compress.recover``, by the stage `yibu.train.train`); then `compress` merges that too, lets the weights
be rounded, and measures. The result is a folder that plain transformers loads, and ``parity.json``: what was compared
on validation rows, never on test rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from yibu import compressors
from yibu.compressors import CALIBRATION_ROWS, in_words
from yibu.core.disk import digest_file, digest_folder
from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage

MODEL = "model"
"""Folder of the plain model in the artifact."""


class RecoverSettings(Settings):
    """A LoRA on what pruning left, trained as ``train`` says but for these, and merged before weights are rounded."""

    epochs: int = Field(1, ge=1)
    lr: float | None = Field(
        None,
        gt=0,
        description="peak learning rate; default a fifth of that of `train`, whose rows the model knows already",
    )
    r: int = Field(16, ge=1, description="rank of the update; alpha is twice that")


class CompressSettings(Settings):
    """What becomes of the merged model."""

    dtype: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32",
        description="of the merged weights on disk; 16 bits round small updates away, and the gates say how much",
    )
    prune: Annotated[Settings, PlugSettings("yibu.compressors", default="prune")] | None = Field(
        None, description="layers, tokens and experts that are dropped: a table of yibu.compressors.prune"
    )
    recover: RecoverSettings | None = Field(
        None, description="train what is left after pruning, on the same train rows"
    )
    quantise: Annotated[
        Annotated[Settings, PlugSettings("yibu.compressors", default="quantise")] | None, BeforeValidator(in_words)
    ] = Field(None, description="int8 | int4 | nf4, or a table of yibu.compressors.quantise")
    calibration_rows: int = Field(CALIBRATION_ROWS, ge=1, description="train rows that a compressor may look at")
    gain: float | None = Field(
        None, gt=0, le=1, description="least share of the adapter's gain that is left; default 0.95, in 4 bits 0.9"
    )
    loss: float | None = Field(
        None,
        gt=0,
        description="most that the loss on validation rows may grow to, as a multiple of the adapter's; default 1.15 "
        "where something is dropped, else it is only told",
    )
    rows: int = Field(500, ge=1, description="validation rows that it is measured on, at most")

    @model_validator(mode="after")
    def _each_in_its_section(self) -> Self:
        for section, changes in (("prune", "shape"), ("quantise", "bits")):
            table: Any = getattr(self, section)
            if table is not None and changes != compressors.FAMILY.load(table.kind).CHANGES:
                raise ValueError(f"{table.kind} is no way to {section}")
        return self

    @model_validator(mode="after")
    def _recovers_from_something(self) -> Self:
        if self.recover is not None and self.prune is None:
            raise ValueError("recover trains what pruning left, and nothing is pruned; take recover out")
        return self


class PruneConfig(Settings):
    """Everything that decides what is dropped."""

    base_path: str
    base_digest: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    prune: Annotated[Settings, PlugSettings("yibu.compressors", default="prune")]
    calibration_rows: int
    threads: int | None


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


def _general(config: PruneConfig) -> dict[str, str]:
    """The digest of the general text, which lies outside of the store."""
    path = getattr(config.prune, "general", None)
    if path is None:
        return {}
    return {"general": digest_folder(path) if Path(path).is_dir() else digest_file(path)}


@stage(version=1, neutral=("base_path", "threads"), external=_general)
def prune(config: PruneConfig, work: Work, *, data: Artifact, model: Artifact) -> None:
    """Merge a trained model and drop parts of it: ``model/`` (a plain Hugging Face folder, fp32), ``summary.json``.

    Raises:
        InputError: adapters of this kind cannot be merged; the settings do not fit the model.
    """
    from yibu.compress.pruned import run

    run(config, work, data, model)


@stage(version=1, neutral=("base", "base_path", "device", "threads", "batch_size"))
def compress(
    config: CompressConfig,
    work: Work,
    *,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
    pruned: Artifact | None = None,
    recovered: Artifact | None = None,
) -> None:
    """Merge and compress a trained model: ``model/`` (a plain Hugging Face folder), ``parity.json``, ``summary.json``.

    Args:
        base_answers, answers: of base and adapter to the validation rows, in fp32.
        pruned: what `prune` left of the merged model, where the recipe prunes.
        recovered: a LoRA that was trained on it.

    Raises:
        InputError: adapters of this kind cannot be merged; the settings do not fit the model.
        DataError: no validation rows, so that nothing could be proven.
        MissingExtra: a package is missing.
    """
    from yibu.compress.run import run

    run(config, work, data, model, base_answers, answers, pruned, recovered)


def checks_of(small: Artifact) -> list[dict[str, Any]]:
    """The parity checks of what this stage made, as they are written."""
    found: list[dict[str, Any]] = small.read_json("parity.json")["checks"]
    return found
