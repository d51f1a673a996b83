"""Folds on real rows: they share no group, keep the shares of the classes, and stay when rows are added.

Rows are the terms of ICD-10-CM: the category is the group (sister terms of one category are nearly the same), the
chapter the class. Five folds of a tenth less than all rows are made through the stage `prepare`, then those of all
rows, the new ones at the end. A category gives at most 20 terms: one of them has 253, and no rule can put a group that
is a tenth of a fold into one fold without moving the share of its class.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

from claims import record
from yibu import readers
from yibu.core.chance import uniform
from yibu.core.recipe import parse
from yibu.core.record import SPLITS, Row, read_rows
from yibu.core.store import Store
from yibu.prepare import PrepareConfig, prepare
from yibu.readers import Raw

FOLDS, SIZE, MOST = 5, 8_800, 20


def rows(folder: Path, records: list[dict[str, str]]) -> list[Row]:
    """What the stage makes of the records."""
    source = folder / f"{len(records)}.jsonl"
    source.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    data = {
        "source": str(source),
        "split": {"group": "category", "stratify": "label", "folds": FOLDS, "on_missing_label": "warn"},
    }
    task = {"kind": "classify", "prompt": "{term}", "label": "{chapter}"}
    made = Store(folder / "store").run(prepare, parse(PrepareConfig, {"data": data, "task": task}))
    return [row for split in SPLITS for row in read_rows(made.file(f"{split}.jsonl"))]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    found = [item.record for item in readers.read("package:simple-icd-10-cm") if isinstance(item, Raw)]
    found.sort(key=lambda one: uniform(0, one["term"], "draw"))
    met: Counter[str] = Counter()
    found = [one for one in found if met.update([one["category"]]) or met[one["category"]] <= MOST]
    with tempfile.TemporaryDirectory() as folder:
        old = rows(Path(folder), found[: SIZE * 10 // 11])
        new = rows(Path(folder), found[:SIZE])
    before = {row.id: (row.split, row.fold) for row in old}
    after = {row.id: (row.split, row.fold) for row in new}
    moved = sum(after[id] != place for id, place in before.items() if id in after)
    groups: dict[str | None, set[int | None]] = {}
    for row in new:
        groups.setdefault(row.group, set()).add(row.fold)
    shared = sum(len(folds) > 1 for folds in groups.values())
    sizes, overall = Counter(row.fold for row in new), Counter(row.label for row in new)
    inside = Counter((row.fold, row.label) for row in new)
    worst = max(
        abs(inside[fold, label] / size - count / len(new))
        for fold, size in sizes.items()
        for label, count in overall.items()
    )
    print(f"{len(new)} rows, {len(groups)} groups, {len(overall)} classes; fold sizes {sorted(sizes.values())}")
    print(f"groups in two folds: {shared}; largest deviation of a class's share: {100 * worst:.2f} points")
    print(f"rows that moved when {len(new) - len(old)} were added: {moved}")
    if given.dry:
        return
    record("data.folds_groups_shared", shared, unit="groups in two folds", n=len(groups), goal="== 0")
    points = round(100 * worst, 2)
    record("data.folds_class_share_deviation", points, unit="points, the largest", n=len(new), goal="<= 2")
    record("data.folds_rows_moved", moved, unit="old rows moved by 10 % more", n=len(old), goal="== 0")


if __name__ == "__main__":
    main()
