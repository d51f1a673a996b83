"""All folds of a cross-validation, pooled.

Every row of train and validation is answered by a model that was not trained on it. The pooled answers are compared
like those of a test split, with intervals and tests over groups of rows. Beside them stand the figures of each fold and
the corrected resampled t-test over folds (Nadeau and Bengio 2003, "Inference for the generalization error", Machine
Learning 52), since models of different folds share most of their training rows: the pooled interval says how sure the
figure is for these models, the one over folds what another training set of this size would change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from yibu.core.progress import track
from yibu.core.store import Artifact, Work
from yibu.evaluate import ReportConfig, dictionary_of
from yibu.evaluate.compare import Answers, compare, point_values
from yibu.evaluate.systems import Systems, prediction_lines, read_systems
from yibu.metrics import stats

_MODEL = re.compile(r"fold(\d+)_seed(\d+)_model")


def run(config: ReportConfig, work: Work, parts: Mapping[str, Artifact]) -> None:
    """The body of the stage `yibu.evaluate.pool`."""
    on_test = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"split": "test"})})
    trained = sorted((int(found[1]), int(found[2])) for name in parts if (found := _MODEL.fullmatch(name)))
    made: list[Systems] = []
    lines = work.file("predictions.jsonl")
    with lines.open("w", encoding="utf-8") as file, track("folds", total=len(trained)) as bar:
        for fold, seed in trained:
            one = _systems(on_test, parts, fold, seed)
            made.append(one)
            for line in prediction_lines(one.rows, one.truth, one.said, one.cheap):
                file.write(json.dumps({"fold": fold, "seed": seed, **line}, ensure_ascii=False) + "\n")
            bar.advance()
    work.write_json("folds.json", _pooled(on_test, parts, trained, made))


def _systems(config: ReportConfig, parts: Mapping[str, Artifact], fold: int, seed: int) -> Systems:
    def part(name: str) -> Artifact | None:
        return parts.get(f"fold{fold}_{name}")

    return read_systems(
        config,
        parts[f"fold{fold}_data"],
        parts[f"fold{fold}_seed{seed}_model"],
        parts[f"fold{fold}_base_answers"],
        parts[f"fold{fold}_seed{seed}_answers"],
        part(f"seed{seed}_valid_answers"),
        part("valid_base_answers"),
    )


def _pooled(
    config: ReportConfig, parts: Mapping[str, Artifact], trained: list[tuple[int, int]], made: list[Systems]
) -> dict[str, Any]:
    """``folds.json``."""
    settings, measures = config.evaluate, made[0].task.measures
    language = parts[f"fold{trained[0][0]}_data"].read_json("summary.json")["language"]
    num_seeds = len({seed for _, seed in trained})
    rows = [row for one in made for row in one.rows]
    grouped = num_seeds > 1 or any(row.group is not None for row in rows)
    # With several seeds a row stands in the pool several times; it is one row all the same.
    groups = [f"group {row.group}" if row.group is not None else f"row {row.id}" for row in rows] if grouped else None
    systems = [_joined([one.answers[place] for one in made]) for place in range(len(made[0].answers))]
    dictionary = dictionary_of(config)
    found = compare(
        [truth for one in made for truth in one.truth],
        systems,
        measures,
        language=language,
        sources=[source for one in made for source in one.sources],
        dictionary=dictionary,
        groups=groups,
        flags=[row.flags for row in rows],
        seed=settings.seed,
        num_resamples=settings.num_resamples,
    )
    values = [point_values(one.truth, one.answers, measures, language, one.sources, dictionary) for one in made]
    sizes = [
        {
            "fold": fold,
            "seed": seed,
            "train": parts[f"fold{fold}_data"].read_json("summary.json")["splits"]["train"],
            "test": len(one.rows),
            "model": parts[f"fold{fold}_seed{seed}_model"].id,
        }
        for (fold, seed), one in zip(trained, made, strict=True)
    ]
    return {
        "k": len({fold for fold, _ in trained}),
        "seeds": num_seeds,
        "n": len({row.id for row in rows}),
        "language": language,
        "systems": [system.system for system in systems],
        "metrics": [{**table, **_over_folds(table, values, sizes)} for table in found.metrics],
        "notes": found.notes,
        "folds": sizes,
    }


def _over_folds(
    table: Mapping[str, Any],
    values: list[dict[tuple[str, str | None], dict[str, float]]],
    sizes: list[dict[str, Any]],
) -> dict[str, Any]:
    """Of one metric: each system's value in each fold, and the tuned system against each other over folds."""
    of_folds = [one.get((table["metric"], table["field"]), {}) for one in values]
    by_system = {
        system: [None if (value := one.get(system)) is None else round(value, 6) for one in of_folds]
        for system in table["values"]
    }
    train, test = np.mean([size["train"] for size in sizes]), np.mean([size["test"] for size in sizes])
    tests = []
    for other in by_system:
        pairs = [(one["tuned"], one[other]) for one in of_folds if "tuned" in one and other in one]
        if other == "tuned" or len(pairs) < max(2, len(of_folds)):
            continue
        found = stats.nadeau_bengio(np.array([a - b for a, b in pairs]), float(train), float(test))
        tests.append(
            {
                **{"a": "tuned", "b": other, "difference": found.difference, "low": found.low, "high": found.high},
                **{"p": found.p, "n": found.n, "test": found.test, "interval": found.method},
            }
        )
    return {"by_fold": by_system, "tests_over_folds": tests}


def _joined(parts: list[Answers]) -> Answers:
    """One system's answers to all folds."""

    def together(name: str) -> list[Any] | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(column is None for column in columns) else [value for column in columns for value in column]

    return Answers(
        parts[0].system,
        [fields for part in parts for fields in part.fields],
        gives=parts[0].gives,
        stopped=together("stopped"),
        loss=together("loss"),
        num_targets=together("num_targets"),
        written=together("written"),
    )
