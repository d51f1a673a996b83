"""Figures about prepared rows and what stops a run."""

from __future__ import annotations

import pytest

from yibu.core.errors import DataError
from yibu.core.record import SPLITS, Split
from yibu.prepare.summary import (
    ClassTable,
    balance,
    check_enough,
    class_table,
    lengths,
    missing_label_error,
    missing_labels,
    num_groups,
)
from yibu.prepare.table import Labels, Table


def tables(train: int = 0, valid: int = 0, test: int = 0, labels: tuple[int, ...] = (0,)) -> dict[Split, Table]:
    held = {split: Table(ids_are_hex=False) for split in SPLITS}
    for split, size in zip(SPLITS, (train, valid, test), strict=True):
        for i in range(size):
            held[split].append(
                f"{split}{i}",
                prompt=i,
                target=i,
                answer=i,
                group=i % 3,
                label=labels[i % len(labels)],
                stratum=0,
                prompt_characters=i + 1,
                target_characters=10,
            )
    return held


def test_classes_are_counted_over_kept_rows() -> None:
    held = tables(train=4, test=2, labels=(0, 1))
    held["train"].dropped[1] = 1
    labels = Labels()
    labels.number("b"), labels.number("a")
    assert class_table(held, labels, "classes", ["c", "a"]) == {
        "c": {"train": 0, "valid": 0, "test": 0},
        "a": {"train": 1, "valid": 0, "test": 1},
        "b": {"train": 2, "valid": 0, "test": 1},
    }


def test_rows_without_a_label_are_in_no_class() -> None:
    assert class_table(tables(train=3, labels=(-1,)), Labels(), "classes", None) == {}


def test_balance_compares_shares() -> None:
    strata: ClassTable = {"a": {"train": 8, "valid": 1, "test": 0}, "b": {"train": 8, "valid": 1, "test": 2}}
    found = balance(strata)
    assert found["shares"]["a"] == {"all": 0.45, "train": 0.5, "valid": 0.5, "test": 0.0}
    assert found["largest_deviation"] == 0.45
    assert balance({}) == {"largest_deviation": 0.0, "shares": {}}


def test_a_split_without_rows_has_no_shares() -> None:
    assert "valid" not in balance({"a": {"train": 1, "valid": 0, "test": 1}})["shares"]["a"]


def test_percentiles_are_nearest_rank() -> None:
    assert lengths(tables(train=100))["prompt_characters"] == {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    assert lengths(tables(train=1))["prompt_characters"] == {"p50": 1, "p90": 1, "p99": 1, "max": 1}
    assert lengths(tables())["target_characters"] == {"p50": 0, "p90": 0, "p99": 0, "max": 0}


def test_groups_are_counted_once() -> None:
    assert num_groups(tables(train=9, test=3)) == 2  # 0 stands for "no group"


@pytest.mark.parametrize(("train", "test"), [(9, 1), (10, 0), (0, 0)])
def test_too_few_rows(train: int, test: int) -> None:
    with pytest.raises(DataError, match="too few rows"):
        check_enough(tables(train=train, test=test), {}, closed_set=False)


def test_enough_rows() -> None:
    check_enough(tables(train=10, test=1), {}, closed_set=False)


def test_one_class_only() -> None:
    classes: ClassTable = {
        "a": {"train": 20, "valid": 2, "test": 2},
        "b": {"train": 0, "valid": 0, "test": 0},
    }
    with pytest.raises(DataError, match="same label") as caught:
        check_enough(tables(train=20, test=2), classes, closed_set=True)
    assert caught.value.exit_code == 2
    check_enough(tables(train=20, test=2), classes, closed_set=False)


def test_missing_labels() -> None:
    classes: ClassTable = {
        "a": {"train": 3, "valid": 0, "test": 1},
        "b": {"train": 0, "valid": 1, "test": 0},
    }
    missing = missing_labels(classes)
    assert missing == {"train": ["b"], "valid": ["a"], "test": ["b"]}
    error = missing_label_error(missing, 2)
    assert error is not None
    assert "train has no row of 1 of 2 labels: b" in error.render()
    assert "test has no row of 1 of 2 labels: b" in error.render()
    assert "on_missing_label=warn" in error.render()


def test_a_label_that_only_valid_lacks_stops_nothing() -> None:
    assert missing_label_error({"train": [], "valid": ["a"], "test": []}, 2) is None
