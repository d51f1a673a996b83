"""What every task plug keeps, tried on the example in its own file."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from yibu import tasks
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.tasks import MeasureKind, Task

PLUGS = tasks.FAMILY.all()
MEASURES = set(get_args(MeasureKind))


@pytest.fixture(params=sorted(PLUGS), name="plug")
def _plug(request: pytest.FixtureRequest) -> Any:
    return PLUGS[request.param]


@pytest.fixture(name="task")
def _task(plug: Any) -> Task:
    return tasks.build(tasks.settings_of(plug.EXAMPLE[0]))


@pytest.fixture(name="row")
def _row(plug: Any) -> Row:
    return Row(id="1", fields=plug.EXAMPLE[1])


def test_plugs_are_these() -> None:
    assert sorted(PLUGS) == ["classify", "generate"]


def test_settings_are_closed_and_survive_json(plug: Any) -> None:
    settings = tasks.settings_of(plug.EXAMPLE[0])
    assert isinstance(settings, Settings)
    assert tasks.settings_of(json.loads(json.dumps(settings.as_config()))) == settings
    assert plug.Settings.model_config["extra"] == "forbid"
    assert plug.Settings.model_fields["kind"].default == plug.__name__.rpartition(".")[2]


def test_the_example_can_be_used(task: Task, row: Row) -> None:
    assert task.problem(row) is None


def test_messages_end_with_the_question(task: Task, row: Row) -> None:
    messages = task.messages(row)
    assert all(set(turn) == {"role", "content"} and turn["content"] for turn in messages)
    assert not messages or messages[-1]["role"] == "user"


def test_the_target_is_stripped_and_not_in_the_prompt_turns(task: Task, row: Row) -> None:
    target = task.target(row)
    assert target
    assert target == target.strip()
    assert target not in [turn["content"] for turn in task.messages(row)]


def test_the_prompt_text_is_part_of_the_prompt(task: Task, row: Row) -> None:
    text = task.prompt_text(row)
    assert text
    assert text in "\n".join(turn["content"] for turn in task.messages(row))


def test_the_right_answer_is_read_back_as_the_truth(task: Task, row: Row) -> None:
    assert task.parse(task.target(row)) == task.truth(row)


def test_measures_are_of_the_fields_that_are_read_back(task: Task, row: Row) -> None:
    assert [measure.field for measure in task.measures] == list(task.truth(row))
    assert {measure.kind for measure in task.measures} <= MEASURES


@pytest.mark.parametrize("answer", ["", " \n ", "x" * 10_000, "{", "答案"])
def test_no_answer_breaks_the_reading(task: Task, row: Row, answer: str) -> None:
    assert set(task.parse(answer)) == set(task.truth(row))


def test_each_field_is_needed(task: Task, row: Row) -> None:
    assert set(task.fields) <= set(row.fields)
    for name in task.fields:
        rest = {key: value for key, value in row.fields.items() if key != name}
        problem = task.problem(Row(id="1", fields=rest))
        assert problem is not None
        assert repr(name) in problem


def test_reasons_hold_no_text_of_the_row(task: Task, row: Row) -> None:
    for name in task.fields:
        problem = task.problem(Row(id="1", fields={**row.fields, name: "  "}))
        assert not any(str(value) in (problem or "") for value in row.fields.values())


def test_labels(task: Task, row: Row) -> None:
    assert set(task.label_fields) <= set(task.fields)
    if task.closed_set:
        label = task.label(row)
        assert label
        assert task.answer_text(label) == task.target(row)


def test_a_row_is_not_changed(task: Task, row: Row) -> None:
    before = json.dumps(row.fields)
    for method in (task.messages, task.target, task.truth, task.label, task.prompt_text, task.problem):
        method(row)
    assert json.dumps(row.fields) == before
