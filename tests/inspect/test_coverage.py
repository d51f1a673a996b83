"""Coverage: labels by lengths by terms, and the suggestions that follow from them."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from yibu import tasks
from yibu.core.record import SPLITS, Row, Split
from yibu.inspect.coverage import EDGES, TEXTS, CoverageSettings, chapter, say, table
from yibu.terms import Dictionary, TermsSettings

TASK = tasks.build(tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": "{label}"}))
WRITE = tasks.build(tasks.settings_of({"kind": "generate", "prompt": "{text}", "target": "{answer}"}))
Rows = Callable[[], Iterator[tuple[Split, Row]]]


def source(*rows: tuple[Split, str, str], name: str = "label") -> Rows:
    made = [(split, Row(f"r{n}", {"text": text, name: label})) for n, (split, text, label) in enumerate(rows)]
    return lambda: iter(made)


def values(result: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [suggestion["values"] for suggestion in result["suggestions"] if suggestion["key"] == key]


def test_labels_by_length_and_split() -> None:
    rows = source(("train", "a" * 50, "x"), ("train", "a" * 51, "x"), ("test", "a" * 3000, "x"), ("valid", "a", "y"))
    result = table(rows, TASK, None, CoverageSettings(min_rows=2))
    assert result["language"] == "en"
    assert result["edges"] == list(EDGES["en"])
    assert result["splits"] == {"train": 2, "valid": 1, "test": 1}
    assert result["lengths"]["train"][:3] == [1, 1, 0]
    x, y = result["labels"]
    assert (x["label"], x["train"], x["test"], x["missing"]) == ("x", 2, 1, 0)
    assert x["train_lengths"][:2] == [1, 1]
    assert x["test_lengths"][6] == 1
    assert (y["train"], y["valid"], y["missing"]) == (0, 1, 2)
    assert result["rare"] == [{"label": "y", "train": 0, "valid": 1, "test": 0, "missing": 2}]
    assert result["cells"] == [{"label": "x", "low": 2001, "high": 5000, "test": 1}]
    assert result["counts"] == {"labels": 2, "rare": 1, "cells": 1}
    assert result["terms"] is None


def test_chinese_rows_have_shorter_buckets() -> None:
    result = table(source(("train", "患者咳嗽三天，CT 未见异常。", "x")), TASK, None, CoverageSettings())
    assert result["language"] == "zh"
    assert result["edges"] == list(EDGES["zh"])


def test_lengths_that_test_has_and_train_lacks() -> None:
    rows = source(*[("train", "a" * 40, "x")] * 30, *[("test", "a" * 40, "x")] * 3, *[("test", "a" * 700, "x")] * 2)
    result = table(rows, TASK, None, CoverageSettings())
    assert result["gaps"] == [{"low": 501, "high": 1000, "train": 0, "test": 2}]
    assert result["longer"] == {"rows": 2, "train": 40, "test": 700}
    assert values(result, "length") == result["gaps"]
    assert values(result, "longer") == [result["longer"]]
    assert values(result, "cells") == [{"cells": 1, "test": 2, "label": "x", "low": 501, "high": 1000}]


def test_a_length_that_is_rare_in_both_splits_is_no_gap() -> None:
    rows = source(*[("train", "a" * 40, "x")] * 90, *[("train", "a" * 99, "x")] * 9, ("test", "a" * 99, "x"),
                  *[("test", "a" * 40, "x")] * 20)  # fmt: skip
    assert table(rows, TASK, None, CoverageSettings())["gaps"] == []


def test_the_last_bucket_has_a_number_in_its_sentence() -> None:
    result = table(source(("train", "a", "x"), ("test", "a" * 30_000, "x")), TASK, None, CoverageSettings())
    assert result["gaps"][0]["high"] is None
    assert values(result, "length")[0]["high"] == 30_000
    assert "10,001 to 30,000 characters" in " ".join(say(each, "en") for each in result["suggestions"])


def test_labels_that_the_task_names_and_no_row_has() -> None:
    task = tasks.build(tasks.settings_of({"kind": "classify", "labels": ["x", "never"]}))
    result = table(source(*[("train", "a", "x")] * 20), task, None, CoverageSettings())
    assert values(result, "label") == [{"label": "never", "train": 0, "missing": 20, "minimum": 20}]


def test_a_label_that_only_test_has_is_said_first() -> None:
    rows = source(*[("train", "a", "x")] * 19, ("test", "a", "y"), ("test", "a", "x"))
    result = table(rows, TASK, None, CoverageSettings())
    assert [each["key"] for each in result["suggestions"]][:2] == ["label_absent", "label"]
    assert values(result, "label_absent") == [{"label": "y", "test": 1}]
    assert values(result, "label") == [{"label": "x", "train": 19, "missing": 1, "minimum": 20}]


def test_many_rare_labels_are_summed_up() -> None:
    rows = source(*(("train", "a", f"label {n:03d}") for n in range(300)))
    result = table(rows, TASK, None, CoverageSettings())
    assert len(result["labels"]) == len(result["rare"]) == 200
    assert result["counts"]["labels"] == result["counts"]["rare"] == 300
    assert len(values(result, "label")) == 5
    assert values(result, "labels_more") == [{"labels": 295, "minimum": 20, "missing": 295 * 19}]


@pytest.fixture
def dictionary(tmp_path: Any) -> Dictionary:
    lines = ["variant,preferred,code,kind"]
    lines += ["血压高,高血压,I10,disease", "打鼾,睡眠呼吸暂停,G47.3,disease", "肺炎链球菌肺炎,,J13,disease"]
    lines += [f"药名{n:03d}号,,YP{n},drug" for n in range(100)]
    path = tmp_path / "terms.csv"
    path.write_text("\n".join(line.replace(",,", f",{line.split(',')[0]},") for line in lines), encoding="utf-8")
    return Dictionary.load(TermsSettings(dictionary=str(path)))


def test_terms_that_no_train_row_mentions(dictionary: Dictionary) -> None:
    rows = source(("train", "有血压高3年，用药名007号", "x"), ("train", "高血压", "x"), ("test", "夜间打鼾", "x"))
    result = table(rows, TASK, dictionary, CoverageSettings(max_terms=2))
    terms = result["terms"]
    assert (terms["total"], terms["mentioned"], terms["missing"]) == (103, 2, 101)
    groups = {group["group"]: group for group in terms["groups"]}
    assert groups["disease I00-I99"]["missing"] == 0
    assert groups["disease G00-G99"]["first"] == [{"code": "G47.3", "preferred": "睡眠呼吸暂停"}]  # only test has it
    drugs = groups["drug"]
    assert (drugs["total"], drugs["missing"], len(drugs["first"])) == (100, 99, 2)
    assert terms["groups"][0] == drugs  # the most missed first
    assert terms["frequent"][0] == {"code": "I10", "preferred": "高血压", "rows": 2}
    assert values(result, "terms")[0] == {"group": "drug", "missing": 99, "total": 100}


def test_terms_in_a_written_answer_count_as_mentioned(dictionary: Dictionary) -> None:
    rows = source(("train", "what is it", "高血压"), name="answer")
    assert table(rows, WRITE, dictionary, CoverageSettings())["terms"]["mentioned"] == 1


def test_icd_does_not_flood() -> None:
    dictionary = Dictionary.load("icd10cm")
    result = table(source(("train", "Cholera was suspected", "x")), TASK, dictionary, CoverageSettings())
    terms = result["terms"]
    assert terms["total"] > 70_000
    assert terms["mentioned"] >= 1
    assert terms["num_groups"] <= 25
    assert all(len(group["first"]) <= 20 for group in terms["groups"])
    assert len(values(result, "terms")) == 5
    assert values(result, "terms_more")[0]["groups"] == terms["num_groups"] - 5


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("A00", "A00-B99"), ("B99.9", "A00-B99"), ("D48.9", "C00-D48"), ("D50", "D50-D89"), ("H59.9", "H00-H59"),
        ("H60", "H60-H95"), ("J18.900", "J00-J99"), ("T98.3", "S00-T98"), ("V01", "V01-Y98"), ("Z99.9", "Z00-Z99"),
        ("C4A.9", "C00-D48"), ("E11.9x", "E00-E90"), ("D7", None), ("", None), ("12", None), ("高血压", None),
    ],
)  # fmt: skip
def test_chapters_of_icd10(code: str, expected: str | None) -> None:
    assert chapter(code) == expected


def test_no_gap_is_said_too() -> None:
    result = table(source(*[("train", "a", "x")] * 20, ("test", "a", "x")), TASK, None, CoverageSettings())
    assert result["suggestions"] == [{"key": "nothing", "values": {}}]
    assert say(result["suggestions"][0], "en").startswith("No gap")


def test_no_rows_is_no_error() -> None:
    assert table(source(), TASK, None, CoverageSettings())["splits"] == {"train": 0, "valid": 0, "test": 0}


def test_both_languages_say_the_same_numbers() -> None:
    for key, (english, chinese) in TEXTS.items():
        names = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, chinese)]
        assert names[0] == names[1], key
        suggestion = {"key": key, "values": {name: 1234 for name in names[0]}}
        assert say(suggestion, "en") != say(suggestion, "zh")
        assert say(suggestion, "zh").count("1,234") == say(suggestion, "en").count("1,234") == len(names[0])


@pytest.mark.parametrize("edges", [(), (0, 5), (5, 5), (9, 3)])
def test_edges_must_rise(edges: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="edges must be positive and rise"):
        CoverageSettings(edges=edges)


@given(
    st.lists(st.tuples(st.sampled_from(SPLITS), st.integers(0, 60), st.sampled_from("xyz")), max_size=40),
    st.lists(st.integers(1, 50), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_every_row_is_counted_once(rows: list[tuple[Split, int, str]], edges: list[int]) -> None:
    made = source(*((split, "a" * length, label) for split, length, label in rows))
    result = table(made, TASK, None, CoverageSettings(edges=tuple(edges)))
    for split in SPLITS:
        of_split = [length for one, length, _ in rows if one == split]
        assert sum(result["lengths"][split]) == len(of_split) == sum(row[split] for row in result["labels"])
        borders = [0, *edges, 10**9]
        for place, counted in enumerate(result["lengths"][split]):
            low = borders[place] if place else -1
            assert counted == sum(low < length <= borders[place + 1] for length in of_split)
    assert sum(sum(row["train_lengths"]) for row in result["labels"]) == result["splits"]["train"]
