"""The section on probabilities: what was done is said, before and after in one table, the plot is to scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sample_report import Page, classified
from yibu.evaluate.report import ReportData, render
from yibu.evaluate.report.text import Text
from yibu.evaluate.report.trust import COLUMNS, reliability, trust


def bins(*rows: tuple[float, float, int]) -> list[dict[str, Any]]:
    return [{"low": said, "high": said, "confidence": said, "accuracy": right, "n": num} for said, right, num in rows]


def figures(error: float, *rows: tuple[float, float, int]) -> dict[str, Any]:
    interval = {"value": error, "low": error - 0.01, "high": error + 0.01, "n": 200, "interval": "x"}
    return {
        **dict.fromkeys(COLUMNS, interval),
        "ece_rare_decisions": None,
        "reliability": bins(*rows),
        "reliability_rarest": bins(*rows),
    }


TABLE = {
    "remedy": "sampler",
    "rarest_in_train": "<rare & odd>",
    "decided_by": {"tuned": "corrected"},
    "corrections": {"tuned": {"steps": ["prior", "vector"], "num_valid": 1020, "temperature": 1.25}},
    "systems": {
        "base": {"raw": figures(0.4, (0.5, 0.1, 200))},
        "tuned": {
            "raw": figures(0.2, (0.1, 0.0, 100), (0.6, 0.1, 100)),
            "prior": figures(0.05, (0.01, 0.0, 200)),
            "corrected": figures(0.012, (0.01, 0.0, 190), (0.3, 0.4, 10)),
        },
        "base_rate": {"raw": figures(0.001, (0.98, 0.98, 200))},
    },
}


def report(table: Any) -> ReportData:
    return replace(classified(), metrics={**classified().metrics, "calibration": table})


@pytest.mark.parametrize("table", [None, {}, {"systems": {"base": {}}}])
def test_without_probabilities_there_is_no_section(table: Any) -> None:
    assert trust(report(table), Text("en")) is None
    assert not Page(render(report(table), "en")).root.by_class("trust")


def test_what_was_done_is_said_in_order() -> None:
    found = trust(report(TABLE), Text("en"))
    assert found is not None
    assert found.done == [
        "Training showed the classes in other shares than the data has (weighted sampler).",
        "The scores were moved back to the shares of the train rows.",
        "Then a temperature with a bias for each class was fitted on 1,020 validation rows (temperature 1.250).",
        "The answers are those of the corrected scores.",
    ]
    plain = trust(report({**TABLE, "remedy": "none", "corrections": {}}), Text("en"))
    assert plain is not None
    assert plain.done == []
    assert plain.about == "Probability of the answer given."


def test_each_form_is_a_row_and_the_result_is_marked() -> None:
    found = trust(report(TABLE), Text("en"))
    assert found is not None
    assert [row.name for row in found.rows] == [
        "Base · as it came",
        "Tuned · as it came",
        "Tuned · prior moved",
        "Tuned · corrected",
        "Constant base rate",
    ]
    assert [row.is_tuned for row in found.rows] == [False, False, False, True, False]
    assert found.rows[3].cells[0] == ("0.012", "[0.002, 0.022]")
    assert found.rows[3].cells[COLUMNS.index("ece_rare_decisions")] == ("–", "")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_holds_table_and_plots_and_escapes_the_label(lang: str) -> None:
    html = render(report(TABLE), lang)  # type: ignore[arg-type]
    page = Page(html)
    [table] = page.root.by_class("trust")
    assert len(table.all("tr")) == 1 + 5
    assert "<rare & odd>" not in html
    assert "&lt;rare &amp; odd&gt;" in html
    assert "0.012" in table.text


def test_bins_on_the_line_are_drawn_on_it_and_large_ones_larger() -> None:
    forms = {"raw": bins((0.2, 0.2, 10), (0.8, 0.8, 1000)), "corrected": bins((0.5, 0.1, 500))}
    plot = Page(str(reliability(forms, "p", Text("en"), 480)))
    dots = [dot for dot in plot.elements() if dot.tag == "circle" and float(dot.attributes["cy"]) > 20]
    [line] = [line for line in plot.root.all("line") if line.has_class("axis")]
    ends = {name: float(line.attributes[name]) for name in ("x1", "y1", "x2", "y2")}

    def off(dot: Any) -> float:
        share = (float(dot.attributes["cx"]) - ends["x1"]) / (ends["x2"] - ends["x1"])
        return float(dot.attributes["cy"]) - (ends["y1"] + share * (ends["y2"] - ends["y1"]))

    by_radius = sorted(dots, key=lambda dot: float(dot.attributes["r"]))
    assert [round(off(dot), 1) for dot in by_radius if dot.has_class("s-base")] == [0.0, 0.0]
    [below] = [dot for dot in dots if dot.has_class("s-tuned")]
    assert off(below) > 50
    assert by_radius[0].attributes["r"] < by_radius[-1].attributes["r"]


def test_all_bins_at_one_place_have_a_scale() -> None:
    assert "NaN" not in str(reliability({"raw": bins((1.0, 1.0, 5))}, "p", Text("en"), 350))
    assert "nan" not in str(reliability({"raw": bins((0.0, 0.0, 5))}, "p", Text("zh"), 350))
