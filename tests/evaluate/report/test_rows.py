"""The rows of the matrix: what was measured with unit, interval and n; what was not, and what to add."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sample_report import Page, classified, proven
from yibu.evaluate.report import render
from yibu.evaluate.report.proof import gate_lines, proof
from yibu.evaluate.report.rows import MatrixRow, Part, parts, reason
from yibu.evaluate.report.text import Text

EN, ZH = Text("en"), Text("zh")


def _rows(found: list[Part]) -> dict[str, MatrixRow]:
    return {row.name: row for part in found for row in part.rows}


def test_the_whole_matrix_in_its_order_with_unit_interval_and_n() -> None:
    found = parts(proven().metrics, True, EN)
    assert [part.name for part in found] == [
        *("The task", "Latency and throughput", "Parameters and FLOPs", "Energy", "General abilities kept")
    ]
    rows = _rows(found)
    assert all(row.measured for row in rows.values())
    [p99] = rows["Latency, 99 % of the answers (p99)"].cells
    assert (p99.value, p99.unit, p99.interval, p99.n) == ("162", "ms", "[140, 184]", "n = 400")
    [flops] = rows["FLOPs per token, answering"].cells
    assert (flops.value, flops.unit) == ("269", "MFLOPs")
    [kept] = rows["Share of the base's abilities kept"].cells
    assert (kept.value, kept.n) == ("96.0%", "n = 1,040")
    pooled, test = rows["Accuracy"].cells
    assert (pooled.value, pooled.n, test.value, test.n) == ("85.4%", "n = 800", "85.5%", "n = 200")
    assert "Energy of an answer, modelled" in rows
    assert "65 W" in found[3].note


def test_a_difference_of_shares_is_in_points_everywhere() -> None:
    over = _rows(parts(proven().metrics, True, EN))["Accuracy: tuned less Base"].cells[0]
    assert (over.value, over.unit, over.interval) == ("+52.0", "pp", "[26.0, 78.0]")
    view = proof(proven(), EN)
    assert view is not None
    assert view.panels[0].tests == ["Over Base: +52.0 pp [48.0, 56.0], p < 0.001 over folds."]
    chinese = proof(proven(), ZH)
    assert chinese is not None
    assert "+52.0 个百分点" in chinese.panels[0].tests[0]


@pytest.mark.parametrize("text", [EN, ZH])
def test_what_nobody_measured_says_what_to_add_and_never_passes(text: Text) -> None:
    found = parts(proven(with_load=False).metrics, False, text)
    task, load, cost, energy, retention = found
    assert "evaluate: {folds: 5}" in task.rows[-3 if not task.rows[-1].note else -1].note
    for part, table in ((load, "bench: {rates"), (energy, "kind: modelled"), (retention, "retain: {sets")):
        assert table in part.note
        assert not any(row.measured for row in part.rows)
        assert not any(gate.passed for row in part.rows for gate in row.gates)
    assert sum(len(row.gates) for row in load.rows) == 2
    assert all(row.measured for row in cost.rows)
    page = Page(render(proven(with_load=False), text.lang)).root  # type: ignore[arg-type]
    assert len(page.by_class("unmeasured")) == 1 + len(load.rows) + len(energy.rows) + len(retention.rows)


def test_a_gate_that_says_passed_without_a_measurement_is_not_believed() -> None:
    gates = [{"gate": "p99_ms", "limit": "<= 100", "measured": None, "passed": True, "rows_to_decide": None}]
    data = proven(with_load=False)
    [gate] = _rows(parts({**data.metrics, "gates": gates}, False, EN))["Latency, 99 % of the answers (p99)"].gates
    assert not gate.passed
    assert gate_lines(gates, EN) == [(False, "p99_ms ≤ 100: not measured")]


def test_a_bound_is_told_once_in_a_terminal() -> None:
    gates = [{"gate": "accuracy.low", "limit": ">= 0.6", "measured": 0.55, "passed": False, "rows_to_decide": 900}]
    assert gate_lines(gates, EN) == [(False, "accuracy.low ≥ 0.6: 0.55; about 900 rows would decide it")]


@pytest.mark.parametrize(
    ("why", "english", "chinese"),
    [
        ("50 answers give p99 no upper limit", "50 answers give p99 no upper limit", "50 个回答不足以给出 p99 的上限"),
        (
            "the sweep ended early: endpoint_died",
            "the sweep ended early: the endpoint died",
            "压测提前结束：服务端中断",
        ),
        ("something new", "something new", "something new"),
    ],
)
def test_reasons_in_both_languages(why: str, english: str, chinese: str) -> None:
    assert reason(why, EN) == english
    assert reason(why, ZH) == chinese


def test_plots_are_there_only_where_they_were_measured() -> None:
    whole, holes = proof(proven(), EN), proof(proven(with_load=False), EN)
    assert whole is not None
    assert holes is not None
    assert whole.latency is not None
    assert "8 requests/s: median 1.35 s" in whole.latency.wide
    assert whole.energy is not None
    assert "modelled" in whole.energy.wide
    assert whole.forgetting is not None
    assert (holes.latency, holes.energy, holes.forgetting) == (None, None, None)


def test_a_report_from_before_there_was_a_matrix_has_no_section() -> None:
    assert proof(classified(), EN) is None
    assert proof(replace(proven(), metrics={}), EN) is None
