"""The whole page: what it says, that it is inert, and that it is well made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sample_report import LABELS, Element, Page, classified, generated, metric, metrics, paired, prediction
from yibu.core.errors import InputError
from yibu.evaluate.report import Lineage, ReportData, TestRow, render
from yibu.evaluate.report.text import TEXTS

EMPTY = ReportData("bare", "base", "generate", "en", {})
HOSTILE = (
    """</style></svg></title>--><script>alert(1)</script><img src=x onerror='a'>"'&amp; {{ 7*7 }} <!-- \u202e\x00"""
)
# As long as the hostile text, and as wide: folds and line breaks fall in the same places.
HARMLESS = "".join(letter if letter == " " or letter.isalnum() else "x" for letter in HOSTILE)


def _page(data: ReportData, lang: str = "en") -> Page:
    return Page(render(data, lang))  # type: ignore[arg-type]


def _verdict(data: ReportData, lang: str = "en") -> list[str]:
    return [element.text for element in _page(data, lang).root.by_class("sentence")]


# --- the verdict ------------------------------------------------------------------------------------------------------


def _judged(**found: tuple[float, float] | None) -> ReportData:
    tests = [paired(name, *pair) for name, pair in found.items() if pair is not None]
    values = {"base": 0.2, "tuned": 0.5, **dict.fromkeys(found, 0.2)}
    return ReportData("r", "b", "classify", "en", metrics(metric(values, tests)))


@pytest.mark.parametrize(
    ("found", "english", "chinese"),
    [
        (
            {"base": (0.3, 0.0001), "majority": (0.3, 0.01), "tfidf_svm": (0.1, 0.04)},
            "Tuned is better than base, majority and TF-IDF + SVM (p < 0.05 each).",
            "微调模型优于基座模型、多数类和 TF-IDF + SVM（均 p < 0.05）。",
        ),
        (
            {"base": (0.3, 0.0001), "majority": (0.3, 0.0002)},
            "Tuned is better than base and majority (p < 0.001 each).",
            "微调模型优于基座模型和多数类（均 p < 0.001）。",
        ),
        ({"base": (0.1, 0.012)}, "Tuned is better than base (p = 0.012).", "微调模型优于基座模型（p = 0.012）。"),
        (
            {"base": (0.1, 0.2)},
            "No proof that tuned beats base (p = 0.200).",
            "没有证据表明微调模型优于基座模型（p = 0.200）。",
        ),
        (
            {"base": (0.1, 0.2), "majority": (-0.1, 0.9)},
            "No proof that tuned beats base or majority (p ≥ 0.05 each).",
            "没有证据表明微调模型优于基座模型或多数类（均 p ≥ 0.05）。",
        ),
        (
            {"base": (0.3, 0.0001), "majority": (-0.2, 0.01), "tfidf_svm": (0.05, 0.3)},
            "Tuned is better than base (p < 0.001); it is worse than majority (p = 0.010); "
            "there is no proof that it beats TF-IDF + SVM (p = 0.300).",
            "微调模型优于基座模型（p < 0.001）；劣于多数类（p = 0.010）；没有证据表明优于 TF-IDF + SVM（p = 0.300）。",
        ),
        (
            {"base": (0.3, 0.0001), "majority": None},
            "Tuned is better than base (p < 0.001); it was not tested against majority.",
            "微调模型优于基座模型（p < 0.001）；未与多数类做检验。",
        ),
    ],
)  # fmt: skip
def test_verdict(found: dict[str, Any], english: str, chinese: str) -> None:
    assert _verdict(_judged(**found)) == [english]
    assert _verdict(_judged(**found), "zh") == [chinese]


def test_verdict_says_so_where_p_and_interval_disagree() -> None:
    test = paired("base", 0.1, 0.04) | {"low": -0.01, "high": 0.2}
    data = ReportData("r", "b", "classify", "en", metrics(metric({"base": 0.2, "tuned": 0.3}, [test])))
    assert _verdict(data) == [
        "No proof that tuned beats base (p = 0.040, but the interval of the difference includes 0)."
    ]


