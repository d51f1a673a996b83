"""Values, denials and sides in English and Chinese, by hand: what is read, and what only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.metrics.facts import Side, Value, content_words, denied_spans, denied_words, sides, spoken_numbers, values

WORDS = ["one", "two", "twenty", "hundred", "thousand", "and", "十", "百", "二", "点", "万", "nineteen", "x"]


class TestValues:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("Metformin 500 mg, BP 120/80 mmHg", {("500", "mg"), ("120", ""), ("80", "mm[Hg]")}),
            ("二甲双胍0.50 克，体温37.5℃", {("0.5", "g"), ("37.5", "Cel")}),
            ("0.5g每日三次", {("0.5", "g")}),
            ("血小板250×10^9/L", {("250", "10*9/L")}),
            ("1. Hypertension.\n2. Fatigue.", set()),
            ("", set()),
        ],
    )
    def test_by_hand(self, text: str, found: set[tuple[str, str]]) -> None:
        assert values(text) == {Value(*one) for one in found}


class TestSpokenNumbers:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("she is twenty-five", "25"),
            ("three hundred and fifty two", "352"),
            ("born in nineteen eighty three", "1983"),
            ("in two thousand and eight", "2008"),
            ("one fifty over ninety", "150"),
            ("the twenty ninth of July", "29"),
            ("the twenty ninth of July", "7"),
            ("twice a day", "2"),
            ("in her forties", "40"),
            ("三十七点五度", "37.5"),
            ("一百二十", "120"),
            ("二零二四年", "2024"),
            ("十二万元", "120000"),
            ("半片", "0.5"),
        ],
    )
    def test_by_hand(self, text: str, number: str) -> None:
        assert number in spoken_numbers(text)

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(WORDS)))
    def test_never_fails(self, words: list[str]) -> None:
        assert all(float(number) >= 0 for number in spoken_numbers(" ".join(words)) | spoken_numbers("".join(words)))


def denied(text: str) -> list[str]:
    return [text[start:end].strip(" ，。.,") for start, end in denied_spans(text)]


class TestDenials:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("Denies chest pain, fever, or cough but has nausea.", ["chest pain, fever, or cough"]),
            ("No known allergies. Takes aspirin.", ["known allergies"]),
            ("HBsAg negative, HCV positive.", ["HBsAg"]),
            ("She hasn't any pain", ["any pain"]),
            ("A negative pregnancy test.", ["pregnancy test"]),
            ("No change in weight; no longer smokes. Gram-negative rods.", []),
            ("无发热、咳嗽，头痛3天。", ["发热、咳嗽"]),
            ("否认高血压、糖尿病病史，有手术史", ["高血压、糖尿病病史"]),
            ("幽门螺杆菌阴性", ["幽门螺杆菌"]),
            ("双下肢无力，非甾体药物过敏，未婚", []),
            ("Weight 37.5 kg", []),
        ],
    )
    def test_by_hand(self, text: str, found: list[str]) -> None:
        assert denied(text) == found

    def test_words(self) -> None:
        assert denied_words("Patient denies any history of fevers or chest pain.") == {"fever", "chest", "pain"}
        assert denied_words("无明显发热、咳嗽") == {"发热", "咳嗽"}
        assert content_words("the of and") == set()


class TestSides:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("left knee and right lower lobe", {("left", "knee"), ("right", "lower lobe")}),
            ("left-sided weakness, bilateral hips", {("left", "weak"), ("both", "hip")}),
            ("He left the hospital right away; right now he is fine.", set()),
            ("左膝关节疼痛，右肺上叶结节", {("left", "膝"), ("right", "肺")}),
            ("双侧瞳孔等大", {("both", "瞳")}),
            ("左下肢水肿", {("left", "下肢")}),
            ("二甲双胍、左氧氟沙星，100左右", set()),
        ],
    )
    def test_by_hand(self, text: str, found: set[tuple[str, str]]) -> None:
        assert sides(text) == {Side(*one) for one in found}


@settings(deadline=None)
@given(st.text("ab 无左双,.，。1mg二no ", max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    values(text)
    sides(text)
    assert all(0 <= start <= end <= len(text) for start, end in denied_spans(text))
    assert denied_words(text) <= content_words(text) | denied_words(text)


def test_a_long_text_does_not_take_long() -> None:
    text = "no pain, " * 20_000
    assert len(denied_spans(text)) == 20_000
