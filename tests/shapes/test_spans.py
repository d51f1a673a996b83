"""Character spans under all their names, checked against the text."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.shapes.spans import to_fields

TEXT = "糖尿病 treated with metformin"
FIRST = {"start": 0, "end": 3, "type": "Disease", "text": "糖尿病"}
SECOND = {"start": 17, "end": 26, "type": "Drug", "text": "metformin"}


@pytest.mark.parametrize(
    "record",
    [
        {"text": TEXT, "entities": [FIRST, SECOND]},
        {"text": TEXT, "entities": [SECOND, FIRST]},
        {
            "text": TEXT,
            "spans": [{"start": 0, "end": 3, "label": "Disease"}, {"start": 17, "end": 26, "label": "Drug"}],
        },
        {"text": TEXT, "label": [[0, 3, "Disease"], [17, 26, "Drug"]]},
        {"text": TEXT, "entities": [[0, 3, "Disease"], [17, 26, "Drug"]]},
        {
            "full_text": TEXT,
            "spans": [
                {"entity_type": "Drug", "entity_value": "metformin", "start_position": 17, "end_position": 26},
                {"entity_type": "Disease", "entity_value": "糖尿病", "start_position": 0, "end_position": 3},
            ],
        },
        {
            "text": TEXT,
            "entities": [
                {"start_idx": 0, "end_idx": 2, "type": "Disease", "entity": "糖尿病"},
                {"start_idx": 17, "end_idx": 25, "type": "Drug", "entity": "metformin"},
            ],
        },
    ],
)
def test_each_dialect_gives_the_same_fields(record: dict[str, Any]) -> None:
    assert to_fields(record) == {"text": TEXT, "entities": [FIRST, SECOND]}


def test_ids_and_relations_are_kept() -> None:
    relations = [{"type": "treats", "head": "D2", "tail": "D1"}]
    record = {"text": TEXT, "entities": [FIRST | {"id": "D1"}], "relations": relations}
    assert to_fields(record) == {"text": TEXT, "entities": [FIRST | {"id": "D1"}], "relations": relations}


def test_a_text_without_entities() -> None:
    assert to_fields({"text": TEXT, "entities": []}) == {"text": TEXT, "entities": []}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"end": 300, "text": None}, "entity 1 lies outside the text"),
        ({"start": -3, "end": -1, "text": None}, "entity 1 lies outside the text"),
        ({"start": 2, "end": 2, "text": None}, "entity 1 lies outside the text"),
        ({"start": 1}, "entity 1 is not what stands at its offsets"),
        ({"text": "高血压"}, "entity 1 is not what stands at its offsets"),
        ({"start": "0"}, "lacks a start, end or type"),
        ({"start": True}, "lacks a start, end or type"),
        ({"type": ""}, "lacks a start, end or type"),
        ({"end": None}, "lacks a start, end or type"),
    ],
)
def test_bad_spans(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        to_fields({"text": TEXT, "entities": [FIRST | change]})
    assert "糖尿病" not in str(caught.value)


@pytest.mark.parametrize(
    "record", [{"text": TEXT}, {"text": TEXT, "entities": "none"}, {"entities": [FIRST]}, {"text": TEXT, "spans": [1]}]
)
def test_no_list_of_spans(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="missing field: entities"):
        to_fields(record)