@pytest.mark.parametrize("table", [{}, metrics(metric({"base": 0.3, "tuned": 0.9})), metrics(metric({"base": 0.3}))])
def test_nothing_is_claimed_without_a_test(table: dict[str, Any]) -> None:
    (sentence,) = _verdict(replace(EMPTY, metrics=table))
    assert "better" not in sentence
    assert "not" in sentence or "nothing" in sentence


def test_one_verdict_for_each_field() -> None:
    page = _page(generated())
    assert [element.text for element in page.root.by_class("about")] == [
        "Accuracy of header, 120 test rows",
        "ROUGE-1 of text, 120 test rows",
    ]
    assert [claim.has_class("good") for claim in page.root.by_class("claim")] == [True, True]


# --- the result table -------------------------------------------------------------------------------------------------


def _rows(page: Page, kind: str) -> Iterator[list[str]]:
    (table,) = [table for table in page.root.all("table") if table.has_class(kind)]
    for body in table.all("tbody"):
        for row in body.all("tr"):
            yield [cell.text for cell in row.children]


def test_result_table() -> None:
    assert list(_rows(_page(classified()), "results")) == [
        ["Accuracy of topic n = 200 · higher is better"],
        ["Base", "33.5% [28.5, 38.5]", "+52.0 pp [26.0, 78.0]", "< 0.001 ▲ better"],
        ["Tuned", "85.5% [80.5, 90.5]", "", ""],
        ["Majority class", "33.5% [28.5, 38.5]", "+52.0 pp [26.0, 78.0]", "< 0.001 ▲ better"],
        ["TF-IDF + SVM", "50.0% [45.0, 55.0]", "+35.5 pp [17.8, 53.2]", "0.004 ▲ better"],
        ["Loss per target token n = 200 · lower is better"],
        ["Base", "2.400 [2.350, 2.450]", "−1.500 [−2.250, −0.750]", "< 0.001 ▲ better"],
        ["Tuned", "0.900 [0.850, 0.950]", "", ""],
    ]


def test_bold_only_where_superiority_is_proven() -> None:
    def bold(data: ReportData) -> list[str]:
        return [element.text for table in _page(data).root.by_class("results") for element in table.all("strong")]

    assert bold(classified()) == ["85.5%", "0.900"]
    assert bold(_judged(base=(0.3, 0.001), majority=(0.3, 0.2))) == []
    assert bold(_judged(base=(0.3, 0.001), majority=None)) == []


def test_n_stands_in_the_rows_where_systems_differ_in_it() -> None:
    table = metric({"base": 0.2, "tuned": 0.5}, [paired("base", 0.3, 0.01)])
    table["values"]["base"]["n"] = 150
    rows = list(_rows(_page(replace(EMPTY, metrics=metrics(table))), "results"))
    assert [rows[0][0], rows[1][0], rows[2][0]] == [
        "Accuracy of topic higher is better",
        "Base n = 150",
        "Tuned n = 200",
    ]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_figures_that_could_not_be_had(missing: float | None) -> None:
    table = metric({"base": 0.2, "tuned": 0.5}, [paired("base", 0.3, 0.01) | {"low": missing, "high": missing}])
    table["values"]["base"] |= {"value": missing, "low": missing, "high": missing}
    rows = list(_rows(_page(replace(EMPTY, metrics=metrics(table))), "results"))
    assert rows[1] == ["Base", "–", "+30.0 pp", "0.010 ▲ better"]
    assert not re.search(r"\bnan\b", render(replace(EMPTY, metrics=metrics(table)), "en"), re.I)


def test_the_page_says_how_p_was_adjusted() -> None:
    raw = _judged(base=(0.3, 0.001))
    (table,) = raw.metrics["metrics"]
    held = replace(raw, metrics=metrics({**table, "tests": [{**table["tests"][0], "p_adjusted": 0.002}]}))
    assert TEXTS["results.raw_p"][0] in render(raw, "en")
    assert TEXTS["results.adjusted_p"][0] in render(held, "en")


