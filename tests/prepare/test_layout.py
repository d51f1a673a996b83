"""How records become rows."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.core.errors import DataError, RecipeError
from yibu.core.recipe import parse
from yibu.core.record import Row, content_id
from yibu.prepare import PrepareConfig
from yibu.prepare.layout import Layout
from yibu.readers import Raw

Record = dict[str, Any]


def layout(records: list[Record], task: Record | None = None, **data: Any) -> Layout:
    return Layout(parse(PrepareConfig, {"data": {"source": "x.jsonl", **data}, "task": task}), records)


def row(found: Layout, record: Record, split: Any = None) -> Row | str:
    return found.row(Raw("x.jsonl", 7, record), split)


NOTES: list[Record] = [{"dialogue": "Hi", "note": "Well", "patient": 5, "day": "2026-01-02", "section": "CC"}]
NOTE_TASK = {"kind": "generate", "prompt": "{dialogue}", "target": "{note}"}


@pytest.mark.parametrize(
    ("record", "shape", "kind"),
    [
        ({"text": "a", "label": "b"}, "text_label", "classify"),
        ({"text": "a"}, "text", "generate"),
        ({"prompt": "a", "completion": "b"}, "prompt_completion", "generate"),
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca", "generate"),
        ({"text": "aspirin", "entities": [{"start": 0, "end": 7, "type": "drug"}]}, "spans", "generate"),
    ],
)
def test_shape_and_task_are_found(record: Record, shape: str, kind: str) -> None:
    found = layout([record])
    assert (found.shape, found.settings.as_config()["kind"]) == (shape, kind)
    assert isinstance(row(found, record), Row)


def test_a_task_that_names_its_columns_needs_no_shape() -> None:
    found = layout(NOTES, NOTE_TASK)
    assert found.shape == "fields"
    made = row(found, NOTES[0])
    assert isinstance(made, Row)
    assert made.fields == NOTES[0]
    assert made.id == content_id(NOTES[0])
    assert (made.source, made.line, made.label, made.group) == ("x.jsonl", 7, None, None)


def test_a_task_may_use_fields_that_the_shape_makes() -> None:
    found = layout([{"text": "a", "category": "x"}], {"kind": "classify", "names": {"x": "ex", "y": "why"}})
    assert found.shape == "text_label"
    made = row(found, {"text": "a", "category": "x"})
    assert isinstance(made, Row)
    assert made.label == "x"


def test_turns_and_entities_are_read_by_their_shape_also_for_a_task_of_ones_own() -> None:
    turns = [{"role": "developer", "content": [{"type": "text", "text": "Hi"}]}, {"role": "user", "content": "Q"}]
    record = {"messages": [*turns, {"role": "assistant", "content": "A"}]}
    found = layout([record], {"kind": "generate", "system": "Another."})
    assert found.shape == "messages"
    made = row(found, record)
    assert isinstance(made, Row)
    assert made.fields["messages"][0] == {"role": "system", "content": "Hi"}


def test_structured_columns_of_no_known_shape_are_taken_as_they_are() -> None:
    record = {"note": "aspirin", "entities": {"drug": "aspirin"}}
    assert layout([record], {"kind": "generate", "prompt": "{note}", "target": "{entities}"}).shape == "fields"


def test_data_label_names_the_class_of_texts() -> None:
    found = layout([{"text": "a", "topic": "x", "label": 3}], label="topic")
    made = row(found, {"text": "a", "topic": "x", "label": 3})
    assert isinstance(made, Row)
    assert made.label == "x"
    assert found.task.closed_set


def test_columns_with_roles() -> None:
    found = layout(NOTES, NOTE_TASK, id="patient", group="patient", time="day", label="section")
    made = row(found, NOTES[0])
    assert isinstance(made, Row)
    assert (made.id, made.group, made.time, made.label) == ("5", "5", "2026-01-02", "CC")


def test_ids_of_fixed_splits_carry_the_split() -> None:
    made = row(layout(NOTES, NOTE_TASK, id="patient"), NOTES[0], "test")
    assert isinstance(made, Row)
    assert made.id == "test-5"


@pytest.mark.parametrize(
    ("data", "task", "who", "close"),
    [
        ({}, {**NOTE_TASK, "prompt": "{dialog}"}, "The task", "dialogue"),
        ({"id": "patiant"}, NOTE_TASK, "data.id", "patient"),
        ({"group": "patients"}, NOTE_TASK, "data.group", "patient"),
        ({"time": "Day"}, NOTE_TASK, "data.time", "day"),
        ({"label": "sektion"}, NOTE_TASK, "data.label", "section"),
        ({"split": {"stratify": "sections"}}, NOTE_TASK, "data.split.stratify", "section"),
    ],
)
def test_unknown_columns(data: Record, task: Record, who: str, close: str) -> None:
    with pytest.raises(RecipeError) as caught:
        layout(NOTES, task, **data)
    message = caught.value.render()
    assert message.startswith(who)
    assert f"did you mean '{close}'?" in message
    assert "Well" not in message


def test_rows_that_do_not_say_what_to_learn() -> None:
    with pytest.raises(DataError, match="no known shape"):
        layout(NOTES)


def test_stratify_by_class_needs_one() -> None:
    with pytest.raises(RecipeError, match="stratify"):
        layout(NOTES, NOTE_TASK, split={"stratify": "label"})


def test_strata() -> None:
    raw = Raw("x", 1, NOTES[0])
    for data, expected in (({"split": {"stratify": "section"}}, "CC"), ({"label": "patient"}, "5"), ({}, None)):
        found = layout(NOTES, NOTE_TASK, **data)
        made = found.row(raw, None)
        assert isinstance(made, Row)
        assert found.strata(made, raw) == (() if expected is None else (expected,))


def test_labels_and_columns_with_roles_are_not_cleaned() -> None:
    task = {"kind": "generate", "prompt": "{dialogue} {patient}", "target": "{section}\n{note}"}
    found = layout(NOTES, {**task, "score": {"section": "label"}}, group="patient")
    assert found.cleaned == ("dialogue", "note")


@pytest.mark.parametrize(
    ("record", "data", "reason"),
    [
        ({"note": "x", "patient": 1}, {}, "field 'dialogue' is missing"),
        ({"dialogue": "x", "note": " ", "patient": 1}, {}, "empty target (field 'note')"),
        ({"dialogue": "x", "note": "y", "patient": None}, {"group": "patient"}, "column 'patient' is empty"),
        ({"dialogue": "x", "note": "y"}, {"id": "patient"}, "column 'patient' is empty"),
        ({}, {}, "empty row"),
    ],
)
def test_rows_that_cannot_be_used(record: Record, data: Record, reason: str) -> None:
    assert row(layout(NOTES, NOTE_TASK, **data), record) == reason


def test_a_row_of_another_shape_says_why() -> None:
    found = layout([{"text": "a", "label": "b"}])
    assert row(found, {"text": ""}) == "empty prompt: text"
