"""What an answer costs: parameters, FLOPs by counting shapes, joules by a meter, and one over the other.

FLOPs are those of useful work, counted and not measured (`yibu.model.flops`); joules cover what the meter covers, idle
time included, so that "FLOPs per joule" (which is FLOP/s per watt) rises with the load until the model is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yibu.core.store import Artifact


def efficiency(
    base_path: str, model: Artifact | None, rates: Sequence[dict[str, Any]], energy: dict[str, Any] | None
) -> dict[str, Any]:
    """JSON values.

    Args:
        model: its adapter is counted in; without one the base alone.
        rates: figures of the sweep.
        energy: what `yibu.meters.Phases` found; None where nothing measures.
    """
    from yibu.model.flops import Cost
    from yibu.model.foresee import outline
    from yibu.model.published import read_config

    config, _ = read_config(Path(base_path))
    cost = Cost.of(outline(config), plan=[] if model is None else model.read_json("plan.json"))
    told: dict[str, Any] = {
        "parameters": cost.parameters,
        "activated": cost.activated,
        "trained": cost.trained,
        "flops_per_token": cost.per_token,
        "training_flops_per_token": cost.training_per_token,
        "energy": energy,
    }
    told["rates"] = [_at(cost, item, energy) for item in rates if item["answered"]]
    return told


def _at(cost: Any, item: dict[str, Any], energy: dict[str, Any] | None) -> dict[str, Any]:
    answers, tokens = item["answered"], item["tokens"]
    prompt = item["prompt_tokens"]
    flops = None
    if prompt is not None:
        flops = answers * cost.answer(round(prompt), max(1, round(tokens / answers)))
    phase = None if energy is None else energy["phases"].get(f"rate {item['rate']:g}")
    joules = None if phase is None else phase["joules"]
    # The meter ran while warm-up was answered, too; its share is taken out by number, for all requests are alike.
    share = answers / max(1, item["answered_with_warmup"])
    return {
        "rate": item["rate"],
        "flops": flops,
        "joules": None if joules is None else joules * share,
        "joules_per_answer": joules * share / answers if joules is not None else None,
        "flops_per_joule": flops / (joules * share) if flops and joules else None,
        "tokens_per_joule": tokens / (joules * share) if joules else None,
        "modelled": None if energy is None else energy["modelled"],
    }
