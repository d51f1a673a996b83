"""One rate after another, until the model cannot keep up, the budget is spent, or there is nobody left to ask.

Each rate has client processes of its own. The parent measures nothing: it draws the arrivals, says when to start, shows
progress and reads what the clients wrote.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from yibu.bench.client import Load, ask_in_turn, poisson_arrivals, serve
from yibu.bench.figures import figures_of, read_lines
from yibu.bench.settings import BenchSettings
from yibu.core.errors import YibuError
from yibu.core.log import get
from yibu.core.progress import Track, track
from yibu.core.recipe import Settings
from yibu.engines import CLOCK, Prompt

log = get("bench")

BUSY = 0.7
"""Share of a core from which on a client may be what is measured."""

_PROBES = 3  # requests that are asked one after another before anything is measured
_LEAD = 0.05  # seconds between the word to start and the first request
_PATIENCE = 30.0  # seconds beyond the last possible answer

Phase = Callable[[str], AbstractContextManager[Any]]


def sweep(
    settings: BenchSettings,
    engine: Settings,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    file: Path,
    phase: Phase = lambda name: nullcontext(),
) -> dict[str, Any]:
    """Measure all rates.

    A few requests go first, one at a time: they show whether anybody answers, and where rates found by doubling begin.

    Args:
        engine: table of a plug of `yibu.engines`.
        file: ``requests.jsonl``, appended to by the clients.
        phase: what every rate runs in, by its name (a meter).

    Returns:
        ``rates``: figures in the order measured. ``ended``: why it is not complete, or None. ``alone_seconds``: what a
        request takes that is alone.

    Raises:
        YibuError: not one of the first requests was answered.
        InputError, MissingExtra: the engine cannot be asked from here.
    """
    rates: list[dict[str, Any]] = []
    budget = math.inf if settings.token_budget is None else settings.token_budget
    ended: str | None = None
    load = Load(0.0, engine, (), prompts, settings.warmup, max_new_tokens, settings.timeout, budget, file)
    with phase("probe"):
        alone = _alone(load)
    chosen = iter(settings.rates) if settings.rates is not None else _doubling(settings, rates, 0.5 / alone)
    for rate in chosen:
        try:
            with phase(f"rate {rate:g}"):
                outcome = measure(replace(load, rate=rate, token_budget=budget), settings)
        except KeyboardInterrupt:  # what was measured is worth keeping
            outcome = {"ended": "interrupted", "tokens": 0, "cpu_share": None}
        budget -= outcome["tokens"]
        found = figures_of(read_lines(file), rate, settings.stall_seconds)
        rates.append({**found, "client_cpu_share": outcome["cpu_share"], "ended": outcome["ended"]})
        _warn(rates[-1], settings)
        ended = outcome["ended"] or (None if found["answered_with_warmup"] else "no_answers")
        if ended:
            break
    return {"alone_seconds": alone, "rates": rates, "ended": ended}


def measure(load: Load, settings: BenchSettings) -> dict[str, Any]:
    """One rate: its arrivals over as many client processes as the settings say.

    Returns:
        ``ended``, ``tokens`` and ``cpu_share`` (of the busiest client).
    """
    moments = poisson_arrivals(load.rate, settings.num_requests + settings.warmup, settings.seconds, settings.seed)
    arrivals = list(enumerate(moments))
    shares = [arrivals[place :: settings.clients] for place in range(settings.clients)]
    context = multiprocessing.get_context("spawn")
    clients = []
    try:
        for share in filter(None, shares):
            ours, theirs = context.Pipe()
            budget = load.token_budget / settings.clients
            process = context.Process(
                target=serve, args=(theirs, replace(load, arrivals=share, token_budget=budget)), daemon=True
            )
            process.start()
            theirs.close()
            clients.append((process, ours))
        for _, pipe in clients:
            if not pipe.poll(_PATIENCE) or _receive(pipe)[0] != "ready":
                return {"ended": "client_died", "tokens": 0, "cpu_share": None}
        start = CLOCK() + _LEAD
        for _, pipe in clients:
            pipe.send(start)
        deadline = start + moments[-1] + load.timeout + _PATIENCE
        with track(f"{load.rate:g} requests/s", total=len(arrivals)) as bar:
            outcomes = _follow([pipe for _, pipe in clients], deadline, bar)
    finally:
        for process, pipe in clients:
            pipe.close()
            process.join(2)
            if process.is_alive():
                process.terminate()
                process.join()
    return _joined(outcomes, len(clients))


def _follow(pipes: list[Any], deadline: float, bar: Track) -> list[dict[str, Any]]:
    """What the clients say at their end; those that die or hang say nothing."""
    outcomes, done, shown = [], dict.fromkeys(pipes, 0), 0
    open_pipes = list(pipes)
    while open_pipes and CLOCK() < deadline:
        for pipe in wait(open_pipes, timeout=1.0):
            word, value = _receive(pipe)
            if word == "done":
                done[pipe] = value
                bar.advance(sum(done.values()) - shown)
                shown = sum(done.values())
                continue
            open_pipes.remove(pipe)
            if word == "outcome":
                outcomes.append(value)
    return outcomes


def _receive(pipe: Any) -> tuple[str, Any]:
    try:
        word, value = pipe.recv()
    except (EOFError, OSError):
        return "gone", None
    return word, value


def _joined(outcomes: Sequence[dict[str, Any]], clients: int) -> dict[str, Any]:
    ended = next((outcome["ended"] for outcome in outcomes if outcome["ended"]), None)
    if len(outcomes) < clients:
        ended = "client_died"
    return {
        "ended": ended,
        "tokens": sum(outcome["tokens"] for outcome in outcomes),
        "cpu_share": max((outcome["cpu_share"] for outcome in outcomes), default=None),
    }


def _doubling(settings: BenchSettings, rates: list[dict[str, Any]], rate: float) -> Iterator[float]:
    """Half of what one request at a time would give, then twice as much again and again until a rate is saturated."""
    for _ in range(settings.max_rates):
        rate = float(f"{rate:.3g}")
        yield rate
        if rates and rates[-1]["saturated"]:
            return
        rate *= 2


def _alone(load: Load) -> float:
    """Seconds that a request takes when it is alone: the fastest of a few, for the first one warms things up."""
    requests = asyncio.run(ask_in_turn(load, _PROBES))
    taken = [request.last - request.sent for request in requests if request.error is None and request.last is not None]
    if not taken:
        errors = sorted({str(request.error) for request in requests})
        raise YibuError(
            "The model that is to be measured answers no request.",
            got=", ".join(errors),
            do="check bench.engine: endpoint, model, key_env",
        )
    return max(min(taken), 1e-3)


def _warn(found: dict[str, Any], settings: BenchSettings) -> None:
    share = found["client_cpu_share"]
    if share is not None and share > BUSY:
        log.warning(
            "the client used %.0f %% of a core at %g requests/s: its own slowness may be in the figures; set "
            "bench.clients to %d",
            100 * share,
            found["rate"],
            2 * settings.clients,
        )
