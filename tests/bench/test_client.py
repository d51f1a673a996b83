"""The open loop: when requests leave, what they are timed from, and what that shows."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stub import Stub
from yibu.bench.client import Load, ask_in_turn, poisson_arrivals, send
from yibu.bench.figures import figures_of, read_lines
from yibu.engines import CLOCK, openai
from yibu.metrics.quantiles import quantile


def load(stub: Stub, file: Path, arrivals: list[float], **changes: Any) -> Load:
    table: dict[str, Any] = {
        "rate": 1.0,
        "engine": openai.Settings(endpoint=f"{stub.address}/v1"),
        "arrivals": list(enumerate(arrivals)),
        "prompts": ["Hello"],
        "warmup": 0,
        "max_new_tokens": 5,
        "timeout": 20.0,
        "token_budget": float("inf"),
        "file": file,
    }
    return Load(**{**table, **changes})


def run(wanted: Load) -> dict[str, Any]:
    return asyncio.run(send(wanted, CLOCK() + 0.02))


@given(st.floats(0.1, 1000), st.integers(1, 300), st.integers(0, 5))
def test_arrivals_rise_from_zero_and_are_the_same_for_a_seed(rate: float, count: int, seed: int) -> None:
    moments = poisson_arrivals(rate, count, 10.0, seed)
    assert moments == poisson_arrivals(rate, count, 10.0, seed)
    assert moments[0] == 0
    assert moments == sorted(moments)
    assert moments[-1] <= 10
    assert len(moments) <= count


def test_gaps_between_arrivals_are_exponential() -> None:
    moments = poisson_arrivals(5.0, 5001, 1e9, 0)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.2, rel=0.05)
    assert poisson_arrivals(5.0, 100, 1e9, 1) != moments[:100]


def test_stall_shows_in_p99_of_the_open_loop_and_not_of_a_closed_one(tmp_path: Path) -> None:
    """One request in a hundred holds a queue up for two seconds; those who wait behind it are what a user feels."""
    with Stub(lambda number: 2.0 if number == 50 else 0.0, tokens=1, one_at_a_time=True) as stub:
        run(load(stub, tmp_path / "open.jsonl", [0.02 * place for place in range(100)]))
    found = figures_of(read_lines(tmp_path / "open.jsonl"), 1.0, 1.0)
    with Stub(lambda number: 2.0 if number == 50 else 0.0, tokens=1, one_at_a_time=True) as stub:
        closed = asyncio.run(ask_in_turn(load(stub, tmp_path / "closed.jsonl", []), 100))
    taken = [request.last - request.intended for request in closed if request.last is not None]
    assert max(taken) > 2  # it was there
    assert quantile(taken, 0.99).value < 1.8  # and is not seen
    assert found["e2e"]["p99"]["value"] > 1.8
    assert found["e2e"]["p90"]["value"] > 1  # a third of all requests waited


def test_lines_hold_times_and_counts_and_no_text(tmp_path: Path) -> None:
    with Stub(tokens=3, gap=0.03) as stub:
        outcome = run(load(stub, tmp_path / "r.jsonl", [0.0, 0.01, 0.02], warmup=1))
    lines = sorted(read_lines(tmp_path / "r.jsonl"), key=lambda line: line["number"])
    assert [line["warmup"] for line in lines] == [True, False, False]
    assert all(line["tokens"] == 4 and line["prompt_tokens"] == 7 and line["error"] is None for line in lines)
    assert all(line["intended"] <= line["sent"] <= line["first"] < line["last"] for line in lines)
    assert all(line["longest_gap"] >= 0.03 for line in lines)
    assert "word" not in (tmp_path / "r.jsonl").read_text()
    assert outcome["ended"] is None
    assert 0 < outcome["cpu_share"] < 1.5


def test_a_request_that_takes_too_long_is_a_timeout(tmp_path: Path) -> None:
    with Stub(lambda number: 3.0 if number == 2 else 0.0) as stub:
        run(load(stub, tmp_path / "r.jsonl", [0.0, 0.05, 0.1], timeout=0.5))
    errors = [line["error"] for line in read_lines(tmp_path / "r.jsonl")]
    assert sorted(errors, key=str) == [None, None, "timeout"]


def test_budget_of_tokens_ends_it(tmp_path: Path) -> None:
    with Stub(tokens=3) as stub:
        outcome = run(load(stub, tmp_path / "r.jsonl", [0.2 * place for place in range(20)], token_budget=10.0))
    assert outcome["ended"] == "token_budget"
    assert 3 <= len(read_lines(tmp_path / "r.jsonl")) < 20


def test_dead_endpoint_is_given_up_and_what_was_measured_is_there(tmp_path: Path) -> None:
    stub = Stub(lambda number: 0.0)

    async def story() -> dict[str, Any]:
        waiting = asyncio.create_task(send(load(stub, tmp_path / "r.jsonl", moments), CLOCK()))
        await asyncio.sleep(1.0)
        await asyncio.to_thread(stub.die)
        return await waiting

    moments = [0.1 * place for place in range(300)]
    with stub:
        outcome = asyncio.run(story())
    lines = read_lines(tmp_path / "r.jsonl")
    assert outcome["ended"] == "endpoint_died"
    assert 5 <= len(lines) < 60
    assert sum(line["error"] is None for line in lines) >= 2
    assert {line["error"] for line in lines} <= {None, "refused", "broken"}


def test_half_a_line_of_a_killed_client_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"rate": 1.0}) + '\n{"rate": 1.0, "num')
    assert read_lines(path) == [{"rate": 1.0}]
    assert read_lines(tmp_path / "none.jsonl") == []
