"""The gateway alone, in front of an engine that computes nothing: how fast, how steady, and what it refuses.

``speed``: requests/s on one core, and latency in an open loop below that. ``switches``: a name moves 20 times under
1,000 requests, whole ones and streams in turn. ``overload``: twice as many requests as the engine can answer, for a
minute. ``body``: 10 MB that are refused. ``keys``: 1,000 wrong keys. ``--dry`` writes no result, ``--quick`` is a short
try, whose figures mean nothing and are never written; names of parts run these alone.

Gateway and client are two processes, each on a core of its own where there are two. The engine of ``overload`` takes
20 to 80 ms, evenly drawn. Were it the same time for all, the ratio of its p99 would be 1 + waiting/running by design.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from claims import record
from http_load import Answer, Client, post
from stub_gateway import MODEL, StubGateway, pin
from yibu.metrics.quantiles import quantile
from yibu.serve.settings import LimitSettings, ServeSettings

console = Console()
UNLIMITED = LimitSettings(requests_per_minute=None, tokens_per_minute=None, wrong_keys=10**6)
ENGINE_SECONDS = (0.02, 0.08)
BODY_BYTES = 10 * 10**6


@dataclass(frozen=True)
class How:
    """How long, and whether anything is written."""

    quick: bool
    dry: bool

    def seconds(self, full: float) -> float:
        return full / 10 if self.quick else full

    def write(self, claim: str, value: float, **more: Any) -> None:
        """One claim."""
        told = {name: more[name] for name in ("low", "high", "n", "unit", "goal") if name in more}
        console.print(f"deploy.{claim}: {value:.4g}  {told}")
        if not self.dry:
            record(f"deploy.{claim}", value, **more)


def settings(**changes: Any) -> ServeSettings:
    return ServeSettings(**{"port": 0, "limits": UNLIMITED, **changes})


def chat(key: str, stream: bool = False) -> bytes:
    table = {"model": MODEL, "messages": [{"role": "user", "content": "Which department?"}], "max_tokens": 16}
    return post("/v1/chat/completions", key, {**table, "stream": True} if stream else table)


def run(work: Any) -> Any:
    import uvloop

    return uvloop.run(work)


def statuses(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def bootstrap(of: Callable[..., float], *samples: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """95 % limits of a figure of independent samples, each drawn again."""
    random_state = np.random.default_rng(5)
    arrays = [np.asarray(sample) for sample in samples]
    values = [of(*(random_state.choice(array, len(array)) for array in arrays)) for _ in range(draws)]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


# --- parts ------------------------------------------------------------------------------------------------------------


def speed(how: How, folder: Path) -> None:
    """Requests/s with 32 under way, then the p99 at half of that."""

    async def measured(gateway: StubGateway) -> None:
        client, request = Client(gateway.port), chat(gateway.key)
        await client.closed_loop(request, how.seconds(3), 32)
        cpu, own, begun = gateway.tell("cpu"), time.process_time(), time.monotonic()
        answers = await client.closed_loop(request, how.seconds(20), 32)
        took, cpu = time.monotonic() - begun, gateway.tell("cpu") - cpu
        own = (time.process_time() - own) / took
        assert statuses(answers).keys() == {200}, statuses(answers)
        rate = len(answers) / took
        console.print(f"closed loop: the gateway had {cpu / took:.2f} of a core, the client {own:.2f}")
        if max(cpu / took, own) < 0.9:
            console.print(
                "[red]neither had its core: others run on this machine, and the figures by the clock are theirs"
            )
        about = "requests/s, chat answers with a key and a line of log, instant engine, 32 under way"
        how.write("gateway_rps", rate, unit=f"{about}, one core by the clock", n=len(answers), goal=">= 2000")
        how.write("gateway_rps_cpu", len(answers) / cpu, unit=f"{about}, per second of its processor", n=len(answers))

        steady = min(rate / 2, 1000.0)
        answers = await client.open_loop(lambda _: request, steady, int(steady * how.seconds(20)))
        assert statuses(answers).keys() == {200}, statuses(answers)
        lag = quantile([answer.lag for answer in answers], 0.99).value
        console.print(f"open loop: {steady:.0f} requests/s; the client was up to {1000 * lag:.1f} ms late (p99)")
        for name, p in (("p50", 0.5), ("p99", 0.99)):
            found = quantile([1000 * answer.seconds for answer in answers], p)
            unit = f"ms at {steady:.0f} requests/s, open loop, from the intended moment, order statistics 95 %"
            goal = "<= 10" if name == "p99" else None
            how.write(
                f"gateway_{name}_ms", found.value, unit=unit, n=found.n, goal=goal, low=found.low, high=found.high
            )
        client.close()

    with StubGateway(settings(waiting=2000), folder) as gateway:  # who waits is measured, not refused
        run(measured(gateway))


def switches(how: How, folder: Path) -> None:
    """A name that moves while it is asked."""
    count, moves, rate = (200, 5, 200.0) if how.quick else (1000, 20, 200.0)

    async def measured(gateway: StubGateway) -> tuple[list[Answer], list[str]]:
        client, whole, stream = Client(gateway.port), chat(gateway.key), chat(gateway.key, stream=True)
        loop = asyncio.get_running_loop()

        async def move() -> None:
            for number in range(1, moves + 1):
                await asyncio.sleep(count / rate / (moves + 1))
                await loop.run_in_executor(None, gateway.tell, "switch", number % 5)

        moving = asyncio.create_task(move())
        answers = await client.open_loop(lambda number: stream if number % 2 else whole, rate, count)
        await moving
        left = await loop.run_in_executor(None, gateway.tell, "loaded")
        client.close()
        return answers, left

    with StubGateway(settings(waiting=1000), folder, ENGINE_SECONDS) as gateway:
        answers, left = run(measured(gateway))
    errors, mixed, seen = 0, 0, Counter[str]()
    for answer in answers:
        if answer.status != 200 or b'"error"' in answer.body:
            errors += 1
            continue
        named, text = answer.said()
        told = {*named, *text.split(), answer.header("x-yibu-artifact")}
        mixed += len(told) != 1 or len(text.split()) != 2
        seen.update(named)
    console.print(f"{moves} moves; answers of each artifact: {dict(seen)}; loaded at the end: {left}")
    assert len(seen) > 1, "no answer came after a move"
    unit = f"of {count} requests in an open loop, {rate:.0f}/s, whole and streamed, while a name moved {moves} times"
    how.write("switch_errors", errors, unit=unit, n=count, goal="== 0")
    how.write("switch_mixed_answers", mixed, unit=unit, n=count, goal="== 0")
    how.write(
        "switch_adapters_left", len(left) - 1, unit="adapters still loaded that no name has", n=moves, goal="== 0"
    )


def overload(how: How, folder: Path) -> None:
    """Twice as much as the engine can do."""
    bounds = settings()
    capacity = bounds.running / (sum(ENGINE_SECONDS) / 2)
    seconds, resident = how.seconds(60), list[tuple[float, float]]()

    async def measured(gateway: StubGateway) -> tuple[list[Answer], list[Answer]]:
        client, request = Client(gateway.port), chat(gateway.key)

        async def watch() -> None:
            while True:
                resident.append((time.monotonic(), gateway.memory_bytes() / 2**20))
                await asyncio.sleep(0.5)

        calm = await client.open_loop(lambda _: request, 0.1 * capacity, int(0.1 * capacity * max(how.seconds(20), 10)))
        watching, cpu, begun = asyncio.create_task(watch()), gateway.tell("cpu"), time.monotonic()
        answers = await client.open_loop(lambda _: request, 2 * capacity, int(2 * capacity * seconds), seed=4)
        share = (gateway.tell("cpu") - cpu) / (time.monotonic() - begun)
        console.print(f"the gateway had {share:.2f} of a core and {client.opened} connections; load {os.getloadavg()}")
        watching.cancel()
        client.close()
        return calm, answers

    with StubGateway(bounds, folder, ENGINE_SECONDS) as gateway:
        calm, answers = run(measured(gateway))
    assert statuses(calm).keys() == {200}, statuses(calm)
    before = [answer.seconds for answer in calm]
    accepted = [answer.seconds for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    others = len(answers) - len(accepted) - len(refused)
    late = quantile([answer.lag for answer in answers], 0.99).value
    console.print(f"{dict(statuses(answers))}; the client was up to {1000 * late:.1f} ms late (p99)")

    def ratio(now: Any, then: Any) -> float:
        return float(np.quantile(now, 0.99) / np.quantile(then, 0.99))

    low, high = bootstrap(ratio, accepted, before)
    about = f"2 x the engine's {capacity:.0f} requests/s (20 to 80 ms each), open loop, {seconds:.0f} s, default queue"
    unit = f"p99 of accepted requests over the p99 at a tenth of the load; {about}; bootstrap 95 %"
    how.write(
        "overload_p99_ratio", ratio(accepted, before), unit=unit, n=len(accepted), goal="<= 2", low=low, high=high
    )
    no_advice = sum(not answer.header("retry-after").isdigit() for answer in refused)
    unit = f"requests neither answered nor refused with 429 and Retry-After; {about}"
    how.write("overload_other_answers", others + no_advice, unit=unit, n=len(answers), goal="== 0")
    unit = f"of what the engine can do is answered; {about}"
    how.write("overload_goodput", len(accepted) / seconds / capacity, unit=unit, n=len(accepted), goal=">= 0.9")
    moments, sizes = np.array(resident)[len(resident) // 6 :].T  # the first sixth fills buffers
    (slope, _), covered = np.polyfit(moments / 60, sizes, 1, cov=True)
    width = 1.96 * float(np.sqrt(covered[0, 0]))
    unit = f"MiB/min of resident memory of the gateway, least squares; {about}"
    how.write(
        "overload_memory_slope",
        float(slope),
        unit=unit,
        n=len(sizes),
        goal="<= 1",
        low=float(slope) - width,
        high=float(slope) + width,
    )
    console.print(f"memory: {sizes[0]:.1f} MiB to {sizes[-1]:.1f} MiB")


def body(how: How, folder: Path) -> None:
    """10 MB from a client that sends all of it before it reads, as most do."""
    tries = 10 if how.quick else 50
    with StubGateway(settings(), folder) as gateway:
        for name, head, data in _bodies(gateway.key):
            times = []
            for _ in range(tries):
                with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
                    begun = time.perf_counter()
                    connection.sendall(head)
                    connection.sendall(data)
                    status = connection.recv(4096)[9:12]
                    times.append(1000 * (time.perf_counter() - begun))
                assert status == b"413", status
            for label, p in (("p50", 0.5), ("p99", 0.99)):
                found = quantile(times, p)
                unit = f"ms from the first byte of 10 MB ({name}) to the refusal, client sends all before it reads"
                more = {"low": found.low, "high": found.high, "n": tries, "goal": "< 50"}
                how.write(f"body_refused_{name}_{label}_ms", found.value, unit=unit, **more)


def _bodies(key: str) -> list[tuple[str, bytes, bytes]]:
    """With its length told, and in chunks that say nothing of it."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n".encode()
    part = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
    chunks = part * (BODY_BYTES // 2**16 + 1) + b"0\r\n\r\n"
    return [
        ("length", head + b"content-length: %d\r\n\r\n" % BODY_BYTES, b"x" * BODY_BYTES),
        ("chunked", head + b"transfer-encoding: chunked\r\n\r\n", chunks),
    ]


def keys(how: How, folder: Path) -> None:
    """Wrong keys that are right but for their last characters, and ones of which nothing is right, in random order."""
    count = 200 if how.quick else 1000
    presented: list[str] = []
    with StubGateway(settings(), folder) as gateway:
        right = gateway.key
        tries = [(close, _wrong(right, close)) for close in (True, False) for _ in range(count // 2)]
        random.Random(9).shuffle(tries)
        times: dict[bool, list[float]] = {True: [], False: []}
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            for _ in range(100):
                assert _ask(connection, right)[0] == 200
            for close, key in tries:
                status, seconds = _ask(connection, key)
                assert status == 401, status
                times[close].append(1e6 * seconds)
                presented.append(key)
        written = gateway.log.read_text()
    medians = {close: float(np.median(found)) for close, found in times.items()}
    console.print(f"medians: right prefix {medians[True]:.1f} us, nothing right {medians[False]:.1f} us")

    def ratio(one: Any, other: Any) -> float:
        return float(np.median(one) / np.median(other))

    low, high = bootstrap(ratio, times[True], times[False])
    unit = "median time of wrong keys with all but the end right over that of wholly wrong ones, bootstrap 95 %"
    how.write("wrong_key_time_ratio", ratio(times[True], times[False]), unit=unit, n=count, low=low, high=high)
    unit = "largest difference of the two medians that the interval allows, as a share"
    how.write("wrong_key_time_difference", max(abs(low - 1), abs(high - 1)), unit=unit, n=count, goal="<= 0.05")

    (folder / "locked").mkdir()
    limits = LimitSettings(requests_per_minute=None, tokens_per_minute=None)
    with StubGateway(settings(limits=limits), folder / "locked") as gateway:
        found = []
        for number in range(count):
            presented.append(_wrong(gateway.key, bool(number % 2)))
            with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
                found.append(_ask(connection, presented[-1])[0])
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            found.append(_ask(connection, gateway.key)[0])  # the address is locked, whoever asks from it
        presented += [gateway.key, right]
        written += gateway.log.read_text()
    missed = sum(status != 401 for status in found[: limits.wrong_keys])
    missed += sum(status != 429 for status in found[limits.wrong_keys :])
    unit = f"of {count} wrong keys of one address and a right one: not 401 up to the {limits.wrong_keys}th, then 429"
    how.write("wrong_keys_not_locked_out", missed, unit=unit, n=len(found), goal="== 0")
    assert written.count("\n") >= 2 * count, "the log was not written"
    shown = sum(any(part in written for part in _parts(key)) for key in presented)
    unit = "keys of which 8 characters of the secret in a row are in the log"
    how.write("wrong_keys_in_log", shown, unit=unit, n=len(presented), goal="== 0")


def _wrong(right: str, close: bool) -> str:
    """A wrong key of the same length."""
    if close:
        return right[:-8] + secrets.token_urlsafe(6)
    return f"yibu-{secrets.token_hex(6)}-{secrets.token_urlsafe(32)}"


def _parts(key: str) -> list[str]:
    secret = key.split("-", 2)[2]
    return [secret[place : place + 8] for place in range(len(secret) - 7)]


def _ask(connection: socket.socket, key: str) -> tuple[int, float]:
    """Status and seconds of one request."""
    request = f"GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n\r\n".encode()
    begun = time.perf_counter()
    connection.sendall(request)
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer or len(answer) < _length(answer):
        more = connection.recv(65536)
        assert more, "the connection ended"
        answer += more
    return int(answer[9:12]), time.perf_counter() - begun


def _length(answer: bytes) -> int:
    head, _, _ = answer.partition(b"\r\n\r\n")
    return len(head) + 4 + int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


PARTS = {"speed": speed, "switches": switches, "overload": overload, "body": body, "keys": keys}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--quick", action="store_true", help="a short try, which writes no result either")
    given = parser.parse_args()
    pin(0)
    for part in given.parts:
        with tempfile.TemporaryDirectory() as made:
            console.rule(part)
            PARTS[part](How(given.quick, given.dry or given.quick), Path(made))
