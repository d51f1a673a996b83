"""Flip 8 % of the labels of 2,000 banking77 rows; how many are found, and how many of those listed were flipped?

Each flip goes to another label drawn uniformly, by hash of the row. The search (`yibu.inspect.labels`) is not told
which rows they are. How it was chosen: on other rows (banking77's train.csv, flips drawn otherwise) all six filters of
cleanlab were tried with four strengths of two models, recall and precision in view, and then fixed: cleanlab's count of
label errors with its default score, C = 10. So train.csv would flatter it; the rows here are those of test.csv, which
played no part (25 of its texts stand in both), and nothing was changed after they were looked at. That each probability
came from a fold that never saw the row is asserted inside of the search, and here once more on what its models were
fitted on.

Beside it: as many rows drawn by chance; as many rows with the lowest probability of their own label by scikit-learn's
`cross_val_predict` with its default logistic regression, and those on which that model disagrees with the label. The
other seeds show that the first one is not luck. "near" is a harder case without a goal: each flip goes to the label
whose texts are most alike, as people err. banking77 has errors of its own, which count as false alarms here.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from claims import record
from yibu import tasks
from yibu.core.record import Row, content_id
from yibu.inspect import labels
from yibu.metrics.stats import wilson

SOURCE = Path(os.environ.get("YIBU_SHARED", "/work/shared")) / "data" / "banking77" / "test.csv"
SHARE = 0.08
TASK = tasks.build(tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": "{label}"}))
console = Console()


def load(num_rows: int, seed: int) -> list[Row]:
    """Distinct rows drawn by hash."""
    with SOURCE.open(encoding="utf-8", newline="") as lines:
        fields = [{"text": line["text"].strip(), "label": line["category"]} for line in csv.DictReader(lines)]
    rows = {content_id(each): Row(id=content_id(each), fields=each) for each in fields}
    return sorted(rows.values(), key=lambda row: labels.uniform(seed, row.id, "pick"))[:num_rows]


def flip(rows: Sequence[Row], seed: int, near: bool) -> tuple[list[Row], set[str]]:
    """The rows with 8 % of their labels changed, and the ids of those."""
    names = sorted({row.fields["label"] for row in rows})
    alike = most_alike(rows, names) if near else {}
    order = sorted(rows, key=lambda row: labels.uniform(seed, row.id, "flip"))
    flipped = {row.id for row in order[: round(SHARE * len(rows))]}
    noisy = []
    for row in rows:
        label = row.fields["label"]
        if row.id in flipped:
            others = [alike[label]] if near else [name for name in names if name != label]
            label = others[int(labels.uniform(seed, row.id, "to") * len(others))]
        noisy.append(row.with_fields({**row.fields, "label": label}))
    return noisy, flipped


def most_alike(rows: Sequence[Row], names: Sequence[str]) -> dict[str, str]:
    """For each label the one with the nearest mean TF-IDF vector."""
    vectors = TfidfVectorizer().fit_transform([row.fields["text"] for row in rows])
    places = {name: [place for place, row in enumerate(rows) if row.fields["label"] == name] for name in names}
    means = np.stack([np.asarray(vectors[places[name]].mean(axis=0)).ravel() for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    np.fill_diagonal(cosines, -1)
    return {name: names[cosines[place].argmax()] for place, name in enumerate(names)}


def search(rows: Sequence[Row]) -> dict[str, Any]:
    """The search, and the second assertion: on the rows as they were handed to each model."""
    fitted: list[tuple[set[int], set[int]]] = []
    predict = labels._predict

    def watched(counts: Any, labels_I: Any, inside: Any, outside: Any, settings: labels.LabelSettings) -> Any:
        fitted.append((set(inside.tolist()), set(outside.tolist())))
        return predict(counts, labels_I, inside, outside, settings)

    labels._predict = watched
    try:
        result = labels.suspects(lambda: (("train", row) for row in rows), TASK, "en", labels.LabelSettings())
    finally:
        labels._predict = predict
    judged = [row for _, outside in fitted for row in outside]
    assert len(judged) == len(set(judged)) == result["n"], "a row was judged twice, or not at all"
    assert all(not inside & outside for inside, outside in fitted), "a row was judged by a model that had seen it"
    return result


def plain(rows: Sequence[Row], num_listed: int, seed: int) -> dict[str, set[str]]:
    """Ids listed by what one would write without cleanlab."""
    texts, given = [row.fields["text"] for row in rows], np.array([row.fields["label"] for row in rows])
    names = sorted(set(given))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    shares = cross_val_predict(model, texts, given, cv=folds, method="predict_proba")
    own = shares[np.arange(len(rows)), [names.index(label) for label in given]]
    chance = sorted(rows, key=lambda row: labels.uniform(seed, row.id, "chance"))
    return {
        "lowest self-confidence": {rows[place].id for place in np.argsort(own, kind="stable")[:num_listed]},
        "prediction differs": {rows[place].id for place in np.flatnonzero(np.array(names)[shares.argmax(1)] != given)},
        "chance": {row.id for row in chance[:num_listed]},
    }


def figures(listed: Collection[str], flipped: set[str]) -> tuple[Any, Any]:
    """Recall and precision with Wilson intervals."""
    recall = wilson([id in listed for id in sorted(flipped)])
    return recall, wilson([id in flipped for id in sorted(listed)])


def main(num_rows: int, seeds: int, write: bool) -> None:
    table = Table("flips", "seed", "search", "listed", "recall", "precision", "seconds")
    for near in (False, True):
        for seed in range(seeds):
            rows, flipped = flip(load(num_rows, seed), seed, near)
            began = time.perf_counter()
            result = search(rows)
            seconds = time.perf_counter() - began
            found = {suspect["id"] for suspect in result["suspects"]}
            assert len(found) == result["found"], "the list was cut"
            systems = {"yibu": found} | (plain(rows, len(found), seed) if seed == 0 else {})
            for system, listed in systems.items():
                recall, precision = figures(listed, flipped)
                shown = [f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})" for each in (recall, precision)]
                took = f"{seconds:.1f}" if system == "yibu" else ""
                table.add_row("near" if near else "uniform", str(seed), system, str(len(listed)), *shown, took)
            if seed == 0 and write:
                write_claims(*figures(found, flipped), near)
    console.print(table)


def write_claims(recall: Any, precision: Any, near: bool) -> None:
    kind = "to the most similar label" if near else "uniformly"
    for name, figure, goal in (("recall", recall, ">= 0.7"), ("precision", precision, ">= 0.5")):
        record(
            f"data.label_errors_{name}" + ("_near" if near else ""),
            round(figure.value, 4),
            low=round(figure.low, 4),
            high=round(figure.high, 4),
            n=figure.n,
            unit=f"{name} of 8 % of the labels of 2,000 banking77 rows, flipped {kind}; {figure.method}",
            goal=None if near else goal,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only; other numbers of rows are never written down")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.seeds, not arguments.dry and arguments.rows == 2000)
