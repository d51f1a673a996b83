"""From the requests of a rate to its figures.

- ``ttft``: from the intended moment of sending to the first piece of text;
- ``e2e``: from the same moment to the last piece;
- ``per_token``: (last - first) / (tokens - 1) of one answer, so that each answer counts once however long it is.

Requests that ran out of time count as infinitely slow, or a server would look the faster the more it leaves unanswered;
a quantile that falls among them is null. Requests that failed in any other way are counted as errors and have no
latency. Warm-up is left out of everything.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from yibu.metrics.quantiles import needed, quantile

LEVELS = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
MEASURES = ("ttft", "per_token", "e2e")
KEPT_UP = 0.9
"""A rate is saturated where answers leave more slowly than this share of the rate at which requests come."""

_FEWEST = 10  # answers by which a rate can be judged

Line = dict[str, Any]


def read_lines(path: Path) -> list[Line]:
    """Whole lines of ``requests.jsonl``; a client that was killed may leave half of one."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def figures_of(lines: Iterable[Line], rate: float, stall_seconds: float) -> dict[str, Any]:
    """Figures of one rate, JSON values."""
    of_rate = [line for line in lines if line["rate"] == rate]
    counted = [line for line in of_rate if not line["warmup"]]
    answered = [line for line in counted if line["error"] is None]
    late = [line["sent"] - line["intended"] for line in counted]
    errors = Counter(line["error"] for line in counted if line["error"] is not None)
    arrived, left = _rate_of([line["intended"] for line in counted]), _rate_of([line["last"] for line in answered])
    seconds = max((line["last"] for line in answered), default=0.0) - min(
        (line["intended"] for line in counted), default=0.0
    )
    tokens = sum(line["tokens"] for line in answered)
    return {
        "rate": rate,
        "n": len(counted),
        "answered": len(answered),
        "answered_with_warmup": sum(line["error"] is None for line in of_rate),
        "arrived_rate": arrived,
        "achieved_rate": left,
        "saturated": _saturated(arrived, left, len(answered), errors["timeout"]),
        "tokens": tokens,
        "tokens_per_second": tokens / seconds if seconds > 0 else None,
        "prompt_tokens": _mean([line["prompt_tokens"] for line in answered if line["prompt_tokens"] is not None]),
        **{name: _quantiles(_values(counted, name)) for name in MEASURES},
        "p99_reachable": len(answered) + errors["timeout"] >= needed(LEVELS["p99"]),
        "errors": dict(errors),
        "stalls": sum(line["longest_gap"] > stall_seconds for line in counted),
        "sent_late": max(late) if late else None,
    }


def rate_of_the_matrix(rates: Sequence[dict[str, Any]], at: float | None) -> float | None:
    """The rate that the matrix is about, None where it was not measured to its end.

    Args:
        rates: figures in the order measured, each with ``ended``.
        at: the one that is wanted; None: the highest that the model kept up with, or the lowest where it kept up with
            none.
    """
    whole = [item for item in rates if item["ended"] is None and item["answered"]]
    if at is not None:
        return at if any(item["rate"] == at for item in whole) else None
    kept_up = [item["rate"] for item in whole if not item["saturated"]]
    return max(kept_up) if kept_up else min((item["rate"] for item in whole), default=None)


def _values(lines: Sequence[Line], measure: str) -> list[float]:
    """One number for each answer; infinity for each that ran out of time."""
    values = []
    for line in lines:
        if line["error"] == "timeout":
            if measure != "ttft" or line["first"] is None:
                values.append(math.inf)
                continue
        elif line["error"] is not None:
            continue
        if measure == "ttft":
            values.append(line["first"] - line["intended"])
        elif measure == "e2e":
            values.append(line["last"] - line["intended"])
        elif line["tokens"] > 1:
            values.append((line["last"] - line["first"]) / (line["tokens"] - 1))
    return values


def _quantiles(values: Sequence[float]) -> dict[str, Any] | None:
    return {name: quantile(values, level).as_dict() for name, level in LEVELS.items()} if values else None


def _rate_of(moments: Sequence[float]) -> float | None:
    """Events a second between the first and the last; so the wait for the last answer is not taken for slowness."""
    if len(moments) < 2 or max(moments) <= min(moments):
        return None
    return (len(moments) - 1) / (max(moments) - min(moments))


def _saturated(arrived: float | None, left: float | None, answered: int, timeouts: int) -> bool:
    if timeouts > 0 and timeouts >= (1 - KEPT_UP) * (answered + timeouts):
        return True
    if arrived is None or left is None or answered < _FEWEST:
        return False
    return left < KEPT_UP * arrived


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
