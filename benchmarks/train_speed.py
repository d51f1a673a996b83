"""Training speed and memory, side by side in one run: yibu, TRL's SFTTrainer, LLaMA-Factory, and full fine-tuning.

The same real rows (mts_dialog), base (SmolLM2-135M), rank 16 on all linear layers, two threads, one process per system.
After the same rows each system's weights are scored on the same validation rows by the same code. Counted are
non-padding tokens; peak memory is the process's own ``ru_maxrss``. Every round runs all systems one after the other,
the next in the opposite order; a ratio is the median of the rounds' ratios, its lowest and highest stand beside it.

TRL and LLaMA-Factory run twice: as they come (by its defaults; by its example for LoRA), and with the best of their
settings on the machine at hand (packing, no checkpointing, weights in the type that is fastest here). Full fine-tuning
runs as TRL does it and as yibu does (fp32 masters, computed in the same type as LoRA: like for like). Where the
processor has no bf16, TRL's default would emulate it, many times slower than fp32 (five steps did not end within half
an hour); it is then run with ``bf16=False`` instead, which is in its favour. ``--emulate-bf16`` runs it as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"

from train_rivals import ALPHA, EMULATE, LR, LR_FULL, ROWS_PER_STEP, Clock, R, run_llamafactory, run_trl

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "mts_dialog"
SYSTEMS = ("yibu", "trl-default", "trl-best", "llamafactory", "llamafactory-best", "yibu-full", "trl-full")
PARAMETERS = 134.5e6


def conversations(name: str, count: int) -> list[list[dict[str, str]]]:
    """Real rows as messages, prompt and answer; the file's order, nothing chosen by length."""
    from yibu import readers

    rows = [item.record for item in readers.read(str(DATA / name)) if isinstance(item, readers.Raw)][:count]
    return [
        [
            {"role": "system", "content": "You write sections of clinical notes."},
            {"role": "user", "content": row["dialogue"].strip()},
            {"role": "assistant", "content": f"{row['section_header']}\n{row['section_text'].strip()}"},
        ]
        for row in rows
    ]


def examples(renderer: Any, talks: list[list[dict[str, str]]]) -> list[Any]:
    return [renderer.example(talk[:-1], talk[-1]["content"], str(index)) for index, talk in enumerate(talks)]


def run_yibu(base: Path, folder: Path, talks: Any, full: bool) -> dict[str, Any]:
    """One epoch of the loop that `yibu train` runs."""
    import torch

    from yibu import adapters
    from yibu.adapters import full as whole
    from yibu.adapters import lora
    from yibu.model.assemble import for_training
    from yibu.model.packing import common_prefix
    from yibu.train import TrainSettings
    from yibu.train.loop import Setting, fit

    adapter = whole.Settings() if full else lora.Settings(r=R, alpha=ALPHA)
    made = for_training(base, adapter, "cpu", "auto")
    train = examples(made.renderer, talks)
    model: Any = made.model
    assert made.plan is not None
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    classes = {name: made.plan.role_of(name) for name in trainable}
    settings = TrainSettings(
        lr=LR_FULL if full else LR,
        epochs=1,
        batch=ROWS_PER_STEP,
        accumulate=1,
        warmup_steps=0,
        checkpoint_every=10**6,
    )
    clock, computed = Clock(), []
    # Every row's tokens count, as they do for the others: what is computed once for many rows is no less work done.
    steps = iter(steps_of(train))

    def listen(step: int, values: Any) -> None:
        clock.count(sum(len(example.ids) for example in next(steps)), values["target_tokens"])
        clock.tick()
        computed.append(values["tokens"])

    torch.manual_seed(0)
    setting = Setting(made.device, made.dtype, True, common_prefix(train))
    clock.begin()
    places = (folder / "history.jsonl", folder / "checkpoints")
    best, _ = fit(model, trainable, train, [], settings, setting, *places, classes, {}, listen)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(best[name])
    adapters.FAMILY.load("full" if full else "lora").save(model, folder / "adapter")
    return {**clock.result(), "peak_gb": peak, "dtype": str(setting.dtype), "computed": sum(computed)}


def steps_of(train: list[Any]) -> list[list[Any]]:
    """The rows of each step, in the order in which `fit` takes them."""
    from yibu.train.batches import step_rows

    return [[train[row] for row in rows] for rows in step_rows(len(train), ROWS_PER_STEP, 0, 0)]


def valid_loss(base: Path, folder: Path, valid: Any) -> float:
    """Mean loss per target token of what a system left in its folder, by one code for all."""
    from yibu.model.assemble import for_answers, use_packed_attention
    from yibu.train.loop import Setting, validation_loss

    whole, adapter = folder / "model", folder / "adapter"
    if whole.exists():
        made = for_answers(whole, None, "", "cpu", "auto")
    else:
        kind = "full" if (adapter / "full_config.json").exists() else "lora"
        made = for_answers(base, adapter, kind, "cpu", "auto")
    use_packed_attention(made.model)
    rows = examples(made.renderer, valid)
    return validation_loss(made.model, rows, 2048, Setting(made.device, made.dtype, packed=True))


def matmul_peak(seconds: float = 3.0) -> dict[str, float]:
    """Best GFLOP/s of a 2048 x 2048 x 2048 product, by type."""
    import torch

    peaks = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            torch.nn.functional.linear(a, b)  # as layers call it: some types have a fast kernel for this layout only
            best = min(best, time.perf_counter() - began)
        peaks[str(dtype)] = 2 * 2048**3 / best / 1e9
    return peaks


