from __future__ import annotations

from typing import Any

import pytest

from yibu.bench.figures import figures_of


def line(number: int, intended: float, took: float = 0.5, **changes: Any) -> dict[str, Any]:
    table = {
        "rate": 2.0,
        "number": number,
        "warmup": False,
        "intended": intended,
        "sent": intended + 0.001,
        "first": intended + 0.1,
        "last": intended + took,
        "tokens": 5,
        "prompt_tokens": 20,
        "longest_gap": 0.1,
        "error": None,
    }
    return {**table, **changes}


def test_latency_counts_from_the_intended_moment_and_token_time_from_the_first() -> None:
    lines = [line(place, float(place), sent=place + 0.3) for place in range(20)]
    found = figures_of(lines, 2.0, 1.0)
    assert found["ttft"]["p50"]["value"] == pytest.approx(0.1)
    assert found["e2e"]["p99"]["value"] == pytest.approx(0.5)
    assert found["per_token"]["p90"]["value"] == pytest.approx(0.1)
    assert found["sent_late"] == pytest.approx(0.3)
    assert found["prompt_tokens"] == 20
    assert (found["n"], found["answered"], found["errors"]) == (20, 20, {})


def test_warmup_and_other_rates_are_left_out() -> None:
    lines = [line(0, 0.0, took=9.0, warmup=True), line(1, 1.0), line(2, 1.5, rate=4.0, took=9.0)]
    found = figures_of(lines, 2.0, 1.0)
    assert found["n"] == 1
    assert found["answered_with_warmup"] == 2
    assert found["e2e"]["p99"]["value"] == pytest.approx(0.5)


def test_p99_of_a_few_is_said_to_be_out_of_reach() -> None:
    found = figures_of([line(place, place / 2) for place in range(298)], 2.0, 1.0)
    assert found["p99_reachable"] is False
    assert found["e2e"]["p99"]["high"] is None
    found = figures_of([line(place, place / 2) for place in range(299)], 2.0, 1.0)
    assert found["p99_reachable"] is True
    assert found["e2e"]["p99"]["high"] is not None


def test_time_outs_are_slow_and_other_errors_have_no_latency() -> None:
    lines = [line(place, float(place)) for place in range(40)]
    lines += [line(50, 41.0, error="timeout", first=None, last=None), line(51, 42.0, error="broken")]
    found = figures_of(lines, 2.0, 1.0)
    assert found["errors"] == {"timeout": 1, "broken": 1}
    assert found["answered"] == 40
    assert found["e2e"]["p50"]["value"] == pytest.approx(0.5)
    assert found["e2e"]["p99"]["value"] is None  # beyond what was waited for
    assert found["e2e"]["p99"]["n"] == 41


def test_nothing_answered_is_no_figure() -> None:
    found = figures_of([line(0, 0.0, error="refused", first=None, last=None)], 2.0, 1.0)
    assert found["e2e"] is None
    assert found["tokens_per_second"] is None
    assert found["saturated"] is False
    assert figures_of([], 2.0, 1.0)["n"] == 0


def test_rate_that_cannot_be_kept_up_with_is_saturated() -> None:
    steady = [line(place, place / 10) for place in range(50)]
    assert figures_of(steady, 2.0, 1.0)["saturated"] is False
    queue = [line(place, place / 10, took=0.5 + 0.1 * place) for place in range(50)]  # leaves at 5 a second
    found = figures_of(queue, 2.0, 1.0)
    assert found["saturated"] is True
    assert found["arrived_rate"] == pytest.approx(10)
    assert found["achieved_rate"] == pytest.approx(5)


def test_silence_inside_of_an_answer_is_a_stall() -> None:
    lines = [line(place, float(place), longest_gap=2.5 if place == 3 else 0.2) for place in range(10)]
    assert figures_of(lines, 2.0, 1.0)["stalls"] == 1
