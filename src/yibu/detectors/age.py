"""Ages over 89, which Safe Harbor counts as identifiers: there are too few people of them in one place.

Only the number is found: ``[AGE_OVER_89]岁``.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found

KINDS = ("age_over_89",)
IN_ALL = True

_NUMBER = re.compile(
    r"[91](?<![0-9A-Za-z_.].)[0-9]{1,2}(?![0-9A-Za-z%]|[-.][0-9])|[91](?<![0-9A-Za-z_.].)[0-9]{1,2}(?=y)"
)
_AFTER = re.compile(r"[ \t]?(?:周岁|岁|歲|高龄|[- ]?(?:years?|yrs?)[- ]?(?:old|of age)|y/?o(?![a-z])|yrs(?![a-z]))")
_BEFORE = re.compile(
    r"(?:年龄|年纪|享年|高龄|终年|(?<![A-Za-z])(?:[Aa]ged?|AGE|[Tt]urn(?:ed|s|ing)?))[ \t]*(?:[:：为是]|is|of)?[ \t]*$"
)


def find(text: str) -> list[Found]:
    result = []
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        if 90 <= int(match[0]) < 150 and (_AFTER.match(text, end) or _BEFORE.search(text, max(0, start - 14), start)):
            result.append(Found(start, end, "age_over_89", True))
    return result
