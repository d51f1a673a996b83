"""Tags a token become spans whose offsets agree with the joined text, in every usual scheme."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.shapes.ner_tags import to_fields


def _found(tokens: list[str], tags: list[str]) -> list[tuple[str, str]]:
    fields = to_fields({"tokens": tokens, "ner_tags": tags})
    return [(entity["text"], entity["type"]) for entity in fields["entities"]]


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O B-LOC",
        "I-PER I-PER O I-LOC",
        "B-PER E-PER O S-LOC",
        "B-PER L-PER O U-LOC",
        "B_PER M_PER O B_LOC",
    ],
)
def test_schemes(tags: str) -> None:
    assert _found(["Ada", "Lovelace", "in", "London"], tags.split()) == [("Ada Lovelace", "PER"), ("London", "LOC")]


def test_neighbouring_entities_are_kept_apart() -> None:
    assert _found(["a", "b"], ["B-X", "B-X"]) == [("a", "X"), ("b", "X")]
    assert _found(["a", "b"], ["B-X", "I-Y"]) == [("a", "X"), ("b", "Y")]
    assert _found(["a", "b"], ["S-X", "I-X"]) == [("a", "X"), ("b", "X")]
    assert _found(["a", "b", "c"], ["B-X", "O", "I-X"]) == [("a", "X"), ("c", "X")]


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["The", "heart", "."], "The heart ."),
        (list("血压150mmHg偏高了吗"), "血压150mmHg偏高了吗"),
        (["患者", "服用", "aspirin", "tablet", "三天"], "患者服用aspirin tablet三天"),
    ],
)
def test_tokens_are_joined_as_their_script_wants(tokens: list[str], text: str) -> None:
    assert to_fields({"tokens": tokens, "ner_tags": ["O"] * len(tokens)}) == {"text": text, "entities": []}


TOKENS = st.lists(st.text("abcXYZ血压高1%", min_size=1, max_size=4), min_size=1, max_size=12)
TAGS = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B", "S-A", "E-A"])


@given(tokens=TOKENS, data=st.data())
def test_offsets_agree_with_the_text(tokens: list[str], data: st.DataObject) -> None:
    tags = data.draw(st.lists(TAGS, min_size=len(tokens), max_size=len(tokens)))
    fields = to_fields({"tokens": tokens, "ner_tags": tags})
    assert fields["text"].replace(" ", "") == "".join(tokens)
    end = 0
    tagged = "".join(token for token, tag in zip(tokens, tags, strict=True) if tag != "O")
    assert "".join(entity["text"].replace(" ", "") for entity in fields["entities"]) == tagged
    for entity in fields["entities"]:
        assert fields["text"][entity["start"] : entity["end"]] == entity["text"]
        assert entity["start"] >= end
        end = entity["end"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"tokens": ["a"]}, "missing field: ner_tags"),
        ({"ner_tags": ["O"]}, "missing field: tokens"),
        ({"tokens": [], "ner_tags": []}, "empty prompt"),
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "2 tokens but 1 tags"),
        ({"tokens": ["a", ""], "ner_tags": ["O", "O"]}, "empty or no text"),
        ({"tokens": ["a"], "ner_tags": [1]}, "labels.txt"),
        ({"tokens": ["a"], "ner_tags": ["Person"]}, "neither O nor like B-PER"),
    ],
)
def test_bad_rows(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_fields(record)