def test_the_same_without_flagged_rows() -> None:
    rest = metric({"base": 0.2, "tuned": 0.3}, [paired("base", 0.1, 0.3)])
    note = {"kind": "subset", "without": "target_in_train", "left_out": 30, "n": 170, "metrics": [rest], "text": "x"}
    data = classified()
    page = _page(replace(data, metrics={**data.metrics, "notes": [note, "A free remark."]}))
    assert [item.text for item in page.root.by_class("remarks")[0].all("li")] == [
        "30 of 200 test rows have an answer that stands word for word in train. Without them (n = 170), Accuracy of "
        "topic: Base 20.0%, Tuned 30.0%. No proof that tuned beats base (p = 0.300).",
        "A free remark.",
    ]


# --- classes ----------------------------------------------------------------------------------------------------------


def test_class_table_counts_right_answers() -> None:
    rows = list(_rows(_page(classified()), "classes"))
    assert rows[0] == ["1", "heart → lung (10)", "67", "67", "57", "34", "lung (10)"]
    assert rows[1] == ["2", "lung → skin (10)", "67", "0", "57", "33", "skin (10)"]


def test_frequent_classes_come_first() -> None:
    data = classified()
    rare = {row_id for place, row_id in enumerate(data.rows) if place % 3 == 0 and place > 90}
    kept = replace(data, predictions=[item for item in data.predictions if item["id"] not in rare])
    assert [row[1].split()[0] for row in _rows(_page(kept), "classes")] == ["lung", "skin", "heart"]


def _many_classes(number: int) -> ReportData:
    names = [f"class {place:02d}" for place in range(number)]
    rows = {name: TestRow("p", {"topic": name}) for name in names}
    answers = [prediction(name, "tuned", {"topic": names[0]}, name == names[0]) for name in names]
    data = {"classes": {name: {"train": 100 - place, "valid": 1, "test": 1} for place, name in enumerate(names)}}
    return replace(EMPTY, metrics=metrics(metric({"tuned": 0.1})), rows=rows, predictions=answers, data=data)


@pytest.mark.parametrize(
    ("number", "drawn", "listed"), [(25, True, 25), (26, False, 26), (30, False, 30), (45, False, 30)]
)
def test_many_classes(number: int, drawn: bool, listed: int) -> None:
    page = _page(_many_classes(number))
    assert bool(page.root.by_class("matrix")) == drawn
    assert len(list(_rows(page, "classes"))) == listed
    balance = list(_rows(page, "balance"))
    if number > 30:
        assert len(balance) == 31
        assert balance[-1] == ["15 more classes", str(sum(range(56, 71))), "15", "15"]
        assert "15 more classes" in page.root.text
    else:
        assert len(balance) == number
        assert "more classes" not in page.root.text


def test_answers_outside_the_classes_have_a_column_of_their_own() -> None:
    data = classified()
    odd = [{**item, "fields": {"topic": "brain"}} if item["id"] == "row-1" else item for item in data.predictions]
    assert TEXTS["classes.other_answer"][0] in render(replace(data, predictions=odd), "en")
    assert TEXTS["classes.other_answer"][0] not in render(data, "en")


# --- the other sections -----------------------------------------------------------------------------------------------


def test_what_was_trained() -> None:
    page = _page(classified())
    assert list(_rows(page, "plan")) == [
        ["query", "30", "576 × 576", "300", "75.0%"],
        ["experts", "2", "8 × 64 × 32, 8 × 32 × 64", "100", "25.0%"],
    ]
    assert "4,884,480 of 139,399,488 parameters were trained (3.50%)" in page.root.text


