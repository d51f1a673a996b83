"""Both languages say everything, and say it with the same figures."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from yibu import cli, pages
from yibu.evaluate import report
from yibu.evaluate.report.text import TEXTS, Text

FOLDERS = [Path(package.__file__).parent for package in (report, pages)]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.[pj]*"))]
FILES += [Path(cli.__file__).with_name(name) for name in ("comparison.py", "results.py")]
SOURCE = "".join(path.read_text(encoding="utf-8") for path in FILES)
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
    literal = set(re.findall(rf'"({KEY})"', _without_tables(SOURCE)))
    families = re.findall(rf'known\(\s*"({KEY})"', SOURCE)
    built = [part.replace("\\.", ".") for part in re.findall(r'f"([a-z_.]+\.)\{', SOURCE)]
    built += re.findall(r't\("([a-z_.]+\.)" ~', SOURCE) + [f"{family}." for family in families] + ["verdict."]
    left = [key for key in TEXTS if key not in literal and not key.startswith(tuple(built)) and not _heading(key)]
    assert left == []


def _without_tables(source: str) -> str:
    for folder, name in zip(FOLDERS, ("TEXTS", "COMMON"), strict=True):
        text = (folder / "text.py").read_text(encoding="utf-8")
        source = source.replace(text[text.index(f"{name}: dict") : text.index("class Text")], "")
    return source


def _heading(key: str) -> bool:
    """The template asks for the title of each section by ``t(key ~ ".title")``."""
    return key.endswith(".title")


def test_a_name_that_nobody_knows_stands_for_itself() -> None:
    assert Text("zh").system("my_own_system") == "my own system"
    assert Text("zh").system("tuned") == "微调"
