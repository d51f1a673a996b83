"""Splits by hash: no old row moves, groups stay whole, shares come out."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.record import SPLITS, Split
from yibu.prepare.settings import SplitSettings
from yibu.prepare.split import TOLERANCE, Splitter, uniform

Rows = list[tuple[str, str]]  # (unit, stratum)


def place(rows: Rows, how: SplitSettings, fixed: tuple[Split, ...] = ()) -> list[Split]:
    splitter = Splitter(how, fixed)
    return [splitter.place(unit, stratum) for unit, stratum in rows]


def random_rows(seed: int, size: int, num_classes: int = 12) -> Rows:
    """Classes of very different sizes: the k-th is as large as 1 / k^1.5."""
    draw = random.Random(seed)
    weights = [1 / (k + 1) ** 1.5 for k in range(num_classes)]
    return [(f"{seed}-{i}", f"c{draw.choices(range(num_classes), weights)[0]}") for i in range(size)]


def largest_deviation(rows: Rows, placed: list[Split]) -> float:
    sizes, overall = Counter(placed), Counter(stratum for _, stratum in rows)
    inside = Counter((split, stratum) for (_, stratum), split in zip(rows, placed, strict=True))
    return max(
        abs(inside[split, stratum] / sizes[split] - count / len(rows))
        for split in SPLITS
        for stratum, count in overall.items()
    )


def test_uniform_is_uniform_and_its_salts_are_independent() -> None:
    numbers = [uniform(0, str(i), "split") for i in range(10_000)]
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.01
    other = [uniform(0, str(i), "limit") for i in range(10_000)]
    both = sum(a < 0.5 and b < 0.5 for a, b in zip(numbers, other, strict=True))
    assert abs(both / len(numbers) - 0.25) < 0.02


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_adding_removing_and_shuffling_moves_no_row(seed: int, draw: random.Random) -> None:
    how = SplitSettings(seed=seed)
    rows = random_rows(seed, 300)
    before = dict(zip(rows, place(rows, how), strict=True))
    changed = [*draw.sample(rows, 270), *((f"new-{i}", "c0") for i in range(30))]
    draw.shuffle(changed)
    after = dict(zip(changed, place(changed, how), strict=True))
    assert all(after[row] == before[row] for row in changed if row in before)


def test_shares_come_out() -> None:
    sizes = Counter(place(random_rows(0, 5000), SplitSettings()))
    assert abs(sizes["train"] / 5000 - 0.8) < 0.02
    assert abs(sizes["valid"] / 5000 - 0.1) < 0.02
    assert abs(sizes["test"] / 5000 - 0.1) < 0.02


def test_other_shares_of_train_and_valid_leave_test_alone() -> None:
    rows = random_rows(1, 1000)
    one, other = place(rows, SplitSettings()), place(rows, SplitSettings(train=0.6, valid=0.3, test=0.1))
    assert [split == "test" for split in one] == [split == "test" for split in other]


def test_another_seed_is_another_split() -> None:
    rows = random_rows(2, 1000)
    assert place(rows, SplitSettings()) != place(rows, SplitSettings(seed=1))


def test_without_stratify_the_stratum_does_not_matter() -> None:
    rows = random_rows(3, 500)
    assert place(rows, SplitSettings()) == place([(unit, "x") for unit, _ in rows], SplitSettings())


@pytest.mark.parametrize("seed", range(8))
def test_stratified_shares_are_within_two_points(seed: int) -> None:
    rows = random_rows(seed, 5000)
    stratified = largest_deviation(rows, place(rows, SplitSettings(stratify="label", seed=seed)))
    assert stratified <= 0.02
    assert stratified <= 2 * TOLERANCE


def test_a_lottery_is_not_within_two_points() -> None:
    """Why `stratify` exists: for some of the same eight data sets the hash alone is further off."""
    lottery = [largest_deviation(rows := random_rows(s, 5000), place(rows, SplitSettings(seed=s))) for s in range(8)]
    assert max(lottery) > 0.02


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_stratified_appending_moves_no_row(seed: int) -> None:
    how = SplitSettings(stratify="label", seed=seed)
    rows = random_rows(seed, 1000)
    more = [(f"new-{i}", f"c{i % 15}") for i in range(100)]
    assert place([*rows, *more], how)[: len(rows)] == place(rows, how)


def test_stratified_inserting_moves_few_rows() -> None:
    """The price of balance, as the docstring says: order matters a little."""
    how = SplitSettings(stratify="label")
    rows = random_rows(4, 5000)
    draw = random.Random(0)
    mixed = list(rows)
    for i in range(500):
        mixed.insert(draw.randrange(len(mixed)), (f"new-{i}", f"c{i % 12}"))
    before = dict(zip(rows, place(rows, how), strict=True))
    after = dict(zip(mixed, place(mixed, how), strict=True))
    moved = sum(after[row] != split for row, split in before.items())
    assert 0 < moved < 0.15 * len(rows)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_rare_classes_get_half_of_their_quota(seed: int) -> None:
    rows = random_rows(seed, 3000, num_classes=30)
    placed = place(rows, SplitSettings(stratify="label", seed=seed))
    inside = Counter((split, stratum) for (_, stratum), split in zip(rows, placed, strict=True))
    rare = 0
    for stratum, count in Counter(stratum for _, stratum in rows).items():
        if count >= 20:
            rare += count < 60
            assert inside["test", stratum] >= count * 0.1 / 2 - 1e-9
            assert inside["valid", stratum] >= count * 0.1 / 2 - 1e-9
    assert rare  # the data set holds such classes


@pytest.mark.parametrize("stratify", [None, "label"])
def test_groups_never_cross(stratify: str | None) -> None:
    rows = [(f"patient-{i % 211}", f"c{i % 7}") for i in range(3000)]
    placed = place(rows, SplitSettings(stratify=stratify))
    of_group: dict[str, set[str]] = {}
    for (unit, _), split in zip(rows, placed, strict=True):
        of_group.setdefault(unit, set()).add(split)
    assert all(len(splits) == 1 for splits in of_group.values())
    assert set(placed) == set(SPLITS)


@pytest.mark.parametrize(
    ("fixed", "carved", "share"),
    [(("train", "test"), "valid", 1 / 9), (("train", "valid"), "test", 1 / 9)],
)
def test_a_missing_split_is_carved_from_train(fixed: tuple[Split, ...], carved: Split, share: float) -> None:
    sizes = Counter(place(random_rows(5, 9000), SplitSettings(), fixed))
    assert set(sizes) == {"train", carved}
    assert abs(sizes[carved] / 9000 - share) < 0.015


def test_nothing_is_carved_when_all_splits_are_given_or_the_share_is_nought() -> None:
    rows = random_rows(6, 500)
    assert set(place(rows, SplitSettings(), ("train", "valid", "test"))) == {"train"}
    assert set(place(rows, SplitSettings(train=0.9, valid=0, test=0.1), ("train", "test"))) == {"train"}
