"""What must not stand in two splits, and what is left out for other reasons. Test rows are never touched by a leak.

A leak is an equal prompt (after folding, see `yibu.prepare.same`) or, where the source fixes the splits, a group in two
splits. Only the earlier split shrinks: train against valid and test, valid against test. Every test row is
protected, also those that a limit leaves out, so that raising the limit later asks nothing that a model was trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import IntEnum

from yibu.core.chance import uniform
from yibu.core.record import SPLITS, Split
from yibu.prepare.settings import LimitSettings
from yibu.prepare.table import NOTHING, Table

TARGET_IN_TRAIN = "target_in_train"  # flag of a test row whose answer a model can have by heart


class Drop(IntEnum):
    """Why a row is left out; 0 is kept."""

    LEAK = 1
    GROUP_LEAK = 2
    LIMIT = 3
    NEAR_DUPLICATE = 4
    CONTAMINATED = 5


Others = dict[tuple[Split, int], str]
"""(split, place) of a dropped row -> id of the row that it repeats."""


def drop_leaks(tables: dict[Split, Table]) -> Others:
    """Mark rows that would leak; returns, for each, the id of the row it leaks into."""
    others: Others = {}
    for position, split in enumerate(SPLITS):
        later = SPLITS[position + 1 :]
        by_prompt = dict(_first_ids(tables, later, "prompts"))
        by_group = {key: name for key, name in _first_ids(tables, later, "groups") if key != NOTHING}
        table = tables[split]
        for place in table.kept:
            if (other := by_prompt.get(table.prompts[place])) is not None:
                table.dropped[place] = Drop.LEAK
            elif (other := by_group.get(table.groups[place])) is not None:
                table.dropped[place] = Drop.GROUP_LEAK
            else:
                continue
            others[split, place] = other
    return others


def drop_beyond_limit(tables: dict[Split, Table], limit: LimitSettings, seed: int, stratify: bool) -> None:
    """Keep the rows with the smallest hashes, so that a larger limit only adds rows and new rows displace few.

    When stratifying, each stratum keeps its share, and at least one row while there is room for one of each.
    """
    for split, table in tables.items():
        most: int | None = getattr(limit, split)
        if most is None or table.num_kept <= most:
            continue
        ranked = sorted(table.kept, key=lambda place: (uniform(seed, table.ids[place], "limit"), place))
        if stratify:
            ranked = _evenly(ranked, table.strata)
        for place in ranked[most:]:
            table.dropped[place] = Drop.LIMIT


def _evenly(ranked: list[int], strata: Sequence[int]) -> list[int]:
    """The places in an order of which each beginning holds every stratum in proportion: its k-th of n at k / n."""
    sizes = Counter(strata[place] for place in ranked)
    met: Counter[int] = Counter()
    order: list[tuple[float, int]] = []
    for rank, place in enumerate(ranked):
        stratum = strata[place]
        order.append((met[stratum] / sizes[stratum], rank))
        met[stratum] += 1
    return [ranked[rank] for _, rank in sorted(order)]


def targets_in_train(tables: dict[Split, Table]) -> set[int]:
    """Places of kept test rows whose answer, labels aside, is also that of a kept train row.

    A model can give these from memory. Labels do not count: they are meant to be the same.
    """
    test, train = tables["test"], tables["train"]
    wanted = {test.answers[place] for place in test.kept} - {NOTHING}
    trained = {train.answers[place] for place in train.kept if train.answers[place] in wanted}
    return {place for place in test.kept if test.answers[place] in trained}


def _first_ids(tables: dict[Split, Table], splits: tuple[Split, ...], column: str) -> Iterator[tuple[int, str]]:
    # From the last to the first, so that in a dict made of these the first row with a key wins.
    for split in splits:
        table = tables[split]
        keys = getattr(table, column)
        for place in range(len(table) - 1, -1, -1):
            yield keys[place], table.ids[place]
