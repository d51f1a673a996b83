"""Noise by kind: what each mistakes for what, and what it must never say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypinyin import Style, lazy_pinyin

from yibu import augmenters
from yibu.augmenters._characters import CHARACTERS
from yibu.augmenters._meaning import GRAVE, guarded, is_negated, negations, numbers, values
from yibu.augmenters._noise import choose, num_changes
from yibu.augmenters._shapes import ALIKE
from yibu.augmenters.keyboard import BESIDE
from yibu.core.edits import Edit, apply


def options(kind: str, text: str, **table: Any) -> dict[str, list[str]]:
    """What may become of what."""
    found: dict[str, list[str]] = {}
    for edit in augmenters.build(augmenters.settings_of({"kind": kind, **table})).options(text):  # type: ignore[union-attr]
        found.setdefault(text[edit.start : edit.end], []).append(edit.new)
    return found


def plain(character: str) -> str:
    return lazy_pinyin(character, style=Style.NORMAL)[0]


def test_homophones_are_read_as_the_character_is_read_here() -> None:
    found = options("homophones", "银行的行长", tone="same")
    assert {plain(new) for new in found["银"]} == {"yin"}
    read = {plain(new) for new in found["行"]}
    assert "hang" in read
    assert "xing" not in read  # 行 alone is read xing


def test_the_same_tone_and_the_frequent_ones_come_first() -> None:
    (news,) = options("homophones", "是").values()
    tones = [lazy_pinyin(new, style=Style.TONE3)[0] for new in news]
    assert tones[:4] == ["shi4"] * 4
    ranks = [CHARACTERS.index(new) for new in news[:4]]
    assert ranks == sorted(ranks)
    assert all(CHARACTERS.index(new) < 100 for new in options("homophones", "是", common=100)["是"])


def test_homophones_and_glyphs_leave_english_alone() -> None:
    assert options("homophones", "The card has not arrived") == {}
    assert options("glyphs", "The card has not arrived") == {}


def test_look_alikes_are_those_that_people_mistake() -> None:
    for one, other in ("己已", "土士", "货贷", "日目", "大犬", "治冶", "侯候", "未末", "人入"):
        assert other in ALIKE[one] or one in ALIKE[other]
    assert all(character not in alike and len(alike) <= 4 for character, alike in ALIKE.items())
    assert len(CHARACTERS) == len(set(CHARACTERS)) == 3755


def test_no_noise_makes_a_negation_a_number_or_a_grave_word() -> None:
    assert "未" not in options("glyphs", "期末考试")["末"]
    assert "未" in options("glyphs", "期末考试", keep=[])["末"]
    assert "十" not in options("glyphs", "干活").get("干", [])
    for grave in GRAVE:
        assert all(grave not in news for text in ("痛疼", "瓶病亡", "四") for news in options("glyphs", text).values())
    assert "not" not in [apply("now", [Edit(2, 3, new)]) for new in options("keyboard", "now").get("w", [])]


def test_recognition_mistakes() -> None:
    found = options("ocr", "modern clinic loan")
    assert "m" in found["rn"]
    assert "d" in found["cl"]
    assert "rn" in found["m"]
    assert "4" in found["a"]  # between letters nobody reads it as a value
    assert options("ocr", "O 5 mg")["O"] == ["Q", "D"]  # no 0: alone it would be one
    assert options("ocr", "100", keep=[])["0"][:1] == ["O"]
    assert options("ocr", "100") == {}
    assert "日月" in options("ocr", "明天")["明"]


def test_keys_lie_where_they_lie() -> None:
    assert set(BESIDE["s"]) == set("awedzx")
    assert set(BESIDE["p"]) == set("ol")
    assert all(key in BESIDE[near] for key, group in BESIDE.items() for near in group)
    found = options("keyboard", "Card")
    assert {"X", "V"} <= set(found["C"])
    assert "" not in found["C"]
    assert "" in found["a"]
    assert "ra" in found["ar"]


def test_pinyin_slips() -> None:
    assert {plain(new) for new in options("keyboard", "是")["是"]} >= {"si", "shu"}
    assert "lan" in {plain(new) for new in options("keyboard", "男")["男"]}
    assert options("keyboard", "是", pinyin=False) == {}
    assert options("keyboard", "card", latin=False) == {}


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("体温37.5 ℃。", "37.5 ℃"),
        ("BE -0.3 mmol/L", "-0.3 mmol/L"),
        ("滴度1:64阳性", "1:64"),
        ("计数≥10^9/L", "≥10^9/L"),
        ("共计¥1,234.50元", "¥1,234.50元"),
        ("《民法典》第1165条", "第1165条"),
        ("第三条", "第三条"),
        ("HbA1c升高", "HbA1c"),
        ("I21.9", "I21.9"),
        ("每日三次", "三次"),
        ("for 3 days", "3 days"),
        ("isn't", "isn't"),
        ("未见", "未"),
        ("denies", "denies"),
    ],
)
def test_guarded_spans(text: str, inside: str) -> None:
    start = text.index(inside)
    covered = {place for left, right in guarded(text, ("numbers", "negations")) for place in range(left, right)}
    assert set(range(start, start + len(inside))) <= covered


def test_numbers_and_negations_are_found_without_word_borders() -> None:
    assert numbers("血压150/95，共三次，b0at") == ["150/95", "三"]
    assert negations("患者否认头痛，无发热；no pain, isn't well, nothing") == ["否认", "无", "no", "isn't", "nothing"]
    assert negations("note now knot another") == []
    assert values("一直服用２片，十二天，第三条") == values("服用2片一段时间，十二天，第三条")
    assert values("服用2片") != values("服用3片")


@pytest.mark.parametrize(
    ("text", "words", "negated"),
    [
        ("no fever, has cough", "fever", True),
        ("no fever, has cough", "cough", False),
        ("has cough. no fever", "cough", False),
        ("denies chest pain or dyspnea", "dyspnea", True),
        ("troponin negative", "troponin", True),
        ("否认高血压、糖尿病", "糖尿病", True),
        ("无发热，伴咳嗽", "咳嗽", False),
        ("梅毒抗体：阴性", "梅毒抗体", True),
    ],
)
def test_what_is_negated(text: str, words: str, negated: bool) -> None:
    start = text.index(words)
    assert is_negated(text, start, start + len(words)) is negated


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_likely_changes_are_drawn_more_often(seed: int, count: int) -> None:
    listed = [Edit(place, place + 1, new) for place in range(5) for new in "abc"]
    drawn = choose(listed, random.Random(seed), count)
    assert len(drawn) == min(count, 5)
    assert drawn == sorted(drawn)


def test_the_first_choice_is_the_most_frequent() -> None:
    listed = [Edit(0, 1, new) for new in "abc"]
    drawn = [choose(listed, random.Random(seed), 1)[0].new for seed in range(600)]
    shares = [drawn.count(new) / 600 for new in "abc"]
    assert shares == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.06)


def test_counts_are_right_on_average() -> None:
    counts = [num_changes("a" * 30, 0.05, random.Random(seed)) for seed in range(400)]
    assert set(counts) == {1, 2}
    assert sum(counts) / 400 == pytest.approx(1.5, abs=0.1)
