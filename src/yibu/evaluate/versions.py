"""The tuned model on changed rows, beside the same rows as they are: noise, attacks, and counterfactual swaps.

Noise and attacks are rows that the stage `augment` wrote; they are scored against the right answer. Of a swap it is
asked which answers change, for there the right answer should not. All answers are those before the correction of
probabilities, on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from yibu import tasks
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact, Work
from yibu.evaluate import VersionsConfig
from yibu.evaluate.compare import Answers, compare
from yibu.evaluate.scoring import METRICS
from yibu.evaluate.swaps import Swap, swapped
from yibu.metrics import stats
from yibu.tasks import Task

ROBUSTNESS, SUMMARY = "robustness.jsonl", "summary.json"
_PREFIX = "swap-"
Predictions = Mapping[str, Mapping[str, Any]]


def run(config: VersionsConfig, work: Work, data: Artifact) -> None:
    """The body of the stage `yibu.evaluate.versions`."""
    summary = data.read_json(SUMMARY)
    task = tasks.build(config.task, summary["labels"])
    found: list[Row] = []
    if ROBUSTNESS in data.manifest.files:
        found += [row for row in read_rows(data.file(ROBUSTNESS)) if row.split in (None, config.split)]
    rows = list(read_rows(data.file(f"{config.split}.jsonl")))
    for swap in config.swaps:
        found += [version for row in rows if (version := swapped_row(row, task, swap)) is not None]
    with work.file("test.jsonl").open("w", encoding="utf-8") as lines:
        for row in found:
            lines.write(row.to_json() + "\n")
    work.write_json(SUMMARY, summary)
    work.notes["rows"] = len(found)


def swapped_row(row: Row, task: Task, swap: Swap) -> Row | None:
    """The row about somebody else; None where no word of the list stands in what is asked."""
    answers = {measure.field for measure in task.measures} | set(task.label_fields)
    changed = {
        name: made
        for name in task.fields
        if name not in answers and isinstance(row.fields.get(name), str)
        if (made := swapped(row.fields[name], swap)) is not None
    }
    if not changed:
        return None
    flags = (*row.flags, f"of={row.id}", f"kind={_PREFIX}{swap}")
    return replace(row, id=f"{row.id}~{_PREFIX}{swap}", fields={**row.fields, **changed}, flags=flags)


def figures(
    task: Task,
    rows: Sequence[Row],
    clean: Predictions,
    versions: Sequence[Row],
    said: Predictions,
    *,
    language: str,
    seed: int,
    num_resamples: int,
) -> dict[str, Any]:
    """``noise`` and ``swaps`` of ``metrics.json``.

    Args:
        rows: of the split. clean, said: id -> what the tuned model said to a row, and to a version.
        versions: see `run`.

    Returns:
        ``noise``: a table a kind, rate and metric, with ``clean`` and ``changed`` (value and limits on the same rows)
        and ``test`` (changed less clean, paired). ``swaps``: of each, the share of answers that changed.
    """
    originals = {row.id: row for row in rows}
    by_kind: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for version in versions:
        marks = dict(flag.split("=", 1) for flag in version.flags if "=" in flag)
        if marks["of"] in originals:
            by_kind.setdefault((marks["kind"], marks.get("rate", "")), []).append((originals[marks["of"]], version))
    noise: list[dict[str, Any]] = []
    swaps: list[dict[str, Any]] = []
    for (kind, rate), pairs in by_kind.items():
        if kind.startswith(_PREFIX):
            swaps.append(_swap(kind.removeprefix(_PREFIX), pairs, clean, said))  # type: ignore[arg-type]
        else:
            tables = _noise(task, pairs, clean, said, language, seed, num_resamples)
            noise += [{"kind": kind, "rate": float(rate) if rate else None, **table} for table in tables]
    return {"noise": noise, "swaps": swaps}


def _noise(
    task: Task,
    pairs: Sequence[tuple[Row, Row]],
    clean: Predictions,
    said: Predictions,
    language: str,
    seed: int,
    num_resamples: int,
) -> list[dict[str, Any]]:
    groups = [row.group or row.id for row, _ in pairs] if any(row.group for row, _ in pairs) else None
    found = compare(
        [task.truth(row) for row, _ in pairs],
        [
            Answers("clean", [clean[row.id]["fields"] for row, _ in pairs]),
            Answers("changed", [said[version.id]["fields"] for _, version in pairs]),
        ],
        task.measures,
        language=language,
        groups=groups,
        tuned="changed",
        seed=seed,
        num_resamples=num_resamples,
    )
    heads = {(next(iter(METRICS[measure.kind])), measure.field) for measure in task.measures}
    return [
        {
            **{name: table[name] for name in ("metric", "field", "unit", "higher_is_better")},
            **table["values"],
            "test": next(iter(table["tests"]), None),
        }
        for table in found.metrics
        if (table["metric"], table["field"]) in heads
    ]


def _swap(swap: Swap, pairs: Sequence[tuple[Row, Row]], clean: Predictions, said: Predictions) -> dict[str, Any]:
    """An answer that only swaps the same words is no other answer."""
    changed = []
    for row, version in pairs:
        before, after = str(clean[row.id]["answer"]), str(said[version.id]["answer"])
        changed.append(float(after not in (before, swapped(before, swap))))
    found = stats.wilson(np.array(changed), [row.group or row.id for row, _ in pairs])
    return {"swap": swap, "n": found.n, "changed": found.value, "low": found.low, "high": found.high}


def read_answers(artifact: Artifact) -> dict[str, dict[str, Any]]:
    """Id -> line of ``answers.jsonl``."""
    lines = map(json.loads, artifact.file("answers.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["id"]: line for line in lines}
