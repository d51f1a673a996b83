"""A date that moved by some days, written the way it was written before."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH = r"([A-Za-z]{3,9})(\.?)"
_CHINESE_DATE = re.compile(
    r"(?:(\d{4})( ?年 ?))?(\d{1,2})( ?月(?:份|底|初|中旬|上旬|下旬)? ?)(?:(\d{1,2})( ?[日号]))?(.*)", re.DOTALL
)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(.*)", re.DOTALL)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(.*)", re.DOTALL)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_MONTH_DAY = re.compile(rf"{_MONTH} (\d{{1,2}})(st|nd|rd|th)?(?:(,? )(\d{{4}}))?(.*)", re.DOTALL)
_MONTH_YEAR = re.compile(rf"{_MONTH}( (?:of )?)(\d{{4}})(.*)", re.DOTALL)
_DAY_MONTH = re.compile(
    rf"(\d{{1,2}})(st|nd|rd|th)?([ -](?:of )?){_MONTH}(?:([ ,-]{{1,2}})(\d{{4}}|\d{{2}}))?(.*)", re.DOTALL
)
_WRITTEN = re.compile(
    r"([一二][〇○零一二三四五六七八九]{3})年([一二三四五六七八九十]{1,2})月(?:([一二三四五六七八九十]{1,3})([日号]))?"
)
_DIGITS = {sign: place for place, sign in enumerate("〇一二三四五六七八九")} | {"零": 0, "○": 0}
_NO_YEAR = 2001  # stands in where a date has no year: not a leap year, like most
_MIDDLE = 15  # and this day where it has no day


def shifted(value: str, days: int) -> str | None:
    """The date ``days`` days later (or earlier), in the same form; None where it is no date that is understood.

    Of day and month the first is taken for the month where both can be (as in the United States). Two-digit years up to
    30 are of this century. A date without a year moves within the calendar, one without a day by whole months or years.
    """
    try:
        for pattern, write in _FORMS:
            match = pattern.fullmatch(value)
            if match is not None:
                return write(match, days)
    except (ValueError, OverflowError):
        return None
    return None


def _moved(year: int, month: int, day: int, days: int) -> date:
    return date(year, month, day) + timedelta(days=days)


def _padded(number: int, like: str, other: str = "") -> str:
    """Two digits where the original had a leading zero, or had two digits in both of its parts."""
    zero = like.startswith("0") or other.startswith("0") or (len(like) == 2 and len(other) == 2)
    return f"{number:02d}" if zero else str(number)


def _chinese(match: re.Match[str], days: int) -> str:
    year, after_year, month, after_month, day, after_day, rest = match.groups()
    new = _moved(int(year or _NO_YEAR), int(month), int(day or _MIDDLE), days)
    text = f"{new.year:04d}{after_year}" if year else ""
    width = 2 if month.startswith("0") or (day or "").startswith("0") else 1
    text += f"{new.month:0{width}d}{after_month}"
    return text + (f"{new.day:0{width}d}{after_day}" if day else "") + rest


def _written(match: re.Match[str], days: int) -> str:
    year, month, day, after_day = match.groups()
    number = int("".join(str(_DIGITS[sign]) for sign in year))
    new = _moved(number, _count(month), _count(day) if day else _MIDDLE, days)
    text = "".join("〇一二三四五六七八九"[int(sign)] for sign in str(new.year)) + "年" + _spelt(new.month) + "月"
    return text + (_spelt(new.day) + after_day if day else "")


def _count(word: str) -> int:
    tens, ten, units = word.rpartition("十")
    return (_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[units] if units else 0) if ten else _DIGITS[word]


def _spelt(number: int) -> str:
    tens, units = divmod(number, 10)
    signs = "〇一二三四五六七八九"
    return (("" if tens == 1 else signs[tens]) + "十" if tens else "") + (signs[units] if units else "")


def _year_first(match: re.Match[str], days: int) -> str:
    year, sign, month, day, rest = match.groups()
    new = _moved(int(year), int(month), int(day), days)
    return f"{new.year:04d}{sign}{_padded(new.month, month, day)}{sign}{_padded(new.day, day, month)}{rest}"


def _year_last(match: re.Match[str], days: int) -> str:
    one, sign, two, year, rest = match.groups()
    month_first = int(one) <= 12
    month, day = (one, two) if month_first else (two, one)
    number = int(year) if len(year) == 4 else int(year) + (2000 if int(year) <= 30 else 1900)
    new = _moved(number, int(month), int(day), days)
    new_month, new_day = _padded(new.month, month, day), _padded(new.day, day, month)
    first, second = (new_month, new_day) if month_first else (new_day, new_month)
    return f"{first}{sign}{second}{sign}{new.year if len(year) == 4 else f'{new.year % 100:02d}'}{rest}"


def _compact(match: re.Match[str], days: int) -> str:
    return _moved(int(match[1]), int(match[2]), int(match[3]), days).strftime("%Y%m%d").zfill(8)


def _month_number(word: str) -> int:
    found = [place for place, name in enumerate(_MONTHS, start=1) if name[:3].lower() == word[:3].lower()]
    if not found:
        raise ValueError("no month")
    return found[0]


def _month_word(number: int, like: str) -> str:
    name = _MONTHS[number - 1]
    if len(like) <= 4 and like.lower() not in ("june", "july", "may"):
        name = name[:3]
    return name.upper() if like.isupper() else name


def _ordinal(number: int, like: str | None) -> str:
    if not like:
        return ""
    return "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _month_day(match: re.Match[str], days: int) -> str:
    word, stop, day, ordinal, gap, year, rest = match.groups()
    new = _moved(int(year or _NO_YEAR), _month_number(word), int(day), days)
    text = f"{_month_word(new.month, word)}{stop} {_padded(new.day, day)}{_ordinal(new.day, ordinal)}"
    return text + (f"{gap}{new.year}" if year else "") + rest


def _month_year(match: re.Match[str], days: int) -> str:
    word, stop, gap, year, rest = match.groups()
    new = _moved(int(year), _month_number(word), _MIDDLE, days)
    return f"{_month_word(new.month, word)}{stop}{gap}{new.year}{rest}"


def _day_month(match: re.Match[str], days: int) -> str:
    day, ordinal, gap, word, stop, before_year, year, rest = match.groups()
    number = _NO_YEAR if not year else int(year) if len(year) == 4 else int(year) + (2000 if int(year) <= 30 else 1900)
    new = _moved(number, _month_number(word), int(day), days)
    text = f"{_padded(new.day, day)}{_ordinal(new.day, ordinal)}{gap}{_month_word(new.month, word)}{stop}"
    return text + (f"{before_year}{new.year if len(year) == 4 else f'{new.year % 100:02d}'}" if year else "") + rest


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], int], str]], ...] = (
    (_YEAR_FIRST, _year_first),
    (_CHINESE_DATE, _chinese),
    (_YEAR_LAST, _year_last),
    (_COMPACT, _compact),
    (_MONTH_YEAR, _month_year),
    (_MONTH_DAY, _month_day),
    (_DAY_MONTH, _day_month),
    (_WRITTEN, _written),
)
