"""Passports and travel permits: Chinese passports, permits for Hong Kong, Macao and Taiwan, others after a word."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit, stands_alone
from yibu.detectors._labels import label, numbers_after

KINDS = ("passport",)
IN_ALL = True

# E and two letters are ordinary booklets, G the older ones, D, S and P diplomatic and official ones.
_CHINESE = re.compile(r"[EGDSPegdsp](?<![0-9A-Za-z_].)(?:[0-9]{8}|[A-HJ-NP-Z][0-9]{7})(?![0-9A-Za-z_])")
_ALONE = re.compile("[EG]")  # sure enough without a word before it
_WORD = re.compile("护照|護照|(?i:passport)")
_LABEL = label(
    "護照",
    "回乡证",
    "台胞证",
    "台湾居民来往大陆通行证",
    "旅行证",
    "居留证",
    "永久居留身份证",
    "travel document",
    "travel permit",
    bare=("护照", "通行证", "passport"),
)
_ANY = re.compile(r"(?=[A-Za-z]{0,3}[0-9])[A-Za-z]{0,3}[0-9]{6,10}[A-Za-z]?")


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = {(start, end): True for start, end in numbers_after(text, _LABEL, _ANY)}
    for match in _CHINESE.finditer(text):
        start, end = match.span()
        named = _WORD.search(text, max(0, start - 16), start) is not None
        if (named or _ALONE.match(match[0])) and stands_alone(text, start, end, joins="-"):
            result.setdefault((start, end), named)
    return [Found(start, end, "passport", named) for (start, end), named in sorted(result.items())]
