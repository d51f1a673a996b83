"""What tuning keeps, and whether yibu counts it as lm-evaluation-harness does, item by item; and in what time.

``python benchmarks/retention.py`` tunes SmolLM2-135M a little, measures base and tuned model with both tools on local
files (BLiMP, ARC, WinoGrande, WikiText-2), and compares every item. Then each scores all 6,700 pairs of BLiMP in fp32
on the same two cores, by turns, so that a busy machine is busy for both; lm-evaluation-harness is given its fastest
batch size of several, and its requests ready-made. It lives in an environment of its own, made once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from claims import record
from yibu.core.store import Artifact, Store
from yibu.model.assemble import for_answers
from yibu.model.resolve import Base, resolve
from yibu.pipeline import build, load
from yibu.retain import RetainConfig, SetSettings, retain
from yibu.retain import measure as counting
from yibu.retain.compare import compare
from yibu.retain.measure import measure
from yibu.retain.sets import read, spread

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("YIBU_SHARED", ROOT.parent / "shared")) / "data"
BLIMP = SHARED / "blimp_100" / "blimp_first100_per_paradigm.jsonl"
PINS = ["lm_eval==0.4.13", "torch==2.13.0", "transformers==5.23.0", "accelerate>=1.15,<2", "peft>=0.21.2,<0.22"]
BATCHES = (16, 32, 64)
THREADS = 2
WINDOW = 1024

# Speaks with us in lines of JSON: a request in, an answer out.
OTHER = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[3]))
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
out, sys.stdout = sys.stdout, sys.stderr
adapter = {"peft": sys.argv[2]} if sys.argv[2] else {}
lm = HFLM(pretrained=sys.argv[1], dtype="float32", device="cpu", batch_size=16, max_length=1024, **adapter)
def pairs(ask):
    lm.batch_size_per_gpu = ask["batch"]
    requests = [Instance("loglikelihood", {}, ("", sentence), 0) for pair in ask["pairs"] for sentence in pair]
    began, used = time.perf_counter(), time.process_time()
    found = [log_prob for log_prob, _ in lm.loglikelihood(requests, disable_tqdm=True)]
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    return {"seconds": seconds, "processor": processor, "log_probs": found}
def task(ask):
    results = simple_evaluate(model=lm, tasks=[ask["task"]], log_samples=True, bootstrap_iters=0, verbosity="ERROR")
    (name,) = results["samples"]
    samples = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
    scores = [[part[0] for part in sample["filtered_resps"]] if isinstance(sample["filtered_resps"][0], (list, tuple))
              else sample["filtered_resps"] for sample in samples]
    return {"values": [sample.get("acc") for sample in samples], "scores": scores, "results": results["results"][name]}
for line in sys.stdin:
    ask = json.loads(line)
    print(json.dumps({"pairs": pairs, "task": task}[ask["do"]](ask), default=float), file=out, flush=True)
"""


class Other:
    """lm-evaluation-harness in a process of its own, with one model."""

    def __init__(self, python: Path, base: Base, adapter: Path | None, folder: Path) -> None:
        quiet = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": ""}
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        cache = {"HF_HOME": str(folder / "hf"), "LM_HARNESS_CACHE_PATH": str(folder / "cache")}
        command = [str(python), "-c", OTHER, str(base.path), "" if adapter is None else str(adapter), str(THREADS)]
        with (folder / "lm_eval.log").open("a") as lines:
            self.process = subprocess.Popen(
                command, env={**quiet, **offline, **cache}, stdin=-1, stdout=-1, stderr=lines, text=True
            )

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def environment(home: Path) -> Path:
    """Python of lm-evaluation-harness's own environment, made if it is not there."""
    folder = home / "lm_eval"
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    installed = folder / ".installed"
    if not installed.exists():
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *PINS], check=True)
        installed.touch()
    return folder / "bin" / "python"


