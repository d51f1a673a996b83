"""Cleaning profiles for text.

``plain``
    For any domain. Unicode NFC; control, zero-width and bidirectional-control characters out; white space made
    one space within lines, trailing white space off. Line breaks and the indentation of lines stay (code, lists).
``clinical``
    For notes and reports: plain, without indentation and runs of blank lines; full-width digits, letters and signs of
    numbers become ASCII (３７．５ becomes 37.5), the minus sign U+2212 becomes a hyphen before a digit, and rules drawn
    with four or more ``_ - = * ~ .`` become three. Every decimal point, sign, unit and comparison stays: no
    NFKC here, which would turn ℃ into °C and 10⁹ into 109.
``strict``
    The function ``clean_text`` of the guide that this project grew from, kept exactly so that its effect can be
    measured: it removes all punctuation, so 37.5 becomes 375. Not for text in which numbers matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Profile = Literal["plain", "clinical", "strict"]

# C0 and C1 controls but tab and line feed; soft hyphen, zero-width and bidirectional controls, byte order mark,
# halves of surrogate pairs, which no tokenizer takes, interlinear and tag characters.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# Joiners spell words in Arabic, Indic and South-East Asian scripts and build emoji; elsewhere they are dirt.
_JOINER = re.compile(
    "(?<![\u0600-\u08ff\u0900-\u109f\u1780-\u18af\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
_LINE_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACE = "[^\\S\n]"
_INNER_SPACE = re.compile(f"(?<=\\S){_SPACE}+")
_TRAILING_SPACE = re.compile(f"{_SPACE}+(?=\n)")
_LEADING_SPACE = re.compile(f"(?<=\n){_SPACE}+")
_BLANK_LINES = re.compile("\n{3,}")
_RULE_MARKS = "_-=*~."
_RULE = re.compile(rf"([{re.escape(_RULE_MARKS)}])\1{{3,}}")

_WIDE_ALNUM = {wide: wide - 0xFEE0 for wide in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_WIDE_SIGN = re.compile("(?<=[0-9])[．：／－＋％＾]|[－＋＜＞＝](?=[0-9])")
_MINUS = re.compile("\u2212(?=[0-9])")

_GUIDE_SPACE = re.compile(r"\s+")
_GUIDE_REMOVED = re.compile(r"[^\w\s\u4e00-\u9fff]")


def plain(text: str) -> str:
    return _within_lines(unicodedata.normalize("NFC", _visible(text))).strip()


def clinical(text: str) -> str:
    text = _visible(text)
    if not text.isascii():
        text = _WIDE_SIGN.sub(lambda sign: chr(ord(sign[0]) - 0xFEE0), text.translate(_WIDE_ALNUM))
        text = _MINUS.sub("-", text)
    text = _within_lines(_LEADING_SPACE.sub("", unicodedata.normalize("NFC", text)))
    if any(mark * 4 in text for mark in _RULE_MARKS):
        text = _RULE.sub(r"\1\1\1", text)
    return _BLANK_LINES.sub("\n\n", text).strip()


def strict(text: str) -> str:
    return _GUIDE_REMOVED.sub("", _GUIDE_SPACE.sub(" ", text)).strip()


PROFILES: dict[Profile, Callable[[str], str]] = {"plain": plain, "clinical": clinical, "strict": strict}


@dataclass
class Cleaner:
    """Cleans the text of rows and counts what it changed.

    Attributes:
        profile: which of `PROFILES`.
        rows_changed: rows of which at least one field changed.
        characters_removed: by how many characters the fields became shorter, in all.
    """

    profile: Profile
    rows_changed: int = 0
    characters_removed: int = 0

    def fields(self, fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """A copy of the fields in which those named are clean; others (labels, ids, spare columns) are not touched.

        Text is cleaned, in a list of turns the content of each; the offsets of ``entities`` follow their ``text``;
        other JSON values stay as they are.

        Raises:
            ValueError: why the row is lost by cleaning: an entity is no longer there.
        """
        cleaned = dict(fields)
        for name in names:
            if name in fields:
                cleaned[name] = self._value(fields[name])
        if cleaned == fields:
            return cleaned
        if "text" in names and _are_spans(fields.get("entities"), fields.get("text")):
            cleaned["entities"] = [self._moved(span, fields["text"], cleaned["text"]) for span in fields["entities"]]
        self.rows_changed += 1
        return cleaned

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            cleaned = PROFILES[self.profile](value)
            self.characters_removed += max(0, len(value) - len(cleaned))
            return cleaned
        if isinstance(value, list):
            return [self._turn(item) for item in value]
        return value

    def _turn(self, item: Any) -> Any:
        if isinstance(item, dict) and isinstance(item.get("content"), str):
            return {**item, "content": self._value(item["content"])}
        return item

    def _moved(self, span: dict[str, Any], text: str, cleaned: str) -> dict[str, Any]:
        """The entity at its place in the cleaned text."""
        clean = PROFILES[self.profile]
        words = clean(text[span["start"] : span["end"]])
        # The letter stands for the entity, so that white space before it is treated as it was in the whole text.
        start = len(clean(text[: span["start"]] + "x")) - 1
        end = start + len(words)
        if not words or cleaned[start:end] != words:
            raise ValueError(f"an entity is lost by cleaning with profile {self.profile!r}")
        return {**span, "start": start, "end": end} | ({"text": words} if "text" in span else {})


def _are_spans(value: Any, text: Any) -> bool:
    return (
        isinstance(text, str)
        and isinstance(value, list)
        and all(isinstance(span, dict) and {"start", "end"} <= set(span) for span in value)
    )


def _visible(text: str) -> str:
    if _is_printable(text):
        return text
    return _JOINER.sub("", _INVISIBLE.sub("", _LINE_BREAK.sub("\n", text)))


def _within_lines(text: str) -> str:
    if "  " not in text and " \n" not in text and _is_printable(text):
        return text
    return _INNER_SPACE.sub(" ", _TRAILING_SPACE.sub("", text))


def _is_printable(text: str) -> bool:
    """Nothing but what can be seen, plain spaces and line feeds. Most text is, and this is ten times as fast to find
    out as to search for what is not."""
    return text.replace("\n", "").isprintable()
