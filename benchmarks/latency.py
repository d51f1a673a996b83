"""What an open loop sees and a closed one misses; FLOPs counted from shapes beside torch's counter; SmolLM2 under load.

``stall``: a server with one queue holds every hundredth of 400 requests up for 2 s. ``flops``: a forward pass of a tiny
fp32 model of each architecture, plain attention and plain experts, which is what the counter sees whole. ``smollm2``:
the packaged SmolLM2-135M in our own process (transformers), up to saturation, with joules
from a counter where the machine has one. ``--dry`` writes no result; names of parts run these alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rich.console import Console

from claims import record
from yibu.bench import BenchConfig, BenchSettings, bench
from yibu.bench.client import Load, ask_in_turn
from yibu.bench.figures import figures_of, read_lines
from yibu.bench.sweep import measure
from yibu.cli.load import load_view
from yibu.core.store import Store
from yibu.engines import openai
from yibu.metrics.quantiles import quantile

ROOT = Path(__file__).parent.parent
NUM_REQUESTS, RATE, STALL = 400, 20.0, 2.0
console = Console()


class Stalling(ThreadingHTTPServer):
    """Answers one request at a time, at once; every hundredth takes `STALL` seconds."""

    daemon_threads, request_queue_size = True, 1024

    def __init__(self) -> None:
        turn, counts = threading.Lock(), iter(range(1, 10**9))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with turn:
                    if next(counts) % 100 == 50:
                        time.sleep(STALL)
                self.send_response(200)
                self.end_headers()
                for choice in ({"text": "a", "finish_reason": None}, {"text": "", "finish_reason": "stop"}):
                    self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Stalling:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def stall(dry: bool) -> None:
    settings = BenchSettings(num_requests=NUM_REQUESTS, warmup=0)
    with tempfile.TemporaryDirectory() as folder, Stalling() as server:
        file = Path(folder, "requests.jsonl")
        engine = openai.Settings(endpoint=f"http://127.0.0.1:{server.server_address[1]}/v1")
        load = Load(RATE, engine, (), ["Hello"], 0, 1, 60.0, float("inf"), file)
        outcome = measure(load, settings)
        opened = figures_of(read_lines(file), RATE, 1.0)["e2e"]["p99"]
    with Stalling() as server:
        engine = openai.Settings(endpoint=f"http://127.0.0.1:{server.server_address[1]}/v1")
        asked = asyncio.run(
            ask_in_turn(Load(RATE, engine, (), ["Hello"], 0, 1, 60.0, float("inf"), file), NUM_REQUESTS)
        )
    closed = quantile([one.last - one.intended for one in asked if one.last is not None], 0.99)
    console.print(f"open loop: p99 {opened}, client CPU {outcome['cpu_share']:.2f}; closed loop: {closed}")
    if dry:
        return
    about = f"s, p99 end to end, {STALL:g} s planted in 1 % of requests to one queue"
    record(
        "proof.stall_p99_seconds_open_loop",
        opened["value"],
        unit=f"{about}, {RATE:g} requests/s in an open loop, order statistics 95 %",
        n=opened["n"],
        goal=">= 1.8",
        low=opened["low"],
        high=opened["high"],
    )
    record(
        "proof.stall_p99_seconds_closed_loop",
        closed.value,
        unit=f"{about}, closed loop: what is missed, order statistics 95 %",
        n=closed.n,
        low=closed.low,
        high=closed.high,
    )


def flops(dry: bool) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    sys.path.insert(0, str(ROOT / "tests"))
    from tiny import ARCHITECTURES, tiny_ids, tiny_model
    from yibu.model.flops import Cost

    for architecture in ARCHITECTURES:
        model = tiny_model(architecture)
        model.set_attn_implementation("eager")
        model.set_experts_implementation("eager")
        differences = []
        for length in (16, 64, 200):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(input_ids=tiny_ids(2, length), use_cache=False)
            differences.append(abs(Cost.of(model).forward(length, rows=2) / counter.get_total_flops() - 1))
        console.print(f"{architecture}: {max(differences):.2%}")
        if not dry:
            record(
                f"proof.flops_difference_{architecture}",
                max(differences),
                unit="largest share by which FLOPs from shapes differ from torch's counter, forward, fp32 eager",
                n=len(differences),
                goal="<= 0.01",
            )


def smollm2(dry: bool) -> None:
    from yibu.model.resolve import resolve

    settings = BenchSettings(num_requests=40, seconds=120, warmup=2, max_new_tokens=8, prompt_words=16)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        base = resolve("packaged:smollm2-135m", store)
        moment = datetime.now(UTC).isoformat()
        config = BenchConfig(
            moment=moment, bench=settings, base_path=str(base.path), base_digest=base.digest, dtype="fp32", threads=1
        )
        made = store.run(bench, config)
        latency, cost = made.read_json("latency.json"), made.read_json("efficiency.json")
        console.print(load_view(latency, cost, made.path))
    if dry:
        return
    first, last = latency["rates"][0], latency["rates"][-1]
    told = "SmolLM2-135M fp32, 1 thread, our own process, 16 words in, 8 tokens out"
    for name in ("ttft", "e2e"):
        middle = first[name]["p50"]
        record(
            f"bench.smollm2_{name}_p50",
            middle["value"],
            unit=f"s at {first['rate']:g} requests/s, {told}; order statistics 95 %",
            n=middle["n"],
            low=middle["low"],
            high=middle["high"],
        )
    if last["saturated"]:
        record("bench.smollm2_saturated_at", last["achieved_rate"], unit=f"requests/s, {told}", n=last["answered"])
    busiest = max(item["client_cpu_share"] for item in latency["rates"])
    record("bench.client_cpu_share", busiest, unit="of a core, the client of the same runs", n=1)


PARTS = {"stall": stall, "flops": flops, "smollm2": smollm2}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="write no result")
    given = parser.parse_args()
    for part in given.parts:
        PARTS[part](given.dry)
