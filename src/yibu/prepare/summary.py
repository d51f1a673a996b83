"""Figures about the prepared rows, computed from the table: what ``summary.json`` says, and what stops the run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from yibu.core.errors import DataError
from yibu.core.record import SPLITS, Split
from yibu.prepare.gather import Gathering, Tally
from yibu.prepare.leaks import Drop
from yibu.prepare.refine import STRATA
from yibu.prepare.rejects import Rejects
from yibu.prepare.settings import DataSettings
from yibu.prepare.table import NOTHING, Labels, Table

MIN_TRAIN, MIN_TEST = 10, 1
STEPS = ("reviewed", "filtered")  # of a row, that can leave it out
MOST_KINDS = 100  # kinds of change that are listed
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


def strata_table(tables: dict[Split, Table], strata: Labels) -> ClassTable:
    """Kept rows by the value that a stratified split keeps; a row that has several counts for each."""
    counts: ClassTable = {}
    for split, table in tables.items():
        for number, rows in Counter(table.strata[place] for place in table.kept).items():
            for label in strata.texts[number].split(STRATA) if number >= 0 else ():
                counts.setdefault(label, dict.fromkeys(SPLITS, 0))[split] += rows
    return dict(sorted(counts.items()))


def funnel(gathered: Gathering, tables: dict[Split, Table], rejects: Rejects) -> list[dict[str, Any]]:
    """From read to kept: for each step how many rows it took out and why."""
    left_out = gathered.tally.left_out
    reasons = Counter(Drop(reason) for table in tables.values() for reason in table.dropped if reason)
    steps: list[tuple[str, int, dict[str, int]]] = [
        ("read", gathered.num_read, {}),
        ("rejected", rejects.total, dict(rejects.reasons.most_common())),
        *((step, left_out[step].total(), dict(left_out[step].most_common())) for step in STEPS if step in left_out),
        ("duplicate", gathered.num_duplicates, {}),
        ("near_duplicate", reasons[Drop.NEAR_DUPLICATE], {}),
        (
            "leak",
            reasons[Drop.LEAK] + reasons[Drop.GROUP_LEAK],
            {"equal prompt": reasons[Drop.LEAK], "equal group": reasons[Drop.GROUP_LEAK]},
        ),
        ("contaminated", reasons[Drop.CONTAMINATED], {}),
        ("limit", reasons[Drop.LIMIT], {}),
        ("kept", sum(table.num_kept for table in tables.values()), {}),
    ]
    return [{"step": step, "n": n, "reasons": {why: k for why, k in whys.items() if k}} for step, n, whys in steps]


def what_was_done(data: DataSettings, tally: Tally) -> dict[str, Any]:
    """What each step did to how many rows, by kind; counts only, never a text."""
    done = {
        step: {"rows": tally.rows[step], "what": dict(tally.what[step].most_common(MOST_KINDS))}
        for step in sorted(tally.rows)
    }
    result: dict[str, Any] = {"clean": {"profile": data.clean.profile, "rows_changed": tally.rows["clean"]}}
    result |= {"changes": done, "flags": dict(tally.flags.most_common())}
    if data.terms is not None:
        result["terms"] = {
            "found": dict(tally.terms.most_common(MOST_KINDS)),
            "different": len(tally.terms),
            "mentions": tally.terms.total(),
            "replaced": tally.what.get("terms", Counter())["replaced"],
        }
    if data.privacy is not None:
        found, rows = tally.what.get("privacy", Counter()), tally.kinds.get("privacy", Counter())
        modes = data.privacy.modes()
        result["privacy"] = {
            kind: {"found": n, "rows": rows[kind], "mode": modes[kind]}
            for kind, n in found.most_common()
            if kind in modes
        }
    return result


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
