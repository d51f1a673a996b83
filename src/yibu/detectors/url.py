"""Web addresses: with a scheme, with ``www.``, or a bare host under a common top-level domain.

Only the characters of RFC 3986 belong to one, so that the Chinese text glued to it stays.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found

KINDS = ("url",)
IN_ALL = True

_TAIL = r"[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]*"
_FULL = re.compile(r"(?:https?|ftp|HTTPS?|Https?)://[A-Za-z0-9\[]" + _TAIL)
_WWW = re.compile(r"[wW](?<![A-Za-z0-9@.\-_/].)[wW]{2}\.[A-Za-z0-9]" + _TAIL)
_BARE = re.compile(
    r"\.(?:com|cn|org|net|edu|gov|io|info|co|uk|de|fr|hk|tw|eu|us|top|xyz|vip|cc|app|dev)(?![A-Za-z0-9\-_@])"
    r"(?:\.[a-z]{2}(?![A-Za-z0-9]))?(?:[/?#]" + _TAIL + ")?"
)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]*\.?)*$")
_TRAILING = ".,;:!?'()*"


def find(text: str) -> list[Found]:
    if "." not in text:
        return []
    result: list[Found] = []
    if "://" in text:
        result += [_trimmed(text, *match.span()) for match in _FULL.finditer(text)]
    if "www." in text or "WWW." in text:
        result += [_trimmed(text, *match.span()) for match in _WWW.finditer(text)]
    for match in _BARE.finditer(text):
        start = match.start()
        while start and (text[start - 1] in ".-" or (text[start - 1].isascii() and text[start - 1].isalnum())):
            start -= 1
        start += len(text[start : match.start()]) - len(text[start : match.start()].lstrip(".-"))
        host = text[start : match.start()]
        if host and not host.isdigit() and (start == 0 or text[start - 1] not in "@_/:"):
            result.append(_trimmed(text, start, match.end()))
    return _outermost(result)


def _trimmed(text: str, start: int, end: int) -> Found:
    while end > start and text[end - 1] in _TRAILING and not (text[end - 1] == ")" and "(" in text[start:end]):
        end -= 1
    return Found(start, end, "url", True)


def _outermost(found: list[Found]) -> list[Found]:
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept
