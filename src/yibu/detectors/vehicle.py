"""Vehicle identification numbers: 17 characters (ISO 3779), the ninth a check digit in China and North America."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit
from yibu.detectors._labels import label, numbers_after

KINDS = ("vehicle",)
IN_ALL = True

_NUMBER = re.compile(r"[A-HJ-NPR-Z0-9](?<![0-9A-Za-z_].)[A-HJ-NPR-Z0-9]{16}(?![0-9A-Za-z_])")
_LABEL = label(
    "车架",
    "车辆识别代",
    "车辆识别",
    "发动机",
    "大架",
    "机动车登记证书",
    "机动车登记证",
    "engine",
    "chassis",
    "vehicle identification",
    "vehicle",
    "frame",
    bare=("vin",),
)
_ENGINE = re.compile(r"(?=(?:[^0-9]*[0-9]){4})[0-9A-Za-z]{5,17}(?:-[0-9A-Za-z]+)?")
_VALUES = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", [*map(int, "12345678123457923456789"), *range(10)], strict=True)
)
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def check_character(number: str) -> str:
    """The ninth character of a number of 17 (ISO 3779, GB 16735): weighted sum modulo 11."""
    rest = sum(_VALUES[character] * weight for character, weight in zip(number, _WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = [Found(start, end, "vehicle", False) for start, end in numbers_after(text, _LABEL, _ENGINE)]
    for match in _NUMBER.finditer(text):
        number = match[0]
        letters = sum(map(str.isalpha, number))
        if letters >= 2 and number[-4:].isdigit() and check_character(number) == number[8]:
            result.append(Found(*match.span(), "vehicle", True))
    return sorted(result)
