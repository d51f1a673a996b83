"""Each published format becomes what lm-evaluation-harness would ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import DataError
from yibu.retain import RetainSettings, SetSettings
from yibu.retain.sets import Item, read


def written(folder: Path, *records: Any, name: str = "set.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return str(path)


def one(folder: Path, kind: str, record: dict[str, Any], **more: Any) -> Item:
    (item,) = read(SetSettings(kind=kind, path=written(folder, record), shots=0, **more))
    return item


def test_arc_as_published_and_as_copied_by_llm_foundry(tmp_path: Path) -> None:
    published = {"question": "Why?", "choices": {"text": ["a", "bb"], "label": ["A", "B"]}, "answerKey": "B"}
    copied = {"query": "Question: Why?", "choices": ["a", "bb"], "gold": 1}
    items = [one(tmp_path, "choices", record) for record in (published, copied)]
    assert items[0] == items[1]
    assert items[0].contexts == ("Question: Why?\nAnswer:",) * 2
    assert items[0].continuations == (" a", " bb")
    assert items[0].gold == 1


def test_piqa(tmp_path: Path) -> None:
    published = {"goal": "Boil", "sol1": "x", "sol2": "y", "label": 0}
    copied = {"query": "Question: Boil\n", "choices": ["x", "y"], "gold": 0}
    assert one(tmp_path, "choices", published) == one(tmp_path, "choices", copied)


def test_winogrande_scores_the_end_after_either_name(tmp_path: Path) -> None:
    published = {"sentence": "A met B so _ ran.", "option1": "A", "option2": "B", "answer": "2"}
    copied = {"context_options": ["A met B so A", "A met B so B"], "continuation": "ran.", "gold": 1}
    item = one(tmp_path, "choices", copied)
    assert item == one(tmp_path, "choices", published)
    assert item.contexts == ("A met B so A", "A met B so B")
    assert item.continuations == (" ran.", " ran.")


def test_cmmlu_is_csv_and_its_choices_are_letters(tmp_path: Path) -> None:
    path = tmp_path / "law.csv"
    path.write_text("﻿,Question,A,B,C,D,Answer\n0, 谁？ ,甲,乙,丙,丁,C\n", encoding="utf-8")
    (item,) = read(SetSettings(kind="choices", path=str(path)))
    assert item.contexts[0] == "谁？\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案："
    assert item.continuations == (" A", " B", " C", " D")
    assert item.gold == 2


def test_what_stands_between_can_be_set(tmp_path: Path) -> None:
    item = one(tmp_path, "choices", {"query": "甲乙", "choices": ["丙", "丁"], "gold": 0}, between="：")
    assert (item.contexts[0], item.continuations) == ("甲乙：", ("丙", "丁"))


def test_lambada_asks_for_the_last_word(tmp_path: Path) -> None:
    item = one(tmp_path, "cloze", {"text": "he took his hat"})
    assert (item.text, item.target) == ("he took his", " hat")


def test_gsm8k_keeps_the_shown_problems_in_front(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}", "answer": f"so\n#### {n},000"} for n in range(12)]
    items = read(SetSettings(kind="problems", path=written(tmp_path, *rows), shots=2, limit=5))
    assert [item.text for item in items] == ["q0", "q1", "q2", "q4", "q6", "q8", "q10"]
    assert items[3].target == "4,000"
    copied = one(tmp_path, "problems", {"context": "q", "chain_of_thought": "so", "answer": "4"})
    assert copied.solution == "so\n#### 4"


def test_blimp_groups_by_paradigm(tmp_path: Path) -> None:
    record = {"sentence_good": "He ran.", "sentence_bad": "He run.", "UID": "agreement", "pairID": "7"}
    item = one(tmp_path, "pairs", record)
    assert (item.id, item.group) == ("agreement-7", "agreement")
    assert (item.continuations, item.choices) == ((" He ran.", " He run."), ("He ran.", "He run."))


def test_articles_of_wikitext_are_documents_and_other_texts_are_one(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    path.write_text(" \n = One = \n \n text\n = = Part = = \n more\n = Two = \n end\n", encoding="utf-8")
    items = read(SetSettings(kind="corpus", path=str(path)))
    assert [item.text.splitlines()[0] for item in items] == [" = One = ", " = Two = "]
    path.write_text("one\n\ntwo\n", encoding="utf-8")
    assert len(read(SetSettings(kind="corpus", path=str(path)))) == 1


def test_requests_come_as_messages_or_prompts(tmp_path: Path) -> None:
    assert one(tmp_path, "refusals", {"prompt": "x"}).messages == ({"role": "user", "content": "x"},)
    assert one(tmp_path, "refusals", {"messages": [{"role": "user", "content": "y"}]}).messages[0]["content"] == "y"


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("pairs", {"sentence_good": "a"}),
        ("choices", {"query": "q", "choices": ["a", "b"], "gold": 2}),
        ("choices", {"query": "q", "choices": [1, 2], "gold": 0}),
        ("cloze", {"text": "word"}),
        ("corpus", {"body": "secret words"}),
        ("refusals", {"messages": [{"role": "user"}]}),
    ],
)
def test_a_row_of_another_kind_is_named_by_its_line_and_not_by_its_text(
    tmp_path: Path, kind: str, record: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="row 1 is no item") as caught:
        one(tmp_path, kind, record)
    assert "secret" not in str(caught.value)


def test_missing_empty_and_broken_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no file"):
        read(SetSettings(kind="pairs", path=str(tmp_path / "no.jsonl")))
    with pytest.raises(DataError, match="has no items"):
        read(SetSettings(kind="pairs", path=written(tmp_path)))
    (tmp_path / "bad.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not JSON"):
        read(SetSettings(kind="pairs", path=str(tmp_path / "bad.jsonl")))
    with pytest.raises(DataError, match="no table"):
        read(SetSettings(kind="pairs", path=written(tmp_path, [1])))


def test_names_are_distinct_and_plain() -> None:
    assert SetSettings(kind="pairs", path="a/blimp.first.jsonl").name == "blimp"
    with pytest.raises(ValueError, match="two sets have one name"):
        RetainSettings(sets=({"kind": "pairs", "path": "a.jsonl"}, {"kind": "cloze", "path": "b/a.jsonl"}))
    with pytest.raises(ValueError, match="letters, digits"):
        RetainSettings(sets=({"kind": "pairs", "path": "a.jsonl", "name": "../a"},))
