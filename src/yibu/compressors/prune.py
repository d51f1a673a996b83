"""Fewer layers, fewer words, fewer experts: what the domain's own rows do not need.

Whole layers go by their block influence on calibration rows (ShortGPT: Men et al. 2024, arXiv 2403.03853), tokens by
whether train rows or a general text say them, routed experts by the share of calibration tokens that are sent to them.
Structures are dropped and no single weights: those would still be stored and multiplied. What is left is an ordinary
model of the same architecture, which can be trained again (``compress.recover``) before its weights are rounded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from yibu.compressors import Calibration
from yibu.compressors._experts import drop_experts
from yibu.compressors._layers import drop_layers, influences
from yibu.compressors._vocabulary import check_round_trip, closed, counts_of, take_rows, trimmed
from yibu.core.architecture import Facts
from yibu.core.errors import InputError
from yibu.core.recipe import Settings as BaseSettings

CHANGES = "shape"
_SUFFIXES = (".txt", ".md")


class Settings(BaseSettings):
    """What is dropped."""

    kind: Literal["prune"] = "prune"
    layers: int = Field(0, ge=0, description="so many whole layers, those of least influence on train rows")
    vocabulary: bool = Field(False, description="tokens that neither train rows nor the general text say")
    general: str | None = Field(None, description="text whose tokens stay too: a .txt or .md file, or a folder of such")
    least: int = Field(1, ge=1, description="how often a token must occur in the general text to stay")
    experts: int | None = Field(None, ge=1, description="routed experts that each layer of a mixture keeps")

    @model_validator(mode="after")
    def _something_is_dropped(self) -> Self:
        if not (self.layers or self.vocabulary or self.experts):
            raise ValueError("nothing would be dropped; say layers: 2, vocabulary: true or experts: 32")
        if self.general is not None and not self.vocabulary:
            raise ValueError("general text is read for the vocabulary alone; say vocabulary: true")
        return self


def bits(settings: Settings) -> int:
    """Of a weight: all of them."""
    return 32


def compress(model: Any, settings: Settings, facts: Facts, calibration: Calibration) -> dict[str, Any]:
    """Drop layers, then experts, then tokens; what was dropped, and by which measure.

    Raises:
        InputError: more than there is, a tokenizer that cannot be trimmed, or a general text that is not there.
    """
    before = _size(model)
    told: dict[str, Any] = {}
    if settings.layers:
        scores = influences(model, calibration.rows)
        told["influence"] = [round(score, 6) for score in scores]
    if settings.experts is not None:  # before the layers are numbered anew: shares are told by number
        told["experts"] = drop_experts(model, facts, calibration.shares, settings.experts)
    if settings.layers:
        told["layers"] = drop_layers(model, scores, settings.layers)
    if settings.vocabulary:
        told["vocabulary"] = _trim(model, settings, calibration)
    return {**told, "parameters": _size(model), "of": before}


def save(model: Any, folder: Path, settings: Settings) -> None:
    """A plain Hugging Face folder in fp32."""
    model.save_pretrained(folder)


def texts_of(path: Path) -> list[str]:
    """Lines of the general text, in the order of its files' names.

    Raises:
        InputError: no such file, no text in it, or one of another kind.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InputError(
            "There is no general text at this path.",
            got=path,
            allowed="a file .txt or .md in UTF-8, or a folder of such",
        )
    try:
        lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError("The general text is not UTF-8.", got=path) from error
    if not lines:
        raise InputError("The general text is empty.", got=path)
    return lines


def _trim(model: Any, settings: Settings, calibration: Calibration) -> dict[str, int]:
    tokenizer = calibration.tokenizer
    general = [] if settings.general is None else texts_of(Path(settings.general))
    often = {number for number, count in counts_of(tokenizer, general).items() if count >= settings.least}
    size = model.get_input_embeddings().weight.shape[0]
    kept = closed(tokenizer, {*calibration.kept, *calibration.stops, *often})
    if kept and kept[-1] >= size:
        raise InputError("The tokenizer has ids that the model has no weights for.", got=kept[-1], allowed=f"< {size}")
    small = trimmed(tokenizer, kept)
    rows = [tokenizer.decode(list(row)) for row in calibration.rows]
    proven = check_round_trip(tokenizer, small, kept, rows + general)
    take_rows(model, kept)
    calibration.tokenizer = small
    return {"kept": len(kept), "of": size, **proven}


def _size(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
