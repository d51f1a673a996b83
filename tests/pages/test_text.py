"""Words of two languages: lists, time spans, names that nobody knows."""

from __future__ import annotations

import re
import string

import pytest

from yibu.core.errors import InputError
from yibu.pages.text import COMMON, Text


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", COMMON)
def test_every_key_has_both_languages_and_the_same_placeholders(key: str) -> None:
    english, chinese = COMMON[key]
    assert (english.strip() and chinese.strip()) or key == "sentences"
    assert _placeholders(english) == _placeholders(chinese)
    assert not re.search(r"[\u4e00-\u9fff]", english)
    assert english != chinese


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="de") as caught:
        Text("de")
    assert caught.value.allowed == ["en", "zh"]


def test_a_page_has_words_of_its_own_and_the_common_ones() -> None:
    t = Text("zh", {**COMMON, "step.leak": ("leaks", "泄漏"), "of": ("{n} rows", "{n} 条")})
    assert (t.known("step", "leak"), t.known("step", "my_own_step")) == ("泄漏", "my own step")
    assert (t("of", n=3), t("split.test")) == ("3 条", "测试集")


@pytest.mark.parametrize(
    ("items", "last", "english", "chinese"),
    [
        ([], "and", "", ""),
        (["a"], "and", "a", "a"),
        (["a", "b"], "and", "a and b", "a和b"),
        (["a", "b", "c"], "or", "a, b or c", "a、b或c"),
    ],
)
def test_lists(items: list[str], last: str, english: str, chinese: str) -> None:
    assert Text("en").join(items, last) == english
    assert Text("zh").join(items, last) == chinese


def test_long_lists_are_cut_and_say_so() -> None:
    assert Text("en").some(["a", "b", "c"], most=3) == "a, b, c"
    assert Text("en").some(["a", "b", "c", "d", "e"], most=3) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.04, "0.0 s", "0.0 秒"),
        (9.96, "10.0 s", "10.0 秒"),
        (42, "42 s", "42 秒"),
        (59.7, "60 s", "60 秒"),
        (372.4, "6 min 12 s", "6 分 12 秒"),
        (7260, "2 h 1 min", "2 小时 1 分"),
    ],
)
def test_seconds(seconds: float, english: str, chinese: str) -> None:
    assert Text("en").seconds(seconds) == english
    assert Text("zh").seconds(seconds) == chinese
