"""Numbers, units and negations: what must survive every change, and how it is told that it did.

A flipped "no", a lost decimal point or 未 read as 末 turns a true row into a false one with the same label, so noise
keeps away from these, and a rewrite that loses one is refused. There is no ``\\b`` here: it fails in Chinese.
Whether something is negated is told as in NegEx (Chapman et al. 2001): a word of negation before it in the same
sentence, or one such as "negative" right after it, with no word between them that ends the scope.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator

NUMERALS = "〇零一二两三四五六七八九十百千万亿半几壹贰叁肆伍陆柒捌玖拾佰仟"
NEGATING = "不没无未非否勿毋莫别"
GRAVE = "癌瘤死亡杀"
"""Never brought in by noise: such a character says what the row did not, and no reader would take it for a slip."""

_LATIN_UNITS = (
    "mmHg|kPa|mmol|μmol|umol|nmol|pmol|mol|mEq|mg|kg|μg|ug|mcg|ng|pg|g|mL|ml|dL|dl|μL|fL|L|IU|U|cm|mm|km|nm|m|"
    "bpm|Hz|kcal|kJ|min|sec|hours?|hrs?|h|s|days?|weeks?|months?|years?|yrs?|a\\.m\\.|p\\.m\\.|am|pm|"
    "USD|EUR|GBP|CNY|RMB|HKD|JPY|yuan|dollars?|euros?|pounds?|percent"
)
_HAN_UNITS = (
    "平方米|立方米|毫米汞柱|千卡|毫克|微克|千克|公斤|毫升|微升|厘米|毫米|千米|公里|小时|分钟|周岁|个月|人民币|美元|欧元|港元|"
    "元|角|分|年|月|日|号|时|点|秒|岁|周|天|次|克|斤|升|米|度|级|期|条|款|项|章|节|片|粒|支|枚|个|名|人|位|倍|床|例|亩|吨|户|套|台|辆"
)
_UNIT = (
    rf"(?:\s?(?:%|％|‰|℃|℉|°[CF]?)|[万亿千百]*(?:{_HAN_UNITS})|[万亿]|"
    rf"\s?(?:{_LATIN_UNITS})(?![A-Za-z]))(?:\s?[/·]\s?[A-Za-zμ日天次周月年0-9.^]+)?"
)
_DIGITS = r"[0-9０-９]+(?:[.,:/^×*·~～－–\-][0-9０-９]+)*"
_SIGNS = r"[-+−±<>≤≥＜＞≈~=¥￥$€£第]*\s?"
# What noise keeps away from: the number with its sign and unit, and the whole of a code such as HbA1c, CD4 or I21.9.
_GUARDED = re.compile(
    rf"{_SIGNS}[A-Za-z]*{_DIGITS}(?:{_UNIT})?(?:/[A-Za-zμ]+)?[A-Za-z0-9.\-]*|第?[{NUMERALS}]+(?:{_UNIT})?|[%％‰℃℉±≤≥×]"
)
_NUMBER = re.compile(rf"(?<![A-Za-z0-9０-９])[-+−±<>≤≥]?{_DIGITS}|[{NUMERALS}]+")
# What a rewrite must keep: 一 in 一直 or 一些 is no value, but 三级, 第五条 and 十二 are.
_VALUE = re.compile(
    rf"(?<![A-Za-z0-9])[-+±<>≤≥]?{_DIGITS}%?|第[{NUMERALS}]+|[{NUMERALS}]{{2,}}|[{NUMERALS}](?=(?:{_HAN_UNITS}))"
)
_ENGLISH_NEGATION = (
    r"(?<![A-Za-z])(?:no|not|none|never|neither|nor|nobody|nothing|without|cannot|denies|denied|deny|denying|"
    r"negative|absent|absence|lacks?|refuses?|refused|[A-Za-z]+n['’]t)(?![A-Za-z])"
)
_NEGATION = re.compile(
    rf"否认|拒绝|禁止|排除|除外|阴性|缺乏|缺如|[{NEGATING}]|{_ENGLISH_NEGATION}", re.IGNORECASE | re.ASCII
)
_SENTENCE_END = re.compile(r"[。！？；;!?\n]|\.(?=\s|$)")
_SCOPE_END = re.compile(
    r"但|然而|而|伴|出现|(?<![A-Za-z])(?:but|however|except|although|has|have|had|with|reports?|complains?)(?![A-Za-z])",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\s*(?:[:：]|为|呈|is|was|are|were|结果)?\s*(?:阴性|除外|排除|negative|absent|not found|未见)", re.IGNORECASE
)


def guarded(text: str, keep: Collection[str]) -> Iterator[tuple[int, int]]:
    """Spans that noise must not touch, in no order.

    Args:
        text: any text.
        keep: ``numbers`` (with signs and units) and ``negations``, or some of them.
    """
    if "numbers" in keep:
        yield from (found.span() for found in _GUARDED.finditer(text))
    if "negations" in keep:
        yield from (found.span() for found in _NEGATION.finditer(text))


def numbers(text: str) -> list[str]:
    """All numbers, in order, Chinese numerals included."""
    return _NUMBER.findall(text)


def negations(text: str) -> list[str]:
    """All words of negation, in order, in lower case."""
    return [found.lower() for found in _NEGATION.findall(text)]


def same_meaning(before: str, after: str, keep: Collection[str]) -> bool:
    """Whether the numbers and negations of a text are those that they were, in the same order."""
    if "numbers" in keep and numbers(before) != numbers(after):
        return False
    return "negations" not in keep or negations(before) == negations(after)


def values(text: str) -> Counter[str]:
    """The values in a text, how often each; full-width digits count as plain ones."""
    return Counter(_VALUE.findall(unicodedata.normalize("NFKC", text)))


def is_negated(text: str, start: int, end: int) -> bool:
    """Whether what stands at ``text[start:end]`` is said not to be there."""
    begin = max((found.end() for found in _SENTENCE_END.finditer(text, 0, start)), default=0)
    begin = max((found.end() for found in _SCOPE_END.finditer(text, begin, start)), default=begin)
    return _NEGATION.search(text, begin, start) is not None or _AFTER.match(text, end) is not None
