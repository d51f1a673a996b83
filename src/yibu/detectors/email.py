"""Electronic mail addresses (the forms of RFC 5321 that people have; no quoted local parts)."""

from __future__ import annotations

import re

from yibu.detectors._found import Found

KINDS = ("email",)
IN_ALL = True

_AT = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z]"
)
_SEPARATORS = "!#$%&'*+/=?^`{|}~-"  # allowed inside a local part, but in front of one they belong to the text


def find(text: str) -> list[Found]:
    if "@" not in text:
        return []
    result = []
    for match in _AT.finditer(text):
        start = match.start()
        while text[start] in _SEPARATORS:
            start += 1
        if text[start] != "@":
            result.append(Found(start, match.end(), "email", True))
    return result