def test_data_section() -> None:
    page = _page(classified())
    legend = [item.text for item in page.root.by_class("legend")[0].all("li")]
    assert legend == [
        "train 700", "validation 100", "test 200", "rejected 4", "duplicates 5", "leaks between splits 1",
        "over the limit set 0",
    ]  # fmt: skip
    facts = {item.all("dt")[0].text: item.all("dd")[0].text for item in page.root.all("div") if item.all("dt")}
    assert facts["Rows read"] == "1,010"
    assert facts["empty label"] == "4"
    assert facts["Prompt characters"] == "half ≤ 30, 99% ≤ 60, max 70"
    assert "Groups kept together" not in facts, "0 means that rows have no group"
    assert next(_rows(page, "balance")) == ["heart", "233", "33", "66"]


def test_bars_of_the_class_balance_are_shares_of_their_split() -> None:
    counts = {"heart": {"train": 80, "valid": 5, "test": 4}, "lung": {"train": 20, "valid": 5, "test": 6}}
    page = _page(replace(EMPTY, data={"classes": counts}))
    fills = [rect.attributes["width"] for rect in page.root.by_class("balance")[0].by_class("fill")]
    assert fills == ["100", "62.5", "50", "25", "62.5", "75"], "the largest share, 80 %, fills its cell"


def test_provenance() -> None:
    page = _page(classified())
    text = page.root.text
    for part in (
        "prepare-00aa",
        "train-11bb",
        "3.2 s",
        "1 h 6 min",
        "2.13.0",
        "cpu",
        "bfloat16",
        "yibu run terms.yaml",
    ):
        assert part in text


def test_cautions_are_shown_only_where_there_are_any() -> None:
    assert not _page(classified()).root.by_class("cautions")
    data = replace(classified(), metrics={**classified().metrics, "n": 50})
    (box,) = _page(data).root.by_class("cautions")
    assert "Only 50 test rows" in box.text


def test_labels_in_a_caution_are_cut_short() -> None:
    missing = {"test": [f"class {place}" for place in range(20)]}
    data = replace(classified(), data={**classified().data, "missing_labels": missing})
    (box,) = _page(data).root.by_class("cautions")
    assert "class 7 and 12 more" in box.text


# --- both languages, and parts that a run lacks -----------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("part", ["history", "predictions", "rows", "plan", "data", "model", "lineage", "metrics"])
def test_any_part_may_be_missing(part: str, lang: str) -> None:
    empty: Any = getattr(EMPTY, part)
    whole = render(classified(), lang)  # type: ignore[arg-type]
    page = _page(replace(classified(), **{part: empty}), lang)
    assert page.root.all("h1")[0].text == "terms"
    assert len(page.root.text) < len(Page(whole).root.text)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_bare_report_says_what_it_lacks(lang: str) -> None:
    text = _page(EMPTY, lang).root.text
    column = 0 if lang == "en" else 1
    for key in ("verdict.none", "examples.none", "training.no_history", "data.none"):
        assert TEXTS[key][column] in text


def test_chinese_page_has_no_english_label_left() -> None:
    texts = {element.own_text for data in (classified(), generated()) for element in _page(data, "zh").elements()}
    labels = {english for english, chinese in TEXTS.values() if english != chinese and "{" not in english}
    assert not {label for label in labels & texts if len(label) > 2 and label not in LABELS}
    assert "结论" in texts


def test_language_of_page_and_of_rows() -> None:
    page = _page(replace(classified(), language="zh"))
    assert page.root.all("html")[0].attributes["lang"] == "en"
    assert {text.attributes["lang"] for text in page.root.by_class("rowtext")} == {"zh"}
    assert _page(classified(), "zh").root.all("html")[0].attributes["lang"] == "zh-CN"


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError):
        render(EMPTY, "fr")  # type: ignore[arg-type]


# --- hostile input ----------------------------------------------------------------------------------------------------


