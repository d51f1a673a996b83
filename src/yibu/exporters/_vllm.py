"""What vLLM loads as an adapter: for the folder that leaves, and for the engine that loads adapters while it runs.

Read off vLLM 0.32: its ``peft_helper`` refuses what it does not compute, and what it misreads is refused here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""That ``--max-lora-rank`` takes."""


def why_not_loaded(adapter: Path) -> str | None:
    """Why vLLM cannot load a PEFT folder as an adapter; None where it can.

    Args:
        adapter: has ``adapter_config.json``.
    """
    config = _config(adapter)
    if config.get("peft_type", "LORA") != "LORA":
        return f"it is {config['peft_type']} and no LoRA"
    if config.get("use_dora"):
        return "DoRA"
    if config.get("target_parameters"):
        return "it adapts parameters that are no linear layers (routed experts)"
    if config.get("modules_to_save") or config.get("trainable_token_indices"):
        return "it brings whole modules or tokens of its own"
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        return "it trains biases"
    if rank_of(adapter) > RANKS[-1]:
        return f"rank {rank_of(adapter)}, and it takes up to {RANKS[-1]}"
    return None


def rank_of(adapter: Path) -> int:
    """The largest rank in a PEFT folder."""
    config = _config(adapter)
    return max(int(config["r"]), *(int(rank) for rank in (config.get("rank_pattern") or {}).values()), 0)


def room_for(rank: int) -> int:
    """The smallest bound of vLLM's that holds a rank."""
    return next(size for size in RANKS if size >= rank)


def _config(adapter: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return found
