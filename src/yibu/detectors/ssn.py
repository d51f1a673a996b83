"""US social security numbers, and the taxpayer numbers (ITIN) that look like them."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit, stands_alone
from yibu.detectors._labels import label, numbers_after

KINDS = ("ssn",)
IN_ALL = True

_DASHED = re.compile(r"[0-9](?<![0-9A-Za-z_].)[0-9]{2}([- .])[0-9]{2}\1[0-9]{4}(?![0-9A-Za-z_])")
_WORD = re.compile(r"(?i:ssn|social|itin|taxpayer)")
_LABEL = label(
    "social",
    "taxpayer identification",
    "taxpayer",
    "社会安全",
    bare=("ssn", "itin", "social security"),
)
_NINE = re.compile(r"[0-9]{9}")


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = []
    for match in _DASHED.finditer(text):
        start, end = match.span()
        if not stands_alone(text, start, end, joins="-/") or match[0][:3] == "000" or match[0][-4:] == "0000":
            continue
        named = _WORD.search(text, max(0, start - 40), start) is not None
        if match[1] == "-" or named:
            result.append(Found(start, end, "ssn", named or match[0][:3] != "666"))
    result += [Found(start, end, "ssn", True) for start, end in numbers_after(text, _LABEL, _NINE)]
    return sorted(result)
