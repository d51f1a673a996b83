"""The gateway with its engine `llamacpp`, against that llama-server alone and against other servers of the same model.

``gateway``: tokens/s at 1, 4 and 16 streams and the time that a short answer takes, through `yibu serve`'s gateway and
straight from the very llama-server that it started, in turns. ``engines``: tokens/s at 16 streams of the default engine
of a GGUF (gateway and all), of llama-server as anyone starts it on the same file, of our engines `transformers` and
`openvino`, and of ``transformers serve --continuous-batching``; who is not asked is stopped (SIGSTOP). ``--dry`` writes
no result, ``--quick`` is a short try, whose figures mean nothing and are never written.

The model is SmolLM2-135M-Instruct in Q8_0, for transformers and openvino in bf16. Every prompt is new to every server,
so that none answers from what it kept; answers have 64 tokens, which the servers count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from gateway import UNLIMITED, How, run
from http_load import Answer, Client, post
from stub_gateway import MODEL, StubGateway
from yibu.core.machine import num_cores
from yibu.engines import llamacpp, openvino, transformers
from yibu.exporters._llama import Llama
from yibu.exporters._program import free_ports
from yibu.serve.settings import ServeSettings

console = Console()
TOKENS, STREAMS = 64, (1, 4, 16)
SUBJECTS = ["a lighthouse", "a river", "an old clock", "two sisters", "a harbour", "a mountain village", "a library"]
_number = itertools.count(1)


def prompt(words: str = "Write a long story about") -> str:
    """One that was never asked before, of nearly the same length."""
    number = next(_number)
    return f"{number * 7919 % 99991:05d}: {words} {SUBJECTS[number % len(SUBJECTS)]} and the year {1000 + number}."


@dataclass(frozen=True)
class Side:
    """A server that is asked.

    Attributes:
        name: in tables. port: on the loopback. key: what it asks for. model: what it is called there.
        pids: its processes, to stop and to continue.
    """

    name: str
    port: int
    model: str
    key: str = "none"
    pids: tuple[int, ...] = ()

    def request(self, tokens: int, stream: bool = True) -> bytes:
        table: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt()}],
            "max_tokens": tokens,
            "temperature": 0,
        }
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return post("/v1/chat/completions", self.key, {**table, **more})

    @contextlib.contextmanager
    def alone(self, all_sides: Sequence[Side]) -> Iterator[None]:
        """While the others stand still."""
        others = [pid for side in all_sides if side is not self for pid in side.pids if pid not in self.pids]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)


def num_tokens(answer: Answer) -> int:
    """Tokens of a stream, as its server counts them; one for each piece of text where it does not."""
    assert answer.status == 200, (answer.status, answer.body[:500])
    tables = [json.loads(line[5:]) for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    assert not any("error" in table for table in tables), answer.body[-500:]
    counts = [table["usage"]["completion_tokens"] for table in tables if table.get("usage")]
    pieces = sum(bool((c.get("delta") or {}).get("content")) for table in tables for c in table.get("choices") or ())
    return counts[-1] if counts else pieces


async def tokens_per_second(side: Side, streams: int, each: int, tokens: int = TOKENS) -> float:
    """Of so many streams, each of which asks so often behind each other."""
    client = Client(side.port, keep=False)  # llama-server closes a connection behind each stream, whatever it promises

    async def stream() -> int:
        return sum([num_tokens(await client.ask(side.request(tokens))) for _ in range(each)])

    begun = time.monotonic()
    total = sum(await asyncio.gather(*(stream() for _ in range(streams))))
    took = time.monotonic() - begun
    client.close()
    return total / took


def of_pairs(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of two sums over rounds, and its limits by drawing rounds again."""
    pairs, draw = np.column_stack([one, other]), np.random.default_rng(5)
    drawn = pairs[draw.integers(len(pairs), size=(2000, len(pairs)))].sum(1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return float(pairs[:, 0].sum() / pairs[:, 1].sum()), float(low), float(high)


# --- parts ------------------------------------------------------------------------------------------------------------


def gateway(how: How, folder: Path, files: Files) -> None:
    """What the gateway costs."""
    engine = llamacpp.Settings(base_path=str(files.gguf), context=512)
    with StubGateway(ServeSettings(port=0, limits=UNLIMITED), folder, engine=engine) as started:
        facts = started.tell("facts")
        through = Side("gateway", started.port, MODEL, started.key)
        straight = Side("llama-server", facts["port"], "any")
        console.print(f"{facts['engine']}; {facts['threads']} thread(s) of {num_cores()} cores")
        about = f"{files.what}, {facts['threads']} thread(s), the same llama-server with and without the gateway"
        for streams in STREAMS:
            rounds, each = (2, 1) if how.quick else (6, {1: 4, 4: 2, 16: 1}[streams])
            found: dict[str, list[float]] = {"gateway": [], "llama-server": []}
            for side in (straight, through):
                run(tokens_per_second(side, streams, 1, 16))
            for number in range(rounds):
                for side in (through, straight) if number % 2 else (straight, through):
                    found[side.name].append(run(tokens_per_second(side, streams, each)))
            told = {name: [round(value, 1) for value in values] for name, values in found.items()}
            console.print(f"{streams} streams, tokens/s: {told}; load {os.getloadavg()[0]:.1f}")
            share, low, high = of_pairs(found["gateway"], found["llama-server"])
            unit = f"of the tokens/s of llama-server alone, {streams} stream(s), rounds in turns; {about}"
            name = f"gateway_llama_share_{streams}"
            how.write(name, share, unit=unit, n=rounds, goal=">= 0.95", low=low, high=high)
            unit = f"tokens/s, {streams} stream(s), through the gateway; {about}"
            how.write(
                f"gateway_llama_tokens_per_second_{streams}", float(np.mean(found["gateway"])), unit=unit, n=rounds
            )

        added(how, through, straight, 10 if how.quick else 200, about)


def added(how: How, through: Side, straight: Side, count: int, about: str) -> None:
    """By how much a one-token answer is later, one request at a time and in turns."""
    times: dict[str, list[float]] = {through.name: [], straight.name: []}

    async def measured() -> None:
        clients = {side.name: Client(side.port) for side in (through, straight)}
        for number in range(count + 5):
            for side in (through, straight) if number % 2 else (straight, through):
                answer = await clients[side.name].ask(side.request(1, stream=False))
                assert answer.status == 200, answer.body
                if number >= 5:
                    times[side.name].append(1000 * answer.seconds)
        for client in clients.values():
            client.close()

    run(measured())
    draw, found = np.random.default_rng(5), {name: np.array(values) for name, values in times.items()}
    medians = {name: float(np.median(values)) for name, values in found.items()}
    console.print(f"medians of a one-token answer, ms: {medians}")
    drawn = [
        float(np.median(draw.choice(found[through.name], count)) - np.median(draw.choice(found[straight.name], count)))
        for _ in range(2000)
    ]
    low, high = (float(value) for value in np.quantile(drawn, (0.025, 0.975)))
    value = medians[through.name] - medians[straight.name]
    unit = f"ms that the gateway adds to the median of a one-token answer, in turns; {about}; bootstrap 95 %"
    how.write("gateway_llama_p50_added_ms", value, unit=unit, n=count, goal="<= 2", low=low, high=high)


def engines(how: How, folder: Path, files: Files) -> None:
    """Who writes most at 16 streams."""
    rounds, streams = (1, 16) if how.quick else (3, 16)
    one = ServeSettings(port=0, limits=UNLIMITED)
    with contextlib.ExitStack() as stack:
        sides = []
        for name, engine in (
            ("yibu llamacpp", llamacpp.Settings(base_path=str(files.gguf), context=512)),
            ("yibu transformers", transformers.Settings(base_path=str(files.folder), dtype="bf16")),
            ("yibu openvino", openvino.Settings(base_path=str(files.folder), dtype="bf16", work_path=str(folder))),
        ):
            place = folder / name.replace(" ", "-")
            place.mkdir()
            started = stack.enter_context(StubGateway(one, place, engine=engine))
            facts = started.tell("facts")
            console.print(f"{name}: {facts}")
            sides.append(Side(name, started.port, MODEL, started.key, (started.pid, *_below(started.pid))))
        threads = max(1, num_cores() - 1)
        for name, more in ((f"llama-server -t {threads}", ["-t", threads]), ("llama-server", [])):
            (port,) = free_ports(1)
            words = [Llama.find().home / "bin" / "llama-server", "-m", files.gguf, "--port", port, "-np", 16]
            pid = stack.enter_context(_server([*words, "-c", 16 * 512, *more], f"http://127.0.0.1:{port}/health"))
            sides.append(Side(name, port, "any", pids=(pid,)))
        (port,) = free_ports(1)
        words = [Path(sys.executable).with_name("transformers"), "serve", files.folder, "--host", "127.0.0.1"]
        words += ["--port", port, "--device", "cpu", "--dtype", "bfloat16", "--continuous-batching"]
        words += ["--cb-num-blocks", 256, "--cb-max-batch-tokens", 512, "--attn-implementation", "sdpa"]
        pid = stack.enter_context(_server(words, f"http://127.0.0.1:{port}/health"))
        sides.append(Side("transformers serve", port, str(files.folder), pids=(pid,)))
        found: dict[str, list[float]] = {side.name: [] for side in sides}
        for side in sides:
            with side.alone(sides):
                run(tokens_per_second(side, 4, 1, 8))  # the first answers of a process are its slowest
        for number in range(rounds):
            for side in sides[:: -1 if number % 2 else 1]:
                with side.alone(sides):
                    found[side.name].append(run(tokens_per_second(side, streams, 1)))
                console.print(f"{side.name}: {found[side.name][-1]:.1f} tokens/s; load {os.getloadavg()[0]:.1f}")
    about = f"{files.what}, 16 streams of {TOKENS} tokens, rounds in turns, the gateway in front of ours"
    rivals = {
        "transformers_serve": ("transformers serve", "transformers serve --continuous-batching", ">= 4"),
        "llama_server": (f"llama-server -t {threads}", "llama-server with as many threads", ">= 1"),
        "llama_server_defaults": ("llama-server", "llama-server with its own choice of threads", None),
    }
    for engine in ("openvino", "transformers", "llamacpp"):
        for claim, (theirs, whose, goal) in rivals.items():
            value, low, high = of_pairs(found[f"yibu {engine}"], found[theirs])
            unit = f"x the tokens/s of {whose}, engine {engine} ({threads} thread(s)); {about}"
            # The goals are those of the engine that a processor is served by where the architecture allows it.
            wanted = goal if engine == "openvino" else None
            how.write(f"engine_over_{claim}.{engine}", value, unit=unit, n=rounds, goal=wanted, low=low, high=high)


def _below(pid: int) -> list[int]:
    """Processes that a process started, and theirs."""
    children = [
        int(child) for thread in Path(f"/proc/{pid}/task").glob("*/children") for child in thread.read_text().split()
    ]
    return [*children, *(other for child in children for other in _below(child))]


@contextlib.contextmanager
def _server(words: Sequence[object], health: str) -> Iterator[int]:
    """A server of somebody else's, with threads that wait without spinning, as ours are told."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([str(word) for word in words], stdout=said, stderr=said, env=environment)
        try:
            end = time.monotonic() + 300
            while not _answers(health):
                said.seek(0)
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{words[0]} did not start: {said.read()[-2000:]}")
                time.sleep(0.2)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# --- the model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """The model in two forms."""

    folder: Path
    gguf: Path
    what: str = "SmolLM2-135M-Instruct, Q8_0 (transformers, openvino: bf16)"


def files(work: Path) -> Files:
    """Made once, from the package that the quickstart installs."""
    from yibu.core.store import Store
    from yibu.model.resolve import resolve

    work.mkdir(parents=True, exist_ok=True)
    base = resolve("packaged:smollm2-135m", Store(work / "store")).path
    made = llamacpp._Made(Llama.find(), work)
    return Files(base, made.model(base, "Q8_0"))


PARTS: dict[str, Callable[[How, Path, Files], None]] = {"gateway": gateway, "engines": engines}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--quick", action="store_true", help="a short try, which writes no result either")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "yibu" / "bench", help="for the model")
    given = parser.parse_args()
    model = files(given.work)
    for part in given.parts:
        with tempfile.TemporaryDirectory() as made_here:
            console.rule(part)
            PARTS[part](How(given.quick, given.dry or given.quick), Path(made_here), model)