def _hostile() -> ReportData:
    """Hostile text in every place that is not ours: rows, answers, names, remarks, paths, versions."""
    told = classified()
    table = metric({"base": 0.2, "tuned": 0.5, HOSTILE: 0.4}, [paired("base", 0.3, 0.01, test=HOSTILE)], of=HOSTILE)
    other = metric(
        {"base": 0.5, "tuned": 0.2, HOSTILE: 0.4}, [paired(HOSTILE, -0.3, 0.01)], HOSTILE, None, unit=HOSTILE
    )
    for entry in table["values"].values():
        entry["interval"] = HOSTILE
    rows = {f"{place}{HOSTILE}": TestRow(HOSTILE * 20, {HOSTILE: f"{HOSTILE}{place % 2}"}) for place in range(20)}
    return ReportData(
        recipe=HOSTILE,
        base=HOSTILE,
        task=HOSTILE,
        language=HOSTILE,
        metrics=metrics(table, other, notes=[HOSTILE, {"text": HOSTILE}], split=HOSTILE),
        data={
            **told.data,
            "shape": HOSTILE,
            "clean": {"profile": HOSTILE, "rows_changed": 1},
            "reject_reasons": {HOSTILE: 1},
            "classes": {HOSTILE: {"train": 1}},
            "missing_labels": {"test": [HOSTILE]},
        },
        model={**told.model, "device": HOSTILE, "dtype": HOSTILE},
        plan=[{"role": HOSTILE, "num_modules": 1, "shapes": HOSTILE, "parameters": 3}],
        history=told.history,
        predictions=[
            prediction(row, system, {HOSTILE: HOSTILE * 9}, None)
            for row in rows
            for system in ("base", "tuned", HOSTILE)
        ],
        rows=rows,
        lineage=Lineage({HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}, {HOSTILE: 1.0}, HOSTILE, HOSTILE, HOSTILE),
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_text_is_inert_everywhere(lang: str) -> None:
    html = render(_hostile(), lang)  # type: ignore[arg-type]
    page = Page(html)
    benign = Page(render(_exchange(_hostile(), HARMLESS), lang))
    assert page.tags == benign.tags, "not one element more or less"
    assert [sorted(element.attributes) for element in page.elements()] == (
        [sorted(element.attributes) for element in benign.elements()]
    )
    assert html.count("<script") == html.count("<img") == html.count("<!--") == 0
    shown = " ".join(HOSTILE.replace("\x00", "\ufffd").split())
    assert page.root.all("h1")[0].text in (shown, shown.replace("\ufffd", "\x00")), "shown as it is, {{ }} included"


def _exchange(value: Any, word: str) -> Any:
    """The same with a harmless word in those places."""
    if isinstance(value, str):
        return value.replace(HOSTILE, word)
    if isinstance(value, dict):
        return {_exchange(key, word): _exchange(inner, word) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exchange(inner, word) for inner in value]
    if isinstance(value, (ReportData, TestRow, Lineage)):
        parts = {part.name: _exchange(getattr(value, part.name), word) for part in fields(value)}
        return type(value)(**parts)
    return value


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_row_text_never_changes_the_page_around_it(text: str) -> None:
    def shape(prompt: str, answer: str) -> list[str]:
        rows = {"r": TestRow(prompt, {"a": answer})}
        answers = [prediction("r", system, {"a": answer}, True) for system in ("base", "tuned")]
        table = metrics(metric({"base": 0.1, "tuned": 0.2}, of="a"))
        return _page(replace(EMPTY, metrics=table, rows=rows, predictions=answers)).tags

    if text.strip():
        assert shape(text, text) == shape("x", "x")


def test_half_a_surrogate_pair_does_not_cost_the_report() -> None:
    page = render(replace(EMPTY, recipe="a\ud800b", rows={"r": TestRow("\udfff", {})}), "en")
    assert "a?b" in page
    page.encode("utf-8")


# --- well made --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["en", "zh"])
def page(request: pytest.FixtureRequest) -> Page:
    data = classified()
    model = {**data.model, "stopped_early": True}
    return _page(replace(data, model=model, metrics={**data.metrics, "notes": ["a"]}), request.param)


def test_page_needs_nothing_but_itself(page: Page) -> None:
    policy = [meta.attributes["content"] for meta in page.root.all("meta") if "http-equiv" in meta.attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    for element in page.elements():
        for name in ("href", "src", "action", "data", "xlink:href", "srcset"):
            target = element.attributes.get(name, "#")
            assert target.startswith("#") or target == "data:,"
        assert "style" not in element.attributes
    style = page.root.all("style")[0].own_text
    assert not re.search(r"url\(|@import|@font-face|https?:", style)


def test_no_external_address_in_the_file() -> None:
    assert not re.search(r"https?://|//[a-z]+\.", render(classified(), "en"))


def test_headings_are_an_outline(page: Page) -> None:
    levels = [int(tag[1]) for tag in _in_order(page.root) if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def _in_order(element: Element) -> Iterator[str]:
    for child in element.children:
        yield child.tag
        yield from _in_order(child)


def test_ids_are_unique_and_every_reference_has_its_aim(page: Page) -> None:
    ids = [element.attributes["id"] for element in page.elements() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    aims = {element.attributes["href"][1:] for element in page.root.all("a")}
    aims |= {
        element.attributes["aria-labelledby"] for element in page.elements() if "aria-labelledby" in element.attributes
    }
    assert aims <= set(ids)
    assert {"results", "examples", "training", "data", "provenance"} <= aims


def test_tables_can_be_read_out(page: Page) -> None:
    tables = page.root.all("table")
    assert len(tables) == 5
    for table in tables:
        assert table.all("caption")[0].text
        assert all(cell.attributes.get("scope") in ("col", "row", "rowgroup") for cell in table.all("th"))
        columns = sum(int(cell.attributes.get("colspan", "1")) for cell in table.all("thead")[0].all("th"))
        for row in [row for body in table.all("tbody") for row in body.all("tr")]:
            assert sum(int(cell.attributes.get("colspan", "1")) for cell in row.children) == columns


def test_plots_are_named_or_hidden(page: Page) -> None:
    plots = page.root.all("svg")
    assert len(plots) > 10
    for plot in plots:
        assert plot.attributes.get("aria-hidden") == "true" or plot.attributes.get("aria-label")
    assert all(figure.all("figcaption")[0].text for figure in page.root.all("figure"))


def test_right_and_wrong_differ_by_sign_and_word_not_by_colour_alone(page: Page) -> None:
    marks = {element.text for name in ("right", "wrong") for element in page.root.by_class(name)}
    assert marks in ({"✓ right", "✗ wrong"}, {"✓ 对", "✗ 错"})


def test_wide_and_narrow_plots_come_in_pairs(page: Page) -> None:
    for figure in page.root.all("figure"):
        wide = [element for element in figure.by_class("wide") if element.all("svg")]
        narrow = [element for element in figure.by_class("narrow") if element.all("svg")]
        assert len(wide) == len(narrow)
        assert all(float(element.all("svg")[0].attributes["width"]) <= 358 for element in narrow)


def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from sample_report import classified, generated\n"
        "from yibu.evaluate.report import render\n"
        "sys.stdout.buffer.write((render(classified(), 'en') + render(generated(), 'zh')).encode())"
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
    assert made == {(render(classified(), "en") + render(generated(), "zh")).encode()}


def test_how_far_a_judge_is_to_be_trusted_is_said() -> None:
    raw = _judged(base=(0.3, 0.001))
    judged = {
        "model": "judge-1",
        "n": 40,
        "preference": {"share": 0.6, "kappa": 0.25, "n": 40},
        "first_is_better": 0.75,
    }
    told = replace(raw, metrics={**raw.metrics, "judge": judged})
    assert "The orders agree in 60.0% of them" in render(told, "en")
    assert "在 60.0% 的数据上" in render(told, "zh")
    assert "75.0% of its preferences" in render(told, "en")
    failed = {**judged, "n": 0, "preference": None, "first_is_better": None}
    assert "no answer that could be used" in render(replace(raw, metrics={**raw.metrics, "judge": failed}), "en")
