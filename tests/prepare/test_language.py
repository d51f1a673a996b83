"""Languages and scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.edits import apply
from yibu.core.errors import MissingExtra
from yibu.prepare import language as module
from yibu.prepare.language import CODES, LanguageGuess, is_foreign, is_none_of, scripts, simplifications

EN = "The patient was seen in clinic today for follow up of hypertension and has no complaints."
ZH = "患者一般情况良好，无发热，无咳嗽咳痰，饮食睡眠可，二便正常，体温正常。"
JA = "今日は患者さんの体調がとても良くなりましたので、退院することになりました。"
RU = "Пациент поступил в клинику с жалобами на головную боль и высокое давление."
FR = "Le patient est venu ce matin à la consultation pour une douleur au genou droit depuis deux semaines."
KO = "환자는 오늘 아침에 두통과 발열로 병원에 왔습니다. 혈압은 정상이었습니다."


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["The patient is well."], "en"),
        (["患者一般情况良好。"], "zh"),
        (["患者服用 aspirin 100 mg，无不适。"], "zh"),
        (["The patient 患者 was seen in clinic today for follow up."], "en"),
        (["12345 !!!"], "en"),
        ([], "en"),
    ],
)
def test_language(texts: list[str], language: str) -> None:
    guess = LanguageGuess()
    for text in texts:
        guess.add(text)
    assert guess.language == language


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("abc 12 é", {"latin": 4}),
        ("abc 12!", {"latin": 3}),
        ("体温abcカナ한ж", {"cjk": 2, "latin": 3, "kana": 2, "hangul": 1, "other": 1}),
        ("12 。！_", {}),
        ("", {}),
    ],
)
def test_scripts(text: str, counts: dict[str, int]) -> None:
    assert {script: number for script, number in scripts(text).items() if number} == counts


@pytest.mark.parametrize(
    ("text", "language", "foreign"),
    [
        (EN, "en", False),
        (EN, "zh", True),
        (ZH, "en", True),
        (ZH, "zh", False),
        (JA, "zh", True),
        (KO, "zh", True),
        (RU, "en", True),
        (RU, "zh", True),
        ("Dr. 王小明 of 北京 saw the patient, who had a fever and was given aspirin.", "en", False),
        ("患者服用 aspirin 100 mg bid、metoprolol succinate 47.5 mg qd，无不适。", "zh", False),
        ("aspirin 100 mg", "zh", False),
        ("体温", "en", False),
        ("37.5 ℃ 120/80 mmHg ≥ 10⁹/L" * 3, "zh", False),
        ("", "zh", False),
    ],
)
def test_scripts_tell_foreign_texts(text: str, language: str, foreign: bool) -> None:
    assert is_foreign(text, language) is foreign


@pytest.mark.parametrize(
    ("text", "codes", "none"),
    [
        (EN, ("en",), False),
        (EN, ("zh",), True),
        (EN, ("de", "en"), False),
        (ZH, ("zh",), False),
        (ZH, ("en",), True),
        (ZH, ("ja",), True),
        (JA, ("zh", "en"), True),
        (FR, ("en", "zh"), True),
        (FR, ("fr",), False),
        (RU, ("en", "zh"), True),
        (KO, ("ko",), False),
        ("I want a card", ("zh",), False),  # too short to tell
        ("5 mg, 37.5 ℃" * 10, ("zh",), False),
        ("", ("zh",), False),
    ],
)
def test_lingua_tells_languages(text: str, codes: tuple[str, ...], none: bool) -> None:
    assert is_none_of(text, codes) is none


def test_codes_are_those_of_lingua() -> None:
    lingua = pytest.importorskip("lingua")
    assert {known.iso_code_639_1.name.lower() for known in lingua.Language.all()} == CODES


@pytest.mark.parametrize(
    ("package", "use"),
    [("lingua", lambda: is_none_of(EN, ("en",))), ("opencc", lambda: simplifications("後來"))],
)
def test_a_missing_library_is_named(package: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    module._detector.cache_clear()
    module._simplifier.cache_clear()
    with pytest.raises(MissingExtra, match="data"):
        use()


@given(
    st.lists(
        st.sampled_from(
            ["乾隆", "乾燥", "後來", "皇后", "頭髮", "發展", "著名", "看著", "a", " ", "５", "℃", "，", "\n", "𠀀"]
        )
    )
)
def test_simplifying_runs_is_simplifying_the_text(words: list[str]) -> None:
    from opencc import OpenCC

    text = "".join(words)
    found = simplifications(text)
    assert apply(text, found) == OpenCC("t2s").convert(text)
    assert all(edit.end - edit.start == len(edit.new) == 1 for edit in found)


def test_a_conversion_that_changes_lengths_is_split_where_it_can_be() -> None:
    def convert(run: str) -> str:
        return run.replace("甲乙", "丙").replace("丁", "戊")

    run = "子甲乙丑寅丁卯"
    found = module._conversions(run, 10, convert)
    assert apply("x" * 10 + run, found) == "x" * 10 + convert(run)
    assert found == [(11, 13, "丙"), (15, 16, "戊")]
    assert module._conversions("甲乙", 0, convert) == [(0, 2, "丙")]
