"""Allowances refill evenly, and the queue is bounded, fair and loses no place when somebody leaves it."""

from __future__ import annotations

import asyncio
import time

import pytest

from yibu.serve.limits import Admission, Allowances, Bucket
from yibu.serve.problems import Problem


def test_a_bucket_refills_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bucket = Bucket(60)
    assert [bucket.take(20) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(5) == pytest.approx(5)
    now[0] += 5
    assert bucket.take(5) == 0
    bucket.give_back(1000)
    assert bucket.take(60) == 0
    assert bucket.take(1) > 0


def test_clients_have_allowances_of_their_own() -> None:
    allowances = Allowances(2, 100)
    for _ in range(2):
        allowances.take_request("a")
    with pytest.raises(Problem) as raised:
        allowances.take_request("a")
    assert raised.value.status == 429
    assert raised.value.retry_after == pytest.approx(30, abs=1)
    allowances.take_request("b")
    allowances.take_tokens("a", 80)
    with pytest.raises(Problem) as raised:
        allowances.take_tokens("a", 30)
    assert raised.value.status == 429
    allowances.give_back_tokens("a", 60)
    allowances.take_tokens("a", 30)
    with pytest.raises(Problem) as raised:
        allowances.take_tokens("b", 101)
    assert raised.value.status == 400  # waiting would never help


def test_without_limits_nothing_is_refused() -> None:
    allowances = Allowances(None, None)
    for _ in range(1000):
        allowances.take_request("a")
        allowances.take_tokens("a", 1e9)


def test_places_go_to_who_waited_longest_and_the_next_is_refused() -> None:
    async def main() -> None:
        admission, order = Admission(1, 2), []

        async def asked(name: str) -> None:
            await admission.enter()
            order.append(name)
            await asyncio.sleep(0.01)
            admission.leave(0.01)

        waiting = [asyncio.create_task(asked(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert (admission.running, admission.waiting) == (1, 2)
        with pytest.raises(Problem) as raised:
            await admission.enter()
        assert raised.value.status == 429
        assert raised.value.retry_after is not None
        await asyncio.gather(*waiting)
        assert order == ["a", "b", "c"]
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize("just_called", [False, True])
def test_who_leaves_the_queue_leaves_no_hole(just_called: bool) -> None:
    async def main() -> None:
        admission = Admission(1, 2)
        await admission.enter()
        first, second = (asyncio.create_task(admission.enter()) for _ in range(2))
        await asyncio.sleep(0)
        if just_called:  # its turn has come, and it is cancelled before it knows
            admission.leave(0.1)
        first.cancel()
        await asyncio.sleep(0)
        if not just_called:
            assert admission.waiting == 1
            admission.leave(0.1)
        await asyncio.wait_for(second, 5)
        assert (admission.running, admission.waiting) == (1, 0)
        admission.leave(0.1)
        assert admission.running == 0

    asyncio.run(main())
