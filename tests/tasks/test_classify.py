"""The task `classify`: a closed set, and a verbaliser that must cover it."""

from __future__ import annotations

from typing import Any

import pytest

from yibu import tasks
from yibu.core.errors import RecipeError
from yibu.core.record import Row
from yibu.tasks import Measure, Task


def build(seen: list[str] | None = None, **table: Any) -> Task:
    return tasks.build(tasks.settings_of({"kind": "classify", **table}), seen)


def row(**fields: Any) -> Row:
    return Row(id="1", fields=fields)


def test_defaults_read_text_and_label() -> None:
    task = build()
    given = row(text="Cough", label="R05")
    assert task.messages(given) == [{"role": "user", "content": "Cough"}]
    assert task.target(given) == "R05"
    assert task.closed_set
    assert task.label_fields == ("label",)
    assert task.measures == (Measure("label", "label"),)


def test_the_metric_is_called_as_the_column() -> None:
    task = build(prompt="{term}", label="{chapter}")
    assert task.measures == (Measure("chapter", "label"),)
    assert task.parse("Eye") == {"chapter": "Eye"}
    assert build(label="{a}/{b}").measures == (Measure("label", "label"),)


def test_a_label_may_be_put_together() -> None:
    task = build(prompt="{t}", label="{a}/{b}")
    assert task.label(row(t="x", a="J", b=18)) == "J/18"


def test_names_are_said_and_read_back() -> None:
    task = build(["0", "1"], names={0: "not urgent", 1: " urgent "})
    given = row(text="x", label=1)
    assert task.label(given) == "1"
    assert task.target(given) == task.answer_text("1") == "urgent"
    assert task.parse("urgent") == task.truth(given) == {"label": "1"}


def test_labels_are_those_seen_unless_the_settings_name_them() -> None:
    assert build(["b", "a"]).labels == ["b", "a"]
    assert build(["x", "y"], labels=["a", "b"]).labels == ["a", "b"]
    assert build().labels is None


def test_system_goes_first() -> None:
    assert [turn["role"] for turn in build(system="S").messages(row(text="x", label="y"))] == ["system", "user"]


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"names": {"a": "x", "b": "x "}}, "same words for 'a' and 'b'"),
        ({"names": {"a": "x", "b": "  "}}, "no words for: b"),
        ({"names": {"a": "x"}, "labels": ["a", "b"]}, "lacks words for: b"),
        ({"labels": ["a", "a"]}, "twice"),
        ({"labels": ["a"]}, "at least two"),
        ({"labels": ["a", " "]}, "at least two"),
        ({"label": "{a[0]}"}, "reaches into"),
        ({"prompt": "nothing"}, "no column"),
        ({"name": {"a": "b"}}, "did you mean 'names'"),
    ],
)
def test_wrong_tables_are_refused(table: dict[str, Any], word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build(**table)
    assert word in caught.value.render()


def test_names_must_cover_the_labels_that_were_seen() -> None:
    with pytest.raises(RecipeError) as caught:
        build(["a", "b", "c"], names={"a": "x"})
    assert "b, c" in caught.value.render()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": "x", "label": "a"}, None),
        ({"text": "x"}, "field 'label' is missing"),
        ({"text": " ", "label": "a"}, "empty prompt"),
        ({"text": "x", "label": " "}, "empty label"),
        ({"text": "x", "label": "z"}, "label outside the closed set"),
    ],
)
def test_problems_of_rows(fields: dict[str, Any], reason: str | None) -> None:
    assert build(labels=["a", "b"]).problem(row(**fields)) == reason
