"""Order of rows, and what happens to rows that do not fit: never a cut target."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.model.render import Example
from yibu.train import batches
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


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_a_weighted_epoch_draws_as_many_rows_and_the_same_ones_again(
    rows: int, size: int, epoch: int, seed: int
) -> None:
    weights = [1.0 + row % 3 for row in range(rows)]
    steps = step_rows(rows, size, epoch, seed, weights)
    assert sum(len(step) for step in steps) == rows
    assert all(len(step) == size for step in steps[:-1])
    assert all(0 <= row < rows for step in steps for row in step)
    assert steps == step_rows(rows, size, epoch, seed, weights)


def test_weighted_draws_are_torchs_and_in_proportion() -> None:
    weights = [1.0] * 1000 + [50.0] * 20
    drawn = [row for step in step_rows(1020, 16, 3, 5, weights) for row in step]
    generator = torch.Generator().manual_seed(5 * 1_000_003 + 3)
    assert drawn == list(torch.utils.data.WeightedRandomSampler(weights, 1020, generator=generator))
    rare = sum(row >= 1000 for epoch in range(40) for step in step_rows(1020, 16, epoch, 0, weights) for row in step)
    assert rare / (40 * 1020) == pytest.approx(0.5, abs=0.01)


def test_the_global_random_state_is_not_touched() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    step_rows(10, 2, 0, 0, [1.0] * 10)
    assert torch.equal(torch.rand(1), expected)


def test_more_rows_than_can_be_drawn_from_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_WEIGHTED", 9)
    assert step_rows(9, 3, 0, 0, [1.0] * 9)
    with pytest.raises(DataError, match="more rows than a weighted sampler"):
        step_rows(10, 3, 0, 0, [1.0] * 10)


def test_parts_of_a_split_row_keep_its_class_and_its_label_tokens() -> None:
    row = replace(example(4, 60), label="a", weight=3.0, label_tokens=(False,) * 4 + (True,) * 2 + (False,) * 58)
    parts = fit_lengths([row], 40, 100, "split").examples
    assert len(parts) > 1
    assert all((part.label, part.weight) == ("a", 3.0) for part in parts)
    marked = [i for part in parts for i, mark in zip(part.ids, part.label_tokens or (), strict=True) if mark]
    assert marked == [4, 5]


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
