"""Figures of the matrix that are no metrics of the task: latency under load, cost in FLOPs and joules, what is kept.

Latency is that of one rate of requests, ``bench.at``. A figure made from a stated wattage has ``modelled`` in its name,
so that a gate on joules can never be passed by a model of them. What should have been measured and was not (an
endpoint that died, too few answers for a limit) has a figure without a value that says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from yibu.core.store import Artifact

Figures = dict[str, dict[str, Any]]

LEVELS = ("p50", "p90", "p99")
LATENCY = {
    **{f"{level}_ms": ("e2e", level) for level in LEVELS},
    **{f"ttft_{level}_ms": ("ttft", level) for level in LEVELS},
    **{f"per_token_{level}_ms": ("per_token", level) for level in LEVELS},
}
LOAD = (*LATENCY, "tokens_per_s", "failed_requests", "max_rate")
COST = ("flops_per_token", "training_flops_per_token", "activated_parameters")
ENERGY = ("joules_per_answer", "flops_per_joule", "tokens_per_joule")
MODELLED = tuple(f"{name}_modelled" for name in ENERGY)
RETENTION = "retention"
_UNITS = {"joules_per_answer": "J", "flops_per_joule": "FLOPs/J", "tokens_per_joule": "tokens/J"}


@dataclass(frozen=True)
class Beside:
    """What a recipe measures beside the task.

    Attributes:
        load: whether requests are sent.
        energy: whether joules come from a counter, from a stated wattage, or from nowhere.
        sets: names of the sets of general abilities.
    """

    load: bool = False
    energy: Literal["measured", "modelled"] | None = None
    sets: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The figures that there will be."""
        energy = {"measured": ENERGY, "modelled": MODELLED, None: ()}[self.energy]
        kept = (RETENTION, *(f"{RETENTION}.{name}" for name in self.sets)) if self.sets else ()
        return [*COST, *(LOAD if self.load else ()), *energy, *kept]


def to_add(figure: str) -> str | None:
    """What a recipe lacks where it does not measure a figure of this name; None for a name that is none of these."""
    if figure in LOAD:
        return "add a table `bench`, such as bench: {rates: [1], num_requests: 400}"
    if figure in ENERGY:
        return (
            "joules need a table `bench` without an endpoint, and a counter on this machine (NVML or RAPL); where "
            f"there is none: bench: {{meter: {{kind: modelled, watts: 65}}}} and a gate on {figure}_modelled"
        )
    if figure in MODELLED:
        return "state the wattage: bench: {meter: {kind: modelled, watts: 65}}"
    if figure == RETENTION or figure.startswith(f"{RETENTION}."):
        return "add a table `retain` with that set, such as retain: {sets: [{kind: pairs, path: blimp.jsonl}]}"
    return None


def beside(model: Artifact, load: Artifact | None, kept: Artifact | None) -> tuple[Figures, dict[str, Any]]:
    """All of these figures, and what the page draws.

    Args:
        load: of the stage `bench`. kept: of the stage `kept`.

    Returns:
        The figures; and ``cost``, ``load`` (``latency``, ``efficiency``) and ``retention`` for ``metrics.json``.
    """
    cost = cost_of(model)
    latency = None if load is None else load.read_json("latency.json")
    has_cost = load is not None and "efficiency.json" in load.manifest.files
    efficiency = load.read_json("efficiency.json") if load is not None and has_cost else None
    retention = None if kept is None else kept.read_json("kept.json")
    figures = {} if cost is None else _of_cost(cost)
    if latency is not None:
        figures |= of_load(latency)
    if latency is not None and efficiency is not None:
        figures |= of_energy(efficiency, latency["at"])
    if retention is not None:
        figures |= of_retention(retention)
    measured = None if latency is None else {"latency": latency, "efficiency": efficiency}
    return figures, {"cost": cost, "load": measured, "retention": retention}


def cost_of(model: Artifact) -> dict[str, Any] | None:
    """Parameters and FLOPs counted from shapes; None where the base is no longer on this machine."""
    from yibu.model.flops import Cost
    from yibu.model.foresee import outline
    from yibu.model.published import read_config

    base = model.manifest.config.get("base")
    if base is None:  # not made by the stage `train`
        return None
    path = Path(base["path"])
    if not path.exists():
        return None
    cost = Cost.of(outline(read_config(path)[0]), plan=model.read_json("plan.json"))
    return {
        "flops_per_token": cost.per_token,
        "training_flops_per_token": cost.training_per_token,
        "activated_parameters": cost.activated,
    }


