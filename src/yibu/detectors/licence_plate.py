"""Licence plates: Chinese ones by their form, new-energy cars and lorries too; others after a word."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit
from yibu.detectors._labels import label, numbers_after

KINDS = ("licence_plate",)
IN_ALL = True

# Province, authority, five characters (GA 36-2018) or six for new energy: D or F first (small) or last (large).
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领军警][A-HJ-Z][·•・. -]?"
    r"(?:[ADFBCEGHJK][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[ADFBCEGHJK]|"
    r"[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳领])(?![A-Za-z0-9])"
)
_POLICE = re.compile(
    r"W(?<![0-9A-Za-z].)J[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]?[·• -]?[0-9]{4}[0-9A-Z]"
)
_LABEL = label(
    "号牌",
    "牌照",
    "车辆牌",
    "车",
    "number plate",
    "plate",
    "tag",
    "registration plate",
    bare=("车牌", "licence plate", "license plate"),
)
_FOREIGN = re.compile(r"(?=[0-9A-Z -]*[0-9])[0-9A-Z]{1,4}[- ]?[0-9A-Z]{2,4}(?:[- ]?[0-9A-Z]{1,3})?")


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = {}
    for pattern in (_PLATE, _POLICE):
        for match in pattern.finditer(text):
            if has_digit(match[0]):
                result[match.span()] = True
    for span in numbers_after(text, _LABEL, _FOREIGN):
        result.setdefault(span, False)
    return [Found(start, end, "licence_plate", certain) for (start, end), certain in sorted(result.items())]
