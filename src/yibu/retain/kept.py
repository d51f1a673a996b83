"""One figure for what is kept: the share of the base's general abilities that the tuned model still has.

Of a set it is the ratio to the base, turned so that less than 1 is a loss whichever way the set's metric points: tuned
over base for an accuracy, base over tuned for a loss per token. Over sets it is their plain mean, so that a large set
does not drown a small one. Sets are different items, so their errors are independent and the limits of the mean follow
from those of its parts (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702, "MOVER"). Refusals are no ability:
they are told by themselves and stay out of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from yibu.core.store import Artifact, Work
from yibu.retain import KeptConfig
from yibu.retain.compare import Retained, compare


def run(config: KeptConfig, work: Work, base: Artifact, tuned: Artifact) -> None:
    """The body of the stage `yibu.retain.kept`."""
    found = compare(base, tuned, resamples=config.num_resamples, seed=config.seed)
    sets = [{**one.as_dict(), "retained": retained(one)} for one in found]
    work.write_json("kept.json", {"sets": sets, "retention": mean_of(sets)})


def retained(one: Retained) -> dict[str, Any] | None:
    """``value``, ``low``, ``high``, ``n`` of one set; None where the base has nothing that could be kept."""
    if one.ratio is None:
        return None
    value, low, high = one.ratio.value, one.ratio.low, one.ratio.high
    if one.better == "lower":
        value, low, high = _inverse(value), _inverse(high), _inverse(low)
    return {"value": _known(value), "low": _known(low), "high": _known(high), "n": one.ratio.n}


def mean_of(sets: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The mean over all sets of abilities; None where there is none, or one of them has no ratio."""
    abilities = [one for one in sets if one["kind"] != "refusals"]
    parts = [one["retained"] for one in abilities]
    if not parts or any(part is None or part["value"] is None for part in parts):
        return None
    value = sum(part["value"] for part in parts) / len(parts)
    sides: dict[str, float | None] = {}
    for side, sign in (("low", -1), ("high", 1)):
        reach = [part[side] for part in parts]
        known = [(limit - part["value"]) ** 2 for limit, part in zip(reach, parts, strict=True) if limit is not None]
        sides[side] = value + sign * math.sqrt(sum(known)) / len(parts) if len(known) == len(parts) else None
    return {"value": value, **sides, "n": sum(part["n"] for part in parts), "num_sets": len(parts)}


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else math.nan


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
