"""Bank and credit card numbers: 12 to 19 digits (ISO/IEC 7812), in one piece or in groups, the last a Luhn digit.

Without a word such as 卡号 before it a number must carry the prefix and length of a card scheme and pass the Luhn test,
which one number in ten does by chance. With such a word a number that fails the test is found too.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit, luhn, stands_alone

KINDS = ("bank_card",)
IN_ALL = True

_NUMBER = re.compile(
    r"[0-9](?<![0-9A-Za-z_].)(?:[0-9]{11,18}|[0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?"
    r"|[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{5} [0-9]{13})(?![0-9A-Za-z_])"
)
_WORD = re.compile(
    r"卡号|卡號|银行卡|储蓄卡|借记卡|信用卡|工资卡|账户|账号|尾号|银联|"
    r"(?i:\bcards?\b|\bcc\b|visa|master ?card|amex|maestro|unionpay|credit|debit)"
)
# Prefix -> lengths. ISO/IEC 7812 issuer ranges of the schemes; 9 is what older Chinese debit cards begin with.
_SCHEMES = (
    (re.compile("3[47]"), (15,)),
    (re.compile("30[0-5]|309|36|38|39"), (14, 16)),
    (re.compile("35"), (16,)),
    (re.compile("1800|2131"), (15,)),
    (re.compile("4"), (13, 16, 19)),
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile("62|60|64|65|81"), (16, 17, 18, 19)),
    (re.compile("5[06-8]|6[0-9]"), (16, 18, 19)),
    (re.compile("9[0-9]"), (16, 17, 18, 19)),
)


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = []
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        if not stands_alone(text, start, end):
            continue
        number = match[0].replace(" ", "").replace("-", "")
        named = _WORD.search(text, max(0, start - 24), start) is not None
        checked = luhn(number) and len(set(number)) > 1
        known = any(prefix.match(number) and len(number) in lengths for prefix, lengths in _SCHEMES)
        if (named and (checked or len(number) >= 15)) or (checked and known):
            # 18 digits are more often an identity number, which has a stronger check of its own.
            result.append(Found(start, end, "bank_card", checked and known and len(number) != 18))
    return result
