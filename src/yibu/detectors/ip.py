"""Internet protocol addresses, version 4 and 6. Version numbers (1.2.3.4 after ``v`` or ``version``) are left alone."""

from __future__ import annotations

import ipaddress
import re

from yibu.detectors._found import Found, has_digit

KINDS = ("ip",)
IN_ALL = True

_FOUR = re.compile(r"[0-9](?<![0-9A-Za-z_.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|\.[0-9])")
_SIX = re.compile(
    r"[0-9A-Fa-f:](?<![0-9A-Za-z_.].)(?<![0-9A-Fa-f]:.)[0-9A-Fa-f:]{1,4}(?:[0-9A-Fa-f:]){1,34}(?:\.[0-9]{1,3}){0,3}(?![0-9A-Za-z_:])"
)
_VERSION = re.compile(r"(?i:\bv|version|release|版本|第|section|节)[ :]*$")


def find(text: str) -> list[Found]:
    result = []
    if has_digit(text) and "." in text:
        for match in _FOUR.finditer(text):
            if all(int(part) < 256 for part in match[0].split(".")) and not _VERSION.search(
                text, max(0, match.start() - 10), match.start()
            ):
                result.append(Found(*match.span(), "ip", True))
    if text.count(":") > 1:
        for match in _SIX.finditer(text):
            address = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
            if address.count(":") >= 2 and _is_six(address):
                result.append(Found(match.start(), match.start() + len(address), "ip", True))
    return sorted(result)


def _is_six(address: str) -> bool:
    try:
        return ipaddress.IPv6Address(address) is not None and sum(map(str.isalnum, address)) >= 3
    except ValueError:
        return False
