"""Dictionary synonyms: another spelling of the same entry, whole entities included."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from yibu import augmenters
from yibu.core.edits import Edit, edit_field
from yibu.core.errors import YibuError

TERMS = [
    {"variants": ["高血压病", "原发性高血压", "hypertension"], "preferred": "高血压"},
    {"variants": ["heart attack"], "preferred": "myocardial infarction"},
]


@pytest.fixture(name="build")
def _build(tmp_path: Path) -> Any:
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(TERMS, ensure_ascii=False), encoding="utf-8")
    return lambda **table: augmenters.build(
        augmenters.settings_of({"kind": "synonyms", "dictionary": str(path), "rate": 1, **table})
    )


def test_a_term_becomes_another_spelling_beside_digits_too(build: Any) -> None:
    made = build()
    assert {edit.new for edit in made.options("患高血压3级")} == {"高血压病", "原发性高血压"}
    assert {(edit.start, edit.end) for edit in made.options("患高血压3级")} == {(1, 4)}
    assert made.edits("没有这种词", random.Random(0)) == []


def test_scripts_are_not_mixed_unless_wanted(build: Any) -> None:
    assert "hypertension" in {edit.new for edit in build(same_script=False).options("高血压")}


def test_capitals_are_kept(build: Any) -> None:
    assert build().options("Heart attack in 2019") == [Edit(0, 12, "Myocardial infarction")]


def test_an_entity_is_replaced_as_a_whole_or_not_at_all(build: Any) -> None:
    text = "诊断：高血压病。"
    fields = {"text": text, "entities": [{"start": 3, "end": 7, "type": "病", "text": "高血压病"}]}
    edits = build().edits(text, random.Random(0), [(3, 7)])
    made = edit_field(fields, "text", edits)
    assert made["entities"][0]["text"] in ("高血压", "原发性高血压")
    assert build(entities=False).edits(text, random.Random(0), [(3, 7)]) == []
    assert build().edits(text, random.Random(0), [(3, 5)]) == []  # the term reaches over the entity's border


def test_a_missing_dictionary_is_told(tmp_path: Path) -> None:
    with pytest.raises(YibuError, match=r"none\.csv"):
        augmenters.build(augmenters.settings_of({"kind": "synonyms", "dictionary": str(tmp_path / "none.csv")}))
    with pytest.raises(ValueError, match="dictionary"):
        augmenters.settings_of({"kind": "synonyms"})
