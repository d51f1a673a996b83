"""Plots: they add up, they fit, they can be read out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_data import chinese, english
from sample_report import Element, Page
from yibu.inspect.report.balance import HeatRow, class_plot, heat
from yibu.inspect.report.coverage import coverage
from yibu.inspect.report.plots import Bar, bars, funnel, length_lines, quantile, tail
from yibu.inspect.report.shapes import Lengths
from yibu.inspect.report.text import Text
from yibu.pages.layout import NARROW, WIDE, Plot

EN, ZH = Text("en"), Text("zh")


def _both(plot: Plot | None) -> list[Element]:
    assert plot is not None
    wide, narrow = (Page(str(drawn)).root.all("svg")[0] for drawn in (plot.wide, plot.narrow))
    assert float(wide.attributes["width"]) <= WIDE
    assert float(narrow.attributes["width"]) <= NARROW
    return [wide, narrow]


def _width(rect: Element) -> float:
    return float(rect.attributes["width"])


def test_what_is_left_and_what_is_lost_add_up_in_the_funnel() -> None:
    steps = [{"step": "read", "n": 1000}, {"step": "duplicate", "n": 250}, {"step": "kept", "n": 750}]
    for svg in _both(funnel(steps, EN)):
        full, kept = svg.by_class("bar")
        (rest,), (lost,) = svg.by_class("rest"), svg.by_class("lost")
        assert _width(kept) == pytest.approx(0.75 * _width(full), abs=0.1)
        assert _width(rest) + _width(lost) == pytest.approx(_width(full), abs=0.1)
        assert svg.attributes["aria-label"] == "From read to kept: read 1,000; exact duplicates −250; kept 750"


def test_one_lost_row_in_a_million_can_be_seen_and_none_is_not() -> None:
    steps = [
        {"step": "read", "n": 10**6},
        {"step": "leak", "n": 1},
        {"step": "limit", "n": 0},
        {"step": "kept", "n": 1},
    ]
    for svg in _both(funnel(steps, EN)):
        assert [_width(rect) >= 2 for rect in svg.by_class("lost")] == [True]


@pytest.mark.parametrize(
    "steps", [[], [{"step": "read", "n": 5}], [{"step": "read", "n": 0}, {"step": "kept", "n": 0}]]
)
def test_no_funnel_of_nothing(steps: list[dict[str, int]]) -> None:
    assert funnel(steps, EN) is None


@given(st.dictionaries(st.integers(1, 300), st.integers(1, 50), min_size=1), st.floats(0.01, 1))
def test_quantile_is_the_nearest_rank(counts: dict[int, int], share: float) -> None:
    every = sorted(length for length, n in counts.items() for _ in range(n))
    found = quantile(counts, share)
    assert found in counts
    assert sum(length <= found for length in every) >= share * len(every) - 1e-9
    assert sum(length < found for length in every) < share * len(every) + 1e-9


def test_quantile_of_nothing() -> None:
    assert quantile({}, 0.5) == 0


def test_every_row_is_in_the_plot_of_lengths_also_the_one_that_is_far_out() -> None:
    lengths = Lengths("tokens", {"train": {10: 98, 12: 1, 4000: 1}, "valid": {}, "test": {9: 4}})
    assert tail(lengths) == 4000
    for svg in _both(length_lines(lengths, ZH)):
        lines = svg.by_class("outline")
        assert [line.attributes["class"] for line in lines] == ["outline f-train", "outline f-test"]
        assert "训练集 10" in svg.attributes["aria-label"]
    assert tail(Lengths("tokens", {"train": {10: 5, 14: 5}})) is None
    assert length_lines(Lengths("tokens", {"train": {}}), EN) is None


def test_bars_are_as_long_as_their_values_and_names_that_do_not_fit_are_cut() -> None:
    long = "非常长的类别名称" * 12
    for svg in _both(bars([Bar(long, 10, "10"), Bar("b", 5, "5"), Bar("c", 0, "0")], "x")):
        first, second = svg.by_class("bar")
        assert _width(second) == pytest.approx(_width(first) / 2, abs=0.1)
        assert any(text.text.endswith("…") for text in svg.all("text"))
        assert long in svg.attributes["aria-label"]
    assert bars([], "x") is None


def test_few_classes_are_drawn_by_name_and_many_by_rank() -> None:
    few, many = chinese().summary["classes"], english().summary["classes"]
    for svg in _both(class_plot(few, ZH)):
        assert {text.text for text in svg.all("text")} >= {"心血管内科", "1,210", "训练集"}
        parts = [part for part in svg.by_class("part") if part.has_class("f-train")]
        assert len(parts) == 6
    for svg in _both(class_plot(many, EN)):
        with_train = sum(row["train"] > 0 for row in many.values())
        assert len(svg.by_class("rank")) == with_train == 170
        missing = sum(row[split] == 0 for row in many.values() for split in row)
        assert len(svg.by_class("cross")) == 2 * missing
    assert class_plot({}, EN) is None
    assert class_plot({"a": {"train": 0}}, EN) is None


def test_one_class_with_one_row_can_be_drawn() -> None:
    assert len(_both(class_plot({"a": {"train": 1, "valid": 0, "test": 0}}, EN))) == 2


def test_empty_cells_are_marked_and_more_where_test_asks_for_them() -> None:
    rows = [HeatRow("a", [3, 0, 0], [True, True, False]), HeatRow("b", [0, 9, 1], [False, False, True])]
    for svg in _both(heat(rows, ["≤ 10", "11–20", "> 20"], EN)):
        assert len(svg.by_class("gap")) == 3
        assert len([gap for gap in svg.by_class("gap") if gap.has_class("asked")]) == 1
        shades = [float(cell.attributes["fill-opacity"]) for cell in svg.by_class("hit")]
        assert shades[1] == max(shades) == pytest.approx(1.0)
        assert shades[2] == min(shades)
    assert heat([], ["≤ 10"], EN) is None


def test_of_many_classes_those_that_lack_most_are_shown() -> None:
    found = coverage(english(), EN)
    assert found is not None
    (wide, _) = _both(found.heat)
    names = [text.text for text in wide.all("text")]
    assert "dispute_top_up_limit_3" in names, "the class without a train row"
    assert any("24 of 171" in note for note in found.notes)