def tasks(folder: Path, given: argparse.Namespace) -> dict[str, tuple[SetSettings, dict[str, Any]]]:
    """Each set as yibu is told of it, and as a task of lm-evaluation-harness on the same items in the same order."""
    general = SHARED / "icl_general_en"
    blimp = {"doc_to_text": "", "doc_to_target": 0, "doc_to_choice": "{{[sentence_good, sentence_bad]}}"}
    arc = {"doc_to_text": "{{query}}\nAnswer:", "doc_to_target": "gold", "doc_to_choice": "choices"}
    # Of several contexts lm-evaluation-harness wants the place of the right one as "text" and the end as target.
    winogrande = {"doc_to_text": "gold", "doc_to_target": "continuation", "doc_to_choice": "context_options"}
    wikitext = {"doc_to_text": "", "doc_to_target": "{{text}}"}
    made = {}
    for name, kind, path, limit, wanted in (
        ("blimp", "pairs", BLIMP, given.pairs, blimp),
        ("arc_easy", "choices", general / "world_knowledge" / "arc_easy.jsonl", given.questions, arc),
        ("winogrande", "choices", general / "language_understanding" / "winogrande.jsonl", given.questions, winogrande),
        ("wikitext", "corpus", SHARED / "wikitext2" / "wikitext-2" / "test.txt", given.documents, wikitext),
    ):
        settings = SetSettings(kind=kind, path=str(path), name=name, limit=limit, window=WINDOW)
        if kind == "corpus":
            # The shortest articles: a processor reads a few thousand tokens in a minute.
            rows = sorted((item.text for item in read(settings.model_copy(update={"limit": None}))), key=len)[:limit]
            records = [{"text": row} for row in rows]
        else:
            records = spread([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], limit)
        local = folder / f"{name}.jsonl"
        local.write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
        kinds = {"corpus": "loglikelihood_rolling"}
        task = {
            "task": f"local_{name}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(local)}},
            "test_split": "test",
            "output_type": kinds.get(kind, "multiple_choice"),
            "metric_list": [{"metric": "bits_per_byte"}] if kind == "corpus" else [{"metric": "acc"}],
            **wanted,
        }
        made[name] = (settings.model_copy(update={"path": str(local), "limit": None}), task)
    return made


def tuned(base: str, store: Store, folder: Path, rows: int) -> Artifact:
    """A small LoRA adapter on bank queries."""
    import csv

    with (SHARED / "banking77" / "train.csv").open(encoding="utf-8") as lines:
        queries = spread(list(csv.DictReader(lines)), rows)
    source = folder / "bank.jsonl"
    texts = [{"instruction": row["text"], "output": row["category"].replace("_", " ")} for row in queries]
    source.write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    overrides = [f"base={base}", "train.lr=1e-3", "train.epochs=2", "train.dtype=fp32", "evaluate.dtype=fp32"]
    return build(load(source, overrides), store).model


def same_answers(
    made: dict[str, tuple[SetSettings, dict[str, Any]]], kept: Artifact, other: Other
) -> tuple[int, int, float, float]:
    """Items decided alike, and all; the largest differences of log probabilities and of bits per byte."""
    alike, total, apart, bits = 0, 0, 0.0, 0.0
    for name, (settings, task) in made.items():
        theirs = other.ask(do="task", task=task)
        ours = [json.loads(line) for line in kept.file(f"items-{name}.jsonl").read_text().splitlines()]
        if settings.kind == "corpus":
            figure = next(one for one in kept.read_json("retention.json")["sets"] if one["name"] == name)
            reference = theirs["results"]["bits_per_byte,none"]
            bits = abs(figure["more"]["bits_per_byte"] / reference - 1)
            continue
        alike += sum(one["value"] == value for one, value in zip(ours, theirs["values"], strict=True))
        total += len(ours)
        for one, scores in zip(ours, theirs["scores"], strict=True):
            if "margin" in one:
                apart = max(apart, abs(one["margin"] - (scores[0] - scores[1])))
            else:
                apart = max(apart, *(abs(a - b) for a, b in zip(one["log_probs"], scores, strict=True)))
    return alike, total, apart, bits


