"""Both languages say everything, in the page and in the card."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from yibu import inspect, pages
from yibu.core.errors import InputError
from yibu.inspect.card_text import CARD
from yibu.inspect.report.text import TEXTS, Text
from yibu.pages.text import COMMON

FOLDER = Path(inspect.__file__).parent
FILES = [*sorted(FOLDER.glob("*.py")), *sorted((FOLDER / "report").glob("*.[pj]*"))]
FILES += sorted(Path(pages.__file__).parent.glob("*.[pj]*"))
SOURCE = "".join(path.read_text(encoding="utf-8") for path in FILES if path.stem not in ("text", "card_text"))
BOTH = {**TEXTS, **CARD}
# Names that a summary may hold: plugs and other stages decide, so they stand in no source of this package.
FAMILIES = (
    "step.", "reason.", "flag.", "kind.", "change.", "private.kind.", "mode.", "augmented.", "refused.", "skipped.",
    "task.",
    "language.", "near.mode.", "suspects.model.", "problem.", "stage.", "split.", "unit.",
)  # fmt: skip


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", BOTH)
def test_every_key_has_both_languages_and_the_same_placeholders(key: str) -> None:
    english, chinese = BOTH[key]
    assert (english.strip() and chinese.strip()) or key == "sentences"
    assert _placeholders(english) == _placeholders(chinese)
    assert not re.search(r"[\u4e00-\u9fff]", english)


def test_chinese_is_translated() -> None:
    same = {key for key, (english, chinese) in BOTH.items() if english == chinese and key != "sentences"}
    assert same <= {"kind.html", "private.kind.ip", "coverage.beyond", "lengths.p90", "lengths.p99"}


def test_every_key_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r'\bt\(\s*"([a-z_.]+)"', SOURCE))
    assert len(asked) > 100
    assert asked <= set(BOTH)


def test_no_key_is_left_over() -> None:
    literal = set(re.findall(r'"([a-zA-Z0-9_.]+)"', SOURCE)) | set(re.findall(r"'([a-z_.]+)'", SOURCE))
    built = tuple(part for part in re.findall(r'f"([a-z_.]+[._])\{', SOURCE))
    left = [
        key
        for key in BOTH.keys() - COMMON.keys()  # those are shared with the other pages
        if key not in literal and not key.startswith((*built, *FAMILIES)) and not key.endswith(".title")
    ]
    assert left == []


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="de"):
        Text("de")
