"""From a record to a usable row: the steps in their order, and what they say about themselves."""

from __future__ import annotations

from typing import Any

import pytest

from yibu.core.recipe import parse
from yibu.core.record import Row
from yibu.prepare import PrepareConfig
from yibu.prepare.layout import Layout
from yibu.prepare.refine import Refined, Refiner, Refused, pseudonym
from yibu.readers import Bad, Raw

Record = dict[str, Any]


def refined(record: Record, task: Record | None = None, language: str = "en", **data: Any) -> Refined | Refused:
    config = parse(PrepareConfig, {"data": {"source": "x.jsonl", **data}, "task": task})
    refiner = Refiner(config, Layout(config, [record]), language)
    (found,) = refiner([(None, Raw("x.jsonl", 3, record))], with_examples=True)
    return found


def row(found: Refined | Refused) -> Row:
    assert isinstance(found, Refined), found
    return Row.from_json(found.line)


@pytest.fixture(name="terms")
def _terms(tmp_path: Any) -> str:
    path = tmp_path / "terms.csv"
    path.write_text("variant,preferred,code\n高血压,高血压病,I10\n心梗,急性心肌梗死,I21\n", encoding="utf-8")
    return str(path)


def test_steps_follow_each_other_and_entities_go_along(terms: str) -> None:
    text = "患者\u200b有心梗，  血糖７.２MG/DL。"
    place = text.index("心梗")
    record = {"text": text, "entities": [{"start": place, "end": place + 2, "type": "disease", "text": "心梗"}]}
    found = refined(record, language="zh", clean={"profile": "clinical"}, terms={"dictionary": terms}, units={})
    made = row(found)
    assert made.fields["text"] == "患者有急性心肌梗死， 血糖7.2mg/dL。"
    (entity,) = made.fields["entities"]
    assert made.fields["text"][entity["start"] : entity["end"]] == entity["text"] == "急性心肌梗死"
    assert isinstance(found, Refined)
    assert set(found.changes) == {"clean", "units", "terms"}
    assert found.changes["terms"] == {"replaced": 1}
    assert found.terms == {"急性心肌梗死": 1}
    assert [example.step for example in found.examples] == ["clean", "units", "terms"]
    assert all(example.before != example.after for example in found.examples)


def test_turns_are_normalised_one_by_one(terms: str) -> None:
    record = {"messages": [{"role": "user", "content": "什么是心梗？"}, {"role": "assistant", "content": "心梗是急症"}]}
    made = row(refined(record, terms={"dictionary": terms}))
    assert [turn["content"] for turn in made.fields["messages"]] == ["什么是急性心肌梗死？", "急性心肌梗死是急症"]


def test_what_needs_no_change_is_said_to_have_none() -> None:
    found = refined({"text": "all well", "label": "a"})
    assert isinstance(found, Refined)
    assert (found.changes, found.examples, found.terms) == ({}, [], {})


def test_a_place_without_a_record_is_rejected() -> None:
    config = parse(PrepareConfig, {"data": {"source": "x.jsonl"}})
    refiner = Refiner(config, Layout(config, [{"text": "a", "label": "b"}]), "en")
    found = refiner([("test", Bad("x.jsonl", 9, "broken JSON"))])
    assert found == [Refused("rejected", "broken JSON", "x.jsonl", 9)]


def test_a_short_row_is_left_out_with_its_reason() -> None:
    found = refined({"text": "ok", "label": "a"}, clean={"min_characters": 5})
    assert isinstance(found, Refused)
    assert found.step == "filtered"
    assert "ok" not in found.reason.split()
    assert found.id


def test_rows_with_one_group_share_a_unit_and_others_their_prompt() -> None:
    one = refined({"text": "a b c", "label": "x", "patient": 7}, group="patient")
    other = refined({"text": "d e f", "label": "x", "patient": 7}, group="patient")
    assert isinstance(one, Refined)
    assert isinstance(other, Refined)
    assert one.unit == other.unit
    alone, same = refined({"text": "Same text", "label": "x"}), refined({"text": "same  TEXT.", "label": "y"})
    assert isinstance(alone, Refined)
    assert isinstance(same, Refined)
    assert alone.unit == same.unit
    assert alone.target != same.target


def test_pseudonyms_are_stable_and_tell_nothing() -> None:
    assert pseudonym("patient 7") == pseudonym("patient 7") != pseudonym("patient 8")
    assert "7" not in {pseudonym("patient 7")}
    assert len(pseudonym("x")) == 16


def test_personal_data_is_masked_and_spare_columns_go() -> None:
    record = {"text": "请回电13812345678谢谢", "label": "a", "phone": "13812345678", "patient": "张三"}
    found = refined(record, group="patient", privacy={"mask": ["phone"]})
    made = row(found)
    assert isinstance(found, Refined)
    assert "13812345678" not in found.line
    assert "张三" not in found.line
    assert made.group == pseudonym("张三")
    assert found.changes["privacy"] == {"phone": 1}
    assert all("13812345678" not in example.before + example.after for example in found.examples)
