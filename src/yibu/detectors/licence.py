"""Numbers of licences and certificates: driving, medical practice, diplomas, marriage, service cards, DEA, NPI."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit
from yibu.detectors._labels import label, numbers_after

KINDS = ("licence",)
IN_ALL = True

_LABEL = label(
    "驾驶证",
    "驾照",
    "驾驶证档案",
    "档案",
    "执业证书",
    "执业证",
    "执业医师",
    "医师资格证书",
    "医师资格证",
    "医师资格书",
    "医师资格",
    "资格证书",
    "资格证",
    "许可证",
    "营业执照",
    "结婚证",
    "离婚证",
    "毕业证书",
    "毕业证",
    "学位证书",
    "学位证",
    "军官证",
    "士兵证",
    "警官证",
    "工作证",
    "学生证",
    "残疾证",
    "出生医学证明",
    "出生证",
    "房产证",
    "不动产权证书",
    "不动产权证",
    "行驶证",
    "证书",
    "律师证",
    "licence",
    "license",
    "certificate",
    "cert",
    "permit",
    "registration",
    "bar",
    "diploma",
    bare=("dea", "npi", "driver's licence", "driver's license", "drivers licence", "drivers license"),
)
_NUMBER = re.compile(
    r"(?=(?:[^0-9]*[0-9]){4})[A-Za-z]{0,5}[-]?[0-9][0-9A-Za-z]*(?:[-/ ][0-9A-Za-z]*[0-9][0-9A-Za-z]*)*"
)


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    return [Found(start, end, "licence", False) for start, end in numbers_after(text, _LABEL, _NUMBER)]
