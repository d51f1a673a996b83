"""One contract for every shape: one example of each, recognised, canonical, and strict about what is missing."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from yibu.shapes import FAMILY, detect

EXAMPLES: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "a", "output": "c"},
    "messages": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "ner_tags": {"tokens": ["a", "b"], "ner_tags": ["O", "B-X"]},
    "prompt_completion": {"prompt": "a", "completion": "b"},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "spans": {"text": "a b", "entities": [{"start": 0, "end": 1, "type": "X"}]},
    "text": {"text": "a"},
    "text_label": {"text": "a", "label": "b"},
}
CANONICAL = {
    frozenset({"messages"}),
    frozenset({"prompt", "completion"}),
    frozenset({"text"}),
    frozenset({"text", "label"}),
    frozenset({"text", "entities"}),
}


def test_the_shapes_are_these() -> None:
    assert FAMILY.names() == sorted([*EXAMPLES, "fields"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_shape_recognises_its_rows_and_no_others(name: str) -> None:
    assert detect([EXAMPLES[name]]) == name
    fitting = [other for other, record in EXAMPLES.items() if FAMILY.load(name).fits([record])]
    # Plain text fits whatever has a column of that name; its rank lets the others go before it.
    assert fitting == [name] or name == "text"


@pytest.mark.parametrize("name", EXAMPLES)
def test_fields_are_canonical_and_the_record_is_left_alone(name: str) -> None:
    record = copy.deepcopy(EXAMPLES[name])
    fields = FAMILY.load(name).to_fields(record)
    assert frozenset(fields) in CANONICAL
    assert record == EXAMPLES[name]
    assert json.loads(json.dumps(fields)) == fields


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_missing_or_empty_column_is_a_bad_row(name: str) -> None:
    to_fields = FAMILY.load(name).to_fields
    for column in EXAMPLES[name]:
        for value in (None, "", [], {}):
            if name == "spans" and (column, value) == ("entities", []):
                continue  # a text without entities
            with pytest.raises(ValueError, match=r"\w+"):
                to_fields(EXAMPLES[name] | {column: value})
        with pytest.raises(ValueError, match="missing field"):
            to_fields({other: EXAMPLES[name][other] for other in EXAMPLES[name] if other != column})


@pytest.mark.parametrize("name", [*EXAMPLES, "fields"])
def test_an_empty_record_is_a_bad_row(name: str) -> None:
    with pytest.raises(ValueError, match=r"missing field|empty row"):
        FAMILY.load(name).to_fields({})


@pytest.mark.parametrize("name", [*EXAMPLES, "fields"])
def test_columns_and_rank_are_stated(name: str) -> None:
    plug = FAMILY.load(name)
    assert plug.COLUMNS
    assert isinstance(plug.RANK, int)
