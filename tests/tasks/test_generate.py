"""The task `generate` in its three forms."""

from __future__ import annotations

from typing import Any

import pytest

from yibu import tasks
from yibu.core.errors import RecipeError
from yibu.core.record import Row
from yibu.tasks import Measure, Task


def build(**table: Any) -> Task:
    return tasks.build(tasks.settings_of({"kind": "generate", **table}))


def row(**fields: Any) -> Row:
    return Row(id="1", fields=fields)


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Fever 39.5"},
    {"role": "assistant", "content": " Drink. "},
]


def test_templates_make_one_question_and_one_answer() -> None:
    task = build(prompt="Summarise.\n\n{dialogue}", target="{header}\n{text}")
    given = row(dialogue="D: Hello", header="GENHX", text="Well.")
    assert task.messages(given) == [{"role": "user", "content": "Summarise.\n\nD: Hello"}]
    assert task.target(given) == "GENHX\nWell."
    assert task.prompt_text(given) == "D: Hello"
    assert task.fields == ("dialogue", "header", "text")
    assert task.parse("GENHX\nWell.") == task.truth(given) == {"header": "GENHX", "text": "Well."}


def test_the_system_turn_goes_first() -> None:
    task = build(prompt="{a}", target="{b}", system="You are a doctor.")
    assert task.messages(row(a="x", b="y"))[0] == {"role": "system", "content": "You are a doctor."}


def test_a_conversation_asks_all_but_its_last_assistant_turn() -> None:
    task = build()
    given = row(messages=CHAT)
    assert task.messages(given) == CHAT[:4]
    assert task.target(given) == "Drink."
    assert task.prompt_text(given) == "Be brief.\nHello\nHi.\nFever 39.5"
    assert task.fields == ("messages",)
    assert task.measures == (Measure("answer", "text"),)
    assert task.parse(" Drink. ") == task.truth(given) == {"answer": "Drink."}


def test_a_conversation_keeps_its_own_system_turn() -> None:
    task = build(system="Another.")
    assert [turn["content"] for turn in task.messages(row(messages=CHAT)) if turn["role"] == "system"] == ["Be brief."]
    assert task.messages(row(messages=CHAT[1:]))[0]["content"] == "Another."


def test_turns_after_the_last_answer_are_not_used() -> None:
    task = build()
    assert task.target(row(messages=CHAT[:4])) == "Hi."
    assert task.messages(row(messages=CHAT[:4])) == CHAT[:2]


def test_raw_text_has_no_conversation() -> None:
    task = build(target="{text}")
    assert task.messages(row(text=" Once. ")) == []
    assert task.target(row(text=" Once. ")) == "Once."
    assert task.prompt_text(row(text=" Once. ")) == "Once."


def test_score_names_kinds_and_the_rest_is_text() -> None:
    task = build(prompt="{d}", target="{h}\n{t}\n{n}", score={"h": "label", "n": "number"})
    assert task.measures == (Measure("h", "label"), Measure("t", "text"), Measure("n", "number"))
    assert task.label_fields == ("h",)
    assert task.label(row(d="x", h=" CC ", t="y", n=3)) == "CC"


def test_without_a_label_field_there_is_no_class() -> None:
    assert build(prompt="{a}", target="{b}").label(row(a="x", b="y")) is None


def test_a_whole_answer_can_be_a_class() -> None:
    task = build(score={"answer": "label"})
    assert task.label(row(messages=CHAT)) == "Drink."


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"prompt": "{a}"}, "without a target"),
        ({"prompt": "a", "target": "{b}"}, "no column"),
        ({"prompt": "{a}", "target": "yes"}, "no column"),
        ({"prompt": "{a}", "target": "{b}{c}"}, "touch"),
        ({"prompt": "{a.b}", "target": "{c}"}, "reaches into"),
        ({"target": "{text}", "system": "Hello"}, "system turn"),
        ({"prompt": "{a}", "target": "{header}", "score": {"heade": "label"}}, "did you mean 'header'"),
        ({"score": {"note": "label"}}, "answer"),
        ({"prompt": "{a}", "target": "{b}", "score": {"b": "rouge"}}, "score.b"),
        ({"prompt": "{a}", "target": "{b}", "max_new_tokens": 0}, "max_new_tokens"),
        ({"promt": "{a}", "target": "{b}"}, "did you mean 'prompt'"),
    ],
)
def test_wrong_tables_are_refused(table: dict[str, Any], word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build(**table)
    assert word in caught.value.render()


@pytest.mark.parametrize("kind", ["json", "spans", "relations"])
def test_a_target_scored_as_json_must_be_json(kind: str) -> None:
    task = build(prompt="{a}", target="{b}", score={"b": kind})
    assert task.problem(row(a="x", b=[{"type": "drug"}])) is None
    assert task.problem(row(a="x", b='{"dose": 5}')) is None
    assert task.problem(row(a="x", b="5 mg")) == "field 'b' is to be scored as JSON and is none"
    assert task.problem(row(a="x", b='{"dose": 5, "dose": 6}')) is not None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"a": "x", "b": "y"}, None),
        ({"a": "x"}, "field 'b' is missing"),
        ({"a": None, "b": "y"}, "field 'a' is missing"),
        ({"a": " \n", "b": "y"}, "empty prompt"),
        ({"a": "x", "b": " "}, "empty target (field 'b')"),
        ({"a": "x", "b": []}, None),
    ],
)
def test_problems_of_rows(fields: dict[str, Any], reason: str | None) -> None:
    assert build(prompt="Say: {a}", target="It is {b}.").problem(row(**fields)) == reason


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (CHAT, None),
        ("Hello", "not a list of turns"),
        ([{"role": "user"}], "not a list of turns"),
        ([{"from": "human", "value": "x"}], "not a list of turns"),
        (CHAT[1:2], "empty target"),
        (CHAT[2:3], "empty prompt"),
        ([CHAT[1], {"role": "assistant", "content": " "}], "empty target"),
    ],
)
def test_problems_of_conversations(messages: Any, reason: str | None) -> None:
    found = build().problem(row(messages=messages))
    assert found == reason if reason is None else reason in (found or "")


def test_empty_raw_text_is_an_empty_target() -> None:
    assert build(target="{text}").problem(row(text=" ")) == "empty target (field 'text')"
