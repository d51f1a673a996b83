"""Telephone and fax numbers: Chinese mobile and landline, North American, and international ones.

Text of hospitals and banks is full of numbers. Without a word such as 电话 only forms that nothing else has are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from yibu.detectors._found import Found, has_digit, stands_alone

KINDS = ("phone",)
IN_ALL = True

_EXTENSION = r"(?:[ ,，]{0,2}(?:转|分机|#|ext\.?|EXT\.?|Ext\.?|extension|x)[ :：]?[0-9]{1,6}(?![0-9A-Za-z]))?"
_NUMBER = re.compile(
    r"(?P<mobile>(?:\(?\+?86\)?[ -]?|0086[ -]?)?1[3-9][0-9](?:[ -]?[0-9]{4}[ -]?[0-9]{4}|[ -][0-9]{3}[ -][0-9]{5}))"
    r"|(?P<landline>(?:\(?\+86\)?[ -]?|0086[ -]?)?(?:\(0(?:10|2[0-9]|[3-9][0-9]{2})\)[ -]?|0(?:10|2[0-9]|"
    r"[3-9][0-9]{2})[ -])[2-8][0-9]{2,3}[ -]?[0-9]{4})"
    r"|(?P<service>[48]00[ -][0-9]{3}[ -]?[0-9]{4}|400[0-9]{7}|[48]00-[0-9]{4}-[0-9]{3})"
    r"|(?P<plus>\(?(?:\+|00)[1-9][0-9]{0,2}\)?[ .-]?(?:\(0?[0-9]{0,4}\)[ .-]?)?[0-9](?:[ ./-]?[0-9]){5,12})"
    r"|(?P<american>(?:1[-. ])?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[-. ])[0-9]{3}[-. ][0-9]{4})"
    r"|(?P<grouped>0[0-9]{1,4}(?:[ .-][0-9]{2,4}){2,4})"
)
_RUN = re.compile(r"[(+0-9](?<![0-9A-Za-z_].)[0-9()+ ./-]{6,}")
_TAIL = re.compile(_EXTENSION)
_AFTER_WORD = re.compile(r"\(?[0-9](?:[ ()./-]{0,2}[0-9]){5,14}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-./][01]?[0-9][-./][0-3]?[0-9]|[0-3]?[0-9][-./][0-3]?[0-9][-./](?:19|20)[0-9]{2}(?![0-9])"
)
_WORD = re.compile(
    r"(?:电话|電話|手机|移动电话|座机|传真|热线|致电|拨打|联系方式|联系|来电|短信|号码|"
    r"(?i:\b(?:tele)?phones?\b|\btel\b|\bmobile\b|\bcell(?:ular)?\b|\bfax\b|\bdesk\b|\bpager\b|\bcall(?: me|"
    r" him| her| us| them)?(?: at| on)?\b|\breach(?:ed)?(?: \w+)? (?:at|on)\b|"
    r"\banswering at\b|\bmessages? to\b|\btext(?: me)? (?:at|on)\b|\bcontact number\b|\bphone number\b))"
    r"[ \t]*(?:号码|号)?[ \t]*(?i:number|no\.?|#|\([^()\n]{1,10}\))?[ \t]*(?:[:：]|是|为|\bis\b|\bat\b|"
    r"\bon\b)?[ \t\n]*$"
)
_LINE = re.compile(r"[ \t]*[-(,]?[ \t]*(?i:office|fax|mobile|cell|home|work|desk|tel)\b")
_NEAR = re.compile(r"电话|手机|联系|传真|座机|致电|拨打|热线|(?i:phone|tel\b|mobile|cell|fax|call|contact)")
_ENGLISH = re.compile("[A-Za-z]{2}")
_HAN = re.compile("[\u4e00-\u9fff]")
_MEASURE = re.compile(r"[ ]?(?:元|万|亿|美元|块|人|次|例|个|千|吨|公斤|克|股|%|％|mg|ml|kg|mm|美金|USD|RMB|CNY)")
_ACCOUNT = re.compile(
    r"[账帐卡证单院历案诊录保险订流水].{0,3}号[码]?[ :：为是]{0,3}$|"
    r"(?i:(?:account|acct|card|order|policy|ref|mrn|ssn|record|invoice|ticket|case)[a-z. ]{0,10}[#: ]{0,2}$)"
)


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    result: list[Found] = []
    end = 0
    for match in _candidates(text):
        start, stop = match.span()
        form = match.lastgroup or ""
        tail = _TAIL.match(text, stop)
        stop = tail.end() if tail is not None else stop
        if not _alone(text, start, stop) or _DATE.match(text, start) or _MEASURE.match(text, stop):
            continue
        named = _NEAR.search(text, max(0, start - 14), start) is not None
        if form in ("landline", "grouped") and not named and not _stands_as_phone(match[0], form):
            continue
        if form == "mobile" and not named and match[0].isdigit() and _ENGLISH.search(text) and not _HAN.search(text):
            continue  # eleven digits in English text: a Chinese mobile number would have +86 or a word before it
        if form == "plus" and match[0].startswith("00") and not named and match[0].isdigit():
            continue
        if form == "service" and not named and "-" not in match[0]:
            continue
        if form == "american" and match[0].count(".") == 1:
            continue
        sure = form in ("mobile", "plus") or (form == "american" and "(" in match[0])
        blocked = _ACCOUNT.search(text, max(0, start - 14), start) is not None
        result.append(Found(start, stop, "phone", (sure or named) and not blocked))
        end = stop
    if _NEAR.search(text) or "号码" in text or "esk" in text or "answering" in text or "message" in text:
        result += _after_words(text, result, end)
    return sorted(result)


def _candidates(text: str) -> Iterator[re.Match[str]]:
    """Numbers of the known forms, looked for only where there are enough digits and signs in a row."""
    for run in _RUN.finditer(text):
        yield from _NUMBER.finditer(text, run.start(), run.end())


def _after_words(text: str, known: list[Found], end: int) -> list[Found]:
    """Numbers of whatever form right after a word for telephone."""
    result = []
    for match in _AFTER_WORD.finditer(text):
        start, stop = match.span()
        digits = sum(map(str.isdigit, match[0]))
        if not 6 <= digits <= 15 or any(one.start < stop and start < one.end for one in known):
            continue
        if _DATE.match(text, start) or not _alone(text, start, stop) or _MEASURE.match(text, stop):
            continue
        if _WORD.search(text, max(0, start - 40), start) or _LINE.match(text, stop):
            tail = _TAIL.match(text, stop)
            result.append(Found(start, tail.end() if tail is not None else stop, "phone", True))
    return result


def _alone(text: str, start: int, end: int) -> bool:
    if not stands_alone(text, start, end, joins="*"):
        return False
    before, after = text[start - 1 : start], text[end : end + 1]
    if before and before in "-/+:." and text[start - 2 : start - 1].isdigit():
        return False
    return not (after and after in "-/:" and text[end + 1 : end + 2].isdigit())


def _stands_as_phone(number: str, form: str) -> bool:
    """Whether the form alone, without a word near, is that of a telephone number."""
    if form == "landline":
        return number.lstrip("(+86 -")[:1] == "0" or number.startswith(("(0", "0"))
    return number.count(" ") >= 2 or number.count("-") >= 2
