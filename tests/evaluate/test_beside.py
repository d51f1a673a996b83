"""Latency, cost and what is kept, as figures that gates may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny import tiny_base
from yibu import pipeline
from yibu.bench import BenchSettings
from yibu.bench.figures import rate_of_the_matrix
from yibu.core.errors import RecipeError
from yibu.core.store import Store
from yibu.evaluate import EvaluateSettings, check_gates
from yibu.evaluate.beside import ENERGY, LATENCY, MODELLED, Beside, of_energy, of_load, of_retention
from yibu.evaluate.gates import ask, said
from yibu.retain.kept import mean_of
from yibu.tasks import Measure

LABEL = [Measure("label", "label")]


def quantiles(p99: float | None = 0.08, high: float | None = 0.09, n: int = 400) -> dict[str, Any]:
    entry = {"value": 0.05, "low": 0.04, "high": 0.06, "n": n}
    return {"p50": entry, "p90": entry, "p99": {"value": p99, "low": 0.07, "high": high, "n": n}}


def rate(at: float, saturated: bool = False, ended: str | None = None, **more: Any) -> dict[str, Any]:
    figures = {"rate": at, "n": 400, "answered": 400, "saturated": saturated, "ended": ended, "achieved_rate": at}
    return {**figures, "tokens_per_second": 9.0, **{name: quantiles() for name in ("ttft", "per_token", "e2e")}, **more}


def test_a_run_fills_the_matrix_once_and_the_base_is_measured_once(tmp_path: Path) -> None:
    """From the recipe to the report on a tiny base: load, modelled joules, what is kept; and gates on each."""
    lines = [{"text": f"{word} of the man, case {n}", "label": word} for n in range(30) for word in ("heart", "hand")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    both = [("He runs", "He run"), ("They run", "They runs")]  # of a random base some are right, either way round
    ordered = [pair[:: 1 if n % 2 else -1] for n in range(20) for pair in both]
    pairs = [{"sentence_good": f"{one} {n}.", "sentence_bad": f"{two} {n}."} for n, (one, two) in enumerate(ordered)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    gates = {"p99_ms": "> 0", "retention.low": ">= 0", "flops_per_token": "> 0", "joules_per_answer_modelled": "> 0"}
    table = {
        "base": str(tiny_base(tmp_path / "base")),
        "data": {"source": str(tmp_path / "rows.jsonl")},
        "train": {"lr": 1e-2, "epochs": 1, "threads": 1},
        "bench": {"rates": [8], "num_requests": 12, "warmup": 1, "max_new_tokens": 4,
                  "meter": {"kind": "modelled", "watts": 10}},
        "retain": {"sets": [{"kind": "pairs", "path": str(tmp_path / "pairs.jsonl")}]},
        "evaluate": {"num_resamples": 200, "gates": gates, "swaps": ["sex", "region"]},
        "augment": {"robustness": {"noise": [{"kind": "keyboard"}], "rates": [0.1]}},
    }  # fmt: skip
    (tmp_path / "whole.yaml").write_text(json.dumps(table))
    recipe, store = pipeline.load(tmp_path / "whole.yaml"), Store(tmp_path / "store")
    report = pipeline.build(recipe, store).report
    metrics = report.read_json("metrics.json")
    assert [(gate["gate"], gate["passed"]) for gate in metrics["gates"]] == [(name, True) for name in gates]
    found = metrics["matrix"]
    assert {"p99_ms", "ttft_p99_ms", "tokens_per_s", "retention", "retention.pairs", "trainable_ratio"} <= set(found)
    assert "joules_per_answer" not in found
    assert found["p99_ms"]["at"] == 8
    changed = metrics["robustness"]
    assert [(one["kind"], one["rate"], one["clean"]["n"]) for one in changed["noise"]] == [
        ("keyboard", 0.1, metrics["n"])
    ]
    assert [(one["swap"], one["n"]) for one in changed["swaps"]] == [("sex", metrics["n"])]  # of no region is spoken
    told = store.get(report.manifest.inputs["load"]).read_json("efficiency.json")
    assert found["flops_per_token"]["value"] == told["flops_per_token"]

    before = {artifact.id for artifact in store.artifacts()}
    assert pipeline.build(recipe, store).report.id == report.id  # an event that is not measured again
    assert {artifact.id for artifact in store.artifacts()} == before
    bare = pipeline.load(tmp_path / "whole.yaml", ["bench=null", "train.seed=3"])
    with pytest.raises(RecipeError, match="add a table `bench`"):
        pipeline.build(bare, store)
    assert {artifact.id for artifact in store.artifacts()} == before


def test_the_rate_is_the_one_asked_for_or_the_highest_that_was_kept_up_with() -> None:
    rates = [rate(1.0), rate(2.0), rate(4.0, saturated=True)]
    assert rate_of_the_matrix(rates, None) == 2.0
    assert rate_of_the_matrix(rates, 4.0) == 4.0  # saturated, and asked for: a slower one must not pass for it
    assert rate_of_the_matrix([rate(4.0, saturated=True)], None) == 4.0
    assert rate_of_the_matrix([rate(1.0), rate(2.0, ended="endpoint_died")], 2.0) is None
    assert rate_of_the_matrix([rate(1.0, answered=0)], None) is None
    with pytest.raises(ValueError, match=r"bench.at is 3"):
        BenchSettings(rates=[1.0, 2.0], at=3.0)


def test_latency_is_in_milliseconds_and_a_missing_limit_says_why() -> None:
    found = of_load({"at": 1.0, "ended": None, "rates": [rate(1.0, e2e=quantiles(high=None, n=50))]})
    assert found["p99_ms"]["value"] == pytest.approx(80.0)
    assert set(LATENCY) < set(found)
    [passed, limit] = ask({"p99_ms": "<= 100", "p99_ms.high": "<= 100"}, found)
    assert passed.passed
    assert not limit.passed
    assert "50 answers give p99 no upper limit" in said(limit.as_dict())


def test_an_endpoint_that_died_passes_no_gate_and_keeps_the_rates_before() -> None:
    rates = [rate(1.0), rate(2.0, ended="endpoint_died")]
    found = of_load({"at": rate_of_the_matrix(rates, 2.0), "ended": "endpoint_died", "rates": rates})
    [outcome] = ask({"p99_ms": "<= 1000000"}, found)
    assert not outcome.passed
    assert "endpoint_died" in said(outcome.as_dict())
    assert found["max_rate"]["value"] == 1.0


def test_requests_that_failed_are_a_share_with_its_interval() -> None:
    found = of_load({"at": 1.0, "ended": None, "rates": [rate(1.0, answered=300)]})["failed_requests"]
    assert found["value"] == 0.25
    assert 0.2 < found["low"] < 0.25 < found["high"] < 0.3


@pytest.mark.parametrize(("modelled", "names"), [(False, ENERGY), (True, MODELLED)])
def test_modelled_joules_never_have_the_name_of_measured_ones(modelled: bool, names: tuple[str, ...]) -> None:
    item = {"rate": 1.0, "joules_per_answer": 3.0, "flops_per_joule": 2.0, "tokens_per_joule": 1.0}
    assert set(of_energy({"energy": {"modelled": modelled}, "rates": [item]}, 1.0)) == set(names)
    assert of_energy({"energy": None, "rates": [item]}, 1.0) == {}


def kept(name: str, value: float, reach: float, kind: str = "choices") -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "retained": {"value": value, "low": value - reach, "high": value + reach, "n": 9},
    }


def test_what_is_kept_is_the_mean_over_sets_without_refusals() -> None:
    sets = [kept("a", 1.0, 0.03), kept("b", 0.9, 0.04), kept("no", 0.1, 0.0, "refusals")]
    found = mean_of(sets)
    assert found is not None
    assert found["value"] == pytest.approx(0.95)
    assert found["low"] == pytest.approx(0.95 - 0.05 / 2)  # independent errors: roots of summed squares
    figures = of_retention({"sets": sets, "retention": found})
    assert set(figures) == {"retention", "retention.a", "retention.b", "retention.no"}
    assert mean_of([kept("a", 1.0, 0.1), {"name": "z", "kind": "choices", "retained": None}]) is None


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("p99_ms", "add a table `bench`"),
        ("retention.low", "add a table `retain`"),
        ("joules_per_answer", "joules_per_answer_modelled"),
        ("tokens_per_joule_modelled", "state the wattage"),
    ],
)
def test_a_gate_on_what_is_not_measured_says_what_to_add(gate: str, told: str) -> None:
    settings = EvaluateSettings(gates={gate: ">= 0"})
    with pytest.raises(RecipeError, match="does not measure") as caught:
        check_gates(settings, LABEL, Beside())
    assert told in str(caught.value)
    energy = "modelled" if "modelled" in gate else "measured"
    check_gates(settings, LABEL, Beside(load=True, energy=energy, sets=("blimp",)))  # type: ignore[arg-type]
