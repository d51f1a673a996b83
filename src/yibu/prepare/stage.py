"""The stage: rows in, a data artifact out.

Two passes, so that a source of any size fits: the first (`yibu.prepare.gather`) reads, checks, cleans, finds
duplicates and places each row in a split; the second copies what stays after leaks and limits are known. The order
matters: clean, then duplicates, then groups and splits, then leaks, then limits.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from dataclasses import replace
from typing import IO, Any

from yibu import readers, tasks
from yibu.core import log
from yibu.core.errors import DataError
from yibu.core.progress import track
from yibu.core.record import SPLITS, Row, Split
from yibu.core.store import Work, stage
from yibu.prepare.gather import Gathering, dropped_line, open_items
from yibu.prepare.layout import Layout
from yibu.prepare.leaks import Drop, Others, drop_beyond_limit, drop_leaks, targets_in_train
from yibu.prepare.rejects import Rejects
from yibu.prepare.settings import PrepareConfig
from yibu.prepare.summary import (
    balance,
    check_enough,
    class_table,
    lengths,
    missing_label_error,
    missing_labels,
    num_groups,
)
from yibu.readers import Bad, Raw

_logger = log.get("prepare")

TARGET_IN_TRAIN = "target_in_train"


def digests(config: PrepareConfig) -> dict[str, str]:
    """Digests of all sources, so that a changed file makes another artifact."""
    found: dict[str, str] = {}
    for source in config.data.sources().values():
        found.update(readers.digest(source))
    return found


@stage(version=1, external=digests)
def prepare(config: PrepareConfig, work: Work) -> None:
    """Clean, distinct rows in three splits that do not leak into each other.

    Writes ``train.jsonl``, ``valid.jsonl``, ``test.jsonl`` (one `Row` a line), ``rejected.jsonl`` (source, line,
    reason), ``dropped.jsonl`` (id, source, line, reason, id of the row that it repeats) and ``summary.json``. When too
    many rows are rejected nothing is made, but the list stays in the store as ``work/<id>.rejected.jsonl``.

    Raises:
        RecipeError: a column or a shape that does not exist; names that do not cover the labels.
        DataError: no rows, too many rejected, one class only, too few rows, a label that train or test lacks.
    """
    with work.file("dropped.jsonl").open("w", encoding="utf-8") as dropped:
        gathered, rejects = _gather(config, work, dropped)
        others = drop_leaks(gathered.tables)
        how = config.data.split
        drop_beyond_limit(gathered.tables, config.data.limit, how.seed, how.stratify is not None)
        summary = _summary(config, gathered, rejects)
        flagged = targets_in_train(gathered.tables)
        with track("writing rows", total=sum(len(table) for table in gathered.tables.values())) as progress:
            for split in SPLITS:
                _write(split, gathered, others, flagged if split == "test" else set(), work, dropped)
                progress.advance(len(gathered.tables[split]))
    summary["target_in_train"] = len(flagged)
    sizes = ", ".join(f"{split} {size}" for split, size in summary["splits"].items())
    _logger.info("%d rows read, %d rejected; %s", summary["rows_read"], summary["rejected"], sizes)
    work.write_json("summary.json", summary)
    work.notes["rows"] = summary["splits"]
    shutil.rmtree(work.scratch)


def _gather(config: PrepareConfig, work: Work, dropped: IO[str]) -> tuple[Gathering, Rejects]:
    """The first pass, and what must stop the run before anything else is looked at."""
    list_outside = work.path.with_name(f"{work.path.name}.rejected.jsonl")
    list_outside.unlink(missing_ok=True)
    first, rest = open_items(config)
    if not first:
        raise DataError("The data set is empty: there is not one row in it.", got=config.data.source)
    records = [item.record for _, item in first if isinstance(item, Raw)]
    gathered = Gathering(config, Layout(config, records), work, dropped) if records else None
    num_read = len(first)
    with Rejects.writing(work.file("rejected.jsonl")) as rejects:
        if gathered is not None:
            _logger.info("the rows have the shape %r", gathered.layout.shape)
            gathered.run(itertools.chain(first, rest), rejects)
            num_read = gathered.num_read
        else:
            for _, item in first:
                if isinstance(item, Bad):
                    rejects.add(item.source, item.line, item.reason)
    if gathered is None or rejects.total > config.data.reject_share * num_read:
        shutil.copyfile(rejects.path, list_outside)
        raise rejects.error(num_read, config.data.reject_share, list_outside)
    return gathered, rejects


def _write(split: Split, gathered: Gathering, others: Others, flagged: set[int], work: Work, dropped: IO[str]) -> None:
    """Copy the rows of a split that stay from its scratch file; write down which do not and why."""
    reasons = gathered.tables[split].dropped
    source, result = gathered.scratch(split), work.file(f"{split}.jsonl")
    with source.open(encoding="utf-8") as rows, result.open("w", encoding="utf-8") as kept:
        for place, line in enumerate(rows):
            if place in flagged:
                kept.write(replace(Row.from_json(line), flags=(TARGET_IN_TRAIN,)).to_json() + "\n")
            elif not reasons[place]:
                kept.write(line)
            elif (split, place) in others:
                reason = Drop(reasons[place]).name.lower()
                dropped.write(dropped_line(Row.from_json(line), reason, others[split, place]))


def _summary(config: PrepareConfig, gathered: Gathering, rejects: Rejects) -> dict[str, Any]:
    """``summary.json``; raises what must stop the run once it is known which rows stay."""
    tables, task, settings = gathered.tables, gathered.layout.task, gathered.layout.settings
    classes = class_table(tables, gathered.classes, "classes", task.labels)
    missing = missing_labels(classes)
    check_enough(tables, classes, task.closed_set)
    problem = missing_label_error(missing, len(classes))
    if problem is not None:
        if task.closed_set and config.data.split.on_missing_label == "refuse":
            raise problem
        _logger.warning("%s", problem.what)
    labels = None
    if task.closed_set:
        tasks.build(settings, list(classes))  # the names must cover all labels, also those that train lacks
        labels = task.labels or [label for label, row in classes.items() if row["train"]]
    reasons = Counter(reason for table in tables.values() for reason in table.dropped)
    addresses = [address for source in config.data.sources().values() for address in readers.open_sources(source)]
    return {
        "rows_read": gathered.num_read,
        "rejected": rejects.total,
        "reject_reasons": dict(rejects.reasons.most_common()),
        "dropped": {
            "duplicate": gathered.num_duplicates,
            "leak": reasons[Drop.LEAK] + reasons[Drop.GROUP_LEAK],
            "limit": reasons[Drop.LIMIT],
        },
        "conflicts": gathered.num_conflicts,
        "splits": {split: table.num_kept for split, table in tables.items()},
        "shape": gathered.layout.shape,
        "readers": sorted({readers.reader_of(address) for address in addresses}),
        "clean": {
            "profile": gathered.cleaner.profile,
            "rows_changed": gathered.cleaner.rows_changed,
            "characters_removed": gathered.cleaner.characters_removed,
        },
        "labels": labels,
        "classes": classes,
        "missing_labels": missing,
        "balance": balance(class_table(tables, gathered.strata, "strata", None)),
        "groups": num_groups(tables),
        "lengths": lengths(tables),
        "language": gathered.language.language,
        "task": settings.as_config(),
    }
