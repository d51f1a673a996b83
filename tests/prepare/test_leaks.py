"""Leaks shrink train, never test; limits are stable."""

from __future__ import annotations

from collections import Counter

from yibu.core.record import SPLITS, Split
from yibu.prepare.leaks import Drop, drop_beyond_limit, drop_leaks, targets_in_train
from yibu.prepare.settings import LimitSettings
from yibu.prepare.table import Table


def tables() -> dict[Split, Table]:
    return {split: Table(ids_are_hex=False) for split in SPLITS}


def append(table: Table, id: str, prompt: int, *, group: int = 0, answer: int = 0, stratum: int = -1) -> None:
    table.append(
        id,
        prompt=prompt,
        target=1,
        answer=answer,
        group=group,
        label=-1,
        stratum=stratum,
        prompt_characters=1,
        target_characters=1,
    )


def kept(table: Table) -> list[str]:
    return [table.ids[place] for place in table.kept]


def test_only_the_earlier_split_shrinks() -> None:
    held = tables()
    for id, prompt in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        append(held["train"], id, prompt)
    for id, prompt in (("v1", 2), ("v2", 3), ("v3", 9)):
        append(held["valid"], id, prompt)
    for id, prompt in (("t1", 1), ("t2", 3), ("t3", 3)):
        append(held["test"], id, prompt)
    others = drop_leaks(held)
    assert {split: kept(table) for split, table in held.items()} == {
        "train": ["d"],
        "valid": ["v1", "v3"],
        "test": ["t1", "t2", "t3"],
    }
    assert others["train", 0] == "t1"
    assert others["train", 1] == "v1"
    assert others["valid", 1] == "t2"


def test_a_group_in_two_splits_leaves_the_earlier_one() -> None:
    held = tables()
    append(held["train"], "a", 1, group=7)
    append(held["train"], "b", 2, group=8)
    append(held["train"], "c", 3)
    append(held["test"], "t", 9, group=7)
    append(held["test"], "u", 10)
    others = drop_leaks(held)
    assert kept(held["train"]) == ["b", "c"]
    assert held["train"].dropped[0] == Drop.GROUP_LEAK
    assert others == {("train", 0): "t"}


def test_a_limit_keeps_the_same_rows_when_it_grows_or_rows_are_added() -> None:
    def rows(limit: int, size: int) -> set[str]:
        held = tables()
        for i in range(size):
            append(held["train"], f"r{i}", i)
        drop_beyond_limit(held, LimitSettings(train=limit), seed=0, stratify=False)
        return set(kept(held["train"]))

    assert len(rows(30, 200)) == 30
    assert rows(30, 200) < rows(60, 200)
    assert len(rows(30, 200) & rows(30, 220)) >= 24
    assert rows(500, 200) == {f"r{i}" for i in range(200)}


def test_a_stratified_limit_keeps_shares_and_rare_strata() -> None:
    held = tables()
    for i in range(1000):
        append(held["test"], f"r{i}", i, stratum=0 if i < 800 else 1 if i < 998 else 2)
    drop_beyond_limit(held, LimitSettings(test=100), seed=0, stratify=True)
    counts = Counter(held["test"].strata[place] for place in held["test"].kept)
    assert counts.total() == 100
    assert abs(counts[0] - 80) <= 2
    assert counts[2] >= 1


def test_limited_test_rows_still_protect_themselves() -> None:
    held = tables()
    append(held["train"], "a", 1)
    append(held["train"], "b", 2)
    for prompt in (1, 2):
        append(held["test"], f"t{prompt}", prompt)
    drop_leaks(held)
    drop_beyond_limit(held, LimitSettings(test=1), seed=0, stratify=False)
    assert kept(held["train"]) == []
    assert held["test"].num_kept == 1


def test_answers_that_train_holds_too_are_flagged() -> None:
    held = tables()
    append(held["train"], "a", 1, answer=5)
    append(held["train"], "b", 2, answer=6)
    append(held["train"], "c", 3)
    append(held["test"], "t", 4, answer=5)
    append(held["test"], "u", 5, answer=6)
    append(held["test"], "v", 6)
    held["train"].dropped[1] = Drop.LEAK
    assert targets_in_train(held) == {0}
