"""One row in fifty: what a weighted sampler and class weights do to probabilities, and what the correction mends.

Real customer messages (banking77), a real base (SmolLM2-135M): does the customer say that a card was lost, stolen or
used by somebody else? Train, validation and test rows all hold the rare class at its natural share of 1:50; test rows
come from the data set's own test file. Three adapters are trained on the same rows for the same number of steps
(plain, weighted sampler, class weights), each measured as it comes and after prior correction and recalibration on the
validation rows, beside TF-IDF with logistic regression and beside the constant base rate.

Calibration error by itself proves little here: the constant has next to none. So average precision, Brier skill over
that constant and the error among the rows decided for the rare class stand beside it; and the error that is claimed is
that of the rare class's probability, since the chosen label's can be right under a wrong prior by symmetry.

Stages are those of yibu and their artifacts are kept in the store, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"

from claims import record
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, digest_file, stage
from yibu.evaluate import AnswerConfig, EvaluateSettings, ReportConfig, answer, evaluate
from yibu.tasks import settings_of
from yibu.train import BaseSettings, Config, TrainSettings, train

DATA = Path(__file__).parents[2] / "shared" / "data" / "banking77"
RARE = ("lost_or_stolen_card", "compromised_card")
LABELS = ["no", "yes"]
# Probabilities near 0 and 1 are what is measured, so nothing is rounded to bf16.
DTYPE = "fp32"
PER_POSITIVE = 50
# Rare rows of each split at full size; each comes with fifty others.
POSITIVES = {"train": 30, "valid": 12, "test": 40}
TASK = {
    "kind": "classify",
    "system": "Does the customer say that a card was lost, stolen or used by somebody else? Answer yes or no.",
    "prompt": "{text}",
    "label": "{label}",
    "labels": LABELS,
}
REMEDIES: dict[str, dict[str, str]] = {
    "plain": {},
    "sampler": {"sampler": "weighted"},
    "weights": {"class_weights": "balanced"},
}
COLUMNS = (
    "ece_classwise",
    "ece",
    "ece_rare_decisions",
    "brier",
    "brier_skill",
    "nll",
    "average_precision",
    "macro_f1",
)


class Rows(Settings):
    """How many rows, and which."""

    scale: float
    seed: int


def sources(config: Rows) -> dict[str, str]:
    return {name: digest_file(DATA / name) for name in ("train.csv", "test.csv")}


@stage(name="imbalanced_rows", external=sources)
def imbalanced_rows(config: Rows, work: Work) -> None:
    """Three splits at 1:50; no text of test occurs in train or valid, letter case and punctuation aside."""
    import random

    pools: dict[str, dict[str, list[tuple[str, str]]]] = {}
    taken: set[str] = set()
    for name in ("test", "train"):
        pools[name] = {"yes": [], "no": []}
        with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            for place, row in enumerate(csv.DictReader(lines)):
                key = "".join(sign for sign in row["text"].casefold() if sign.isalnum())
                if key not in taken:
                    taken.add(key)
                    label = "yes" if row["category"] in RARE else "no"
                    pools[name][label].append((f"{name}-{place}", row["text"]))
    counts: dict[str, dict[str, int]] = {}
    chance = random.Random(config.seed)
    for pool in pools.values():
        for rows in pool.values():
            chance.shuffle(rows)
    for split, full in POSITIVES.items():
        positives = max(2, round(full * config.scale))
        pool = pools["test" if split == "test" else "train"]
        chosen = []
        for label, size in (("yes", positives), ("no", positives * PER_POSITIVE)):
            assert len(pool[label]) >= size, (split, label)
            chosen += [(*item, label) for item in pool[label][:size]]
            del pool[label][:size]
        chance.shuffle(chosen)
        made = [Row(id, {"text": text, "label": label}, label=label) for id, text, label in chosen]
        work.write_text(f"{split}.jsonl", "".join(row.to_json() + "\n" for row in made))
        counts[split] = {"yes": positives, "no": positives * PER_POSITIVE}
    sizes = {split: sum(count.values()) for split, count in counts.items()}
    summary = {"labels": LABELS, "language": "en", "splits": sizes, "task": TASK, "classes": counts}
    work.write_json("summary.json", summary)


def answers(store: Store, base: BaseSettings, data: Artifact, split: str, model: Artifact | None) -> Artifact:
    config = AnswerConfig(
        base_path=base.path,
        base_digest=base.digest,
        task=settings_of(TASK),
        split=split,  # type: ignore[arg-type]
        batch_size=16,
        dtype=DTYPE,
        device="cpu",
        threads=2,
    )
    inputs = {"data": data} if model is None else {"data": data, "model": model}
    return store.run(answer, config, **inputs)


def measured(
    store: Store, base: BaseSettings, data: Artifact, settings: dict[str, Any], evaluation: EvaluateSettings
) -> dict[str, Any]:
    """``calibration`` of one remedy's ``metrics.json``."""
    made = TrainSettings.model_validate(
        {"lr": 5e-4, "batch": 16, "accumulate": 1, "threads": 2, "dtype": DTYPE, **settings}
    )
    config = Config(base=base, task=settings_of(TASK), adapter={"kind": "lora"}, train=made)  # type: ignore[arg-type]
    model = store.run(train, config, data=data)
    report = ReportConfig(recipe="imbalance", base=base.name, task=settings_of(TASK), evaluate=evaluation)
    found = store.run(
        evaluate,
        report,
        data=data,
        model=model,
        base_answers=answers(store, base, data, "test", None),
        answers=answers(store, base, data, "test", model),
        valid_answers=answers(store, base, data, "valid", model),
    )
    table: dict[str, Any] = found.read_json("metrics.json")["calibration"]
    return table


