"""Which rows are shown, and what of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from sample_report import classified, generated, metric, metrics, prediction
from yibu.evaluate.report import TestRow
from yibu.evaluate.report.examples import Examples, excerpt
from yibu.evaluate.report.examples import examples as choose
from yibu.evaluate.report.shapes import ReportData
from yibu.evaluate.report.text import Text

EN = Text("en")


def _examples(data: ReportData) -> Examples:
    found = choose(data, EN)
    assert found is not None
    return found


def test_ten_rows_of_all_kinds() -> None:
    found = _examples(classified())
    groups = Counter(example.group for example in found.shown)
    assert groups == {"fixed": 4, "broken": 2, "both_wrong": 2, "both_right": 2}
    # base is right on every third row, tuned wrong on every seventh: both wrong on those of 7 that 3 does not divide
    assert found.totals == {"fixed": 114, "broken": 10, "both_wrong": 19, "both_right": 57}


def test_choice_depends_on_ids_alone() -> None:
    data = classified()
    turned = replace(data, predictions=data.predictions[::-1], rows=dict(reversed(list(data.rows.items()))))
    assert [row.id for row in _examples(turned).shown] == [row.id for row in _examples(data).shown]
    renamed = {f"x{row_id}": row for row_id, row in data.rows.items()}
    answers = [{**item, "id": f"x{item['id']}"} for item in data.predictions]
    other = _examples(replace(data, rows=renamed, predictions=answers))
    assert [row.id for row in other.shown] != [f"x{row.id}" for row in _examples(data).shown]


def test_what_a_group_lacks_is_filled_from_the_others() -> None:
    data = classified()
    always = [
        {**item, "fields": dict(data.rows[item["id"]].truth)} if item["system"] == "tuned" else item
        for item in data.predictions
    ]
    groups = Counter(example.group for example in _examples(replace(data, predictions=always)).shown)
    assert groups == {"fixed": 8, "both_right": 2}


def test_base_tuned_and_the_strongest_baseline_that_answered() -> None:
    assert [answer.system for answer in _examples(classified()).shown[0].answers] == ["Base", "Tuned", "TF-IDF + SVM"]
    assert [answer.system for answer in _examples(generated()).shown[0].answers] == ["Base", "Tuned", "Input copied"]


def test_marks_agree_with_the_group() -> None:
    for example in _examples(classified()).shown:
        base, tuned, _ = (answer.fields[0].right for answer in example.answers)
        expected = {"fixed": (False, True), "broken": (True, False), "both_right": (True, True)}
        assert (base, tuned) == expected.get(example.group, (False, False))


def test_only_fields_with_a_right_and_a_wrong_are_marked() -> None:
    for example in _examples(generated()).shown:
        tuned, copied = example.answers[1], example.answers[2]
        assert [(field.name, field.right is None) for field in tuned.fields] == [("header", False), ("text", True)]
        assert [(field.name, field.right) for field in copied.fields] == [("text", None)], "it answers no header"


def test_a_label_is_right_whatever_becomes_of_the_text_beside_it() -> None:
    found = _examples(generated())
    assert found.totals == {"fixed": 90, "both_wrong": 30}, "no text of tuned is that of the truth"


def test_answers_that_ran_into_the_limit_say_so() -> None:
    assert [[answer.cut for answer in example.answers] for example in _examples(generated()).shown] == (
        [[True, False, False]] * 10
    )


def test_an_answer_that_could_not_be_read_is_shown_as_it_came() -> None:
    data = generated()
    answers = [
        {**item, "fields": {"header": "", "text": ""}, "answer": "## nonsense"} if item["system"] == "base" else item
        for item in data.predictions
    ]
    base = _examples(replace(data, predictions=answers)).shown[0].answers[0]
    assert [(field.excerpt.text, field.right) for field in base.fields] == [("## nonsense", False)]


def test_texts_that_nobody_calls_right_or_wrong_are_a_sample() -> None:
    rows = {f"r{place}": TestRow("p", {"text": "t"}) for place in range(30)}
    answers = [prediction(row, system, {"text": "x"}, False) for row in rows for system in ("base", "tuned")]
    table = metric({"base": 0.1, "tuned": 0.2}, name="rougeL", of="text", unit="F1")
    found = _examples(ReportData("r", "b", "generate", "en", metrics(table), predictions=answers, rows=rows))
    assert {example.group for example in found.shown} == {"sample"}
    assert len(found.shown) == 10
    assert all(field.right is None for example in found.shown for answer in example.answers for field in answer.fields)


def test_two_judged_fields_must_both_be_right() -> None:
    rows = {"r": TestRow("p", {"a": "1", "b": "2"})}
    answers = [
        prediction("r", "base", {"a": "1", "b": "x"}, None),
        prediction("r", "tuned", {"a": " 1", "b": "２"}, None),
    ]
    tables = [metric({"base": 0.1, "tuned": 0.2}, of=field) for field in "ab"]
    found = _examples(ReportData("r", "b", "generate", "en", metrics(*tables), predictions=answers, rows=rows))
    assert [example.group for example in found.shown] == ["fixed"]
    assert [field.right for field in found.shown[0].answers[0].fields] == [True, False]


def test_rows_that_a_system_did_not_answer_are_not_compared() -> None:
    data = classified()
    found = _examples(replace(data, predictions=[item for item in data.predictions if item["id"] != "row-0"]))
    assert sum(found.totals.values()) == 199


def test_without_answers_of_tuned_or_without_rows_there_is_nothing_to_show() -> None:
    data = classified()
    untuned = [item for item in data.predictions if item["system"] != "tuned"]
    assert choose(replace(data, predictions=untuned), EN) is None
    assert choose(replace(data, rows={}), EN) is None
    assert choose(replace(data, predictions=()), EN) is None


def test_long_text_is_folded_at_white_space_and_nothing_is_lost() -> None:
    text = "word " * 200
    found = excerpt(text, 100)
    assert len(found.text) <= 100
    assert f"{found.text} {found.rest}" == text.strip()
    assert excerpt("短" * 300, 100).text == "短" * 100
    assert excerpt("x" * 120, 100).rest == "", "a few letters more are not worth a fold"
