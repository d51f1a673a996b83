"""LoRA training speed and memory, side by side in one run: yibu, TRL's SFTTrainer, and full fine-tuning.

The same real rows (mts_dialog), base (SmolLM2-135M), rank 16 on all linear layers, two threads, one process per system.
After the same rows each system's weights are scored on the same validation rows by the same code. Counted are
non-padding tokens; peak memory is the process's own ``ru_maxrss``.

TRL runs twice: with its defaults (padding, gradient checkpointing, bf16 autocast), and with the best of its settings on
the machine at hand (packing without padding, no checkpointing, weights in the type that is fastest here). Where the
processor has no bf16, TRL's default would emulate it, many times slower than fp32 (five steps did not end within half
an hour); it is then run with ``bf16=False`` instead, which is in its favour. ``--emulate-bf16`` runs it as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "mts_dialog"
SYSTEMS = ("yibu", "trl-default", "trl-best", "yibu-full")
ROWS_PER_STEP = 8
LR = 2e-4
EMULATE = "YIBU_BENCH_EMULATE_BF16"


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


class Clock:
    """Times of optimizer steps: wall and own processor seconds; the first is warm-up and not counted."""

    def __init__(self) -> None:
        self.marks = [(time.perf_counter(), time.process_time())]

    def tick(self) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))

    def result(self, tokens: list[int], targets: list[int]) -> dict[str, float]:
        """Rates over the steps behind the first."""
        (wall, cpu), (wall_end, cpu_end) = self.marks[1], self.marks[-1]
        counted = sum(tokens[1:])
        return {
            "tokens_per_second": counted / (wall_end - wall),
            "targets_per_second": sum(targets[1:]) / (wall_end - wall),
            "tokens_per_cpu_second": counted / (cpu_end - cpu),
            "steps": len(tokens),
        }


def run_yibu(base: Path, folder: Path, talks: Any, valid: Any, full: bool) -> dict[str, Any]:
    import torch

    from yibu import adapters
    from yibu.adapters.lora import Settings
    from yibu.model.assemble import for_training
    from yibu.model.packing import common_prefix
    from yibu.train import TrainSettings
    from yibu.train.loop import Setting, fit

    made = for_training(base, Settings(), "cpu", "auto")
    train = examples(made.renderer, talks)
    model: Any = made.model
    if full:
        model = made.model.unload().float()
        model.requires_grad_(True)
        classes = dict.fromkeys((name for name, _ in model.named_parameters()), "all")
    else:
        assert made.plan is not None
        classes = {n: made.plan.role_of(n) for n, p in model.named_parameters() if p.requires_grad}
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    settings = TrainSettings(
        lr=LR / 10 if full else LR,
        epochs=1,
        batch=ROWS_PER_STEP,
        accumulate=1,
        warmup_steps=0,
        checkpoint_every=10**6,
    )
    clock = Clock()
    tokens: list[int] = []
    targets: list[int] = []

    def listen(step: int, values: Any) -> None:
        clock.tick()
        tokens.append(values["tokens"])
        targets.append(values["target_tokens"])

    torch.manual_seed(0)
    setting = Setting(made.device, made.dtype if not full else torch.float32, True, common_prefix(train))
    best, _ = fit(
        model,
        trainable,
        train,
        [],
        settings,
        setting,
        folder / "history.jsonl",
        folder / "checkpoints",
        classes,
        {},
        listen,
    )
    # Every row's tokens count, as they do for TRL: what is computed once for many rows is no less work done.
    result = clock.result([sum(len(e.ids) for e in step) for step in steps_of(train)], targets)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(best[name])
    loss = score(model, made, examples(made.renderer, valid))
    if not full:
        adapters.FAMILY.load("lora").save(model, folder / "adapter")
    return {**result, "peak_gb": peak, "valid_loss": loss, "dtype": str(setting.dtype), "computed": sum(tokens)}


def steps_of(train: list[Any]) -> list[list[Any]]:
    """The rows of each step, in the order in which `fit` takes them."""
    from yibu.train.batches import step_rows

    return [[train[row] for row in rows] for rows in step_rows(len(train), ROWS_PER_STEP, 0, 0)]


def run_trl(base: Path, folder: Path, talks: Any, valid: Any, best: bool) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from yibu.model.assemble import choose_dtype, for_answers
    from yibu.model.packing import causal_model

    data = Dataset.from_list([{"prompt": talk[:-1], "completion": talk[-1:]} for talk in talks])
    half = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16
    chosen: dict[str, Any] = {} if half or os.environ.get(EMULATE) else {"bf16": False}
    if best:
        # Rows of one step are packed together: 1,024 tokens hold about four of these rows.
        chosen = {
            "packing": True,
            "per_device_train_batch_size": 2,
            "gradient_checkpointing": False,
            "bf16": False,
            "model_init_kwargs": {"dtype": "bfloat16" if half else "float32", "attn_implementation": "sdpa"},
        }
    config = SFTConfig(
        output_dir=str(folder),
        learning_rate=LR,
        num_train_epochs=1,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        use_cpu=True,
        seed=0,
        disable_tqdm=True,
        **chosen,
    )
    clock = Clock()

    class Steps(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.tick()

    tokens: list[int] = []
    targets: list[int] = []

    class Counting(SFTTrainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            mask = inputs.get("attention_mask")
            tokens.append(int(mask.sum()) if mask is not None else inputs["input_ids"].numel())
            targets.append(int((inputs["labels"] != -100).sum()))
            return super().compute_loss(model, inputs, *args, **kwargs)

    trainer = Counting(
        str(base),
        args=config,
        train_dataset=data,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Steps()],
    )
    clock.marks = [(time.perf_counter(), time.process_time())]
    trainer.train()
    result = clock.result(tokens, targets)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    trainer.model.save_pretrained(folder / "adapter")
    del trainer
    made = for_answers(base, folder / "adapter", "lora", "cpu", "auto")
    loss = score(made.model, made, examples(made.renderer, valid))
    weights = str(next(causal_model(made.model).parameters()).dtype)
    return {
        **result,
        "peak_gb": peak,
        "valid_loss": loss,
        "dtype": "bf16 autocast" if not best and "bf16" not in chosen else weights,
    }


def score(model: Any, made: Any, valid: list[Any]) -> float:
    from yibu.model.assemble import use_packed_attention
    from yibu.train.loop import Setting, validation_loss

    use_packed_attention(model)
    return validation_loss(model, valid, 2048, Setting(made.device, made.dtype, packed=True))


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


def child(system: str, base: Path, folder: Path, rows: int, valid_rows: int) -> None:
    import torch

    torch.set_num_threads(2)
    talks = conversations("MTS-Dialog-TrainingSet.csv", rows)
    valid = conversations("MTS-Dialog-ValidationSet.csv", valid_rows)
    if system.startswith("trl"):
        result = run_trl(base, folder, talks, valid, best=system == "trl-best")
    else:
        result = run_yibu(base, folder, talks, valid, full=system == "yibu-full")
    (folder / "result.json").write_text(json.dumps(result))


def main(rows: int, valid_rows: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from claims import record
    from yibu.core.store import Store
    from yibu.model.resolve import resolve

    console = Console()
    base = resolve("packaged:smollm2-135m", Store()).path
    results: dict[str, dict[str, Any]] = {}
    peaks = matmul_peak()
    for system in SYSTEMS:
        with tempfile.TemporaryDirectory() as name:
            print(f"{system} …", flush=True)
            command = [sys.executable, __file__, "--system", system, "--base", str(base), "--folder", name]
            subprocess.run([*command, "--rows", str(rows), "--valid-rows", str(valid_rows)], check=True)
            results[system] = json.loads((Path(name) / "result.json").read_text())

    ours = results["yibu"]
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

    def claim(name: str, value: float, unit: str, goal: str | None = None) -> None:
        record(f"spine.train_speed.{name}", round(value, 4), unit=unit, n=rows, goal=goal)

    for system, result in results.items():
        claim(f"{system}.tokens_per_second", result["tokens_per_second"], "non-padding tokens/s, 2 threads")
        claim(f"{system}.peak_rss", result["peak_gb"], "GiB")
        claim(f"{system}.valid_loss", result["valid_loss"], "nats per target token after the same rows")
    for other, goal in (("trl-default", ">= 2.5"), ("trl-best", None), ("yibu-full", None)):
        claim(
            f"times_{other}",
            ours["tokens_per_second"] / results[other]["tokens_per_second"],
            f"yibu's tokens/s over those of {other}",
            goal,
        )
    memory = ours["peak_gb"] / results["trl-default"]["peak_gb"]
    claim("memory_of_trl-default", memory, "yibu's peak RSS over TRL's", "<= 0.7")
    claim(
        "loss_minus_trl-default",
        ours["valid_loss"] - results["trl-default"]["valid_loss"],
        "yibu's validation loss less TRL's, after the same rows",
        "<= 0",
    )
    flops = 4 * 134.5e6 * ours["tokens_per_second"] / 1e9
    claim("share_of_peak", flops / peaks[ours["dtype"]], "4 x parameters x tokens/s over a 2048^3 matmul of this type")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=48, help="training rows, 8 to a step")
    parser.add_argument("--valid-rows", type=int, default=24)
    parser.add_argument("--emulate-bf16", action="store_true", help="TRL's own default on a processor without bf16")
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.emulate_bf16:
        os.environ[EMULATE] = "1"
    if arguments.system:
        child(arguments.system, arguments.base, arguments.folder, arguments.rows, arguments.valid_rows)
    else:
        main(arguments.rows, arguments.valid_rows)
