"""Paraphrase by templates: same polarity, same values, the most specific phrase first."""

from __future__ import annotations

import random
from typing import Any

import pytest

from yibu import augmenters
from yibu.augmenters._meaning import negations, numbers
from yibu.augmenters._phrases import PHRASES, Group
from yibu.core.edits import apply, edit_field

GROUPS = [group for groups in PHRASES.values() for group in groups]


def said(text: str, **table: Any) -> set[str]:
    """All that a text becomes in 60 draws."""
    made: Any = augmenters.build(augmenters.settings_of({"kind": "templates", "rate": 1, **table}))
    return {apply(text, made.edits(text, random.Random(seed))) for seed in range(60)}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.find[0])
def test_the_phrases_of_a_group_say_the_same(group: Group) -> None:
    phrases = (*group.find, *group.only_into)
    assert len(set(phrases)) == len(phrases) > 1
    assert all(phrase.count("{x}") == 1 for phrase in phrases)
    assert len({len(negations(phrase)) for phrase in phrases}) == 1
    assert not any(numbers(phrase) for phrase in phrases)


def test_the_values_and_names_in_the_gap_are_untouched() -> None:
    text = "Patient denies pain of 7/10 after 2.5 mg of Xanax, due to surgery on 2024-01-05."
    for other in said(text):
        assert numbers(other) == numbers(text)
        assert len(negations(other)) == 1
        assert "pain of 7/10 after 2.5 mg of Xanax" in other


def test_the_most_specific_phrase_is_replaced_as_a_whole() -> None:
    found = said("The patient denies fever")
    assert "No fever" in found
    assert not any(other.lower().startswith("the patient no") for other in found)


def test_chinese() -> None:
    found = said("患者否认高血压病史")
    assert "无高血压病史" in found
    assert all(len(negations(other)) == 1 and other.endswith("高血压病史") for other in found)
    assert "因“反复咳嗽3天”住院" in said("因“反复咳嗽3天”入院")
    assert all("《民法典》第1165条" in other for other in said("根据《民法典》第1165条规定，应当承担责任"))


def test_a_clause_is_no_gap() -> None:
    assert said("Patient denies that he was there") == {"Patient denies that he was there"}


def test_entities_in_the_gap_follow() -> None:
    text = "因肺炎3天入院"
    fields = {"text": text, "entities": [{"start": 1, "end": 3, "type": "病", "text": "肺炎"}]}
    made: Any = augmenters.build(augmenters.settings_of({"kind": "templates", "rate": 1}))
    edits = made.edits(text, random.Random(1), [(1, 3)])
    assert edits
    entity = edit_field(fields, "text", edits)["entities"][0]
    assert entity["text"] == "肺炎"


def test_words_of_an_entity_are_not_replaced() -> None:
    made: Any = augmenters.build(augmenters.settings_of({"kind": "templates", "rate": 1}))
    assert made.edits("因肺炎入院", random.Random(0), [(0, 5)]) == []


def test_own_groups() -> None:
    groups = [["top up {x}", "add money to {x}"]]
    assert "How to add money to my card" in said("How to top up my card", groups=groups, fields=[])


@pytest.mark.parametrize(
    "group", [["one {x}"], ["a {x}", "b"], ["is {x}", "is not {x}"], ["{x}", "a {x}"], ["a {x} {x}", "b {x}"]]
)
def test_groups_that_do_not_say_the_same_are_refused(group: list[str]) -> None:
    with pytest.raises(ValueError, match=r"group|phrase|must"):
        augmenters.settings_of({"kind": "templates", "groups": [group]})
