"""Where each row goes: clusters of near duplicates join groups into units, and units go to splits and folds.

A unit is what must not be torn apart: rows of one group, of one cluster of near duplicates, or of both by a chain. Its
name, from which a hash decides, is that of its first row, so that rows which are appended move no old row; only a new
row that is nearly equal to rows of two old units joins these, which no rule could avoid.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from yibu.core.errors import DataError
from yibu.core.record import SPLITS, Split
from yibu.prepare.gather import Gathering
from yibu.prepare.layout import instant
from yibu.prepare.leaks import Drop
from yibu.prepare.near import Clusters, find_clusters
from yibu.prepare.refine import STRATA
from yibu.prepare.settings import DataSettings, SplitSettings
from yibu.prepare.split import Splitter, fold_shares, split_shares
from yibu.prepare.table import Labels, Table

_SHOWN = 10  # classes named in an error

Tables = dict[Split, Table]


class Placed:
    """The rows by split.

    Attributes:
        tables: one per split, in the order of the rows.
        split_of: for each row of the first pass, the number of its split in `SPLITS`.
        others: (split, place) of a near duplicate -> id of the row that it repeats.
        near: figures about clusters for the summary.
    """

    def __init__(self, gathered: Gathering, data: DataSettings) -> None:
        clusters = _clusters(gathered, data)
        units = _units(gathered.units, clusters)
        names = [gathered.units[first] for first in units]
        self.units = units
        splits = _splits(gathered, data, names)
        self.split_of = bytes(SPLITS.index(split) for split in splits)
        self.tables: Tables = {split: Table(ids_are_hex=data.id is None) for split in SPLITS}
        self.others: dict[tuple[Split, int], str] = {}
        drop = _near_duplicates(gathered, clusters, data)
        for place, split in enumerate(splits):
            table = self.tables[split]
            table.take(gathered.table, place)
            if place in drop:
                self.others[split, len(table) - 1] = gathered.table.ids[drop[place]]
                table.dropped[-1] = Drop.NEAR_DUPLICATE
        self.near = _about(clusters, data, len(drop))
        self._names = names

    def number_folds(self, how: SplitSettings, strata: Labels) -> dict[str, Any] | None:
        """Give each kept row its fold; figures for the summary, or None where no folds are asked for.

        Raises:
            DataError: a class with fewer rows than folds, unless that is allowed.
        """
        if how.folds is None:
            return None
        _enough_for_folds(how, self.tables, strata)
        splitter = Splitter(fold_shares(how.folds), how.seed, how.stratify is not None, "fold", tolerance=0)
        places = dict.fromkeys(SPLITS, -1)
        sizes: Counter[int] = Counter()
        classes: Counter[tuple[int, str]] = Counter()
        seen: dict[int, set[int]] = {}
        for row, number in enumerate(self.split_of):
            split = SPLITS[number]
            places[split] += 1
            table, place = self.tables[split], places[split]
            if table.dropped[place]:
                continue
            labels = strata_of(table, place, strata)
            fold = int(splitter.place(self._names[row], labels))
            table.folds[place] = fold
            sizes[fold] += 1
            classes.update((fold, label) for label in labels)
            seen.setdefault(self.units[row], set()).add(fold)
        return {
            "k": how.folds,
            "sizes": [sizes[fold] for fold in range(how.folds)],
            "largest_deviation": _largest_deviation(sizes, classes),
            "groups_shared": sum(len(folds) > 1 for folds in seen.values()),
        }


def strata_of(table: Table, place: int, strata: Labels) -> tuple[str, ...]:
    """The values of a row whose shares a stratified split keeps."""
    number = table.strata[place]
    return () if number < 0 else tuple(strata.texts[number].split(STRATA))


def _clusters(gathered: Gathering, data: DataSettings) -> Clusters | None:
    if data.duplicates.near == "off":
        return None
    return find_clusters(gathered.signatures, gathered.texts(), data.duplicates)


def _units(names: Sequence[str], clusters: Clusters | None) -> array[int]:
    """For each row the first row of its unit: joined by an equal name, by a cluster, or by a chain of both."""
    first = array("q", range(len(names)))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    of_name: dict[str, int] = {}
    for place, name in enumerate(names):
        joined = {root(of_name.setdefault(name, place))}
        if clusters is not None:
            joined.add(root(clusters.first[place]))
        joined.add(root(place))
        smallest = min(joined)
        for other in joined:
            first[other] = smallest
    return array("q", (root(place) for place in range(len(names))))


def _splits(gathered: Gathering, data: DataSettings, names: Sequence[str]) -> list[Split]:
    fixed = [split for split in data.sources() if split is not None]
    shares = split_shares(data.split, fixed)
    free = [given not in fixed or given == "train" for given in gathered.given]
    if data.split.by == "time":
        found = _by_time(gathered.times, names, free, shares)
    else:
        splitter = Splitter(shares, data.split.seed, data.split.stratify is not None)
        found = [
            splitter.place(name, strata_of(gathered.table, place, gathered.strata)) if free[place] else ""
            for place, name in enumerate(names)
        ]
    return [
        cast(Split, part) if free[place] else cast(Split, gathered.given[place]) for place, part in enumerate(found)
    ]


def _by_time(
    times: Sequence[str | None], names: Sequence[str], free: Sequence[bool], shares: Mapping[str, float]
) -> list[str]:
    """Train is older than valid, and valid than test.

    A unit goes by its last row: no row of train is younger than a border, though a unit in test may bring old rows.
    """
    seconds = [cast(float, instant(time or "")) if free[place] else 0.0 for place, time in enumerate(times)]
    last: dict[str, float] = {}
    for place, name in enumerate(names):
        if free[place]:
            last[name] = max(last.get(name, -math.inf), seconds[place])
    ordered = sorted(last[name] for place, name in enumerate(names) if free[place])
    borders: list[tuple[float, str]] = []
    edge = 0.0
    for part in ("train", "valid"):
        if part in shares and ordered:
            edge += shares[part]
            place = round(edge * len(ordered)) - 1
            borders.append((ordered[min(max(place, 0), len(ordered) - 1)], part))
    youngest = "test" if "test" in shares else "valid" if "valid" in shares else "train"
    return [
        next((part for border, part in borders if last[name] <= border), youngest) if free[place] else ""
        for place, name in enumerate(names)
    ]


def _near_duplicates(gathered: Gathering, clusters: Clusters | None, data: DataSettings) -> dict[int, int]:
    """Rows that are left out -> the earlier row that each repeats: nearly the same prompt, the same target.

    Of raw text, whose prompt is its target, nearly the same text.
    """
    if clusters is None or data.duplicates.near != "drop":
        return {}
    table = gathered.table

    def is_raw(place: int) -> bool:
        return table.prompts[place] == table.targets[place]

    found: dict[int, int] = {}
    for place, (other, _) in sorted(clusters.duplicates.items()):
        same_target = table.targets[place] == table.targets[other] or (is_raw(place) and is_raw(other))
        if gathered.given[place] == gathered.given[other] and same_target:
            found[place] = other
    return found


def _about(clusters: Clusters | None, data: DataSettings, num_dropped: int) -> dict[str, Any]:
    if clusters is None:
        return {"mode": "off"}
    sizes = [size for size in Counter(clusters.first).values() if size > 1]
    return {
        "mode": data.duplicates.near,
        "threshold": data.duplicates.threshold,
        "clusters": len(sizes),
        "rows": sum(sizes),
        "largest": max(sizes, default=0),
        "same_values": len(clusters.duplicates),
        "dropped": num_dropped,
    }


def _enough_for_folds(how: SplitSettings, tables: Tables, strata: Labels) -> None:
    if how.stratify is None or how.on_missing_label == "warn":
        return
    counts: Counter[str] = Counter()
    for table in tables.values():
        for place in table.kept:
            counts.update(strata_of(table, place, strata))
    rare = sorted(label for label, count in counts.items() if count < cast(int, how.folds))
    if rare:
        named = ", ".join(f"{label} ({counts[label]})" for label in rare[:_SHOWN]) + (", …" if rare[_SHOWN:] else "")
        raise DataError(
            f"{len(rare)} of {len(counts)} classes have fewer rows than there are folds, so some folds lack them.",
            got=named,
            allowed=f"at least {how.folds} rows of each class",
            do="give more rows of them, set data.split.folds lower, or data.split.on_missing_label=warn to go on",
        )


def _largest_deviation(sizes: Counter[int], classes: Counter[tuple[int, str]]) -> float:
    """Largest difference, over classes and folds, between a class's share of a fold and of all rows."""
    total = sizes.total()
    overall: Counter[str] = Counter()
    for (_, label), count in classes.items():
        overall[label] += count
    deviations = [
        abs(classes[fold, label] / size - count / total)
        for label, count in overall.items()
        for fold, size in sizes.items()
    ]
    return round(max(deviations, default=0.0), 4)
