"""The values in a text: what makes two texts of one template say different things.

A near copy is only the same text in substance when these are the same: numbers with their signs and units, negation,
sides (left, 左), polarity (positive, 阳性; increased, 升高), counts in words, dates, doses, masked names (李某), and
the names of medicines as far as their stems tell (WHO, *The use of stems in the selection of INN*, 2018). Rows of one
template with other values are what clinical and financial data are made of; they are no copies.

The lists are kept on the side of caution: a word that is on them and was changed keeps a row, which costs little, while
a row lost costs what it said. What no list can know (a swapped symptom, a person's name) an operator adds by
``data.duplicates.values``.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

Found = tuple[int, int, str]
"""start, end, value in its normal form."""
Surrounding = tuple[str, ...]
"""Tokens before a value, an empty one in its place, tokens after it."""

_CJK = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PIECE = re.compile(f"[^\\s{_CJK}]+")
# A number with its signs and what joins its parts (120/80, 2024-01-05, 1:64, 10^9); letters; signs that stand alone.
_PART = re.compile(
    r"[<>≤≥=±~≈+\-−$€£¥₩#]*\d+(?:[.,:/^*×\-~、]+\d+)*|[^\W\d_]+|[<>≤≥=±≈+\-−%‰°$€£¥]+",
)
_DIGIT = re.compile(r"\d")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NOT = _set("isn aren wasn weren don doesn didn can couldn won wouldn shouldn hasn haven hadn mustn needn")
_SAME = {"cannot": "not", "lt": "left", "rt": "right", "denied": "denies", "deny": "denies", "denying": "denies"}
_UNITS = _set(
    "mg g kg ug mcg μg ng pg ml l dl μl ul cl mm cm m km nm ft mmol μmol umol nmol mol meq iu u mmhg kpa pa bpm hz "
    "khz mhz kcal cal kj j w kw mw v mv ma h hr hrs hour hours min mins minute minutes s sec seconds ms day days "
    "week weeks month months year years yo lb lbs oz k f c usd eur gbp cny rmb jpy hkd twd chf tablet tablets tab tabs "
    "capsule capsules drop drops puff puffs unit units dose doses percent shares lots bp bps"
)
_WORDS = _set(
    # negation
    "no not never none nothing without nor neither cannot denies denied deny denying negative absent absence unlikely "
    "unable refused free "
    # sides and places
    "left right lt rt bilateral bilaterally unilateral upper lower proximal distal anterior posterior medial lateral "
    "superior inferior "
    # polarity and degree
    "positive normal abnormal increased increase increases increasing decreased decrease decreases decreasing elevated "
    "reduced high low higher lower above below over under before after acute chronic mild moderate severe benign "
    "malignant improved improving worse worsened worsening stable more less fewer least minimum maximum stop stopped "
    "start started "
    # persons and parties
    "male female man woman boy girl plaintiff defendant buyer seller lender borrower mother father "
    # money
    "buy bought sell sold debit credit profit loss usd eur gbp cny rmb jpy hkd chf dollar dollars euro euros pounds "
    # how often, how given
    "daily weekly monthly hourly once twice thrice nightly bid tid qid qd qhs prn po iv im sc "
    # numbers in words
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half "
    "quarter first second third fourth fifth double triple single dozen "
    # dates (not "may" and "march")
    "january february april june july august september october november december jan feb apr jun jul aug sep sept oct "
    "nov dec monday tuesday wednesday thursday friday saturday sunday"
)
_STEMS = _set(
    "pril sartan olol statin dipine gliptin gliflozin glutide mycin micin cillin conazole prazole parin mab tinib pam "
    "zolam floxacin cycline vir formin xaban triptan setron profen codone caine thiazide semide oxetine azepine"
)
_STEM_ENDS = tuple(sorted(_STEMS))

_DIGITS = "零〇一二三四五六七八九十百千万亿两"
_MEASURES = (
    "年月日号时点分秒周天岁次级期度型类条款项章节名人位个只台元角块万亿千百斤克米厘毫升片粒支瓶袋盒包丸滴倍成楼室层届审股枚"
    "辆件套张份笔户起"
)
# Words that hold such a sign and mean none.
_ZH_SKIPPED = _set("非常 不仅 不过 不但 不断 无论 不管 否则 左右 万一 一样 统一")
# Every branch begins with a letter, not with a class: `re` then skips at once to where one may begin (5 x as fast).
_ZH_WORDS = (
    # polarity and degree, longest first where one holds another
    "阳性|阴性|正常|异常|升高|降低|增高|减低|增加|减少|增大|缩小|上升|下降|良性|恶性|急性|慢性|轻度|中度|重度|轻微|严重|加重|减轻|好转|恶化|"
    "偏高|偏低|高于|低于|大于|小于|多于|少于|超过|"
    # only after a number, else it is "the following"; and not its opposite, which also begins a sentence (以上属实)
    f"以下(?<=[0-9{_DIGITS}{_MEASURES}]以下)|以内|"
    # sides and places
    "左|右|双侧|双眼|双肺|单侧|上(?=[肢叶腹段腔颌睑壁])|下(?=[肢叶腹段腔颌睑壁])|前(?=[壁列叶])|后(?=[壁叶])|内侧|外侧|近端|远端|"
    # persons, parties, money, guilt
    "男|女|原告|被告|上诉|甲|乙|丙|丁|买方|买入|卖方|卖出|借方|借款|借入|贷方|贷款|收入|支出|盈利|亏损|有罪|合法|违法|"
    # how often, how given
    "每日|每天|每周|每月|每晚|每次|口服|静脉|肌注|肌肉注射|皮下|外用|空腹|餐前|餐后|"
    # negation
    "不|未|无|没|非|否|勿|禁|免|拒|半"
)
# Of these the character before counts too: the stems of medicines (莫西林, 氯沙坦), masked names (李某).
_ZH_ENDS = (
    "霉素|西林|沙坦|洛尔|他汀|地平|普利|列汀|列净|双胍|拉唑|康唑|硝唑|沙星|替尼|单抗|肝素|西泮|唑仑|胶囊|注射液|某某*"
)
_ZH = re.compile("|".join(sorted(_ZH_SKIPPED)) + "|" + _ZH_WORDS)
_ZH_END = re.compile(_ZH_ENDS)
_ZH_NUMBER = re.compile(
    f"[第{_DIGITS}](?:(?<=第)[{_DIGITS}]+[条款项章节级期度审]?|(?<!第)(?:[{_DIGITS}]+|(?=[{_MEASURES}])))"
)

_MEASURE = re.compile(f"[{_MEASURES}](?<=[0-9].)")

_NEAR = 3  # tokens on either side by which the place of a value is told, twice as many characters of Chinese
_SPAN = 80  # characters that hold so many tokens
_TOKEN = re.compile(f"[{_CJK}]|[^\\s{_CJK}]+")


def values(text: str) -> list[Found]:
    """The values of a text in their order.

    Args:
        text: folded (`yibu.prepare.same.fold`), in Simplified characters.
    """
    found = _of_words(text)
    if not text.isascii() and (chinese := _of_chinese(text)):
        found += chinese
        found.sort()
    return found


def value_key(text: str) -> int:
    """64 bits that stand for the values of a text, in any order; 0 where it has none.

    Args:
        text: as in `values`.
    """
    found = sorted(value for _, _, value in values(text))
    if not found:
        return 0
    return int.from_bytes(hashlib.sha256("\0".join(found).encode("utf-8", "surrogatepass")).digest()[:8], "little")


def same_values(one: str, other: str, words: Sequence[str] = ()) -> bool:
    """Whether two near copies hold the same values at the same places.

    Equal values in equal order are the same. In another order they are the same where sentences moved, and not where
    two values changed places (left 3 mm, right 5 mm).

    Args:
        one: as in `values`.
        other: likewise.
        words: further words that count as values, folded.
    """
    found, others = values(one), values(other)
    extra, other_extra = _occurrences(one, tuple(words)), _occurrences(other, tuple(words))
    if Counter(extra) != Counter(other_extra):
        return False
    sequence, other_sequence = [value for *_, value in found], [value for *_, value in others]
    if sequence == other_sequence:
        return True
    if Counter(sequence) != Counter(other_sequence):
        return False
    return _are_in_place(one, found, other, others)


def held_values(item: str, part: str) -> bool:
    """Whether the part of a text that is most like an item holds every value of it, as often and at the same places.

    Args:
        item: as in `values`.
        part: likewise; it may hold further values.
    """
    # A masked name at the very start (某及其亲属) takes whatever stands before it as its surname.
    found = [one for one in values(item) if one[0] > 0 or one[2][0] != "某"]
    others = values(part)
    wanted = Counter(value for *_, value in found)
    return wanted <= Counter(value for *_, value in others) and _are_in_place(item, found, part, others)


def _of_words(text: str) -> list[Found]:
    """Of all runs of signs but Chinese."""
    found: list[Found] = []
    word, end = "", 0  # the piece before, and where the last one ended that is not of letters alone
    after_number = False
    for piece in _PIECE.finditer(text):
        before, word = word, piece[0]
        if word.isalpha():
            value = _value_of(word)
            if value:
                found.append((*piece.span(), value))
            elif after_number and word in _UNITS and piece.start() <= end + 1:
                found.append((*piece.span(), _SAME.get(word, word)))
            elif word == "t" and before in _NOT:
                found.append((*piece.span(), "not"))
            after_number = False
            continue
        start, end = piece.span()
        # Everything where there is a digit (e11.9, 5mg), else only the signs.
        has_digit = _DIGIT.search(word) is not None
        after_number = False
        for match in _PART.finditer(word):
            part = match[0]
            if has_digit or not part[0].isalpha():
                value = _THOUSANDS.sub("", part) if "," in part else part
                found.append((start + match.start(), start + match.end(), value))
                after_number = value[-1].isdecimal()
    return found


@functools.lru_cache(maxsize=2**16)  # texts say the same few thousand words again and again
def _value_of(word: str) -> str:
    """The value that a word of letters is by itself; "" where it is none."""
    return _SAME.get(word, word) if word in _WORDS or word.endswith(_STEM_ENDS) else ""


def _of_chinese(text: str) -> list[Found]:
    spans = [match.span() for match in _ZH.finditer(text) if match[0] not in _ZH_SKIPPED]
    spans += [(max(0, match.start() - 1), match.end()) for match in _ZH_END.finditer(text)]
    spans += [match.span() for match in _ZH_NUMBER.finditer(text) if match[0] not in _ZH_SKIPPED]
    spans += [match.span() for match in _MEASURE.finditer(text)]
    return [(start, end, text[start:end]) for start, end in spans]


def _occurrences(text: str, words: tuple[str, ...]) -> list[str]:
    return _any_of(words).findall(text) if words else []


@functools.lru_cache(maxsize=8)
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """Longest first; a word in Latin letters is not found inside another word."""
    parts = []
    for word in sorted(words, key=lambda word: (-len(word), word)):
        opening = r"(?<![^\W_])" if word[0].isascii() else ""
        closing = r"(?![^\W_])" if word[-1].isascii() else ""
        parts.append(opening + re.escape(word) + closing)
    return re.compile("|".join(parts))


def _are_in_place(one: str, found: list[Found], other: str, others: list[Found]) -> bool:
    """Whether no value of one text has taken the place of another in the other text.

    A value has, where the same words stand around another value there, and around this one nowhere. Of a sentence that
    was moved the words on one side at least stay the same.
    """
    here: dict[Surrounding, set[str]] = {}
    there: dict[Surrounding, set[str]] = {}
    for known, text, those in ((here, one, found), (there, other, others)):
        for value, surroundings in _surroundings(text, those):
            for surrounding in surroundings:
                known.setdefault(surrounding, set()).add(value)
    for value, surroundings in _surroundings(one, found):
        shared = [surrounding for surrounding in surroundings if surrounding in there]
        is_taken = any(value not in there[surrounding] for surrounding in shared)
        if is_taken and not any(here[surrounding] == there[surrounding] == {value} for surrounding in shared):
            return False
    return True


def _surroundings(text: str, found: list[Found]) -> Iterator[tuple[str, list[Surrounding]]]:
    """Of each value the words before it, after it, and on both sides; few and twice as many."""
    for start, end, value in found:
        before = _TOKEN.findall(text[max(0, start - _SPAN) : start])
        after = _TOKEN.findall(text[end : end + _SPAN])
        times_before = 2 if before and _is_ideograph(before[-1]) else 1
        times_after = 2 if after and _is_ideograph(after[0]) else 1
        both = (*before[-(_NEAR - 1) * times_before :], "", *after[: (_NEAR - 1) * times_after])
        sides = [both]
        for near in (_NEAR, 2 * _NEAR):
            sides.append((*before[-near * times_before :], ""))
            sides.append(("", *after[: near * times_after]))
        # The beginning and the end of a text are no words.
        yield value, [side for side in sides if len(side) > 1]


def _is_ideograph(sign: str) -> bool:
    return "\u3400" <= sign <= "\u9fff" or "\uf900" <= sign <= "\ufaff" or "\U00020000" <= sign <= "\U0003ffff"