def child(system: str, base: Path, folder: Path, rows: int, environments: Path) -> None:
    """Train by one system, in this process."""
    import torch

    torch.set_num_threads(2)
    talks = conversations("MTS-Dialog-TrainingSet.csv", rows)
    if system.startswith("trl"):
        result = run_trl(base, folder, talks, best=system == "trl-best", full=system == "trl-full")
    elif system.startswith("llamafactory"):
        result = run_llamafactory(base, folder, talks, best=system.endswith("best"), environments=environments)
    else:
        result = run_yibu(base, folder, talks, full=system == "yibu-full")
    (folder / "result.json").write_text(json.dumps(result))


def measured(system: str, base: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What one system took for the rows, and what it learned from them."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--system", system, "--base", str(base), "--folder", name]
        command += ["--rows", str(given.rows), "--environments", str(given.environments.absolute())]
        if given.emulate_bf16:
            command.append("--emulate-bf16")
        subprocess.run(command, check=True)
        result: dict[str, Any] = json.loads((Path(name) / "result.json").read_text())
        valid = conversations("MTS-Dialog-ValidationSet.csv", given.valid_rows)
        return {**result, "valid_loss": valid_loss(base, Path(name), valid)}


def main(given: argparse.Namespace) -> None:
    """Measure, print and record."""
    from rich.console import Console

    from yibu.core.store import Store
    from yibu.model.resolve import resolve

    console = Console()
    base = resolve("packaged:smollm2-135m", Store()).path
    rounds, peaks = [], []
    for number in range(given.rounds):
        peaks.append(matmul_peak())
        order = given.systems if number % 2 == 0 else list(reversed(given.systems))
        results = {}
        for system in order:
            console.print(f"round {number + 1} of {given.rounds}: {system} …")
            results[system] = measured(system, base, given)
        rounds.append(results)
        show(console, results, peaks[-1])
    if not given.dry:
        claims(given, rounds, peaks)


def show(console: Any, results: dict[str, dict[str, Any]], peaks: dict[str, float]) -> None:
    """One round as a table."""
    from rich.table import Table

    table = Table("system", "tokens/s", "target tokens/s", "tokens per CPU-s", "peak GB", "validation loss", "type")
    for system, result in results.items():
        table.add_row(
            system,
            f"{result['tokens_per_second']:.1f}",
            f"{result['targets_per_second']:.1f}",
            f"{result['tokens_per_cpu_second']:.1f}",
            f"{result['peak_gb']:.2f}",
            f"{result['valid_loss']:.4f}",
            result["dtype"],
        )
    console.print(table)
    console.print("matmul peak: " + ", ".join(f"{name} {peak:.0f} GFLOP/s" for name, peak in peaks.items()))


GOALS = {
    "trl-default": (">= 4", "<= 0.55"),
    "trl-best": (">= 2.5", None),
    "llamafactory": (">= 3", None),
    "llamafactory-best": (">= 2.5", None),
    "trl-full": (">= 4", None),
    "yibu-full": (None, None),
}


def claims(given: argparse.Namespace, rounds: list[dict[str, dict[str, Any]]], peaks: list[dict[str, float]]) -> None:
    """Write down every figure: the median of the rounds, and their lowest and highest."""
    from claims import record

    def of(system: str, key: str) -> list[float]:
        return [results[system][key] for results in rounds]

    def ratio(key: str, other: str) -> list[float]:
        return [ours / theirs for ours, theirs in zip(of("yibu", key), of(other, key), strict=True)]

    def claim(name: str, unit: str, found: list[float], goal: str | None = None) -> None:
        unit += f"; median, lowest and highest of {len(found)} rounds"
        middle, low, high = (round(value, 4) for value in (statistics.median(found), min(found), max(found)))
        record(f"adapt.train_speed.{name}", middle, low=low, high=high, unit=unit, n=given.rows, goal=goal)

    for system in given.systems:
        claim(f"{system}.tokens_per_second", "non-padding tokens/s, 2 threads", of(system, "tokens_per_second"))
        claim(f"{system}.peak_rss", "GiB", of(system, "peak_gb"))
        claim(f"{system}.valid_loss", "nats per target token after the same rows", of(system, "valid_loss"))
    if "yibu" not in given.systems:
        return
    for other in (system for system in given.systems if system in GOALS):
        faster, less = GOALS[other]
        speed, memory = ratio("tokens_per_second", other), ratio("peak_gb", other)
        claim(f"times_{other}", f"yibu's tokens/s (LoRA) over those of {other}", speed, faster)
        claim(f"memory_of_{other}", f"yibu's peak RSS (LoRA) over that of {other}", memory, less)
        if not other.endswith("full"):
            less_loss = [a - b for a, b in zip(of("yibu", "valid_loss"), of(other, "valid_loss"), strict=True)]
            unit = f"yibu's validation loss less that of {other}, after the same rows; up to 0.005 counts as the same"
            claim(f"loss_minus_{other}", unit, less_loss, "<= 0.005")
    reached = [
        4 * PARAMETERS * results["yibu"]["tokens_per_second"] / 1e9 / peak[results["yibu"]["dtype"]]
        for results, peak in zip(rounds, peaks, strict=True)
    ]
    claim("share_of_peak", "4 x parameters x tokens/s over a 2048^3 matmul of this type", reached, ">= 0.5")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=48, help="training rows, 8 to a step")
    parser.add_argument("--valid-rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-bench")
    parser.add_argument("--emulate-bf16", action="store_true", help="TRL's own default on a processor without bf16")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.emulate_bf16:
        os.environ[EMULATE] = "1"
    if arguments.system:
        child(arguments.system, arguments.base, arguments.folder, arguments.rows, arguments.environments)
    else:
        main(arguments)
