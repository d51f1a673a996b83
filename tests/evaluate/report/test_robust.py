"""Parts of the rows and changed rows, as the page has them."""

from __future__ import annotations

from sample_report import Page, classified, proven
from yibu.evaluate.report import render
from yibu.evaluate.report.robust import robust
from yibu.evaluate.report.text import Text


def test_gaps_are_in_points_and_few_rows_say_so() -> None:
    found = robust(proven(), Text("en"))
    assert found is not None
    [block] = found.slices
    assert block.title == "Accuracy of topic by class"
    heart, few = block.lines
    assert heart.cells == [("75.0%", "[70.0, 80.0]"), ("−20.0 pp", "[−29.0, −11.0]")]
    assert heart.tone == "worse"
    assert few.cells[0] == ("too few (< 30)", "")
    assert few.tone == ""
    assert "2 smaller parts" in block.note


def test_changed_rows_stand_beside_the_clean_ones() -> None:
    found = robust(proven(), Text("zh"))
    assert found is not None
    noise, swaps = found.changed
    assert noise.lines[0].name == "键盘误击, 5% · topic：准确率"
    assert [value for value, _ in noise.lines[0].cells] == ["85.0%", "70.0%", "−15.0 个百分点"]
    assert swaps.lines[0].cells == [("5.0%", "[1.7, 13.7]")]


def test_without_either_there_is_no_section() -> None:
    assert robust(classified(), Text("en")) is None
    assert "robust" not in {part.attributes.get("id") for part in Page(render(classified(), "en")).elements()}
