"""Accounts that are no card: IBAN (ISO 13616, mod 97), and numbers after 账号, account no., routing and the like."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit
from yibu.detectors._labels import label, numbers_after

KINDS = ("account",)
IN_ALL = True

_IBAN = re.compile(r"[A-Z](?<![0-9A-Za-z_].)[A-Z][0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z_])")
_LABEL = label(
    "账",
    "帐",
    "帐户",
    "户头",
    "存折",
    "开户",
    "收款",
    "付款",
    "客户",
    "公积金账",
    "公积金帐",
    "公积金",
    "结算账",
    "结算帐",
    "结算",
    "专户",
    "accounts",
    "a/c",
    "routing transit",
    "routing",
    "aba",
    "sort",
    "customer",
    "client",
    "iban",
    "bic",
    "loan",
    "mortgage",
    bare=("账户", "acct", "account"),
)
_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){6})[A-Za-z]{0,4}[0-9][0-9A-Za-z]*(?:[-_/. *][0-9A-Za-z]*[0-9][0-9A-Za-z]*)*")


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = []
    for match in _IBAN.finditer(text):
        number = match[0].replace(" ", "")
        if 15 <= len(number) <= 34 and remainder(number) == 1:
            result.append(Found(*match.span(), "account", True))
    result += [Found(start, end, "account", False) for start, end in numbers_after(text, _LABEL, _NUMBER)]
    return sorted(result)


def remainder(iban: str) -> int:
    """The number modulo 97 after the first four characters went to the end (ISO 7064 mod 97-10); 1 for a valid one."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97
