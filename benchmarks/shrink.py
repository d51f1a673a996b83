"""How small does the tuned quickstart get, and what does it cost? Pruning, rounding, both, and both with recovery.

Tokens go that no train row says, nor the general text `LEAST` times; with recovery, `LAYERS` layers go too. Forms are
made by the stages of `yibu compress`. The goals are held against the smallest form whose loss on validation rows is at
most `LOSS` times that of the adapter; then all are asked the test rows once, like the adapter: the table is measured on
rows that nothing was chosen on.

Bytes are those of every file in the folder. Memory is the peak of a fresh process that loads the folder with plain
transformers and answers once, and of llama-server with the pruned model as Q4_0.

    YIBU_STORE=... python benchmarks/shrink.py --general ../shared/data/wikitext2/wikitext-2/test.txt

Everything is an artifact, so a run that is cut short goes on; forms may be made side by side (`--make`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from claims import record
from yibu import pipeline, tasks
from yibu.compress import checks_of
from yibu.core.recipe import Settings
from yibu.core.record import read_rows
from yibu.core.store import Artifact, Store, Work, stage
from yibu.evaluate import AnswerConfig, answer
from yibu.metrics.resample import Additive, mean
from yibu.metrics.stats import bootstrap, permutation
from yibu.parity.outputs import answers_in

RECIPE = Path(__file__).parent.parent / "recipes" / "quickstart.yaml"
FORMS = ("prune", "quantise", "both", "both_recovered")
LAYERS = 2
LEAST = 2
QUANTISE = "compress.quantise={scheme: int4, group: 32, method: gptq, embedding: true}"
SHARE, POINTS, LOSS = 0.125, 2.0, 1.15  # goals
MODEL = "model"

_LOAD = """
import resource, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], local_files_only=True)
ids = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)("chest pain", return_tensors="pt")["input_ids"]
with torch.no_grad():
    model(input_ids=ids)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main(general: str, wanted: list[str], make: bool) -> None:
    store, recipe = Store(), pipeline.load(RECIPE)
    base, data = pipeline.resolve_base(recipe, store), pipeline.prepared(recipe, store)
    model = pipeline.make_model(recipe, store, data, base)
    table: dict[str, Artifact] = {}
    scores: dict[str, tuple[Any, Any]] = {}
    for name, sections in forms(general).items():
        if name in wanted:
            small = table[name] = pipeline.make_small(pipeline.load(RECIPE, sections), store, data, model, base)
            scores[name] = asked(store, recipe, data, small.path / MODEL, small.id)
    adapter = asked(store, recipe, data, Path(base.path), base.digest, model)
    if make:
        return
    chosen = smallest(table)
    groups = [row.group for row in read_rows(data.file("test.jsonl"))]
    for name, small in table.items():
        write_row(name, small, scores[name], adapter, groups, goals=name == chosen)
    print(f"chosen on validation rows: {chosen}")
    served_by_llama(pipeline.load(RECIPE, forms(general)["prune"]), store, data, model, base)


def forms(general: str) -> dict[str, tuple[str, ...]]:
    """Overrides of the recipe for each row of the table."""
    words = f"vocabulary: true, general: {general}, least: {LEAST}"
    less, more = f"compress.prune={{{words}}}", ("compress.calibration_rows=256",)
    return {
        "prune": (less, *more),
        "quantise": (QUANTISE, *more),
        "both": (less, QUANTISE, *more),
        "both_recovered": (
            f"compress.prune={{layers: {LAYERS}, {words}}}",
            "compress.recover={epochs: 1}",
            QUANTISE,
            *more,
        ),
    }


def smallest(table: dict[str, Artifact]) -> str:
    """The smallest form whose loss on validation rows is within the goal; the nearest to it where none is."""

    def lost(name: str) -> float:
        return float(next(one["measured"] for one in checks_of(table[name]) if one["name"].startswith("loss")))

    within = [name for name in table if lost(name) <= LOSS]
    return (
        min(within, key=lambda name: int(table[name].read_json("summary.json")["bytes"]))
        if within
        else min(table, key=lost)
    )


class LossConfig(Settings):
    """Whose losses on test rows."""

    path: str
    digest: str
    dtype: str


@stage(version=1, neutral=("path",), name="shrink_losses")
def losses(config: LossConfig, work: Work, *, data: Artifact, model: Artifact | None = None) -> None:
    """The loss of each test row's right answer: an artifact, so that a measurement that is cut short goes on."""
    from yibu.model.assemble import for_answers
    from yibu.parity.asking import losses_of

    adapter = None if model is None else model.path / "adapter"
    task = tasks.build(pipeline.task_of(data), data.read_json("summary.json")["labels"])
    system = for_answers(Path(config.path), adapter, "lora", "cpu", config.dtype)
    work.write_json("losses.json", losses_of(system, task, list(read_rows(data.file("test.jsonl")))).tolist())


