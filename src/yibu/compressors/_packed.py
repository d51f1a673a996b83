"""A folder in the form of compressed-tensors (``pack-quantized``), whose weights were rounded before.

A plain folder is written first, and each of its files again with the rounded weights as packed integers and steps. So
names on disk are those that transformers itself gives: of each expert alone, where it fuses them in memory, and of a
tied embedding once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = "*.safetensors"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Steps:
    """The steps of one weight on disk.

    Attributes:
        owner: name that its packed parts are written under, without ``.weight_packed``.
        scale_RN: a step for each group of each row.
    """

    owner: str
    scale_RN: Any


def pack_folder(plain: Path, folder: Path, steps: Mapping[str, Steps], num_bits: int) -> list[str]:
    """Write every file of a plain folder, weights that have steps packed; names of the plain folder that were packed.

    Args:
        plain: folder of ``save_pretrained``; weights with steps are multiples of them.
        steps: name in that folder without ``.weight`` -> its steps, see `steps_on_disk`.
        num_bits: of an integer.
    """
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    packed: list[str] = []
    places: dict[str, str] = {}
    size = 0
    for path in sorted(plain.iterdir()):
        if not path.match(WEIGHTS):
            if path.name != _INDEX:
                shutil.copyfile(path, folder / path.name)
            continue
        tensors: dict[str, Any] = {}
        for name, tensor in load_file(path).items():
            known = steps.get(name.removesuffix(".weight"))
            if known is not None and _fits(tensor, known.scale_RN):
                tensors |= _packed(known.owner, tensor, known.scale_RN, num_bits)
                packed.append(name.removesuffix(".weight"))
            else:
                tensors[name] = tensor
        save_file(tensors, folder / path.name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, path.name)
        size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if (plain / _INDEX).is_file():
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
        (folder / _INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return packed


def steps_on_disk(model: Any, scales: Mapping[str, Any]) -> dict[str, Steps]:
    """The steps by the names, and in the parts, in which transformers writes the weights that they belong to.

    They have the rows of their weights, so what transformers does to a weight when it saves it (another name, experts
    apart, gate and up apart) is done to them by transformers itself.

    Args:
        scales: module, or weight of fused experts -> steps ``[R, N]``, of experts ``[E, R, N]``.

    Returns:
        Name on disk without ``.weight`` -> steps.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, apply_renamings, revert_weight_conversion

    state = {name if scale.dim() > 2 else f"{name}.weight": scale for name, scale in scales.items()}
    conversions = getattr(model, "_weight_conversions", None) or get_model_conversion_mapping(model, add_legacy=False)
    renamings = [one for one in conversions if isinstance(one, WeightRenaming)]

    def owner(name: str) -> str:
        """A rule may hold for ``head.weight`` and not for ``head.weight_packed``: that goes by its name in memory."""
        plain, packed = (apply_renamings(f"{name}.{part}", renamings) for part in ("weight", "weight_packed"))
        return name if packed == f"{plain}_packed" else plain.removesuffix(".weight")

    names = {name.removesuffix(".weight"): scale for name, scale in revert_weight_conversion(model, state).items()}
    return {name: Steps(owner(name), scale_RN) for name, scale_RN in names.items()}


def _packed(owner: str, weight_RC: Any, scale_RN: Any, num_bits: int) -> dict[str, Any]:
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    wide_RC = scale_RN.float().repeat_interleave(weight_RC.shape[1] // scale_RN.shape[1], dim=1)
    top = 2 ** (num_bits - 1) - 1
    whole_RC = (weight_RC.float() / wide_RC).round().clamp(-top - 1, top).to(torch.int8)
    return {
        f"{owner}.weight_packed": pack_to_int32(whole_RC, num_bits).contiguous(),
        f"{owner}.weight_scale": scale_RN.to(torch.bfloat16).contiguous(),
        f"{owner}.weight_shape": torch.tensor(weight_RC.shape),
    }


def _fits(weight: Any, scale: Any) -> bool:
    """Both are one matrix, with a step for each group of a row."""
    if not weight.dim() == scale.dim() == 2:
        return False
    return bool(weight.shape[0] == scale.shape[0] and weight.shape[1] % scale.shape[1] == 0)
