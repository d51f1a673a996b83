"""What processes say to each other: alone nothing changes, and shares are even."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from yibu.core.errors import TrainingError
from yibu.train.team import ALONE, Team, deal, is_lost


@given(sizes=st.lists(st.integers(1, 5000), max_size=40), num=st.integers(1, 9))
def test_each_pass_has_one_rank_and_shares_are_even(sizes: list[int], num: int) -> None:
    shares = deal(sizes, num)
    assert sorted(index for share in shares for index in share) == list(range(len(sizes)))
    assert all(share == sorted(share) for share in shares)
    loads = [sum(sizes[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes, default=0)
    assert shares == deal(sizes, num), "the same on every rank"


def test_fewer_passes_than_ranks_leave_some_without() -> None:
    assert deal([5], 3) == [[0], [], []]
    assert deal([], 2) == [[], []]


def test_alone_there_is_nobody_to_hear() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    ALONE.sum_gradients([parameter])
    ALONE.copy_from_first([parameter])
    ALONE.agree({"rows": 1}, "here")
    assert torch.equal(parameter.grad, torch.ones(2))
    assert ALONE.gather(3, "here") == [3]
    assert ALONE.hear_first("word", "here") == "word"
    assert ALONE.any_of(None, "here") is None
    assert ALONE.first


@pytest.mark.parametrize(
    ("text", "waited", "word"),
    [
        ("[Rank 0]: Ranks 1, 2 failed to pass monitoredBarrier in 9000 ms", 9.0, "rank 1, rank 2 does not answer"),
        ("[Rank 0]: Ranks 1 failed to pass monitoredBarrier in 9000 ms", 0.1, "rank 1 has ended"),
        ("Rank 2 successfully reached monitoredBarrier, but received errors from rank 0.", 9.0, "rank 0 does not"),
        ("gloo/transport/tcp/pair.cc: Connection closed by peer", 0.1, "another of the 3 processes has ended"),
        ("gloo: Timed out waiting 9000ms for recv operation", 0.1, "another of the 3 processes does not answer"),
    ],
)
def test_who_does_not_answer_is_read_from_what_torch_says(text: str, waited: float, word: str) -> None:
    found = Team(0, 3, 3, hang_seconds=9.0).lost(RuntimeError(text), "at the end", waited)
    assert word in str(found)
    assert isinstance(found, TrainingError)
    assert found.silent == ("does not" in word)
    assert "goes on from the last checkpoint" in str(found)


def test_errors_of_the_wire_are_told_from_others() -> None:
    assert is_lost(RuntimeError("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer"))
    assert is_lost(RuntimeError("NCCL error: remote process exited"))
    assert not is_lost(RuntimeError("shapes cannot be multiplied"))
    assert not is_lost(ValueError("gloo"))
