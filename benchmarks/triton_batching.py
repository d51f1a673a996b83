"""Dynamic batching: 32 clients ask one tritonserver that puts requests together, and one that does not.

The same exported classifier (Python back end) twice, with ``dynamic_batching`` and without; both servers run at once
and are asked in turn, round by round, so that a busy neighbour hits both. 1,000 requests each; batches are read from
Triton's own statistics. ``--runtime`` is what computes, ``--dtype`` in what.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
from pathlib import Path

from claims import record
from classifiers import load, repository, together, tuned

CLIENTS, ROUNDS = 32, 5
NAMES = ("batched", "single")


def main(store: Path, place: Path | None, runtime: str, dtype: str, requests: int, dry: bool) -> None:
    """Measure and print; record unless dry."""
    from yibu.exporters import triton
    from yibu.exporters._tritonserver import TritonServer

    settings = triton.Settings.model_validate({"runtime": runtime, "dtype": dtype, "back_end": "python", "threads": 2})
    with contextlib.ExitStack() as stack:
        place = place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = tuned(store, place)
        places = [repository(model.source, place / name, settings, name == "batched") for name in NAMES]
        server, name = TritonServer.find(), model.source.name
        with server.serve(places[0], name) as batched, server.serve(places[1], name) as single:
            rates: dict[str, list[float]] = {name: [] for name in NAMES}
            same = total = 0
            for number in range(ROUNDS):
                said = {}
                for name, server in (("batched", batched), ("single", single)):
                    rate, said[name] = asyncio.run(together(server, model.texts, requests // ROUNDS, CLIENTS))
                    rates[name].append(rate)
                same += sum(one == other for one, other in zip(said["batched"], said["single"], strict=True))
                total += len(said["single"])
                print(f"round {number}: {rates['batched'][-1]:.1f} and {rates['single'][-1]:.1f} requests/s, {load()}")
            statistic = batched.statistics()
            alone = single.statistics()
    ratios = [one / other for one, other in zip(rates["batched"], rates["single"], strict=True)]
    ratio = sum(1 / rate for rate in rates["single"]) / sum(1 / rate for rate in rates["batched"])
    mean = statistic["inference_count"] / statistic["execution_count"]
    sizes = {int(one["batch_size"]): int(one["compute_infer"]["count"]) for one in statistic["batch_stats"]}
    print(f"ratio {ratio:.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f}), mean batch {mean:.1f}, batches {sizes}")
    print(f"same labels {same} of {total}; without batching {alone['inference_count']} in {alone['execution_count']}")
    if dry:
        return
    what = f"{runtime}, {dtype}"
    for name in rates:
        value = statistics.harmonic_mean(rates[name])
        record(
            f"deploy.triton_{name}_requests",
            value,
            unit=f"requests/s of {CLIENTS} clients, banking77 in Triton's Python back end ({what})",
            n=total,
            low=min(rates[name]),
            high=max(rates[name]),
        )
    record(
        "deploy.triton_batching",
        ratio,
        unit="times the requests/s without dynamic batching, 32 clients; the slowest and the fastest round",
        n=total,
        goal=">= 3",
        low=min(ratios),
        high=max(ratios),
    )
    record("deploy.triton_mean_batch", mean, unit="requests of an execution, by Triton's own statistics", n=total)
    record("deploy.triton_batching_same_labels", same / total, unit="share of 1", n=total, goal=">= 0.99")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".yibu"))
    parser.add_argument("--place", type=Path, help="where model and repositories lie, or will lie; default: nowhere")
    parser.add_argument("--runtime", choices=["transformers", "openvino"], default="transformers")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--dry", action="store_true", help="write no result")
    given = parser.parse_args()
    main(given.store, given.place, given.runtime, given.dtype, given.requests, given.dry)
