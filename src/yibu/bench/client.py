"""The client: an open loop in a process of its own.

Requests leave at moments that were drawn beforehand (a Poisson process), whether or not earlier ones were answered, and
each is timed from the moment at which it was to leave. A closed loop, which sends when an answer has come, stops asking
just while a server stalls, so that the stall is seen once and not by all who would have waited ("coordinated
omission", Tene 2015). A client that is late itself would add to what it measures; so it has its own process, and says
how much of a core it used and how late it sent.

What a request did is appended to a file at once, so that nothing is lost when the endpoint, the client or the machine
dies. No text is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from yibu import engines
from yibu.core.recipe import Settings
from yibu.engines import CLOCK, EngineFailed, Prompt

GIVE_UP = 5
"""Refused connections in a row, with no answer between them, after which an endpoint is taken for dead."""

_TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Load:
    """What one client sends at one rate.

    Attributes:
        rate: requests a second of all clients together.
        engine: table of a plug of `yibu.engines`.
        arrivals: (number of the request, seconds after the start).
        prompts: the request of number n gets the n-th, from the first again after the last.
        warmup: requests with a lower number are left out of the figures.
        token_budget: generated tokens after which nothing more is sent.
        file: where lines are appended.
    """

    rate: float
    engine: Settings
    arrivals: Sequence[tuple[int, float]]
    prompts: Sequence[Prompt]
    warmup: int
    max_new_tokens: int
    timeout: float
    token_budget: float
    file: Path


@dataclass(slots=True)
class Request:
    """One line of ``requests.jsonl``; all times in seconds after the start of its rate.

    Attributes:
        intended: when it was to leave. sent: when it left.
        first, last: when the first and the last piece of text came; None where none came.
        tokens: length of the answer. prompt_tokens: that of the prompt, where the server says it.
        longest_gap: longest silence between two pieces.
        error: ``timeout``, or the reason of `EngineFailed`; None where all is well.
    """

    rate: float
    number: int
    warmup: bool
    intended: float
    sent: float = math.nan
    first: float | None = None
    last: float | None = None
    tokens: int = 0
    prompt_tokens: int | None = None
    longest_gap: float = 0.0
    error: str | None = None

    def line(self) -> str:
        """JSON; microseconds are enough."""
        table = asdict(self)
        for key in ("intended", "sent", "first", "last", "longest_gap"):
            table[key] = None if table[key] is None else round(table[key], 6)
        return json.dumps(table)


def poisson_arrivals(rate: float, count: int, seconds: float, seed: int) -> list[float]:
    """Moments of a Poisson process, from 0: at most `count`, none later than `seconds`."""
    draws = random.Random(f"{seed}:{rate!r}")
    moment, moments = 0.0, [0.0]
    while len(moments) < count:
        moment += draws.expovariate(rate)
        if moment > seconds:
            break
        moments.append(moment)
    return moments


async def send(load: Load, start: float, tell: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Send all requests of a load and wait for the answers.

    Args:
        start: when the rate starts, by `CLOCK`.
        tell: called now and then with the number of requests that are through.

    Returns:
        ``ended``: why it stopped before its end, or None. ``cpu_share``: processor time over time, of this process.
    """
    engine = engines.FAMILY.load(load.engine.kind).Engine(load.engine)  # type: ignore[attr-defined]
    state = _State()
    cpu, clock = time.process_time(), CLOCK()
    told = clock
    with load.file.open("a", encoding="utf-8", buffering=1) as lines:
        under_way: set[asyncio.Task[None]] = set()
        for number, offset in load.arrivals:
            while (wait := start + offset - CLOCK()) > 0 and not state.ended:
                await asyncio.sleep(min(wait, _TELL_SECONDS))
                if CLOCK() - told > _TELL_SECONDS:
                    told = CLOCK()
                    tell(state.done)
            if state.ended is None and state.tokens >= load.token_budget:
                state.ended = "token_budget"
            if state.ended:
                break
            request = Request(load.rate, number, number < load.warmup, offset)
            task = asyncio.create_task(_ask(engine, load, request, start, state, lines.write))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        while under_way:
            await asyncio.wait(under_way, timeout=_TELL_SECONDS)
            tell(state.done)
        await engine.close()
    return {
        "ended": state.ended,
        "tokens": state.tokens,
        "cpu_share": (time.process_time() - cpu) / max(CLOCK() - clock, 1e-9),
    }


async def ask_in_turn(load: Load, count: int) -> list[Request]:
    """A closed loop: each request leaves when the one before it was answered.

    What it measures is not latency under load; it tells how long a request takes that is alone.
    """
    engine = engines.FAMILY.load(load.engine.kind).Engine(load.engine)  # type: ignore[attr-defined]
    start, requests, state = CLOCK(), [], _State()
    try:
        for number in range(count):
            requests.append(Request(load.rate, number, False, CLOCK() - start))
            await _ask(engine, load, requests[-1], start, state, lambda line: None)
    finally:
        await engine.close()
    return requests


@dataclass
class _State:
    """What requests of one client know of each other."""

    done: int = 0
    tokens: int = 0
    refused: int = 0
    ended: str | None = None


async def _ask(
    engine: Any, load: Load, request: Request, start: float, state: _State, write: Callable[[str], Any]
) -> None:
    counted, told = 0, None
    request.sent = CLOCK() - start
    pieces = engine.generate(load.prompts[request.number % len(load.prompts)], load.max_new_tokens)
    try:
        async with asyncio.timeout(load.timeout):
            async for piece in pieces:
                at = piece.at - start
                if piece.num_tokens:
                    if request.last is not None:
                        request.longest_gap = max(request.longest_gap, at - request.last)
                    request.first = at if request.first is None else request.first
                    request.last = at
                    counted += piece.num_tokens
                told = piece.total_tokens if piece.total_tokens is not None else told
                if piece.prompt_tokens is not None:
                    request.prompt_tokens = piece.prompt_tokens
    except TimeoutError:
        request.error = "timeout"
    except EngineFailed as error:
        request.error = error.reason
    except Exception as error:  # a fault of the plug must not pass for a request that was never sent
        request.error = type(error).__name__
    finally:
        with contextlib.suppress(Exception):
            await pieces.aclose()
    if request.error is None and request.first is None:
        request.error = "empty"
    request.tokens = counted if told is None else told
    state.tokens += request.tokens
    state.done += 1
    state.refused = state.refused + 1 if request.error == "refused" else 0
    if state.refused >= GIVE_UP:
        state.ended = "endpoint_died"
    write(request.line() + "\n")


def serve(pipe: Connection, load: Load) -> None:
    """Body of the client's process: says ``ready``, gets the start, says how many are done, and at last the outcome."""
    # Ctrl-C reaches every process of a terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send(("ready", None))
    start = pipe.recv()
    outcome = asyncio.run(send(load, start, lambda done: pipe.send(("done", done))))
    pipe.send(("outcome", outcome))