def _of_cost(cost: Mapping[str, Any]) -> Figures:
    return {name: _figure(cost[name], unit="parameters" if "parameters" in name else "FLOPs") for name in COST}


def of_load(latency: Mapping[str, Any]) -> Figures:
    """Of ``latency.json``: the rate that the matrix is about, and the highest rate that was kept up with."""
    from yibu.metrics import stats  # scipy, which a recipe that is only read does not need

    at, rates = latency["at"], latency["rates"]
    item = next((one for one in rates if one["rate"] == at), None)
    kept_up = [one["achieved_rate"] for one in rates if not one["saturated"] and one["ended"] is None]
    kept_up = [rate for rate in kept_up if rate is not None]
    highest = _figure(max(kept_up, default=None), unit="requests/s", better=True)
    if item is None:
        why = f"the sweep ended early: {latency['ended']}" if latency["ended"] else "no rate was measured to its end"
        return {name: _figure(None, why=why) for name in LOAD if name != "max_rate"} | {"max_rate": highest}
    figures = {name: _quantile(item[measure], level, at) for name, (measure, level) in LATENCY.items()}
    failed = [1.0] * (item["n"] - item["answered"]) + [0.0] * item["answered"]
    share = stats.wilson(failed)
    figures["tokens_per_s"] = _figure(item["tokens_per_second"], unit="tokens/s", better=True, at=at)
    figures["failed_requests"] = _figure(share.value, share.low, share.high, share.n, unit="share", better=False, at=at)
    return {**figures, "max_rate": highest}


def _quantile(found: Mapping[str, Any] | None, level: str, at: float) -> dict[str, Any]:
    if found is None:
        return _figure(None, unit="ms", better=False, at=at, why="no answer has it")
    entry = found[level]
    value, low, high = (None if entry[key] is None else 1000 * entry[key] for key in ("value", "low", "high"))
    why = None
    if value is None:
        why = "it lies among requests that ran out of time (bench.timeout)"
    elif high is None:
        why = f"{entry['n']} answers give {level} no upper limit"
    return _figure(value, low, high, entry["n"], unit="ms", better=False, at=at, why=why)


def of_energy(efficiency: Mapping[str, Any], at: float | None) -> Figures:
    """Joules of an answer, and what one joule does; nothing where nothing told joules."""
    item = next((one for one in efficiency["rates"] if one["rate"] == at), None)
    if efficiency["energy"] is None:
        return {}
    modelled = bool(efficiency["energy"]["modelled"])
    figures: Figures = {}
    for name in ENERGY:
        value = None if item is None else item[name]
        why = None if value is not None else "the rate was not measured to its end"
        figures[f"{name}_modelled" if modelled else name] = _figure(
            value, unit=_UNITS[name], better=name != "joules_per_answer", at=at, why=why
        )
    return figures


def of_retention(kept: Mapping[str, Any]) -> Figures:
    """``retention`` over all sets of abilities, ``retention.<set>`` of each."""
    parts = {RETENTION: kept["retention"], **{f"{RETENTION}.{one['name']}": one["retained"] for one in kept["sets"]}}
    figures = {}
    for name, part in parts.items():
        if part is None:
            figures[name] = _figure(None, unit="ratio", better=True, why="the base has 0, which nothing can be kept of")
        else:
            figures[name] = _figure(part["value"], part["low"], part["high"], part["n"], unit="ratio", better=True)
    return figures


def _figure(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    *,
    unit: str = "",
    better: bool | None = None,
    at: float | None = None,
    why: str | None = None,
) -> dict[str, Any]:
    figure = {"value": value, "low": low, "high": high, "n": n, "unit": unit, "higher_is_better": better}
    figure["where"] = "model"
    return figure | ({} if at is None else {"at": at}) | ({} if why is None else {"why": why})


def names_of(beside: Beside | None) -> Sequence[str]:
    """See `Beside.names`; without one, the cost that is always counted."""
    return (beside or Beside()).names()
