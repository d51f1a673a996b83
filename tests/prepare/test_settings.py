"""The recipe's section ``data``: mistakes stop at the door."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.core.errors import RecipeError
from yibu.core.recipe import json_schema, parse
from yibu.prepare import PrepareConfig


def config(**data: Any) -> PrepareConfig:
    return parse(PrepareConfig, {"data": {"source": "rows.jsonl", **data}})


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"split": {"train": 0.8, "valid": 0.1, "test": 0.2}}, "must be 1; they are 1.1"),
        ({"split": {"train": 1.2, "valid": -0.1, "test": -0.1}}, "split"),
        ({"split": {"train": 0, "valid": 0.5, "test": 0.5}}, "split.train"),
        ({"split": {"stratfy": "label"}}, "did you mean 'stratify'"),
        ({"split": {"on_missing_label": "ignore"}}, "on_missing_label"),
        ({"source": {"train": "a", "tests": "b"}}, "did you mean 'test'"),
        ({"source": {"test": "b"}}, "needs train"),
        ({"source": []}, "no data source"),
        ({"source": ""}, "no data source"),
        ({"clean": {"profile": "clinic"}}, "profile"),
        ({"reject_share": 1.5}, "reject_share"),
        ({"limit": {"train": 0}}, "limit.train"),
        ({"group": "patient", "split": {"group": "visit"}}, "different columns"),
        ({"sorce": "x"}, "did you mean 'source'"),
    ],
)
def test_mistakes(data: dict[str, Any], word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        config(**data)
    assert word in caught.value.render()
    assert caught.value.exit_code == 2


def test_sources_by_split() -> None:
    assert config().data.sources() == {None: "rows.jsonl"}
    assert config(source=["a", "b"]).data.sources() == {None: ["a", "b"]}
    assert config(source={"train": "a"}).data.sources() == {None: "a"}
    assert list(config(source={"test": "b", "train": "a"}).data.sources()) == ["train", "test"]


def test_the_group_may_stand_in_either_place() -> None:
    assert config(group="patient").data.group_column == "patient"
    assert config(split={"group": "patient"}).data.group_column == "patient"
    assert config().data.group_column is None


def test_no_task_stays_no_task_and_a_task_is_spelled_out() -> None:
    assert config().task is None
    assert parse(PrepareConfig, {"data": {"source": "x"}, "task": None}).task is None
    given = parse(PrepareConfig, {"data": {"source": "x"}, "task": {"kind": "classify"}}).as_config()
    assert given["task"]["prompt"] == "{text}"


def test_a_limit_of_null_is_no_limit() -> None:
    assert config(limit=None).data.limit.train is None


def test_there_is_a_schema_for_editors() -> None:
    assert "data" in json_schema(PrepareConfig)["properties"]
