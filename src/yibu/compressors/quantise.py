"""Weights of linear layers in fewer bits, in forms that plain transformers (and vLLM) loads.

``int8`` and ``int4`` are rounded to the nearest step of a symmetric scale per group, in the form of compressed-tensors
(``pack-quantized``); in 4 bits the scale of each group is the one of several that loses least. ``nf4`` is that of
bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314). Left whole, in bf16: embedding, output layer, norms, the router
of a mixture of experts, and its fused experts, which are no linear layers for either library.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yibu.compressors import Calibration
from yibu.core.architecture import Facts
from yibu.core.errors import InputError, MissingExtra
from yibu.core.recipe import Settings as BaseSettings

CHANGES = "bits"
_NF4_BLOCK = 64
_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # of a group's largest weight: what a scale may give up to be finer


class Settings(BaseSettings):
    """How many bits, in which form."""

    kind: Literal["quantise"] = "quantise"
    scheme: Literal["int8", "int4", "nf4"] = Field("int4", description="nf4 needs bitsandbytes wherever it is loaded")
    group: Literal[32, 64, 128] = Field(32, description="weights of a row that share a scale, for int8 and int4")


def bits(settings: Settings) -> int:
    """Of a weight."""
    return 8 if settings.scheme == "int8" else 4


def compress(model: Any, settings: Settings, facts: Facts, calibration: Calibration) -> dict[str, Any]:
    """Round the weights; those of ``nf4`` are rounded when they are saved. No calibration rows are looked at.

    Raises:
        MissingExtra: the package of the form is missing.
        InputError: the group does not divide the rows of a layer, or there is no linear layer to quantise.
    """
    chosen = _chosen(model)
    if not chosen:
        raise InputError("There is no linear layer that could be quantised.", got=type(model).__name__)
    _require("bitsandbytes" if settings.scheme == "nf4" else "compressed_tensors")
    _check_rows(chosen, settings)
    total = sum(parameter.numel() for parameter in model.parameters())
    if settings.scheme != "nf4":
        _pack(model, chosen, settings)
    quantised = sum(rows * columns for rows, columns in chosen.values())
    return {"scheme": settings.scheme, "layers": len(chosen), "weights": quantised, "of": total}


def save(model: Any, folder: Path, settings: Settings) -> None:
    """A Hugging Face folder whose config says how its weights are to be read."""
    if settings.scheme != "nf4":
        model.save_pretrained(folder)
        return
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    with tempfile.TemporaryDirectory(prefix=".yibu-", dir=folder.parent) as place:
        model.save_pretrained(place)
        rounded = AutoModelForCausalLM.from_pretrained(
            place, quantization_config=how, dtype=torch.bfloat16, local_files_only=True, use_safetensors=True
        )
        rounded.save_pretrained(folder)


def _chosen(model: Any) -> dict[str, tuple[int, int]]:
    """Shapes of the linear layers by name, without the output layer."""
    from torch import nn

    head = model.get_output_embeddings()
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        if package == "bitsandbytes":
            raise MissingExtra("bitsandbytes", extra="qlora", use="compress.quantise: nf4")
        raise MissingExtra("compressed-tensors", extra="quantise", use="compress.quantise: int8 or int4")


def _check_rows(chosen: dict[str, tuple[int, int]], settings: Settings) -> None:
    """Groups lie within a row; bitsandbytes on a CPU needs that of its blocks, too, and fails on others when asked."""
    group = _NF4_BLOCK if settings.scheme == "nf4" else settings.group
    odd = sorted(name for name, (_, columns) in chosen.items() if columns % group)
    if odd:
        raise InputError(
            "The group does not divide the rows of these layers.",
            got=f"{settings.scheme} in groups of {group}; {len(odd)} layers, among them {odd[0]}",
            allowed=f"rows whose length is a multiple of {group}",
            do="say compress: {quantise: {scheme: int4, group: 32}}",
        )


def _pack(model: Any, chosen: dict[str, tuple[int, int]], settings: Settings) -> None:
    import torch
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus, apply_quantization_config

    model.to(torch.bfloat16)
    weights = {"num_bits": bits(settings), "type": "int", "strategy": "group", "group_size": settings.group}
    table = {
        "format": "pack-quantized",
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"targets": sorted(chosen), "weights": {**weights, "symmetric": True}}},
    }
    apply_quantization_config(model, QuantizationConfig.model_validate(table))
    with torch.no_grad():
        for name in chosen:
            layer = model.get_submodule(name)
            layer.weight_scale.copy_(_scales(layer.weight.float(), bits(settings), settings.group))
            layer.quantization_status = QuantizationStatus.FROZEN
    compressor = ModelCompressor.from_pretrained_model(model, "pack-quantized")
    compressor.compress_model(model)
    # transformers 5.23 with compressed-tensors 0.20 has no forward pass on packed weights: they are unpacked when
    # loaded.
    model.config.quantization_config = {**table, "quantization_status": "compressed", "dequantize": True}


def _scales(weight_RC: Any, num_bits: int, group: int) -> Any:
    """The step of each group ``[R, C / group]``: of several, the one whose rounding loses least."""
    import torch

    rows, columns = weight_RC.shape
    weight_RNG = weight_RC.view(rows, columns // group, group)
    top = 2 ** (num_bits - 1) - 1
    largest_RN = weight_RNG.abs().amax(-1).clamp_min(1e-8)
    best_RN, least_RN = largest_RN / top, torch.full_like(largest_RN, float("inf"))
    for share in _SHRINK if num_bits <= 4 else _SHRINK[:1]:
        step_RN = (largest_RN * share / top).to(torch.bfloat16).float()
        rounded = (weight_RNG / step_RN[..., None]).round().clamp(-top - 1, top) * step_RN[..., None]
        lost_RN = (rounded - weight_RNG).square().sum(-1)
        better = lost_RN < least_RN
        best_RN, least_RN = torch.where(better, step_RN, best_RN), torch.where(better, lost_RN, least_RN)
    return best_RN
