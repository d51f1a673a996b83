"""A tiny DeepSeek-V3 in block-wise FP8, as the hub has it, and what its numbers stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tiny import tiny_base

FP8 = torch.float8_e4m3fn
BLOCK = (128, 128)
TABLE = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [128, 128],
}
# What DeepSeek-V3 keeps in bf16: embedding, head, norms, routers.
PLAIN = ("embed_tokens", "lm_head", "norm", "mlp.gate.")
# Blocks of the tiny base, so that its small matrices have several, and cut ones at the edges.
SMALL = (16, 24)


def quantise(weight: torch.Tensor, block: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Number by number of blocks, as a reader of the paper would write it."""
    rows, columns = weight.shape
    grid = torch.zeros(-(-rows // block[0]), -(-columns // block[1]))
    values = torch.zeros_like(weight, dtype=torch.float32)
    for p in range(grid.shape[0]):
        for q in range(grid.shape[1]):
            part = (slice(p * block[0], (p + 1) * block[0]), slice(q * block[1], (q + 1) * block[1]))
            grid[p, q] = weight[part].float().abs().max() / torch.finfo(FP8).max
            values[part] = weight[part].float() / grid[p, q]
    return values.to(FP8), grid


def expected(values: torch.Tensor, grid: torch.Tensor, block: tuple[int, int]) -> torch.Tensor:
    """fp32, one number after the other."""
    plain = values.float()
    return torch.tensor(
        [
            [float(plain[row, column] * grid[row // block[0], column // block[1]]) for column in range(plain.shape[1])]
            for row in range(plain.shape[0])
        ]
    )


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fp8_base(folder: Path, num_files: int = 3, block: tuple[int, int] = SMALL) -> dict[str, torch.Tensor]:
    """A tiny DeepSeek-V3 as the hub has it: fp8 matrices, factors in other files than their weights, an index.

    Returns:
        What each tensor stands for, in fp32.
    """
    tiny_base(folder, "deepseek_v3")
    (folder / "LICENSE").write_text("terms", encoding="utf-8")
    (folder / "modeling_deepseek.py").write_text("raise SystemExit", encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stored: dict[str, torch.Tensor] = {}
    meant: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim == 2 and not any(part in name for part in PLAIN):
            stored[name], stored[f"{name}_scale_inv"] = quantise(weight, block)
            meant[name] = expected(stored[name], stored[f"{name}_scale_inv"], block)
        else:
            stored[name] = weight.to(torch.bfloat16)
            meant[name] = stored[name].float()
    names = sorted(stored)
    files = {
        name: f"model-{place % num_files + 1:05d}-of-{num_files:05d}.safetensors" for place, name in enumerate(names)
    }
    for file in set(files.values()):
        save_file({name: stored[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}), encoding="utf-8")
    change_config(folder, quantization_config={**TABLE, "weight_block_size": list(block)}, dtype="bfloat16")
    return meant


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
