"""One function over many chunks: in order, whatever the number of processes, and nothing is read far ahead."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import pytest

from chunked_work import Square
from yibu.prepare.workers import chunks, over_processes


def test_chunks_lose_nothing() -> None:
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks([], 3)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    found = list(over_processes(functools.partial(Square, 1), chunks(range(400), 5), workers))
    assert [number for numbers, _ in found for number in numbers] == [i * i + 1 for i in range(400)]
    others = {process for _, process in found} - {os.getpid()}
    assert bool(others) == (workers > 1)


def test_little_work_starts_no_process() -> None:
    found = list(over_processes(functools.partial(Square, 0), chunks(range(10), 5), 2))
    assert {process for _, process in found} == {os.getpid()}


def test_work_is_taken_as_it_is_needed() -> None:
    taken = []

    def work() -> Iterator[list[int]]:
        for i in range(1000):
            taken.append(i)
            yield [i]

    results = over_processes(functools.partial(Square, 0), work(), 2)
    for _ in range(30):
        next(results)
    assert len(taken) < 50
    results.close()  # type: ignore[attr-defined]


def test_a_failure_in_another_process_is_raised_here() -> None:
    with pytest.raises(ValueError, match="a bad number"):
        list(over_processes(functools.partial(Square, 0), [[1]] * 30 + [[-1]], 2))