def asked(
    store: Store, recipe: Any, data: Artifact, folder: Path, digest: str, model: Artifact | None = None
) -> tuple[Any, Any]:
    """Right or wrong for each test row, and the loss of its right answer; in the type that `yibu evaluate` takes."""
    settings, labels = recipe.evaluate, data.read_json("summary.json")["labels"]
    config = AnswerConfig(
        base_path=str(folder),
        base_digest=digest,
        task=pipeline.task_of(data),
        split="test",
        batch_size=settings.batch_size,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
    )
    given = {"data": data} if model is None else {"data": data, "model": model}
    answers = answers_in(store.run(answer, config, **given))
    task, rows = tasks.build(config.task, labels), list(read_rows(data.file("test.jsonl")))
    right = [float(said == task.label(row)) for said, row in zip(answers, rows, strict=True)]
    lost = store.run(losses, LossConfig(path=str(folder), digest=digest, dtype=settings.dtype), **given)
    return np.asarray(right), np.asarray(lost.read_json("losses.json"))


def write_row(
    name: str, small: Artifact, own: tuple[Any, Any], adapter: tuple[Any, Any], groups: Any, goals: bool
) -> None:
    """Five claims: size, its share, figure, loss, memory."""
    summary, prefix, n = small.read_json("summary.json"), f"deploy.shrink.{name}", len(own[0])
    size, whole = summary["bytes"], summary["bytes_of_fp32"]
    record(f"{prefix}.megabytes", size / 1e6, unit="MB of every file that is needed to serve", n=1)
    record(
        f"{prefix}.share_of_fp32",
        size / whole,
        unit="of 4 bytes for each parameter of the base",
        n=1,
        goal=f"<= {SHARE}" if goals else None,
    )
    interval = bootstrap(mean(100 * own[0]), groups)
    record(f"{prefix}.accuracy", interval.value, low=interval.low, high=interval.high, unit="% of test rows", n=n)
    lost = permutation(mean(100 * adapter[0]), mean(100 * own[0]), groups)
    record(
        f"{prefix}.points_lost",
        lost.difference,
        low=lost.low,
        high=lost.high,
        unit="points of accuracy below the adapter, paired over groups",
        n=n,
        goal=f"<= {POINTS:g}" if goals else None,
    )
    grown = bootstrap(
        Additive(np.stack([own[1], adapter[1]], axis=1), lambda sums: sums[..., 0] / sums[..., 1]), groups
    )
    record(
        f"{prefix}.loss_ratio",
        grown.value,
        low=grown.low,
        high=grown.high,
        unit="loss of the right answers / the adapter's",
        n=n,
        goal=f"<= {LOSS}" if goals else None,
    )
    load = [sys.executable, "-c", _LOAD, str(small.path / MODEL)]
    used = int(subprocess.run(load, capture_output=True, text=True, check=True).stdout.split()[-1])
    over(f"{prefix}.memory_transformers", used, size, goals, "plain transformers and torch")


def over(claim: str, used: int, size: int, goal: bool, what: str) -> None:
    allowed = 1.5 * size + 300e6
    unit = f"peak memory of {what} / (1.5 x file + 300 MB); {used / 1e6:.0f} MB"
    record(claim, used / allowed, unit=unit, n=1, goal="<= 1" if goal else None)


def served_by_llama(recipe: Any, store: Store, data: Artifact, model: Artifact, base: Any) -> None:
    """Size and memory of the pruned model in llama.cpp's own 4 bits; its answers are not scored here."""
    from yibu.exporters._llama import Llama
    from yibu.exporters._program import free_ports

    llama, less = Llama.find(), pipeline.make_pruned(recipe, store, data, model, base)["pruned"]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        llama.convert(less.path / MODEL, place / "f16.gguf", "f16")
        llama.quantise(place / "f16.gguf", place / "q4.gguf", "Q4_0")
        size = (place / "q4.gguf").stat().st_size
        whole = 4 * less.read_json("summary.json")["of"]
        unit = "of 4 bytes for each parameter of the base; one GGUF file, Q4_0, tokens dropped"
        record("deploy.shrink.gguf.share_of_fp32", size / whole, unit=unit, n=1, goal=f"<= {SHARE}")
        (port,) = free_ports(1)
        server = [str(llama.home / "bin" / "llama-server"), "-m", str(place / "q4.gguf"), "-c", "512", "-t", "1"]
        process = subprocess.Popen([*server, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            used = peak_once_asked(process.pid, port)
        finally:
            process.terminate()
            process.wait()
        over("deploy.shrink.gguf.memory_llama", used, size, True, "llama-server, 512 tokens of context")


def peak_once_asked(pid: int, port: int) -> int:
    """Bytes of memory at the peak, after one answer."""
    import time

    body = json.dumps({"messages": [{"role": "user", "content": "chest pain"}], "max_tokens": 8}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", body, {"Content-Type": "application/json"}
    )
    for _ in range(240):
        try:
            with urllib.request.urlopen(request, timeout=120):
                break
        except OSError:
            time.sleep(0.5)
    else:
        raise RuntimeError("llama-server does not answer")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--general", required=True, help="text whose tokens stay: a .txt file")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="rows of the table; default all")
    parser.add_argument("--make", action="store_true", help="make and ask, so that two run side by side; write nothing")
    given = parser.parse_args()
    main(given.general, given.forms, given.make)