def logistic_regression(data: Artifact, evaluation: EvaluateSettings) -> dict[str, Any]:
    """TF-IDF of words, pairs of words and character n-grams; strength by cross-validated likelihood in train."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline, make_union

    from yibu.evaluate.calibrate import measures

    texts: dict[str, list[str]] = {}
    truth: dict[str, Any] = {}
    for split in ("train", "test"):
        rows = [json.loads(line) for line in data.file(f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        texts[split] = [row["fields"]["text"] for row in rows]
        truth[split] = np.array([LABELS.index(row["fields"]["label"]) for row in rows])
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    folds = max(2, min(5, int(truth["train"].sum())))
    model = LogisticRegressionCV(
        Cs=10, cv=folds, scoring="neg_log_loss", max_iter=1000, l1_ratios=(0.0,), use_legacy_attributes=False
    )
    chain = make_pipeline(features, model).fit(texts["train"], truth["train"])
    log_probs = np.log(np.clip(chain.predict_proba(texts["test"]), 1e-12, 1.0))
    shares = np.bincount(truth["train"], minlength=2) + 0.5
    return measures(log_probs, truth["test"], LABELS, np.log(shares / shares.sum()), evaluation, None)


def main(scale: float, seed: int, epochs: int, max_steps: int | None, write: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from yibu.model.resolve import resolve

    console, store = Console(width=160), Store()
    resolved = resolve("packaged:smollm2-135m", store)
    base = BaseSettings(name=resolved.name, path=str(resolved.path), digest=resolved.digest)
    data = store.run(imbalanced_rows, Rows(scale=scale, seed=seed))
    evaluation = EvaluateSettings(threads=2, device="cpu")
    forms: dict[str, dict[str, Any]] = {}
    for name, remedy in REMEDIES.items():
        settings = {"epochs": epochs, "max_steps": max_steps, "seed": seed, **remedy}
        table = measured(store, base, data, settings, evaluation)
        for form, figures in table["systems"]["tuned"].items():
            forms[f"{name}, {form}"] = figures
        steps = table["corrections"]["tuned"]["steps"]
        console.print(f"{name}: corrected by {' + '.join(steps) or 'nothing'}")
        forms["base, raw"] = table["systems"]["base"]["raw"]
        forms["base rate"] = table["systems"]["base_rate"]["raw"]
    forms["tfidf_lr"] = logistic_regression(data, evaluation)

    shown = Table("", *COLUMNS)
    for name, figures in forms.items():
        cells = []
        for column in COLUMNS:
            cell = figures[column]
            cells.append(
                "-" if cell is None else f"{cell['value']:.4f} [{_number(cell['low'])}, {_number(cell['high'])}]"
            )
        shown.add_row(name, *cells)
    console.print(shown)
    if write:
        claim_all(forms)


def claim_all(forms: dict[str, dict[str, Any]]) -> None:
    """Write the claims; every figure is of the test rows at their natural share of 1:50."""

    def claim(name: str, form: str, measure: str, unit: str, goal: str | None = None) -> None:
        found = forms[form][measure]
        if found is not None:
            record(
                f"data.imbalance_{name}",
                found["value"],
                low=found["low"],
                high=found["high"],
                n=found["n"],
                unit=f"{unit}, {found['interval']}",
                goal=goal,
            )

    rare = "expected calibration error of the rare class's probability at 1:50"
    for remedy in ("sampler", "weights"):
        claim(f"ece_{remedy}", f"{remedy}, corrected", "ece_classwise", f"{rare}, corrected", "<= 0.05")
        claim(f"ece_{remedy}_top", f"{remedy}, corrected", "ece", "the same of the chosen label", "<= 0.05")
        claim(
            f"ece_{remedy}_decided_rare",
            f"{remedy}, corrected",
            "ece_rare_decisions",
            "the same among the rows decided for the rare class",
        )
    claim("ece_uncorrected", "sampler, raw", "ece_classwise", f"{rare}, weighted sampler, uncorrected")
    claim("ece_uncorrected_weights", "weights, raw", "ece_classwise", f"{rare}, class weights, uncorrected")
    claim("ece_plain", "plain, raw", "ece_classwise", f"{rare}, neither remedy")
    claim("ece_base_rate", "base rate", "ece_classwise", f"{rare}, constant base rate")
    claim(
        "average_precision",
        "sampler, corrected",
        "average_precision",
        "average precision of the rare class, weighted sampler (chance is 0.02)",
    )
    others = {"weights": "weights, corrected", "plain": "plain, corrected", "tfidf_lr": "tfidf_lr", "base": "base, raw"}
    for name, form in others.items():
        claim(f"average_precision_{name}", form, "average_precision", f"the same, {name}")
    for name, form in {"sampler": "sampler, corrected", **others}.items():
        claim(f"brier_skill_{name}", form, "brier_skill", "1 - Brier score over that of the constant base rate")
        claim(f"macro_f1_{name}", form, "macro_f1", "macro-F1 of the most probable label")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows; claims are written at 1 only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=None, help="for a trial; no claims are written")
    arguments = parser.parse_args()
    main(
        arguments.scale,
        arguments.seed,
        arguments.epochs,
        arguments.max_steps,
        write=arguments.scale == 1 and arguments.max_steps is None,
    )
