"""统一社会信用代码, the code of 18 characters of every Chinese organisation (GB 32100-2015), check character mod 31.

It names firms, but also sole traders (个体工商户), whose code is one person's.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit

KINDS = ("credit_code",)
IN_ALL = True

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of GB 32100-2015: no I, O, S, V, Z."""

_CODE = re.compile(
    r"[0-9A-HJ-NPQRTUWXY](?<![0-9A-Za-z_].)[0-9A-HJ-NPQRTUWXY][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}(?![0-9A-Za-z_])"
)
_WORD = re.compile("信用代码|信用代碼|税号|纳税人识别号|机构代码|(?i:credit code|tax|uscc)")
_OFFICE = re.compile("1[1239]|5[1239]|9[123]|21|31|41|71|A1|N[1239]|Y1")  # registering office and sort of organisation
_WEIGHTS = [pow(3, place, 31) for place in range(17)]


def check_character(code: str) -> str:
    """The 18th character for the first 17 (GB 32100-2015, 5.2)."""
    total = sum(ALPHABET.index(character) * weight for character, weight in zip(code, _WEIGHTS, strict=True))
    return ALPHABET[(31 - total % 31) % 31]


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = []
    for match in _CODE.finditer(text):
        code = match[0]
        checked = check_character(code[:17]) == code[17] and _OFFICE.match(code) is not None
        named = _WORD.search(text, max(0, match.start() - 20), match.start()) is not None
        plausible = _OFFICE.match(code) is not None and not code.isdigit()
        if checked or named or plausible:
            result.append(Found(*match.span(), "credit_code", checked))
    return result
