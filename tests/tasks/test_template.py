"""Templates render rows, refuse everything but plain columns, and read rendered text back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError, RecipeError
from yibu.tasks._template import Template, check_template


def test_fields_stand_once_in_order_of_appearance() -> None:
    assert Template.of("{b} and {a}, again {b}").fields == ("b", "a")


def test_columns_may_have_spaces_and_any_script() -> None:
    template = Template.of("{主诉}: {Section Header}")
    assert template.render({"主诉": "咳嗽", "Section Header": "CC"}) == "咳嗽: CC"


def test_doubled_braces_are_braces() -> None:
    assert Template.of('{{"answer": "{a}"}}').render({"a": "yes"}) == '{"answer": "yes"}'


@pytest.mark.parametrize(
    "text", ["{a.b}", "{a[0]}", "{a!r}", "{a:>10}", "{}", "{", "}", "{a", "{a.__class__.__mro__}", "{a:{b}}"]
)
def test_anything_but_plain_columns_is_refused(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Template.of(text)
    assert "{column}" in caught.value.what
    assert caught.value.exit_code == 2


def test_unknown_field_names_columns_and_the_nearest() -> None:
    with pytest.raises(DataError) as caught:
        Template.of("{dialog}").render({"dialogue": "secret words", "note": "more"})
    message = caught.value.render()
    assert "dialogue, note" in message
    assert "did you mean {dialogue}?" in message
    assert "secret" not in message


def test_a_null_counts_as_no_field() -> None:
    with pytest.raises(DataError):
        Template.of("{a}").render({"a": None})


@pytest.mark.parametrize("value", [["a", "é"], {"k": 1}, 3, 37.5, True, []])
def test_values_that_are_no_text_become_json(value: object) -> None:
    text = Template.of("{a}").render({"a": value})
    assert json.loads(text) == value
    assert "\\u" not in text


PIECE = st.text(alphabet="abc é中,.;", min_size=1).map(str.strip).filter(bool)


@given(header=PIECE, body=PIECE, code=PIECE)
def test_read_inverts_render(header: str, body: str, code: str) -> None:
    template = Template.of("Header: {header}\n{body}\nCode: {code} END")
    fields = {"header": header, "body": body, "code": code}
    assert template.read(template.render(fields).strip()) == fields


@given(body=st.text(alphabet="ab\n .").map(str.strip).filter(bool))
def test_the_last_field_keeps_separators_of_its_own(body: str) -> None:
    template = Template.of("{header}\n{body}")
    assert template.read(f"GENHX\n{body}") == {"header": "GENHX", "body": body}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", {"header": "", "body": ""}),
        ("GENHX", {"header": "GENHX", "body": ""}),
        ("\n\nGENHX\n\n\nThe patient.\n", {"header": "GENHX", "body": "The patient."}),
    ],
)
def test_an_answer_that_does_not_follow_is_read_as_far_as_it_does(answer: str, expected: dict[str, str]) -> None:
    assert Template.of("{header}\n{body}").read(answer) == expected


def test_a_missing_lead_in_costs_nothing() -> None:
    assert Template.of("Answer: {a}").read("42") == {"a": "42"}


@given(st.text())
def test_reading_never_fails(text: str) -> None:
    assert set(Template.of("A {a} B {b} C").read(text)) == {"a", "b"}


@pytest.mark.parametrize("text", ["{a}{b}", "{a}, {a}"])
def test_templates_that_cannot_be_read_back_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="taken apart"):
        Template.of(text).check_readable()


def test_a_template_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="names no column"):
        check_template("Tell a joke.")
