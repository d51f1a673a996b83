"""Flags say what is wrong with a row, and stay silent about what is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.prepare.clean import CleanSettings
from yibu.prepare.flags import FLAGS, flags, refusal

EN = (
    "The patient is a 76-year-old woman who presents for hypertension and a medication check. She has a history of "
    "osteoarthritis, osteoporosis, hypothyroidism, allergic rhinitis and kidney stones. Since her last visit she has "
    "been followed by her cardiologist. She denies fever, chills, cough, nausea, vomiting and chest pain."
)
ZH = (
    "患者三天前无明显诱因出现发热，最高体温39.2℃，伴咳嗽、咳少量白痰，无胸痛及呼吸困难。当地医院查血常规：白细胞12.3×10⁹/L，"
    "给予头孢类抗生素静脉滴注两天，症状未见明显好转，遂来我院就诊。门诊以“肺部感染”收入院，发病以来精神、饮食可，大小便正常。"
)


def test_good_texts_have_no_flags() -> None:
    assert flags(EN, EN, "en") == ()
    assert flags(ZH, ZH, "zh") == ()
    assert flags("", "", "en") == ()


@given(st.text(), st.text(), st.sampled_from(["zh", "en"]))
def test_flags_are_known_and_in_order(text: str, target: str, language: str) -> None:
    found = flags(text, target, language)
    assert list(found) == [flag for flag in FLAGS if flag in found]


@pytest.mark.parametrize(
    "text",
    [
        f"{EN} {EN}",
        f"{ZH}{ZH}",
        f"Intro. {EN[:200]} and later {EN[:200]}.",
        f"开头：{ZH[:60]}中间是别的内容。{ZH[:60]}。",
        "I do not know what to say. " * 20,
        "我不知道该说什么。" * 20,
        "哈" * 60,
        "a" * 100,
        "\n".join(["Doctor: Are you feeling any better today?"] * 6),
    ],
)
def test_repetition(text: str) -> None:
    assert "repetition" in flags(text, "", "en")
    assert "repetition" in flags("", text, "en")


@pytest.mark.parametrize(
    "text",
    [
        f"{EN} As said before, she has a history of osteoarthritis, which is stable.",
        f"{ZH}再次强调，无胸痛及呼吸困难。",
        "ha ha ha",
        "谢谢谢谢谢谢",
        "Take one tablet in the morning. Take two tablets in the evening. Take none at night.",
    ],
)
def test_one_phrase_that_comes_back_is_no_repetition(text: str) -> None:
    assert "repetition" not in flags(text, text, "en")


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (EN[:-30], True),
        (EN[: EN.index("Since") + 28], True),
        (ZH[:100], True),
        (EN[:-1] + ",", True),
        (EN + " (see the note of", True),
        (EN + " (see above.", True),
        (ZH + "诊断：“肺部感染。", True),
        (ZH + "（详见", True),
        (EN, False),
        (EN + " (see above)", False),
        (EN + '"', False),
        (EN + "\nDr. A. Smith", False),
        (EN + "\n- aspirin\n- metoprolol", False),
        ("Aspirin 100 mg daily\nMetoprolol 50 mg twice daily\nLisinopril 10 mg once in the evening", False),
        ("arrived late", False),
        (
            "1) first item is this one here, 2) second item is that one there, 3) the third is neither of these two.",
            False,
        ),
        (EN + " HR 80", False),
        ("", False),
    ],
)
def test_truncated(text: str, cut: bool) -> None:
    assert ("truncated" in flags("", text, "en")) is cut


def test_a_question_may_end_without_a_mark() -> None:
    question = "I would like to delete my account now. I'm not happy with the service that you are providing"
    assert flags(question, "", "en") == ()
    assert flags("", question, "en") == ("truncated",)
    document = "One sentence is here. " * 3 + EN[:-20]
    assert "truncated" in flags(document, "", "en")


def test_wrong_language() -> None:
    assert flags(EN, ZH, "zh") == ("wrong_language",)
    assert flags(ZH, EN, "en") == ("wrong_language",)
    assert flags(EN, ZH, "en") == ()  # the target may be a translation


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("#@!%^&*()_+{}|:<>?~-=[];',./" * 2, True),
        ("。。。！！！？？？，，，；；；：：：、、、……——", True),
        ("| a | b |\n|---|---|\n|===|===|\n|---|---|", True),
        ("37.5 120/80 98% 4.1 140 102 1:64 ≥10^9/L", False),
        ("+++", False),
        (EN, False),
        (ZH, False),
    ],
)
def test_mostly_symbols(text: str, symbols: bool) -> None:
    assert ("mostly_symbols" in flags(text, "", "en")) is symbols


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("cafÃ©", True),
        ("it â€œworksâ€\x9d", True),
        ("bad \ufffd\ufffd bytes", True),
        ("锟斤拷锟斤拷", True),
        ("烫烫烫", True),
        ("æ‚£è€…", True),
        ("5Â°C", True),
        ("café, naïve, São Paulo, NÃO, Ångström, “é”, ½ ≥ ℃ 10⁹", False),
        ("患者体温39℃，“正常”。", False),
        ("锟 is a character, 斤 is another", False),
        ("plain", False),
    ],
)
def test_mojibake(text: str, broken: bool) -> None:
    assert ("mojibake" in flags(text, "", "en")) is broken
    assert ("mojibake" in flags("", text, "en")) is broken


@pytest.mark.parametrize(
    ("text", "chosen", "reason"),
    [
        ("abc", {"min_characters": 4}, "shorter than clean.min_characters"),
        ("abc", {"min_characters": 3, "max_characters": 3}, None),
        ("abcd", {"max_characters": 3}, "longer than clean.max_characters"),
        ("患者体温", {"min_characters": 4, "max_characters": 4}, None),
        ("", {}, None),
        (EN, {"languages": ["zh"]}, "none of clean.languages"),
        (EN, {"languages": ["zh", "en"]}, None),
        (ZH, {"languages": ["zh"]}, None),
        ("OK", {"languages": ["zh"]}, None),
    ],
)
def test_refusal(text: str, chosen: dict[str, object], reason: str | None) -> None:
    found = refusal(text, CleanSettings.model_validate(chosen))
    assert (found is None) if reason is None else (reason in (found or ""))
    assert found is None or not text or text not in found
