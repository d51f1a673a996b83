"""Order of rows, and what happens to rows that do not fit: never a cut target."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.model.render import Example
from yibu.train.batches import fit_lengths, step_rows


def example(prompt: int, target: int, name: str = "row") -> Example:
    return Example(tuple(range(prompt + target)), (False,) * prompt + (True,) * target, name)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_each_epoch_sees_every_row_once_in_an_order_of_its_own(rows: int, size: int, epoch: int, seed: int) -> None:
    steps = step_rows(rows, size, epoch, seed)
    assert sorted(row for step in steps for row in step) == list(range(rows))
    assert all(len(step) == size for step in steps[:-1])
    assert steps == step_rows(rows, size, epoch, seed)


def test_epochs_and_seeds_differ() -> None:
    assert len({tuple(map(tuple, step_rows(40, 8, epoch, seed))) for epoch in range(3) for seed in range(3)}) == 9


def test_long_rows_are_refused_by_default_and_named() -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows are longer than 10 tokens") as error:
        fit_lengths([example(4, 4, "a"), example(4, 9, "b")], 10, 100, "refuse")
    assert "b (13)" in str(error.value)
    assert error.value.exit_code == 2


def test_a_row_longer_than_the_context_is_refused_without_any_max_length() -> None:
    with pytest.raises(DataError, match="longer than 12 tokens"):
        fit_lengths([example(4, 9)], None, 12, "refuse")


def test_max_length_beyond_the_context_is_refused() -> None:
    with pytest.raises(DataError, match="more than the base's context"):
        fit_lengths([example(1, 1)], 4096, 2048, "refuse")


def test_dropped_rows_are_named_and_the_others_whole() -> None:
    fitted = fit_lengths([example(4, 4, "a"), example(4, 9, "b")], 10, 100, "drop")
    assert fitted.dropped == ["b"]
    assert fitted.examples == [example(4, 4, "a")]
    assert fitted.lengths == [8, 13]


@given(st.integers(0, 20), st.integers(20, 200), st.integers(40, 60))
def test_a_split_target_is_trained_once_token_by_token_behind_its_whole_prompt(
    prompt: int, target: int, limit: int
) -> None:
    row = example(prompt, target)
    parts = fit_lengths([row], limit, 1000, "split").examples
    assert all(len(part.ids) <= limit for part in parts)
    assert all(part.ids[:prompt] == row.ids[:prompt] for part in parts)
    trained = [i for part in parts for i, t in zip(part.ids, part.trained, strict=True) if t]
    assert trained == list(row.ids[prompt:])


def test_a_prompt_that_leaves_no_room_is_refused_even_under_split() -> None:
    with pytest.raises(DataError, match="leaves no room"):
        fit_lengths([example(50, 30)], 60, 100, "split")


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="No row fits"):
        fit_lengths([example(5, 30)], 10, 100, "drop")
