"""Devices: MAC addresses, IMEI (15 digits, Luhn), and serial numbers after a word (序列号, S/N, UDI)."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit, luhn
from yibu.detectors._labels import label, numbers_after

KINDS = ("device",)
IN_ALL = True

_MAC = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z_].)(?<![0-9A-Fa-f][:-].)[0-9A-Fa-f]([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z_:-])"
)
_LABEL = label(
    "序列",
    "设备",
    "器械",
    "机身",
    "出厂",
    "起搏器",
    "植入物",
    "产品序列",
    "串",
    "仪器",
    "serial",
    "s/n",
    "device",
    "model serial",
    "implant",
    "pacemaker",
    "asset",
    "equipment",
    bare=("sn", "imei", "imsi", "iccid", "meid", "udi"),
)
_IMEI = re.compile("(?i:imei|meid|手机串)")
_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){3})[0-9A-Za-z]{2,}(?:[-./][0-9A-Za-z]+)*")


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = []
    if ":" in text or "-" in text:
        result += [Found(*match.span(), "device", True) for match in _MAC.finditer(text)]
    for start, end in numbers_after(text, _LABEL, _NUMBER):
        digits = text[start:end]
        imei = len(digits) == 15 and digits.isdigit() and luhn(digits)
        result.append(Found(start, end, "device", imei and _IMEI.search(text, max(0, start - 16), start) is not None))
    return sorted(result)
