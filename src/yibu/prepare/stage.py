"""The stage: rows in, a data artifact out.

Two passes, so that a source of any size fits: the first (`yibu.prepare.gather`) reads, refines and finds duplicates;
then clusters, splits, leaks and limits are decided on a table (`yibu.prepare.place`, `yibu.prepare.leaks`); the second
pass copies what stays. The order matters: clean, then duplicates, then groups and splits, then leaks, then limits.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from yibu import readers, tasks, terms
from yibu.core import log
from yibu.core.errors import DataError
from yibu.core.progress import track
from yibu.core.record import SPLITS, Row
from yibu.core.store import Work, stage
from yibu.prepare import review
from yibu.prepare.decontaminate import decontaminate
from yibu.prepare.gather import LAYOUT_SAMPLE, Gathering, dropped_line, open_items
from yibu.prepare.layout import Layout
from yibu.prepare.leaks import TARGET_IN_TRAIN, Drop, Others, drop_beyond_limit, drop_leaks, targets_in_train
from yibu.prepare.place import Placed
from yibu.prepare.privacy import refusal
from yibu.prepare.rejects import Rejects
from yibu.prepare.settings import PrepareConfig
from yibu.prepare.summary import (
    balance,
    check_enough,
    class_table,
    funnel,
    lengths,
    missing_label_error,
    missing_labels,
    num_groups,
    strata_table,
    what_was_done,
)
from yibu.readers import Bad, Raw

_logger = log.get("prepare")

_STEP = 200  # rows between two updates of the progress bar


def digests(config: PrepareConfig) -> dict[str, str]:
    """Digests of all that is read, so that a changed file, dictionary or secret makes another artifact."""
    data = config.data
    found: dict[str, str] = {}
    for source in data.sources().values():
        found.update(readers.digest(source))
    if data.contamination.against:
        found.update(readers.digest(data.contamination.against))
    if data.review is not None:
        found[data.review] = review.digest(Path(data.review))
    if data.terms is not None:
        found.update(terms.digest(data.terms.sources()))
    if data.privacy is not None:
        found["privacy.secret"] = data.privacy.secret_fingerprint() or ""
    return found


@stage(version=2, external=digests, neutral=("data.workers", "data.engine"))
def prepare(config: PrepareConfig, work: Work) -> None:
    """Clean, distinct rows in three splits that do not leak into each other.

    Writes ``train.jsonl``, ``valid.jsonl``, ``test.jsonl`` (one `Row` a line), ``rejected.jsonl`` (source, line,
    reason), ``dropped.jsonl`` (id, source, line, reason, id of the row that it repeats), ``changes.jsonl`` (id, step,
    what it did how often), ``examples.json`` and ``summary.json``. When too many rows are rejected nothing is made, but
    the list stays in the store as ``work/<id>.rejected.jsonl``.

    Raises:
        RecipeError: a column or a shape that does not exist; names that do not cover the labels.
        DataError: no rows, too many rejected, one class only, too few rows, a label that train or test lacks; personal
            data that the recipe refuses.
    """
    with work.file("dropped.jsonl").open("w", encoding="utf-8") as dropped:
        gathered, rejects = _gather(config, work, dropped)
        with track("finding near duplicates"):
            placed = Placed(gathered, config.data)
        tables = placed.tables
        others = {**placed.others, **drop_leaks(tables)}
        data, how = config.data, config.data.split
        hits = decontaminate(data.contamination, data.workers, gathered, placed, others)
        drop_beyond_limit(tables, data.limit, how.seed, how.stratify is not None)
        folds = placed.number_folds(how, gathered.strata)
        summary = _summary(config, gathered, placed, rejects)
        summary |= {"folds": folds, "contamination": hits}
        flagged = targets_in_train(tables)
        with track("writing rows", total=len(placed.split_of)) as progress:
            _write(gathered, placed, others, flagged, work, dropped, progress.advance)
    summary["target_in_train"] = len(flagged)
    sizes = ", ".join(f"{split} {size}" for split, size in summary["splits"].items())
    _logger.info("%d rows read, %d rejected; %s", summary["rows_read"], summary["rejected"], sizes)
    work.write_json("examples.json", [{"id": id, **example._asdict()} for id, example in gathered.tally.examples])
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
    records = [item.record for _, item in first if isinstance(item, Raw)][:LAYOUT_SAMPLE]
    gathered = Gathering(config, Layout(config, records), first, work) if records else None
    num_read = len(first)
    with Rejects.writing(work.file("rejected.jsonl")) as rejects:
        if gathered is not None:
            _logger.info("the rows have the shape %r", gathered.layout.shape)
            gathered.run(itertools.chain(first, rest), rejects, dropped)
            num_read = gathered.num_read
        else:
            for _, item in first:
                if isinstance(item, Bad):
                    rejects.add(item.source, item.line, item.reason)
    if gathered is None or rejects.total > config.data.reject_share * num_read:
        shutil.copyfile(rejects.path, list_outside)
        raise rejects.error(num_read, config.data.reject_share, list_outside)
    if gathered.refused:
        raise refusal(gathered.refused)
    if gathered.review is not None:
        gathered.review.check_labels(gathered.own_labels)
        gathered.review.finish(gathered.reviewed)
        _logger.info("people decided about %d rows: %s", len(gathered.reviewed), gathered.review.counts)
    return gathered, rejects


def _write(
    gathered: Gathering,
    placed: Placed,
    others: Others,
    flagged: set[int],
    work: Work,
    dropped: IO[str],
    advance: Callable[[float], None],
) -> None:
    """Copy the rows that stay from the scratch file to their splits; write down which do not and why."""
    places = dict.fromkeys(SPLITS, -1)
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(work.file(f"{split}.jsonl").open("w", encoding="utf-8")) for split in SPLITS
        }
        rows = stack.enter_context(gathered.rows_path.open("rb"))
        for number, line in zip(placed.split_of, rows, strict=True):
            split = SPLITS[number]
            places[split] = place = places[split] + 1
            table = placed.tables[split]
            reason, row = table.dropped[place], Row.from_json(line.decode())
            if not reason:
                noticed = (TARGET_IN_TRAIN,) if split == "test" and place in flagged else ()
                fold = None if table.folds[place] < 0 else table.folds[place]
                kept = replace(row, split=split, fold=fold, flags=(*row.flags, *noticed))
                files[split].write(kept.to_json() + "\n")
            elif (split, place) in others:
                why = Drop(reason).name.lower()
                dropped.write(dropped_line(row.id, row.source, row.line, why, others[split, place]))
            if place % _STEP == 0:
                advance(_STEP)


def _summary(config: PrepareConfig, gathered: Gathering, placed: Placed, rejects: Rejects) -> dict[str, Any]:
    """``summary.json``; raises what must stop the run once it is known which rows stay."""
    tables, task, settings = placed.tables, gathered.layout.task, gathered.layout.settings
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
    reasons = Counter(Drop(reason) for table in tables.values() for reason in table.dropped if reason)
    addresses = [address for source in config.data.sources().values() for address in readers.open_sources(source)]
    return {
        "rows_read": gathered.num_read,
        "rejected": rejects.total,
        "reject_reasons": dict(rejects.reasons.most_common()),
        "dropped": {
            **{step: counts.total() for step, counts in sorted(gathered.tally.left_out.items())},
            "duplicate": gathered.num_duplicates,
            "near_duplicate": reasons[Drop.NEAR_DUPLICATE],
            "leak": reasons[Drop.LEAK] + reasons[Drop.GROUP_LEAK],
            "contaminated": reasons[Drop.CONTAMINATED],
            "limit": reasons[Drop.LIMIT],
        },
        "funnel": funnel(gathered, tables, rejects),
        "conflicts": gathered.num_conflicts,
        "splits": {split: table.num_kept for split, table in tables.items()},
        "shape": gathered.layout.shape,
        "readers": sorted({readers.reader_of(address) for address in addresses}),
        **what_was_done(config.data, gathered.tally),
        "boilerplate": sorted(gathered.boilerplate),
        "near": placed.near,
        "labels": labels,
        "classes": classes,
        "missing_labels": missing,
        "balance": balance(strata_table(tables, gathered.strata)),
        "groups": num_groups(tables),
        "lengths": lengths(tables),
        "language": gathered.language,
        "task": settings.as_config(),
    }
