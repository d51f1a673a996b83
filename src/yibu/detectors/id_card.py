"""Chinese identity numbers: 18 characters (GB 11643-1999) and the 15 digits used before 1999.

The last of 18 characters is a check digit by ISO 7064 mod 11-2. Where it is wrong, a number with a possible birth date
is still found: it is one that somebody mistyped, and it still points at them.
"""

from __future__ import annotations

import re
from datetime import date

from yibu.detectors._found import Found, has_digit, stands_alone

KINDS = ("id_card",)
IN_ALL = True

_NUMBER = re.compile(r"[1-9](?<![0-9A-Za-z_].)[0-9]{5}[ -]?(?:[0-9]{8}[ -]?[0-9]{3}[0-9Xx]|[0-9]{9})(?![0-9A-Za-z_])")
_WORD = re.compile(r"身份证|身份證|证件|公民身份|居民证|\b[Ii][Dd]\b|[Ii]dentity")
_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"


def check_character(digits: str) -> str:
    """The 18th character for 17 digits (GB 11643-1999, ISO 7064 mod 11-2)."""
    return _CHECK[sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11]


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = []
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        if not stands_alone(text, start, end):
            continue
        number = match[0].replace(" ", "").replace("-", "").upper()
        named = _WORD.search(text, max(0, start - 16), start) is not None
        if len(number) == 18:
            born = _is_date(number[6:14])
            checked = check_character(number[:17]) == number[17]
            if born or named:
                result.append(Found(start, end, "id_card", born and checked))
        elif (number[:2] in _PROVINCES and _is_date("19" + number[6:12])) or named:
            result.append(Found(start, end, "id_card", False))
    return result


def _is_date(digits: str) -> bool:
    try:
        return 1850 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year <= 2100
    except ValueError:
        return False
