"""Electronic mail addresses (the forms of RFC 5321 that people have; no quoted local parts)."""

from __future__ import annotations

import re

from yibu.detectors._found import Found

KINDS = ("email",)
IN_ALL = True

# Each part is bounded as in RFC 5321 (64 characters before the sign, 63 between dots), so that a long run of letters
# without an address in it costs nothing.
_LOCAL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|\.(?=[A-Za-z0-9_]))*$")
_DOMAIN = re.compile(
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?<![0-9])"
)


def find(text: str) -> list[Found]:
    result = []
    place = text.find("@")
    while place >= 0:
        domain = _DOMAIN.match(text, place)
        local = _LOCAL.search(text, max(0, place - 64), place) if domain is not None else None
        if domain is not None and local is not None:
            result.append(Found(local.start(), domain.end(), "email", True))
        place = text.find("@", domain.end() if domain is not None else place + 1)
    return result