def race(base: Base, other: Other, turns: int, part: int | None) -> dict[str, float]:
    """All pairs of BLiMP by both tools, by turns."""
    settings = SetSettings(kind="pairs", path=str(BLIMP), name="blimp", limit=part)
    items = read(settings)
    system = for_answers(base.path, None, "lora", "cpu", "fp32")
    sample = [list(item.continuations) for item in spread(items, 100)]
    other.ask(do="pairs", pairs=sample[:20], batch=16)  # both have run before they are timed
    measure(system, settings, items[:20])
    assert counting.tree_fits(system.model, [counting.asked(system.renderer.tokenizer, "", items[0].choices[0], 99)])
    counting.tree_fits = lambda *_: True  # asked once for all turns, as in a run of one turn
    speeds = {size: other.ask(do="pairs", pairs=sample, batch=size)["processor"] for size in BATCHES}
    batch = min(speeds, key=speeds.__getitem__)
    Console().print(f"lm-evaluation-harness, 100 pairs, processor seconds by batch size: {speeds}; takes {batch}")
    default = other.ask(do="pairs", pairs=sample, batch=1)
    seconds, processor, theirs, their_processor = 0.0, 0.0, 0.0, 0.0
    alike = right = their_right = 0
    for turn in range(turns):
        mine = items[turn * len(items) // turns : (turn + 1) * len(items) // turns]
        began, used = time.perf_counter(), time.process_time()
        found = measure(system, settings, mine)
        seconds, processor = seconds + time.perf_counter() - began, processor + time.process_time() - used
        answer = other.ask(do="pairs", pairs=[list(item.continuations) for item in mine], batch=batch)
        theirs, their_processor = theirs + answer["seconds"], their_processor + answer["processor"]
        scores = answer["log_probs"]
        values = [float(good >= bad) for good, bad in zip(scores[::2], scores[1::2], strict=True)]
        alike += sum(one["value"] == value for one, value in zip(found.items, values, strict=True))
        right += int(sum(one["value"] for one in found.items))
        their_right += int(sum(values))
        Console().print(
            f"turn {turn + 1} of {turns}: {seconds:.0f} s and {theirs:.0f} s ({theirs / seconds:.2f} x); "
            f"processor {processor:.0f} s and {their_processor:.0f} s; {alike} decided alike"
        )
    return {
        "n": len(items),
        "seconds": seconds,
        "ratio": theirs / seconds,
        "processor_ratio": their_processor / processor,
        "default_ratio": default["processor"] / len(sample) / (processor / len(items)),
        "alike": alike,
        "accuracy": right / len(items),
        "their_accuracy": their_right / len(items),
    }


def main() -> None:
    """Measure, print the table, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=402, help="of BLiMP, compared item by item for both models")
    parser.add_argument("--questions", type=int, default=60, help="of ARC and of WinoGrande each")
    parser.add_argument("--documents", type=int, default=3, help="articles of WikiText-2")
    parser.add_argument("--rows", type=int, default=160, help="that the adapter is trained on")
    parser.add_argument("--race", type=int, default=None, help="pairs of the race; default: all")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--only", choices=["answers", "race"], default=None)
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-bench")
    parser.add_argument("--store", type=Path, default=None, help="default: a temporary one")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    python = environment(given.environments.absolute())
    with tempfile.TemporaryDirectory() as temporary:
        # With a store of its own the sets lie there too, so that what was measured before is not measured again.
        folder = Path(temporary) if given.store is None else given.store.absolute() / "retention"
        folder.mkdir(parents=True, exist_ok=True)
        store = Store(given.store or folder / "store")
        base = resolve("packaged:smollm2-135m", store)
        if given.only != "race":
            answers(given, python, folder, store, base)
        if given.only != "answers":
            other = Other(python, base, None, folder)
            found = race(base, other, given.turns, given.race)
            other.close()
            Console().print(found)
            if not given.dry:
                n = int(found["n"])
                record("proof.blimp_times_lm_eval", round(found["ratio"], 3), unit="x", n=n, goal=">= 3")
                record("proof.blimp_times_lm_eval_processor", round(found["processor_ratio"], 3), unit="x", n=n)
                record("proof.blimp_times_lm_eval_batch_1", round(found["default_ratio"], 2), unit="x", n=100)
                record("proof.blimp_same_decisions", found["alike"] / n, unit="share", n=n, goal=">= 1")
                record("proof.blimp_accuracy", round(found["accuracy"], 4), unit="accuracy", n=n)
                record("proof.blimp_accuracy_lm_eval", round(found["their_accuracy"], 4), unit="accuracy", n=n)


def answers(given: argparse.Namespace, python: Path, folder: Path, store: Store, base: Base) -> None:
    """Base and tuned model by both tools; the retention table."""
    made = tasks(folder, given)
    sets = [settings.as_config() for settings, _ in made.values()]
    model = tuned("packaged:smollm2-135m", store, folder, given.rows)
    config = RetainConfig.model_validate(
        {"base_path": str(base.path), "base_digest": base.digest, "retain": {"sets": sets, "dtype": "fp32"}}
    )
    before, after = store.run(retain, config), store.run(retain, config, model=model)
    view = Table("set", "metric", "n", "before", "after", "change (95 %)", "ratio (95 %)", "")
    for one in compare(before, after):
        change, ratio = one.change, one.ratio
        view.add_row(
            one.name,
            one.metric,
            str(change.n),
            f"{one.before.value:.4f}",
            f"{one.after.value:.4f}",
            f"{change.difference:+.4f} ({change.low:+.4f} to {change.high:+.4f})",
            "" if ratio is None else f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})",
            one.verdict,
        )
    Console(width=140).print(view)
    alike = total = 0
    for kept, adapter in ((before, None), (after, model.path / "adapter")):
        other = Other(python, base, adapter, folder)
        same, items, apart, bits = same_answers(made, kept, other)
        other.close()
        Console().print(
            f"{'base' if adapter is None else 'tuned'}: {same} of {items} items decided alike; log probabilities at "
            f"most {apart:.2g} apart; bits per byte of WikiText within {bits:.2g}"
        )
        alike, total = alike + same, total + items
        if not given.dry and adapter is not None:
            record("proof.retention_log_prob_apart", round(apart, 6), unit="nats", n=items, goal="<= 0.01")
            record("proof.retention_wikitext_apart", round(bits, 8), unit="share", n=given.documents, goal="<= 0.001")
    if not given.dry:
        record("proof.retention_same_answers", alike / total, unit="share", n=total, goal=">= 1")


if __name__ == "__main__":
    main()
