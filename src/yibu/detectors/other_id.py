"""Any other number or name that is one person's: WeChat, QQ, user names, staff and student numbers, UUID, DICOM UID."""

from __future__ import annotations

import re

from yibu.detectors._found import Found
from yibu.detectors._labels import label, numbers_after

KINDS = ("other_id",)
IN_ALL = True

_UUID = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z_-].)[0-9A-Fa-f]{7}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}(?![0-9A-Za-z_-])"
)
_DICOM = re.compile(r"1(?<![0-9A-Za-z_.].)(?:\.2\.840|\.3\.6\.1\.4)(?:\.[0-9]+){3,}")
_LABEL = label(
    "工",
    "学",
    "员工",
    "学籍",
    "会员",
    "用户",
    "客户",
    "编制",
    "准考证",
    "考生",
    "受试者",
    "登录",
    "考",
    "患者识别",
    "护士",
    "employee",
    "staff",
    "student",
    "user",
    "member",
    "subject",
    "participant",
    "badge",
    "personnel",
    bare=("qq",),
)
_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){4})[A-Za-z]{0,4}[-_]?[0-9][0-9A-Za-z]*(?:[-_][0-9A-Za-z]+)*")
_HANDLE_PARTS = (
    "微信",
    "抖音",
    "微博",
    "支付宝",
    "户名",
    "录名",
    "昵称",
    "ser",
    "ogin",
    "Chat",
    "kype",
    "witter",
    "nstagram",
)
_HANDLE = re.compile(
    r"(?:微信号?|微信账号|抖音号?|微博|支付宝账?号?|用户名|登录名|昵称|[Uu]ser ?name|[Ll]ogin|WeChat(?: ID)?|"
    r"[Ss]kype|[Tt]witter|Instagram)"
    r"[ \t]*(?:[:：为是]|is)[ \t]*@?([A-Za-z][A-Za-z0-9_.\-]{4,29}[A-Za-z0-9])(?![A-Za-z0-9_@.])"
)


def find(text: str) -> list[Found]:
    result = [Found(start, end, "other_id", False) for start, end in numbers_after(text, _LABEL, _NUMBER)]
    if any(part in text for part in _HANDLE_PARTS):
        result += [Found(*match.span(1), "other_id", False) for match in _HANDLE.finditer(text)]
    if "-" in text:
        result += [Found(*match.span(), "other_id", True) for match in _UUID.finditer(text)]
    if "1." in text:
        result += [Found(*match.span(), "other_id", True) for match in _DICOM.finditer(text)]
    return sorted(result)
