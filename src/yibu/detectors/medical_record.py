"""Numbers of a hospital for a patient or visit (住院号, MRN) and of an insurer for a person (医保号, policy)."""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit
from yibu.detectors._labels import label, numbers_after

KINDS = ("medical_record", "insurance")
IN_ALL = True

_RECORD = label(
    "住院",
    "病历",
    "病案",
    "门诊",
    "门急诊",
    "急诊",
    "就诊卡",
    "就诊",
    "诊疗卡",
    "诊疗",
    "登记",
    "检查单",
    "检查",
    "影像",
    "放射",
    "超声",
    "病理",
    "标本",
    "样本",
    "条",
    "处方",
    "体检",
    "患者id",
    "患者编",
    "患者",
    "病人id",
    "病人编",
    "病人",
    "住院id",
    "ct",
    "cr",
    "cx",
    "mt",
    "mr",
    "mx",
    "xt",
    "xr",
    "xx",
    "mri",
    "medical record",
    "medical rec",
    "med rec",
    "chart",
    "patient identifier",
    "patient",
    "hospital",
    "admission",
    "encounter",
    "accession",
    "specimen",
    "visit",
    "record",
    "case file",
    "unit",
    "study",
    bare=("mrns", "mrn"),
)
_INSURANCE = label(
    "医保卡",
    "医保",
    "医疗保险",
    "医疗证",
    "社保卡",
    "社保",
    "社会保障卡",
    "社会保障",
    "保险单",
    "保险",
    "保单",
    "参保",
    "投保单",
    "投保",
    "新农合",
    "理赔",
    "医疗卡",
    "insurance policy",
    "insurance",
    "policy",
    "membership",
    "member",
    "subscriber",
    "beneficiary",
    "health plan",
    "medicare",
    "medicaid",
    "group",
    "claim",
    "payer",
    bare=("hicn", "mbi"),
)
# At least four digits, at most three letters before them and separators between: ZY0012345, 2021-00123.
_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){4})[A-Za-z]{0,4}[-_]?[0-9][0-9A-Za-z]*(?:[-_/][0-9A-Za-z]+)*")
_SPACED = re.compile(
    r"(?=(?:[^0-9]*[0-9]){4})[A-Za-z]{0,4}[-_]?[0-9][0-9A-Za-z]*(?:[-_/ ][0-9A-Za-z]*[0-9][0-9A-Za-z]*)*"
)
_DATE = re.compile(r"(?:19|20)[0-9]{2}[-/.年][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:19|20)?[0-9]{2}")


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result = [Found(start, end, "medical_record", False) for start, end in numbers_after(text, _RECORD, _NUMBER)]
    result += [Found(start, end, "insurance", False) for start, end in numbers_after(text, _INSURANCE, _SPACED)]
    return sorted(one for one in result if not _DATE.match(text, one.start))
