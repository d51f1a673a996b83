"""What the plots show, read off their SVG."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_report import Element, Page, classified, metric
from yibu.evaluate.report.plots import (
    confusion,
    dot_whisker,
    length_histogram,
    loss_curves,
    smoothed,
    thinned,
)
from yibu.evaluate.report.text import Text
from yibu.pages.layout import NARROW, WIDE

EN, ZH = Text("en"), Text("zh")
points = st.lists(st.floats(0, 10), min_size=1, max_size=80).map(lambda values: list(enumerate(values)))


def _svg(text: object) -> Element:
    page = Page(str(text))
    assert [child.tag for child in page.root.children] == ["svg"]
    svg = page.root.children[0]
    assert svg.attributes["role"] == "img"
    assert svg.attributes["aria-label"]
    return svg


def _texts(svg: Element) -> list[str]:
    return [element.text for element in svg.all("text")]


def _path(svg: Element, kind: str) -> list[tuple[float, float]]:
    (found,) = [path for path in svg.all("path") if path.has_class(kind)]
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", found.attributes["d"])]


def _inside(svg: Element) -> bool:
    width, height = float(svg.attributes["width"]), float(svg.attributes["height"])
    sides = {"x": width, "x1": width, "x2": width, "cx": width, "y": height, "y1": height, "y2": height, "cy": height}
    found = [
        (name, float(element.attributes[name]))
        for tag in ("text", "line", "circle", "rect")
        for element in svg.all(tag)
        for name in element.attributes
        if name in sides
    ]
    return all(-0.01 <= place <= sides[name] + 0.01 for name, place in found)


def test_dots_lie_in_order_of_their_values_and_within_whiskers() -> None:
    table = metric({"base": 0.2, "tuned": 0.7, "tfidf_svm": 0.5})
    svg = _svg(dot_whisker(table, ["base", "tuned", "tfidf_svm"], "Accuracy", EN))
    # Each system has a mark in the legend column and one on its value.
    circles = [element for element in svg.all("circle") if float(element.attributes["cx"]) > 20]
    base, tuned = (float(circle.attributes["cx"]) for circle in circles)
    assert base < tuned
    whiskers = [line for line in svg.all("line") if line.has_class("s-tuned")]
    ends = [float(line.attributes[name]) for line in whiskers for name in ("x1", "x2")]
    assert min(ends) < tuned < max(ends)
    assert {"Base", "Tuned", "TF-IDF + SVM", "20.0%", "70.0%", "50.0%"} <= set(_texts(svg))
    assert "Tuned 70.0%" in svg.attributes["aria-label"]
    assert _inside(svg)


def test_whisker_is_left_out_where_there_is_no_interval() -> None:
    table = metric({"base": 0.2, "tuned": 0.7})
    table["values"]["base"] |= {"low": None, "high": float("nan")}
    svg = _svg(dot_whisker(table, ["base", "tuned"], "Accuracy", EN))
    assert not [line for line in svg.all("line") if line.has_class("s-base")]
    assert "20.0%" in _texts(svg)


@pytest.mark.parametrize("value", [0.0, 1.0, 2.5, -3.0])
def test_any_value_has_a_place(value: float) -> None:
    table = metric({"tuned": value}, unit="nats")
    table["values"]["tuned"] |= {"low": value, "high": value}
    assert _inside(_svg(dot_whisker(table, ["tuned"], "x", EN)))


def test_a_long_name_is_shortened() -> None:
    svg = _svg(dot_whisker(metric({"a_system_with_a_very_long_name_indeed": 0.5}), [*"ab"], "x", EN))
    assert _texts(svg), "an unknown system must not stop the plot"
    svg = _svg(dot_whisker(metric({"a" * 90: 0.5}), ["a" * 90], "x", EN))
    assert any(text.endswith("…") for text in _texts(svg))


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("t", [EN, ZH])
def test_loss_curves(width: float, t: Text) -> None:
    svg = _svg(loss_curves(classified().history, 40, t, width))
    assert float(svg.attributes["width"]) == width
    assert len(_path(svg, "raw")) == len(_path(svg, "smooth")) == 40
    assert len(_path(svg, "valid")) == 4
    assert _inside(svg)
    assert {t("plot.raw"), t("plot.smooth"), t("plot.valid"), t("plot.step")} <= set(_texts(svg))
    assert t("plot.best", step="40", loss="0.630") in _texts(svg)
    falling = [y for _, y in _path(svg, "valid")]
    assert falling == sorted(falling), "y grows downwards as the loss falls"


def test_best_step_is_marked_at_its_place() -> None:
    svg = _svg(loss_curves(classified().history, 20, EN))
    (best,) = [line for line in svg.all("line") if line.has_class("best")]
    assert float(best.attributes["x1"]) == pytest.approx(_path(svg, "valid")[1][0], abs=0.01)


def test_no_best_step_without_validation() -> None:
    history = [{"step": step, "loss": 1.0} for step in range(1, 5)]
    svg = _svg(loss_curves(history, 4, EN))
    assert not svg.by_class("best")
    assert EN("plot.valid") not in _texts(svg)


@pytest.mark.parametrize("history", [[], [{"step": 1, "loss": float("nan")}], [{"step": 1, "loss": None}]])
def test_no_losses_no_plot(history: list[dict[str, Any]]) -> None:
    assert loss_curves(history, None, EN) == ""


def test_one_spike_does_not_flatten_the_curve() -> None:
    history = [{"step": step, "loss": 1000.0 if step == 150 else 1 + step % 2} for step in range(1, 301)]
    svg = _svg(loss_curves(history, None, EN))
    assert _inside(svg)
    heights = sorted(y for _, y in _path(svg, "raw"))
    assert heights[-1] - heights[1] > 50, "the usual steps, 1 and 2, still lie far apart"


@given(points)
def test_smoothing_stays_within_the_data(line: list[tuple[int, float]]) -> None:
    values = [value for _, value in line]
    smooth = smoothed(line)
    assert [step for step, _ in smooth] == [step for step, _ in line]
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for _, value in smooth)


def test_smoothing_does_not_lag() -> None:
    line = [(step, float(step)) for step in range(200)]
    assert smoothed(line)[100] == (100, pytest.approx(100.0))


@given(st.integers(401, 5000))
def test_thinning_keeps_the_extremes_and_the_order(length: int) -> None:
    line = [(step, float((step * 7919) % 1009)) for step in range(length)]
    thin = thinned(line)
    assert len(thin) <= 402
    assert thin == sorted(thin)
    values = [value for _, value in line]
    assert {min(values), max(values)} <= {value for _, value in thin}


def test_histogram_counts_every_row() -> None:
    lengths = {"histogram": [20] * 30 + [40] * 10 + [80], "p50": 20, "max": 80, "max_length": 64}
    svg = _svg(length_histogram(lengths, 1, EN))
    bars = svg.by_class("bar")
    heights = [float(bar.attributes["height"]) for bar in bars]
    assert heights == pytest.approx([heights[0], heights[0] / 3, heights[0] / 30], rel=1e-2)
    assert [bar.has_class("over") for bar in bars] == [False, False, True]
    places = {
        text.text: float(text.attributes["x"]) for text in svg.all("text") if text.attributes["text-anchor"] == "middle"
    }
    for bar, tokens in zip(bars, (20, 40, 80), strict=True):
        begin = float(bar.attributes["x"])
        assert begin - 1 <= places[str(tokens)] <= begin + float(bar.attributes["width"]) + 1, (
            "bars stand over their ticks"
        )
    assert "max_length 64 · longer: 1" in _texts(svg)
    assert _inside(svg)


def test_histogram_of_lengths_that_were_not_recorded() -> None:
    assert length_histogram({"p50": 3, "max": 9}, 0, EN) == ""
    assert _svg(length_histogram({"histogram": [0]}, 0, EN))


def test_confusion_shows_counts_and_marks_the_diagonal() -> None:
    svg = _svg(confusion([[8, 2, 0], [0, 0, 5]], ["heart", "lung"], EN))
    assert {"heart", "lung", "?", "8", "2", "5"} <= set(_texts(svg))
    assert [float(cell.attributes["fill-opacity"]) for cell in svg.by_class("hit")] == [0.82]
    assert [float(cell.attributes["fill-opacity"]) for cell in svg.by_class("miss")] == [0.3, 1.0]
    assert _inside(svg)


def test_narrow_confusion_has_numbers_in_place_of_names() -> None:
    names = [f"class {place}" for place in range(22)]
    counts = [[1] * 22 for _ in names]
    svg = _svg(confusion(counts, names, ZH, NARROW))
    assert not set(names) & set(_texts(svg))
    assert "22" in _texts(svg)
    assert float(svg.attributes["width"]) <= NARROW
    assert _inside(svg)
