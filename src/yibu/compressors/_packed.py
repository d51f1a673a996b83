"""A folder in the form of compressed-tensors (``pack-quantized``), whose weights were rounded before.

A plain folder is written first, and each of its files again with the rounded weights as packed integers and steps. So
names on disk are those that transformers itself gives: of each expert alone, where it fuses them in memory, and of a
tied embedding once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WEIGHTS = "*.safetensors"
_INDEX = "model.safetensors.index.json"


def pack_folder(plain: Path, folder: Path, scales: Mapping[str, Any], num_bits: int) -> list[str]:
    """Write every file of a plain folder, weights that have scales packed; the names that were packed.

    Args:
        plain: folder of ``save_pretrained``; weights with scales are multiples of them.
        scales: name on disk without ``.weight`` -> steps ``[R, N]``.
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
            owner = name.removesuffix(".weight")
            if owner in scales:
                tensors |= _packed(owner, tensor, scales[owner], num_bits)
                packed.append(owner)
            else:
                tensors[name] = tensor
        save_file(tensors, folder / path.name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, path.name)
        size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if (plain / _INDEX).is_file():
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
        (folder / _INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return packed


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
