"""The family `tasks`: which task is meant when the recipe has none."""

from __future__ import annotations

import pytest

from yibu import shapes, tasks
from yibu.core.errors import InputError, RecipeError
from yibu.core.record import Row


def test_every_shape_but_fields_has_a_default() -> None:
    for shape in set(shapes.FAMILY.names()) - {"fields"}:
        tasks.build(tasks.settings_of(tasks.default_for(shape)))


def test_a_shape_without_a_default_shows_what_to_write() -> None:
    with pytest.raises(RecipeError) as caught:
        tasks.default_for("fields")
    assert "task: {kind: generate" in caught.value.render()


def test_a_default_is_a_copy() -> None:
    tasks.default_for("text")["target"] = "{changed}"
    assert tasks.default_for("text")["target"] == "{text}"


@pytest.mark.parametrize(
    ("shape", "fields", "prompt", "target"),
    [
        ("prompt_completion", {"prompt": "1+1", "completion": "2"}, "1+1", "2"),
        ("text_label", {"text": "Cough", "label": "R05"}, "Cough", "R05"),
        ("text", {"text": "Once."}, None, "Once."),
        ("alpaca", {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}, "Q", "A"),
        ("spans", {"text": "Aspirin", "entities": []}, "List the entities as JSON.\n\nAspirin", "[]"),
    ],
)
def test_defaults_render(shape: str, fields: dict[str, object], prompt: str | None, target: str) -> None:
    task = tasks.build(tasks.settings_of(tasks.default_for(shape)))
    row = Row(id="1", fields=fields)
    assert [turn["content"] for turn in task.messages(row)] == ([] if prompt is None else [prompt])
    assert task.target(row) == target


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        tasks.settings_of({"kind": "clasify"})
    assert "did you mean 'classify'?" in caught.value.render()


def test_settings_come_back_from_their_table() -> None:
    settings = tasks.settings_of({"kind": "classify", "names": {"a": "x", "b": "y"}})
    assert tasks.settings_of(settings.as_config()) == settings
