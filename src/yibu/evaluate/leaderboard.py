"""Several runs on the rows that all of them answered: the first one tested against each other, paired.

Runs may have other bases, adapters or training rows; what makes them comparable is that their test rows have the same
ids and the same right answers. Rows that not all of them answered are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yibu import tasks
from yibu.core.errors import InputError
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact
from yibu.evaluate import ReportConfig, dictionary_of
from yibu.evaluate.compare import Answers, compare
from yibu.evaluate.matrix import TUNED

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """One run: the rows that it was measured on, and the lines of its ``predictions.jsonl``."""

    data: Artifact
    predictions: Lines


def leaderboard(config: ReportConfig, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Metrics of the tuned models of some runs, with intervals, and paired tests of the first against the others.

    Args:
        config: of the first run: its task, split and settings of intervals.
        runs: by name, in the order in which they are to be shown.

    Returns:
        ``n``, ``left_out`` (rows that not all runs answered), ``systems``, ``language``, ``metrics`` and ``notes`` as
        in ``metrics.json``.

    Raises:
        InputError: fewer than two runs, no common rows, or rows with other right answers, which other tasks have too.
    """
    if len(runs) < 2:
        raise InputError("A comparison needs at least two runs.", got=list(runs))
    first = next(iter(runs))
    settings = config.evaluate
    task = tasks.build(config.task, runs[first].data.read_json("summary.json")["labels"])
    rows = {name: _rows(run.data, settings.split) for name, run in runs.items()}
    said = {name: _tuned(run.predictions) for name, run in runs.items()}
    shared = [id for id in rows[first] if all(id in rows[name] and id in said[name] for name in runs)]
    if not shared:
        raise InputError("These runs have no row in common.", got=list(runs), do="measure them on the same test rows")
    truth = [task.truth(rows[first][id]) for id in shared]
    unlike = [name for name in runs if _truths(task, [rows[name][id] for id in shared]) != truth]
    unlike += [name for name in runs if any(set(said[name][id]["fields"]) != set(truth[0]) for id in shared)]
    if unlike:
        raise InputError(
            "Rows of one id have other right answers in other runs.",
            got=unlike,
            allowed="the same task and the same test rows",
            do="prepare the rows of all runs in the same way",
        )
    kept = [rows[first][id] for id in shared]
    language = runs[first].data.read_json("summary.json")["language"]
    found = compare(
        truth,
        [_system(name, [said[name][id] for id in shared]) for name in runs],
        task.measures,
        language=language,
        sources=[task.prompt_text(row) for row in kept],
        dictionary=dictionary_of(config),
        groups=None if all(row.group is None for row in kept) else [row.group for row in kept],
        flags=[row.flags for row in kept],
        tuned=first,
        seed=settings.seed,
        num_resamples=settings.num_resamples,
    )
    everything = {id for table in rows.values() for id in table}
    return {
        "n": len(shared),
        "left_out": len(everything) - len(shared),
        "systems": list(runs),
        "language": language,
        "metrics": found.metrics,
        "notes": found.notes,
    }


def _rows(data: Artifact, split: str) -> dict[str, Row]:
    return {row.id: row for row in read_rows(data.file(f"{split}.jsonl"))}


def read_predictions(report: Artifact) -> Lines:
    """The lines of a report's ``predictions.jsonl``."""
    return [json.loads(line) for line in report.file("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def _tuned(lines: Lines) -> dict[str, dict[str, Any]]:
    return {line["id"]: line for line in lines if line["system"] == TUNED}


def _truths(task: Any, rows: Sequence[Row]) -> list[dict[str, str]] | None:
    """What would be right; None where the rows have not the fields of this task."""
    try:
        return [task.truth(row) for row in rows]
    except KeyError:
        return None


def _system(name: str, lines: Sequence[Mapping[str, Any]]) -> Answers:
    return Answers(
        name,
        [line["fields"] for line in lines],
        stopped=[line["stopped"] for line in lines] if all("num_tokens" in line for line in lines) else None,
        loss=[line["loss"] for line in lines],
        num_targets=[line["num_targets"] for line in lines],
        written=[line["answer"] for line in lines] if all("num_tokens" in line for line in lines) else None,
    )
