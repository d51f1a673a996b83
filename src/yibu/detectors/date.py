"""Dates down to the day or month, and which of them are dates of birth.

A year alone is none (Safe Harbor keeps years), nor is a time of day; a time that follows a date belongs to it.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit, stands_alone

KINDS = ("birth_date", "date")
IN_ALL = True


_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_MONTH = rf"(?:{_MONTH}|{_MONTH.upper()})"
_TIME = r"(?:[T ]{1,2}[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
_CHINESE = re.compile(
    r"[0-9](?<![0-9A-Za-z_.].)(?:[0-9]{3} ?年 ?(?:1[0-2]|0?[1-9]) ?月(?:份|底|初|中旬|上旬|"
    r"下旬)?(?: ?(?:3[01]|[12][0-9]|0?[1-9]) ?[日号])?"
    r"|[0-9]? ?月 ?(?:3[01]|[12][0-9]|0?[1-9]) ?[日号](?!楼|院|线|门))(?: ?[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?)?"
)
_NUMERAL = "〇○零一二三四五六七八九"
_WRITTEN = re.compile(
    rf"[一二][{_NUMERAL}]{{3}}年(?:十[一二]?|[一二三四五六七八九])月(?:(?:三十一?|二十[一二三四五六七八九]?|"
    rf"十[一二三四五六七八九]?|[一二三四五六七八九])[日号])?"
)
_NUMERIC = re.compile(
    r"[0-9](?<![0-9A-Za-z_.].)(?:[0-9]{3}([-/.])(?:1[0-2]|0?[1-9])\1(?:3[01]|[12][0-9]|0?[1-9])"
    r"|[0-9]?([-/.])(?:3[01]|[12][0-9]|0?[1-9])\2(?:[0-9]{4}|[0-9]{2}))" + _TIME + r"(?![0-9A-Za-z_])"
)
_ENGLISH = re.compile(
    rf"(?:{_MONTH}\.?(?<![A-Za-z]{{10}}) (?:(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)?(?:,? (?:19|"
    rf"20)[0-9]{{2}})?|(?:of )?(?:19|20)[0-9]{{2}})"
    rf"|(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)?[ -](?:of )?{_MONTH}\.?(?:[ -,]{{1,2}}(?:19|"
    rf"20)?[0-9]{{2}})?){_TIME}(?![0-9A-Za-z_])"
)
_MONTH_NAME = re.compile(
    "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
)
_COMPACT = re.compile(
    r"[12](?<![0-9A-Za-z_.].)(?:(?<=1)9|(?<=2)0)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9A-Za-z_.])"
)
_DATED = re.compile(r"日期|时间|出生|生于|生日|于$|(?i:date|born|dob|birth)")
_BORN_BEFORE = re.compile(r"出生(?:日期|年月日?|时间|于)?|生于|生日|诞生|(?i:\bborn\b|d\.?o\.?b\b|birth)")
_BORN_AFTER = re.compile(r"[ ,，(]{0,2}(?:出生|生(?![产育效活命成])|诞生|\(?(?i:born|dob)\b)")


def find(text: str) -> list[Found]:
    spans: dict[tuple[int, int], bool] = {}
    if not has_digit(text) and "月" not in text:
        return []
    if "月" in text:
        for match in _CHINESE.finditer(text):
            if not match[0].startswith("0月"):
                spans[match.span()] = True
        spans |= {match.span(): True for match in _WRITTEN.finditer(text)}
    if "-" in text or "/" in text or text.count(".") > 1:
        for match in _NUMERIC.finditer(text):
            if _is_numeric_date(text, match):
                spans[match.span()] = "/" in match[0] or len(match[0]) >= 10
    end = 0
    for month in _MONTH_NAME.finditer(text):
        if month.start() >= end:
            whole = _ENGLISH.search(text, max(end, month.start() - 12), month.end() + 48)
            if whole is not None and stands_alone(text, whole.start(), whole.end()):
                spans[whole.span()] = True
                end = whole.end()
    for match in _COMPACT.finditer(text):
        if _DATED.search(text, max(0, match.start() - 10), match.start()):
            spans[match.span()] = False
    return [Found(start, end, _kind(text, start, end), certain) for (start, end), certain in sorted(spans.items())]


def _is_numeric_date(text: str, match: re.Match[str]) -> bool:
    if not stands_alone(text, match.start(), match.end(), joins="/-"):
        return False
    parts = [int(part) for part in re.split(r"[-/.]", match[0].split(" ")[0].split("T")[0])]
    if match[1]:
        return 1800 <= parts[0] <= 2100
    if parts[0] == 0 or not (parts[0] <= 12 or parts[1] <= 12) or parts[0] > 31:
        return False
    if parts[2] >= 100:
        return 1800 <= parts[2] <= 2100
    return match[2] == "/" or (match[2] == "-" and len(match[0]) >= 7)  # 1.2.34 is a section or a version


def _kind(text: str, start: int, end: int) -> str:
    born = _BORN_BEFORE.search(text, max(0, start - 16), start)
    if born is not None and not re.search("[,，;；。\n]", text[born.end() : start]):
        return "birth_date"
    return "birth_date" if _BORN_AFTER.match(text, end) else "date"
