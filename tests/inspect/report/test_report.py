"""The whole page: what it says, that it is inert, and that it is well made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sample_data import bare, binary, chinese, english
from sample_report import Element, Page
from yibu.core.errors import InputError
from yibu.inspect.report import DataFigures, Loss, render

HOSTILE = """</style></svg></title>--><script>alert(1)</script><img src=x onerror='a'>"'&amp; {{ 7*7 }} <!-- \u202e"""
SAMPLES = {"chinese": chinese, "english": english, "binary": binary, "bare": bare}


def _page(data: DataFigures, lang: str = "en") -> Page:
    return Page(render(data, lang))  # type: ignore[arg-type]


@pytest.fixture(params=[(name, lang) for name in SAMPLES for lang in ("en", "zh")], ids=lambda pair: ".".join(pair))
def page(request: pytest.FixtureRequest) -> Page:
    name, lang = request.param
    return _page(SAMPLES[name](), lang)


def _rows(page: Page, kind: str) -> Iterator[list[str]]:
    for table in page.root.all("table"):
        if table.has_class(kind):
            for row in table.all("tbody")[0].all("tr"):
                yield [cell.text for cell in row.children]


def test_the_first_sentence_says_what_became_of_the_rows() -> None:
    def sentence(data: DataFigures, lang: str) -> str:
        return _page(data, lang).root.by_class("sentence")[0].text

    assert sentence(binary(), "en") == (
        "10,000 of 10,000 rows are kept, in 2 classes: 8,000 to train, 1,000 to validate, 1,000 to test."
    )
    assert sentence(bare(), "zh") == "读入 120 条，保留 120 条：训练 100 条，验证 10 条，测试 10 条。"


@pytest.mark.parametrize(("name", "tone"), [("binary", "good"), ("english", "mixed"), ("chinese", "mixed")])
def test_tone(name: str, tone: str) -> None:
    assert _page(SAMPLES[name]()).root.by_class("verdict")[0].has_class(tone)


def test_figures_that_do_not_add_up_are_the_worst() -> None:
    data = binary()
    assert (
        _page(replace(data, summary={**data.summary, "rows_read": 10_050})).root.by_class("verdict")[0].has_class("bad")
    )


def test_every_loss_has_its_reason_and_its_place() -> None:
    rows = list(_rows(_page(chinese(), "zh"), "losses"))
    assert rows[0][:3] == ["无法使用", "提示为空", "40"]
    assert "门诊记录_2024年一季度.xlsx:12" in rows[0][3]
    assert rows[1][:2] == ["", "编号与前面的数据相同"], "a step is named once"
    assert "与 0f3a9be2c11d77aa 重复" in next(row for row in rows if row[0] == "完全重复")[3]


def test_a_reason_with_a_name_in_it_is_translated_around_the_name() -> None:
    losses = [Loss("rejected", "field 'note' is missing", 3), Loss("rejected", "never heard of", 1)]
    rows = list(_rows(_page(replace(chinese(), losses=losses), "zh"), "losses"))
    assert [row[1] for row in rows] == ["缺少字段 'note'", "never heard of"]


def test_class_table_marks_what_is_missing() -> None:
    page = _page(chinese())
    rows = list(_rows(page, "balance"))
    assert rows[0][:4] == ["心血管内科", "968", "121", "121"]
    assert rows[-1][:4] == ["肾脏病科", "9", "0", "0"]
    assert [cell.text for cell in page.root.by_class("none")] == ["0", "0"]


def test_all_of_171_classes_are_in_the_tables_most_behind_a_fold() -> None:
    page = _page(english())
    assert len(list(_rows(page, "balance"))) == 171
    (details,) = [details for details in page.root.all("details") if details.has_class("rest")]
    assert details.all("summary")[0].text == "the other 147 classes"


def test_text_before_is_not_shown_where_personal_data_was_found() -> None:
    shown = [article.text for article in _page(chinese()).root.all("article")]
    assert "Not shown: personal data was found in this row." in shown[2]
    assert [len(article.all("mark")) > 0 for article in _page(chinese()).root.all("article")] == [True, True, False]


def test_boilerplate_is_counted_only_where_the_rows_hold_personal_data() -> None:
    data = chinese()
    line = data.summary["boilerplate"][0]
    assert line not in render(data, "zh")
    assert line in render(replace(data, summary={**data.summary, "privacy": {}}), "zh")


def test_copies_are_counted_apart_from_what_was_kept() -> None:
    page = _page(chinese())
    assert page.root.by_class("sentence")[0].text.startswith("3,381 of 4,022 rows are kept")
    assert page.root.by_class("about")[0].text.startswith("Augmentation added 734 more rows to train.")
    assert list(_rows(page, "copies"))[-1] == [
        "rewritten by a model", "96", "24", "a number changed (13), an entity was lost (9), my own (2)"
    ]  # fmt: skip
    assert list(_rows(page, "robust")) == [
        ["homophones, 5% of the characters", "336"], ["homophones, 10% of the characters", "336"],
        ["adversarial (greedy)", "120"],
    ]  # fmt: skip


def test_review_says_what_to_do() -> None:
    page = _page(chinese())
    columns = [item.all("dt")[0].text for item in page.root.by_class("columns")[0].all("div")]
    assert columns == ["problem", "given", "suggested", "action", "new_label", "comment"]
    assert "How to review" not in render(binary(), "en")


