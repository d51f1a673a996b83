"""Both languages say everything, and say it with the same figures."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from yibu.core.errors import InputError
from yibu.evaluate import report
from yibu.evaluate.report.text import TEXTS, Text

FOLDER = Path(report.__file__).parent
SOURCE = "".join(path.read_text(encoding="utf-8") for path in [*FOLDER.glob("*.py"), *FOLDER.glob("*.j2")])
KEY = r"[A-Za-z0-9_ %.\-]+"


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", TEXTS)
def test_every_key_has_both_languages_and_the_same_placeholders(key: str) -> None:
    english, chinese = TEXTS[key]
    assert english.strip() or key == "sentences"
    assert chinese.strip() or key == "sentences"
    assert _placeholders(english) == _placeholders(chinese)
    assert not re.search(r"[\u4e00-\u9fff]", english)


def test_chinese_is_translated() -> None:
    same = {key for key, (english, chinese) in TEXTS.items() if english == chinese}
    names = {key for key in same if key.startswith(("metric.rouge", "method.", "system.tfidf", "said.tfidf"))}
    assert same - names == {"results.n", "plot.limit", "verdict.p_one"}


def test_every_key_that_is_asked_for_exists() -> None:
    asked = {key for key in re.findall(rf'\bt\(\s*"({KEY})"', SOURCE) if not key.endswith(".")}
    assert len(asked) > 80
    assert asked <= set(TEXTS)


def test_no_key_is_left_over() -> None:
    literal = set(re.findall(rf'"({KEY})"', SOURCE.replace(_table(), "")))
    families = re.findall(rf'known\(\s*"({KEY})"', SOURCE)
    built = [part.replace("\\.", ".") for part in re.findall(r'f"([a-z_.]+\.)\{', SOURCE)]
    built += re.findall(r't\("([a-z_.]+\.)" ~', SOURCE) + [f"{family}." for family in families] + ["verdict."]
    left = [key for key in TEXTS if key not in literal and not key.startswith(tuple(built)) and not _heading(key)]
    assert left == []


def _table() -> str:
    text = (FOLDER / "text.py").read_text(encoding="utf-8")
    return text[text.index("TEXTS:") : text.index("class Text")]


def _heading(key: str) -> bool:
    """The template asks for the title of each section by ``t(key ~ ".title")``."""
    return key.endswith(".title")


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="de") as caught:
        Text("de")
    assert caught.value.allowed == ["en", "zh"]


def test_a_name_that_nobody_knows_stands_for_itself() -> None:
    assert Text("zh").system("my_own_system") == "my own system"
    assert Text("zh").system("tuned") == "微调"


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
