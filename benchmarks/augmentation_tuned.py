"""Macro-F1 that character noise costs a tuned model, whose train rows had noisy copies or had none.

The model that yibu is about: SmolLM2-135M with LoRA, on real customer messages (banking77, 20 classes, test rows of the
data set's own test file). Two adapters are trained with the same settings for the same number of steps: on the train
rows alone, and on these with the copies that the stage ``augment`` makes (keyboard and OCR noise). Validation rows are
clean in both. Test rows are noised with seeds that training never uses, by the kinds of the copies (*same*) and by
uniformly random letters, which no table of the package knows (*unseen*).

Loss is macro-F1 on the clean test rows less that on the noisy ones; intervals are as in ``augmentation.py``, which
measures models learned from scratch. Stages are those of yibu and their artifacts are kept in the store, so that a run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import defaultdict
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from rich.table import Table

from augmentation import DATA, KINDS, RATES, UNSEEN, Answers, banking, compare, console, noisy, record_row, show_row
from yibu.augment import AugmentSettings, augment
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, digest_file, stage
from yibu.evaluate import AnswerConfig, answer
from yibu.tasks import settings_of
from yibu.train import BaseSettings, Config, TrainSettings, train

TASK = "en_bank"
NUM_CLASSES = 20
# Rows of each class; a smaller class gives what it has.
PER_CLASS = {"train": 50, "valid": 8, "test": 40}
COPIES = 2
COPY_RATE = 0.12
NUM_DRAWS = 1


class Rows(Settings):
    """How many of the rows, and how often each test row is noised."""

    scale: float
    num_draws: int


def sources(config: Rows) -> dict[str, str]:
    return {name: digest_file(DATA / "banking77" / name) for name in ("train.csv", "test.csv")}


@stage(name="noised_rows", external=sources)
def noised_rows(config: Rows, work: Work) -> None:
    """Clean train and validation rows; test rows clean and with all noise, one after the other."""
    pools: dict[str, list[tuple[str, str, str]]] = {}
    for name in ("train", "test"):
        texts, labels = banking(name, NUM_CLASSES)
        pool = [
            (f"{name}-{place}", text, label.replace("_", " "))
            for place, (text, label) in enumerate(zip(texts, labels, strict=True))
        ]
        random.Random(0).shuffle(pool)
        pools[name] = pool
    splits: dict[str, list[tuple[str, str, str]]] = {"test": _take(pools["test"], "test", config.scale, set())}
    seen = {text.casefold() for _, text, _ in splits["test"]}
    splits["valid"] = _take(pools["train"], "valid", config.scale, seen)
    seen |= {text.casefold() for _, text, _ in splits["valid"]}
    splits["train"] = _take(pools["train"], "train", config.scale, seen)

    clean = splits["test"]
    for kind in (*KINDS[TASK], UNSEEN[TASK]):
        for rate in RATES:
            for draw in range(config.num_draws):
                texts = noisy([text for _, text, _ in clean], kind, rate, f"test {draw}")
                splits["test"] = splits["test"] + [
                    (f"{id}/{kind}/{rate}/{draw}", text, label)
                    for (id, _, label), text in zip(clean, texts, strict=True)
                ]
    labels = sorted({label for _, _, label in clean})
    for split, rows in splits.items():
        made = [Row(id, {"text": text, "label": label}, label=label) for id, text, label in rows]
        work.write_text(f"{split}.jsonl", "".join(row.to_json() + "\n" for row in made))
    sizes = {split: len(rows) for split, rows in splits.items()}
    work.write_json("summary.json", {"labels": labels, "language": "en", "splits": sizes, "task": task_table(labels)})


def _take(pool: list[tuple[str, str, str]], split: str, scale: float, seen: set[str]) -> list[tuple[str, str, str]]:
    """The first rows of each class whose text is in no split yet."""
    counts: dict[str, int] = defaultdict(int)
    most = max(2, round(PER_CLASS[split] * scale))
    chosen = []
    for id, text, label in pool:
        if counts[label] < most and text.casefold() not in seen:
            counts[label] += 1
            chosen.append((id, text, label))
    return chosen


def task_table(labels: list[str]) -> dict[str, Any]:
    return {
        **{"kind": "classify", "system": "What is the customer's message about?", "prompt": "{text}"},
        **{"label": "{label}", "labels": labels},
    }


def tuned(store: Store, base: BaseSettings, data: Artifact, max_steps: int) -> Artifact:
    made = TrainSettings(lr=5e-4, epochs=100, max_steps=max_steps, batch=16, accumulate=1, evaluate_every=60)
    task = settings_of(data.read_json("summary.json")["task"])
    config = Config(base=base, task=task, adapter={"kind": "lora"}, train=made)  # type: ignore[arg-type]
    return store.run(train, config, data=data)


def answers(store: Store, base: BaseSettings, data: Artifact, model: Artifact) -> tuple[np.ndarray, Answers]:
    """True classes of the test rows, and what the model says to them, clean and noisy."""
    task = settings_of(data.read_json("summary.json")["task"])
    config = AnswerConfig(
        **{"base_path": base.path, "base_digest": base.digest, "task": task, "split": "test", "batch_size": 16},
        **{"dtype": "auto", "device": "auto", "threads": None},
    )
    made = store.run(answer, config, data=data, model=model)
    lines = [json.loads(line) for line in made.file("answers.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = data.read_json("summary.json")["labels"]
    rows = [json.loads(line) for line in data.file("test.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    said: dict[tuple[str, float], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    truth = [labels.index(row["label"]) for row in rows if "/" not in row["id"]]
    for line in lines:
        _, kind, rate, draw = (*line["id"].split("/"), "clean", "0", "0")[:4]
        said[kind, float(rate)][draw].append(labels.index(line["answer"]))
    return np.array(truth), {key: np.array(list(draws.values())) for key, draws in said.items()}


class Tested:
    """What `compare` asks of a task: the true classes, all of them tested."""

    def __init__(self, truth: np.ndarray) -> None:
        self.name, self.labels, self.tested = TASK, truth, np.arange(len(truth))


def main(scale: float, max_steps: int, dry: bool) -> None:
    from yibu.model.resolve import resolve

    store = Store()
    resolved = resolve("packaged:smollm2-135m", store)
    base = BaseSettings(name=resolved.name, path=str(resolved.path), digest=resolved.digest)
    data = store.run(noised_rows, Rows(scale=scale, num_draws=NUM_DRAWS))
    steps = [{"kind": kind, "rate": COPY_RATE, "share": 1.0, "copies": COPIES} for kind in KINDS[TASK]]
    settings = AugmentSettings.model_validate({"steps": steps, "robustness": None, "fields": ("text",)})
    more = store.run(augment, settings, data=data)
    said = []
    for rows in (data, more):
        model = tuned(store, base, rows, max_steps)
        truth, found = answers(store, base, data, model)
        said.append(found)
    table = Table("task", "model", "noise", "F1 clean", "F1 noisy", "lost without", "lost with", "saved", "ratio")
    for row in compare(Tested(truth), said[0], said[1], 10_000):
        show_row(table, f"{TASK} smollm2", row)
        if not dry:
            record_row(TASK, "smollm2", row, len(truth))
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of rows; below 1 nothing is recorded")
    parser.add_argument("--max-steps", type=int, default=320, help="optimizer steps of 16 rows, for both models")
    given = parser.parse_args()
    main(given.scale, given.max_steps, dry=given.scale < 1)