def test_sections_without_figures_are_left_out() -> None:
    def sections(data: DataFigures) -> list[str]:
        return [link.attributes["href"][1:] for link in _page(data).root.all("nav")[0].all("a")]

    assert sections(chinese()) == [
        "flow", "splits", "repeats", "texts", "private", "labels", "coverage", "provenance"
    ]  # fmt: skip
    assert sections(bare()) == ["flow", "repeats", "provenance"]
    assert "private" in sections(binary()), "nothing found is worth a line"


def test_an_empty_summary_makes_a_page() -> None:
    assert _page(DataFigures("bare", "generate", "en", {})).root.all("h1")[0].text == "bare"


# --- hostile text -----------------------------------------------------------------------------------------------------


def _poisoned(value: Any, text: str) -> Any:
    """The same value with every text that comes from rows, files or plugs replaced."""
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {key: _poisoned(item, text) for key, item in value.items()}
    return [_poisoned(item, text) for item in value] if isinstance(value, list | tuple) else value


def _hostile(text: str) -> DataFigures:
    data = chinese()
    classes = {f"{text}{place}": row for place, row in enumerate(data.summary["classes"].values())}
    summary = {**data.summary, "classes": classes, "shape": text, "flags": {text: 90}, "contamination": {
        text: {"items": 5, "hits": 3}}, "terms": {"found": {text: 5}, "n": 5}, "boilerplate": [text],
        "privacy": {}, "changes": {text: {"rows": 4, "what": {text: 4}}}}  # fmt: skip
    lists = {key: data.consistency[key] for key in ("conflicts", "spellings", "label_typos")}
    labels = [{**row, "label": text} for row in data.coverage["labels"]]
    return replace(
        data,
        recipe=text,
        summary=summary,
        losses=[Loss("rejected", text, 5, [text], [text])],
        examples=_poisoned(data.examples, text),
        consistency={**_poisoned(lists, text), "counts": data.consistency["counts"]},
        suspects={**data.suspects, "suspects": _poisoned(data.suspects["suspects"], text)},
        coverage={**data.coverage, "labels": labels},
    )  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_text_of_rows_stays_text(lang: str) -> None:
    page = _page(_hostile(HOSTILE), lang)
    assert not page.root.all("script")
    assert not page.root.all("img")
    harmless = "".join(letter if letter == " " or letter.isalnum() else "x" for letter in HOSTILE)
    # Breaks after the joints of names are the page's own.
    tags = [tag for tag in page.tags if tag not in ("wbr", "mark", "span", "text")]
    assert tags == [tag for tag in _page(_hostile(harmless), lang).tags if tag not in ("wbr", "mark", "span", "text")]
    assert "49" not in page.root.all("h1")[0].text


def test_half_a_surrogate_pair_does_not_cost_the_page() -> None:
    data = replace(binary(), recipe="a\ud83db")
    render(data, "en").encode()


# --- well made --------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    (policy,) = [meta for meta in page.root.all("meta") if "http-equiv" in meta.attributes]
    assert policy.attributes["content"].startswith("default-src 'none'")
    for element in page.elements():
        assert element.tag not in ("script", "iframe", "object", "embed", "form", "img")
        assert not [name for name in element.attributes if name.startswith("on")]
        assert "style" not in element.attributes
        for name in ("href", "src", "action", "xlink:href", "srcset"):
            aim = element.attributes.get(name, "#")
            assert aim.startswith("#") or aim == "data:,"
    assert not re.search(r"url\(|@import|@font-face|https?:", page.root.all("style")[0].own_text)


def test_headings_are_an_outline(page: Page) -> None:
    levels = [int(tag[1]) for tag in _in_order(page.root) if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def _in_order(element: Element) -> Iterator[str]:
    for child in element.children:
        yield child.tag
        yield from _in_order(child)


def test_every_reference_has_its_aim(page: Page) -> None:
    ids = [element.attributes["id"] for element in page.elements() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    aims = {element.attributes["href"][1:] for element in page.root.all("a")}
    aims |= {element.attributes["aria-labelledby"] for element in page.elements() if "aria-labelledby" in
             element.attributes}  # fmt: skip
    assert aims <= set(ids)


def test_tables_can_be_read_out(page: Page) -> None:
    for table in page.root.all("table"):
        assert table.all("caption")[0].text
        assert all(cell.attributes.get("scope") in ("col", "row") for cell in table.all("th"))
        columns = len(table.all("thead")[0].all("th"))
        assert {len(row.children) for row in table.all("tbody")[0].all("tr")} <= {columns}


def test_plots_are_named_or_hidden_and_come_in_two_widths(page: Page) -> None:
    for plot in page.root.all("svg"):
        assert plot.attributes.get("aria-hidden") == "true" or plot.attributes.get("aria-label")
    for figure in page.root.all("figure"):
        assert figure.all("figcaption")[0].text
        (wide,), (narrow,) = figure.by_class("wide"), figure.by_class("narrow")
        assert float(wide.all("svg")[0].attributes["width"]) <= 900
        assert float(narrow.all("svg")[0].attributes["width"]) <= 350


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="fr"):
        _page(binary(), "fr")


def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from sample_data import chinese, english\n"
        "from yibu.inspect.report import render\n"
        "sys.stdout.buffer.write((render(chinese(), 'zh') + render(english(), 'en')).encode())"
    )
    root = Path(__file__).parents[3]
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert made == {(render(chinese(), "zh") + render(english(), "en")).encode()}
