"""Cleaning: what must go goes, what carries a value stays."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.prepare.clean import PROFILES, Cleaner, Profile, clinical, plain, strict

VALUES = [
    "37.5", "-0.3", "≥5", "≤0.01", "<5", ">100", "℃", "1:64", "10^9/L", "10⁹/L", "×10^12", "5%", "3.5-4.2", "120/80",
    "±2", "µg", "μg/mL", "mmol/L", "p<0.05", "(+)", "(-)", "2+", "++", "C-reactive", "HbA1c", "0.9‰", "№3", "½", "Å",
    "T4N1M0", "3～5", "¥1,200.50", "T(max)=38.2", "q8h", "#3", "*", "→", "γ-GT", "CD4+", "0,5", "A/G", "1.5×",
]  # fmt: skip
WORDS = ["fever", "体温", "血红蛋白", "was", "，", "。", "：", "；", "（", "）", "and", "、", "!", "?", '"']


@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=8), st.data())
def test_clinical_keeps_every_value(values: list[str], data: st.DataObject) -> None:
    gaps = [data.draw(st.sampled_from([" ", "  ", "\t", "\n", "\u3000", "\u200b ", " \ufeff"])) for _ in values]
    words = [data.draw(st.sampled_from(WORDS)) for _ in values]
    text = "".join(f"{word} {value}{gap}" for word, value, gap in zip(words, values, gaps, strict=True))
    assert clinical(text).split() == [part for pair in zip(words, values, strict=True) for part in pair]


@given(st.text(alphabet="0123456789.,:/^%ab ≥−+\n"))
def test_clinical_changes_no_number(text: str) -> None:
    number = re.compile(r"\d+(?:[.,:/^]\d+)*%?")
    assert number.findall(clinical(text)) == number.findall(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("体温３７．５℃，心率１００次／分。", "体温37.5℃，心率100次／分。"),
        ("血压１２０／８０", "血压120/80"),
        ("滴度１：６４", "滴度1:64"),
        ("主诉：发热３天", "主诉：发热3天"),
        ("饱和度９８％", "饱和度98%"),
        ("＞１００，－0.3", ">100，-0.3"),
        ("base excess −0.3", "base excess -0.3"),
        ("ＷＢＣ　10^9/L", "WBC 10^9/L"),
        ("a − b", "a − b"),
        ("Name: ______\n=========\nPlan", "Name: ___\n===\nPlan"),
        ("a\n\n\n\n  b", "a\n\nb"),
        ("Rh- 2+ ++", "Rh- 2+ ++"),
    ],
)
def test_clinical_examples(text: str, expected: str) -> None:
    assert clinical(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \t b\u00a0\u3000c ", "a b c"),
        ("a \r\nb\rc\u2028d\n", "a\nb\nc\nd"),
        ("if x:\n    return  1", "if x:\n    return 1"),
        ("a\x00\x07\x1b[0mb", "a[0mb"),
        ("a\u200bb\u200dc\ufeffd\u00ade\u202ef\u2066g", "abcdefg"),
        ("half \ud83d emoji", "half emoji"),
        ("e\u0301te\u0301", "été"),
        ("37.5℃ ≥ -0.3，10⁹", "37.5℃ ≥ -0.3，10⁹"),
        ("👩\u200d⚕\ufe0f می\u200cخواهم", "👩\u200d⚕\ufe0f می\u200cخواهم"),
    ],
)
def test_plain_examples(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize("clean", [plain, clinical])
@given(text=st.text(alphabet=st.characters(codec=None) | st.sampled_from(" \n\t-－−．５\u200d\u3000=_")))
def test_cleaning_twice_is_cleaning_once(clean: Any, text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    once.encode()  # no half of a surrogate pair is left


@given(st.lists(st.text(alphabet="ab ", min_size=1).filter(str.strip), min_size=1))
def test_plain_keeps_lines(lines: list[str]) -> None:
    assert plain("\n".join(lines)).count("\n") == len(lines) - 1


@given(st.text())
def test_strict_is_the_function_of_the_guide(text: str) -> None:
    guide = re.sub(r"[^\w\s\u4e00-\u9fff]", "", re.sub(r"\s+", " ", text)).strip()
    assert strict(text) == guide


def test_strict_loses_the_decimal_point() -> None:
    assert strict("体温 37.5℃，\n正常。") == "体温 375 正常"


def test_only_named_fields_are_cleaned_and_changes_are_counted() -> None:
    cleaner = Cleaner("strict")
    row = {"text": "a-b  c", "label": "A-1", "n": 3}
    assert cleaner.fields(row, ("text", "n", "absent")) == {"text": "ab c", "label": "A-1", "n": 3}
    assert row["text"] == "a-b  c"
    cleaner.fields({"text": "clean", "label": "B-2"}, ("text",))
    assert (cleaner.rows_changed, cleaner.characters_removed) == (1, 2)


def test_turns_of_a_conversation_are_cleaned() -> None:
    turns = [{"role": "user", "content": " a  b "}, {"role": "assistant", "content": "c", "name": " x "}]
    cleaned = Cleaner("plain").fields({"messages": turns}, ("messages",))["messages"]
    assert cleaned == [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c", "name": " x "}]


@pytest.mark.parametrize("profile", list(PROFILES))
@given(data=st.data())
def test_offsets_of_entities_follow_their_text(profile: Profile, data: st.DataObject) -> None:
    pieces = data.draw(
        st.lists(st.sampled_from(["aspirin", " ", "  ", "\n", "\u200b", "５mg", "，", "fever"]), min_size=1)
    )
    text = "".join(pieces)
    found = [{"start": hit.start(), "end": hit.end(), "type": "x"} for hit in re.finditer("aspirin|fever", text)]
    fields = Cleaner(profile).fields({"text": text, "entities": found}, ("text", "entities"))
    spans = [fields["text"][span["start"] : span["end"]] for span in fields["entities"]]
    assert spans == re.findall("aspirin|fever", text)


def test_an_entity_that_cleaning_removes_loses_the_row() -> None:
    fields = {"text": "a (+) b", "entities": [{"start": 2, "end": 5, "type": "sign", "text": "(+)"}]}
    with pytest.raises(ValueError, match="lost by cleaning"):
        Cleaner("strict").fields(fields, ("text", "entities"))


def test_the_stated_text_of_an_entity_is_cleaned_with_it() -> None:
    fields = {"text": "on ５ mg", "entities": [{"start": 3, "end": 7, "type": "dose", "text": "５ mg"}]}
    assert Cleaner("clinical").fields(fields, ("text", "entities"))["entities"][0]["text"] == "5 mg"
