"""Several runs on the rows that all of them answered: the first one tested against each other, paired.

Runs may have other bases, adapters or training rows; what makes them comparable is that their test rows have the same
ids and the same right answers. Rows that not all of them answered are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from yibu import tasks
from yibu.core.errors import InputError
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact
from yibu.evaluate import ReportConfig
from yibu.evaluate.compare import Answers, compare
from yibu.evaluate.matrix import TUNED

Lines = dict[str, dict[str, Any]]


def leaderboard(reports: Mapping[str, Artifact], data: Mapping[str, Artifact]) -> dict[str, Any]:
    """Metrics of the tuned models of some reports, with intervals, and paired tests of the first against the others.

    Args:
        reports: name -> report artifact, in the order in which they are to be shown.
        data: name -> the rows that each was measured on.

    Returns:
        ``n``, ``left_out`` (rows that not all runs answered), ``systems``, ``language``, ``metrics`` and ``notes`` as
        in ``metrics.json``.

    Raises:
        InputError: fewer than two runs, other tasks, no common rows, or rows with other right answers.
    """
    if len(reports) < 2:
        raise InputError("A comparison needs at least two runs.", got=list(reports))
    configs = {name: ReportConfig.model_validate(report.manifest.config) for name, report in reports.items()}
    built = {
        name: tasks.build(config.task, data[name].read_json("summary.json")["labels"])
        for name, config in configs.items()
    }
    first = next(iter(reports))
    measures = built[first].measures
    others = [name for name, task in built.items() if task.measures != measures]
    if others:
        raise InputError("These runs are measured in other ways.", got=others, allowed=f"the measures of {first}")

    rows = {name: _rows(data[name], config.evaluate.split) for name, config in configs.items()}
    said = {name: _answers(report) for name, report in reports.items()}
    shared = [id for id in rows[first] if all(id in rows[name] and id in said[name] for name in reports)]
    if not shared:
        raise InputError(
            "These runs have no row in common.", got=list(reports), do="measure them on the same test rows"
        )
    truth = {name: [built[name].truth(rows[name][id]) for id in shared] for name in reports}
    unlike = [name for name in reports if truth[name] != truth[first]]
    if unlike:
        raise InputError(
            "Rows of one id have other right answers in other runs.",
            got=unlike,
            allowed="the same test rows",
            do="prepare the rows of all runs in the same way",
        )
    kept = [rows[first][id] for id in shared]
    language = data[first].read_json("summary.json")["language"]
    settings = configs[first].evaluate
    found = compare(
        truth[first],
        [_system(name, [said[name][id] for id in shared]) for name in reports],
        measures,
        language=language,
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
        "systems": list(reports),
        "language": language,
        "metrics": found.metrics,
        "notes": found.notes,
    }


def _rows(data: Artifact, split: str) -> dict[str, Row]:
    return {row.id: row for row in read_rows(data.file(f"{split}.jsonl"))}


def _answers(report: Artifact) -> Lines:
    lines = map(json.loads, report.file("predictions.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["id"]: line for line in lines if line["system"] == TUNED}


def _system(name: str, lines: Sequence[Mapping[str, Any]]) -> Answers:
    return Answers(
        name,
        [line["fields"] for line in lines],
        stopped=[line["stopped"] for line in lines] if all("num_tokens" in line for line in lines) else None,
        loss=[line["loss"] for line in lines],
        num_targets=[line["num_targets"] for line in lines],
    )
