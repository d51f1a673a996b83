"""Figures about the prepared rows, computed from the table: what ``summary.json`` says, and what stops the run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from yibu.core.errors import DataError
from yibu.core.record import SPLITS, Split
from yibu.prepare.table import NOTHING, Labels, Table

MIN_TRAIN, MIN_TEST = 10, 1
_SHOWN = 10  # labels named in an error

ClassTable = dict[str, dict[Split, int]]
"""label -> split -> number of rows"""


def class_table(tables: dict[Split, Table], labels: Labels, column: str, closed_set: list[str] | None) -> ClassTable:
    """Kept rows by label and split, labels sorted; one without rows (not in the source, or beyond a limit) has zeros.

    Args:
        tables: one per split.
        labels: texts behind the numbers.
        column: ``classes`` or ``strata``.
        closed_set: labels that the task names.
    """
    counts: ClassTable = {label: dict.fromkeys(SPLITS, 0) for label in closed_set or []}
    found = {split: Counter(getattr(table, column)[place] for place in table.kept) for split, table in tables.items()}
    for label in sorted(labels.texts):
        counts[label] = {split: found[split][labels.number(label)] for split in SPLITS}
    return counts


def missing_labels(classes: ClassTable) -> dict[Split, list[str]]:
    """Labels without a row, by split."""
    return {split: [label for label, row in classes.items() if not row[split]] for split in SPLITS}


def balance(strata: ClassTable) -> dict[str, Any]:
    """Shares of each label in each split beside its share of all rows, and the largest difference (1 = all rows)."""
    sizes = {split: sum(row[split] for row in strata.values()) for split in SPLITS}
    total = sum(sizes.values())
    shares = {
        label: {"all": sum(row.values()) / total}
        | {split: row[split] / sizes[split] for split in SPLITS if sizes[split]}
        for label, row in strata.items()
        if any(row.values())
    }
    deviations = [abs(row[split] - row["all"]) for row in shares.values() for split in row if split != "all"]
    return {
        "largest_deviation": round(max(deviations, default=0.0), 4),
        "shares": {label: {name: round(share, 4) for name, share in row.items()} for label, row in shares.items()},
    }


def lengths(tables: dict[Split, Table]) -> dict[str, dict[str, int]]:
    """Percentiles (nearest rank) of the characters of prompts and targets over all kept rows."""
    return {
        column: _percentiles(
            Counter(getattr(table, column)[place] for table in tables.values() for place in table.kept)
        )
        for column in ("prompt_characters", "target_characters")
    }


def num_groups(tables: dict[Split, Table]) -> int:
    """Different groups among the kept rows; 0 where there is no group column."""
    return len({table.groups[place] for table in tables.values() for place in table.kept} - {NOTHING})


def check_enough(tables: dict[Split, Table], classes: ClassTable, closed_set: bool) -> None:
    """Stop where nothing can be learned or measured.

    Raises:
        DataError: one class only; too few rows to train on or to test on.
    """
    if closed_set and len(used := [label for label, row in classes.items() if any(row.values())]) == 1:
        raise DataError("All rows have the same label, so there is nothing to learn.", got=used)
    sizes = {split: table.num_kept for split, table in tables.items()}
    if sizes["train"] < MIN_TRAIN or sizes["test"] < MIN_TEST:
        raise DataError(
            "There are too few rows to train on or to test on.",
            got=", ".join(f"{split}: {size}" for split, size in sizes.items()),
            allowed=f"train: at least {MIN_TRAIN}, test: at least {MIN_TEST}",
            do="give more rows, other shares in data.split, or a test file: data.source: {train: ..., test: ...}",
        )


def missing_label_error(missing: dict[Split, list[str]], num_labels: int) -> DataError | None:
    """What to raise for labels that train or test lacks; None where there are none."""
    problems = [
        f"{split} has no row of {len(labels)} of {num_labels} labels: "
        + ", ".join(labels[:_SHOWN])
        + (", …" if len(labels) > _SHOWN else "")
        for split in ("train", "test")
        if (labels := missing[split])
    ]
    if not problems:
        return None
    return DataError(
        "Some labels cannot be learned or cannot be measured." + "".join(f"\n  - {problem}" for problem in problems),
        do="give more rows of them; data.split.stratify=label spreads rare labels; "
        "data.split.on_missing_label=warn goes on without them",
    )


def _percentiles(counts: Counter[int]) -> dict[str, int]:
    total, seen = counts.total(), 0
    ranks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    result = dict.fromkeys(ranks, 0)
    waiting = list(ranks)
    for length in sorted(counts):
        seen += counts[length]
        while waiting and seen >= ranks[waiting[0]] * total:
            result[waiting.pop(0)] = length
    return result
