"""F1 lost to character noise, with and without augmentation of the train rows.

Three real tasks: Chinese articles and cases by branch of law (LawBench 1-1 and 3-2, 865 rows, 3 classes) and questions
by topic (LawBench 2-4, 500 rows, 20 classes), both cross-validated, and English banking questions (banking77, 20
classes, its own test rows). Two models learned from scratch: TF-IDF of characters with a linear SVM, and a small
convolutional network over characters. A model is trained on the train rows alone, and on these with noisy copies. Each
SVM has the C that is best for it on held-out train rows, half of them noisy; the network takes equally many steps.

Test rows are noised with seeds that training never uses, ten times each, by three kinds: *same*, the kinds that the
copies were made with; *unseen*, another kind (pinyin slips in Chinese; uniformly random letters in English, a table of
this file alone). Loss is macro-F1 on the clean test rows less macro-F1 on the noisy ones. Intervals: percentile
bootstrap over test rows, 10,000 resamples, paired (the same rows for all models and draws).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import string
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from claims import record
from yibu import augmenters
from yibu.core.edits import apply

DATA = Path("/work/shared/data")
RATES = (0.05, 0.1)
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
TASKS = ("zh_branch", "zh_topic", "en_bank")
KINDS = {"zh_branch": ("homophones", "glyphs"), "zh_topic": ("homophones", "glyphs"), "en_bank": ("keyboard", "ocr")}
UNSEEN = {"zh_branch": "keyboard", "zh_topic": "keyboard", "en_bank": "uniform"}
console = Console(width=150)

Texts = list[str]
Predict = Callable[[Texts], np.ndarray]
Fit = Callable[[Texts, np.ndarray, int], Predict]


def lawbench(name: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads((DATA / f"lawbench/zero_shot/{name}.json").read_text(encoding="utf-8"))
    return rows


def topics() -> tuple[Texts, list[str]]:
    rows = lawbench("2-4")
    return [row["question"] for row in rows], [row["answer"].removeprefix("类别:") for row in rows]


def branches() -> tuple[Texts, list[str]]:
    """Articles of law (1-1) and cases (3-2), cut at 100 characters, by the branch to which 1-1 says a law belongs."""
    texts, labels, branch = [], [], {}
    for row in lawbench("1-1"):
        found = re.match(r"(社会法|民法商法|诉讼与非诉讼程序法)(.*?)第", row["question"])
        if found:
            branch[found[2]] = found[1]
            texts.append(row["answer"].removeprefix("答案:")[:100])
            labels.append(found[1])
    for row in lawbench("3-2"):
        named = [law for law in branch if law in row["answer"][:60]]
        if named:
            texts.append(row["question"].removeprefix("场景:")[:100])
            labels.append(branch[max(named, key=len)])
    return texts, labels


def banking(name: str, num_classes: int) -> tuple[Texts, list[str]]:
    with (DATA / "banking77" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = set(sorted({row["category"] for row in rows})[:num_classes])
    rows = [row for row in rows if row["category"] in kept]
    return [row["text"] for row in rows], [row["category"] for row in rows]


def noisy(texts: Sequence[str], kind: str, rate: float, seed: str) -> Texts:
    """Each text with noise of its own; the seed and its place decide it."""
    if kind == "uniform":
        return [uniform_noise(text, rate, random.Random(f"{seed} {i}")) for i, text in enumerate(texts)]
    made: Any = augmenters.build(augmenters.settings_of({"kind": kind, "rate": rate}))
    return [apply(text, made.edits(text, random.Random(f"{seed} {i}"))) for i, text in enumerate(texts)]


def uniform_noise(text: str, rate: float, chance: random.Random) -> str:
    """Any letter becomes any other, is lost, or gets any other behind it: no table of the package knows this noise."""
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    wanted = rate * sum(not character.isspace() for character in text)
    count = max(1, int(wanted) + (chance.random() < wanted % 1))
    made = list(text)
    for place in chance.sample(letters, min(count, len(letters))):
        other = chance.choice(string.ascii_lowercase)
        made[place] = chance.choice((other, "", text[place] + other))
    return "".join(made)


def copies(texts: Texts, kinds: Sequence[str], num_copies: int) -> Texts:
    """Noisy copies of train rows: as many of each kind, at 10 % and 15 % by turns."""
    made: Texts = []
    for number in range(num_copies):
        for kind in kinds:
            made += noisy(texts, kind, (0.1, 0.15)[number % 2], f"train {number}")
    return made


def svm(name: str, num_copies: int) -> Fit:
    """TF-IDF of 1 to 4 characters and a linear SVM, whose C is chosen once, on the train rows of the first split."""
    from sklearn.svm import LinearSVC

    chosen: list[float] = []

    def fit(texts: Texts, labels: np.ndarray, seed: int) -> Predict:
        if not chosen:
            num_rows = len(texts) // (1 + num_copies * len(KINDS[name]))
            chosen.append(best_strength(texts[:num_rows], labels[:num_rows], name, num_copies))
            console.print(f"{name}: C = {chosen[0]} with {num_copies} copies")
        vectors = tfidf()
        model = LinearSVC(C=chosen[0], tol=1e-2, random_state=seed).fit(vectors.fit_transform(texts), labels)
        return lambda asked: model.predict(vectors.transform(asked))

    return fit


def tfidf() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=2, sublinear_tf=True)


def best_strength(texts: Texts, labels: np.ndarray, name: str, num_copies: int) -> float:
    """The C with the best macro-F1 in three folds of the train rows, the held-out ones half clean and half noisy.

    Both models get the C that serves them best on such rows, so that neither is weaker than it could be.
    """
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import LinearSVC

    scores = dict.fromkeys(STRENGTHS, 0.0)
    for train, held in StratifiedKFold(3, shuffle=True, random_state=0).split(texts, labels):
        learned, asked = [texts[i] for i in train], [texts[i] for i in held]
        more = copies(learned, KINDS[name], num_copies)
        vectors = tfidf()
        seen = vectors.fit_transform(learned + more)
        truth = np.tile(labels[train], 1 + len(more) // len(learned))
        noised = [noisy(asked, kind, rate, "held") for kind in KINDS[name] for rate in RATES]
        for strength in STRENGTHS:
            model = LinearSVC(C=strength, tol=1e-2, random_state=0).fit(seen, truth)
            said = [model.predict(vectors.transform(rows)) for rows in (asked, *noised)]
            found = [float(f1_score(labels[held], row, average="macro")) for row in said]
            scores[strength] += found[0] / 2 + float(np.mean(found[1:])) / 2
    return max(scores, key=scores.__getitem__)


def network(num_steps: int, length: int) -> Fit:
    """Embeddings of characters, convolutions of width 1 to 4, the maximum over places (Kim 2014, arXiv:1408.5882)."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, num_characters: int, num_classes: int) -> None:
            super().__init__()
            self.embed = nn.Embedding(num_characters, 64, padding_idx=0)
            self.widths = nn.ModuleList(nn.Conv1d(64, 96, width, padding=width // 2) for width in (1, 2, 3, 4))
            self.drop = nn.Dropout(0.4)
            self.out = nn.Linear(4 * 96, num_classes)

        def forward(self, characters_BL: torch.Tensor) -> torch.Tensor:
            seen_BDL = self.drop(self.embed(characters_BL)).transpose(1, 2)
            best_BD = torch.cat([torch.relu(width(seen_BDL)).amax(2) for width in self.widths], 1)
            return self.out(self.drop(best_BD))

    def fit(texts: Texts, labels: np.ndarray, seed: int) -> Predict:
        torch.manual_seed(seed)
        codes = {character: i + 2 for i, character in enumerate(sorted(set("".join(texts))))}

        def encode(asked: Texts) -> torch.Tensor:
            return torch.tensor([([codes.get(c, 1) for c in text[:length]] + [0] * length)[:length] for text in asked])

        rows, truth = encode(texts), torch.tensor(labels)
        net = Net(len(codes) + 2, int(labels.max()) + 1)
        optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=num_steps)
        order = torch.empty(0, dtype=torch.long)
        for _ in range(num_steps):
            if len(order) < 32:
                order = torch.randperm(len(rows))
            batch, order = order[:32], order[32:]
            seen = rows[batch]
            loss = nn.functional.cross_entropy(net(seen[:, : max(8, int((seen > 0).sum(1).max()))]), truth[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        net.eval()

        def predict(asked: Texts) -> np.ndarray:
            with torch.no_grad():
                return torch.cat([net(part).argmax(1) for part in encode(asked).split(256)]).numpy()

        return predict

    return fit


class Task:
    """Rows, their splits, and the noisy versions of the test rows.

    Attributes:
        splits: (train, test) places; every split tests its rows with all noise.
    """

    def __init__(self, name: str, share: float, num_draws: int, repeats: int) -> None:
        self.name = name
        if name.startswith("zh"):
            texts, labels = topics() if name == "zh_topic" else branches()
            self.splits = _repeated_folds(labels, repeats)
        else:
            train_texts, train_labels = banking("train", 20)
            test_texts, test_labels = banking("test", 20)
            texts, labels = train_texts + test_texts, train_labels + test_labels
            places = np.arange(len(texts))
            step = round(1 / share)
            train, test = places[: len(train_texts) : step], places[len(train_texts) :: step]
            self.splits = [(train, test)]
        names = sorted(set(labels))
        self.texts = texts
        self.labels = np.array([names.index(label) for label in labels])
        self.tested = np.unique(np.concatenate([test for _, test in self.splits]))
        self.noise: dict[tuple[str, float], list[Texts]] = {}
        for kind in (*KINDS[name], UNSEEN[name]):
            for rate in RATES:
                self.noise[kind, rate] = [noisy(texts, kind, rate, f"test {draw}") for draw in range(num_draws)]

    def train_rows(self, train: np.ndarray) -> tuple[Texts, np.ndarray]:
        return [self.texts[i] for i in train], self.labels[train]


Answers = dict[tuple[str, float], np.ndarray]
"""Noise (``clean`` with rate 0, else kind and rate) -> predictions, a row per model and draw, a column per test row."""


def answers(task: Task, fit: Fit, num_copies: int) -> Answers:
    """What models trained on the splits say to their test rows, clean and noisy."""
    versions: dict[tuple[str, float], list[Texts]] = {("clean", 0.0): [task.texts], **task.noise}
    # Folds of one repeat answer for different rows, so that together they make one row of predictions.
    num_repeats = max(1, round(sum(len(test) for _, test in task.splits) / len(task.tested)))
    found = {key: np.full((num_repeats * len(draws), len(task.texts)), -1) for key, draws in versions.items()}
    per_repeat = len(task.splits) // num_repeats
    for number, (train, test) in enumerate(task.splits):
        texts, labels = task.train_rows(train)
        more = copies(texts, KINDS[task.name], num_copies)
        predict = fit(texts + more, np.tile(labels, 1 + len(more) // len(texts)), number)
        for key, draws in versions.items():
            for draw, noised in enumerate(draws):
                found[key][number // per_repeat * len(draws) + draw, test] = predict([noised[i] for i in test])
    return {key: said[:, task.tested] for key, said in found.items()}


def macro_f1(truth: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro-F1 of each resample (a row of weights), averaged over models and draws (rows of predictions)."""
    num_classes = int(truth.max()) + 1
    true_NC = np.eye(num_classes, dtype=np.float32)[truth]
    total = np.zeros(len(weights))
    for row in said:
        said_NC = np.eye(num_classes, dtype=np.float32)[row]
        hit_BC = weights @ (true_NC * said_NC)
        all_BC = weights @ true_NC + weights @ said_NC
        total += np.where(all_BC > 0, 2 * hit_BC / np.maximum(all_BC, 1e-9), 0).mean(1)
    return total / len(said)


def resamples(num_rows: int, num: int, seed: int = 0) -> np.ndarray:
    """How often each row is in each resample; the first is the rows as they are."""
    drawn = np.random.default_rng(seed).integers(0, num_rows, (num, num_rows))
    counts = np.stack([np.bincount(row, minlength=num_rows) for row in drawn])
    return np.concatenate([np.ones((1, num_rows)), counts]).astype(np.float32)


def compare(task: Task | Any, without: Answers, with_: Answers, num_resamples: int) -> list[dict[str, Any]]:
    """Losses at each rate for noise of the same kinds and of the unseen one, with intervals."""
    truth, weights = task.labels[task.tested], resamples(len(task.tested), num_resamples)
    clean = [macro_f1(truth, said["clean", 0.0], weights) for said in (without, with_)]
    rows = []
    for rate in RATES:
        for name, kinds in (("same", KINDS[task.name]), ("unseen", (UNSEEN[task.name],))):
            noised = [
                np.mean([macro_f1(truth, said[kind, rate], weights) for kind in kinds], axis=0)
                for said in (without, with_)
            ]
            lost = [clean[i] - noised[i] for i in range(2)]
            saved = lost[0] - lost[1]
            ratio = lost[1] / np.where(lost[0] > 1e-6, lost[0], np.nan)
            rows.append(
                {
                    **{"rate": rate, "noise": name, "lost_without": lost[0][0], "lost_with": lost[1][0]},
                    **{"clean_without": clean[0][0], "clean_with": clean[1][0]},
                    **{"noisy_without": noised[0][0], "noisy_with": noised[1][0]},
                    **{"saved": saved[0], "saved_low": _low(saved), "saved_high": _high(saved)},
                    **{"ratio": ratio[0], "ratio_low": _low(ratio), "ratio_high": _high(ratio)},
                }
            )
    return rows


def _low(values: np.ndarray) -> float:
    return float(np.nanquantile(values[1:], 0.025))


def _high(values: np.ndarray) -> float:
    return float(np.nanquantile(values[1:], 0.975))


def _repeated_folds(labels: Sequence[str], repeats: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedKFold

    return [
        split
        for seed in range(repeats)
        for split in StratifiedKFold(5, shuffle=True, random_state=seed).split(labels, labels)
    ]


def main(names: Sequence[str], models: Sequence[str], share: float, num_copies: int, dry: bool) -> None:
    num_draws, num_resamples = (10, 10_000) if share == 1 else (3, 1000)
    table = Table("task", "model", "noise", "F1 clean", "F1 noisy", "lost without", "lost with", "saved", "ratio")
    for name in names:
        for model in models:
            # The folds of the network are cut once: it takes minutes where the SVM takes seconds.
            task = Task(name, share, num_draws, repeats=5 if model == "svm" and share == 1 else 1)
            began = time.monotonic()
            num_steps, length = (2000 if share == 1 else 300), 100
            said = []
            for number in (0, num_copies):
                fit = svm(name, number) if model == "svm" else network(num_steps, length)
                said.append(answers(task, fit, number))
            rows = compare(task, said[0], said[1], num_resamples)
            console.print(f"{name} {model}: {time.monotonic() - began:.0f} s")
            for row in rows:
                show_row(table, f"{name} {model}", row)
                if not dry:
                    record_row(name, model, row, len(task.tested))
    console.print(table)


def show_row(table: Table, name: str, row: dict[str, Any]) -> None:
    table.add_row(
        *name.split(),
        f"{row['rate']:.0%} {row['noise']}",
        f"{row['clean_without']:.3f} / {row['clean_with']:.3f}",
        f"{row['noisy_without']:.3f} / {row['noisy_with']:.3f}",
        f"{row['lost_without']:.4f}",
        f"{row['lost_with']:.4f}",
        f"{row['saved']:.4f} [{row['saved_low']:.4f}, {row['saved_high']:.4f}]",
        f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]",
    )


def record_row(task: str, model: str, row: dict[str, Any], num_rows: int) -> None:
    """The ratio, and what is saved with its paired interval; the noise that training never saw has no goal."""
    percent, same = round(100 * row["rate"]), row["noise"] == "same"
    name = f"{percent}.{task}.{model}" + ("" if same else ".unseen")
    levels = f"clean {row['clean_without']:.3f} without, {row['clean_with']:.3f} with"
    record(
        f"data.augmentation_loss_ratio_{name}",
        round(float(row["ratio"]), 4),
        low=round(row["ratio_low"], 4),
        high=round(row["ratio_high"], 4),
        n=num_rows,
        unit=f"macro-F1 lost to {percent} % character noise, with augmentation / without ({levels})",
        goal="<= 0.5" if same else None,
    )
    record(
        f"data.augmentation_saved_{name}",
        round(float(row["saved"]), 4),
        low=round(row["saved_low"], 4),
        high=round(row["saved_high"], 4),
        n=num_rows,
        unit=f"macro-F1 lost without augmentation less that lost with it, {percent} % character noise",
        goal="> 0" if same else None,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--models", nargs="+", choices=("svm", "network"), default=["svm", "network"])
    parser.add_argument("--share", type=float, default=1.0, help="of the work; below 1 nothing is written down")
    parser.add_argument("--copies", type=int, default=4, help="of each train row and kind")
    parser.add_argument("--dry", action="store_true", help="write nothing into results.jsonl")
    given = parser.parse_args()
    main(given.tasks, given.models, given.share, given.copies, given.dry or given.share < 1)
