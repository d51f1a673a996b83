"""What a text of a domain states, as far as rules can tell: values with their units, what is denied, sides of the body.

A summary may say all in other words but these. They are read in English and Chinese, without a model, so that the same
text always gives the same facts. What is denied is told as in NegEx (Chapman et al. 2001, Journal of Biomedical
Informatics 34): a word of denial reaches to the end of its clause, or to a word that begins another statement; one such
as "negative" or 阴性 reaches back. Double negations and hypotheses are not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from yibu.metrics.scores import numbers, tokens
from yibu.terms.unit_text import quantities


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _numbered(first: int, step: int, text: str) -> dict[str, int]:
    return {word: first + step * place for place, word in enumerate(text.split())}


_FARTHEST = 60  # characters that a denial reaches in a clause; NegEx has five words, lists of symptoms are longer
_PSEUDO = re.compile(
    r"\bno (?:change|increase|decrease|further|longer|doubt)|\bnot only\b|\bgram[- ]negative|\bnot certain|"
    r"无论|无数|无力|无法|无菌|无线|未来|未成年|未婚|不仅|不但|非常|非但|非甾体|非小细胞|除非|没收|没落|无水",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"(?<![A-Za-z])(?:no|not|none|never|neither|nor|without|cannot|denies|denied|deny|denying|absence of|free of|"
    r"negative for|negative(?= (?!and |or |but |in |on |at |for |with |today|this)[a-z])|"
    r"rules? out|ruled out|refuses?|refused|(?:do|does|did|is|are|was|were|has|have|had|ca|could|would|"
    r"should|wo)n['’]?t)(?![A-Za-z])|"
    r"否认|未(?!知|明)|无|没有|没|不伴|不存在|不是|不支持|不考虑|不需|不宜|不能|不可|不得|不应|不予|不会|不构成|不承担|并非|"
    r"禁止|拒绝|排除",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"(?<![A-Za-z])(?:(?<!otherwise )negative(?= and | or | but | in | on | at | with | today| this|[^ A-Za-z-]| *$)|"
    r"absent|not found|not seen|unremarkable|(?:was|is|were|been) ruled out)"
    r"(?![A-Za-z])|阴性|[(（][-－—][)）]|缺如|未见(?=[。；;，,]|$)|除外(?=[。；;，,]|$)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[^。！？；;!?\n，.]+(?:\.(?!\s|$)[^。！？；;!?\n，.]*)*[。！？；;!?\n，.]?")
_TURN = re.compile(
    r"但|然而|而|(?<!不)伴|出现|(?<![A-Za-z])(?:but|however|except|although|though|which|has|have|had|with|reports?|"
    r"complains?|presents?|states|takes|taking|is|are|was|were|because|since|due to|secondary to|for)(?![A-Za-z])",
    re.IGNORECASE,
)
# Verbs right behind a denial belong to it: "never had asthma", "is not taking".
_BEGINS = re.compile(
    r"(?:\s+(?:really|ever|been|being|have|has|had|is|are|was|were|with|taking|reports?|for))*", re.IGNORECASE
)
_PARTS = re.compile(r"[,、/;:：()（）]|\b(?:or|and|nor)\b|[或及和与]", re.IGNORECASE)
_HAN = re.compile(r"[\u3400-\u9fff]+")
_EMPTY_EN = _words(
    "a an the any of in on at to for by and or nor other such his her their its this that these those "
    "evidence sign signs symptom symptoms history recent current known acute significant complaint "
    "complaints having been be i he she it they you we there do does did has have had is are was were my "
    "your so as all"
)
_EMPTY_ZH = re.compile(r"明显|其他|其它|任何|相关|以上|上述|等|史|病史|症状|既往|伴|有|及|见|诉|发现|触及|闻及")

_SIDES = {"left": "left", "right": "right", "bilateral": "both", "bilaterally": "both"}
_SIDE_EN = re.compile(
    r"(?<![A-Za-z])(left|right|bilateral|bilaterally)(?:[- ]?(?:sided|side|hand|handed))?(?![A-Za-z])[\s,-]*"
    r"((?:[A-Za-z]+[\s-]+){0,2}?[A-Za-z]+)?",
    re.IGNORECASE,
)
# 二甲双胍, 左氧氟沙星 and 右美托咪定 are drugs.
_SIDE_ZH = re.compile(
    r"(双侧|双(?=[眼耳肺膝手足脚下上肾乳髋肩腿踝瞳胸臂腕肘颊颈])|两侧|左侧|左(?![氧甲乙旋炔卡西布羟右])|右侧|右(?![美旋佐]))[边方]?"
    r"([上下前后内外中大小]*[\u3400-\u9fff])?"
)
# 0.5g每日三次 is a dose three times a day, and not 0.5 g/d.
_TIMES_A_DAY = re.compile(r"每(?=[日天周月晚晨][一二两三四五六0-9]+次)")
# The number of an item of a list is no value: "1. Hypertension. 2. Fatigue."
_LISTED = re.compile(r"(?:^|(?<=[.\n;；。]))\s*[0-9]{1,2}[.)、．](?=\s*[^\s0-9])")
_SIDE_OF_ZH = {"双": "both", "两": "both", "左": "left", "右": "right"}
_NO_SITE = _words(
    "the a an to for at in on of now away after before home his her it and or is was are were here there "
    "over alone off with so that this but as us me him them my your our because from hospital"
)
_BETWEEN = _words("upper lower middle inner outer lateral medial proximal distal anterior posterior mid")
_UNITS_EN = _numbered(
    0,
    1,
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
)
_TENS_EN = _numbered(20, 10, "twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES_EN = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_ALONE_EN = {"once": 1, "twice": 2, "half": 0.5, "couple": 2, "dozen": 12}
_ORDINALS_EN = {"first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight"} | {
    "ninth": "nine",
    "twelfth": "twelve",
}
_MONTHS_EN = _numbered(1, 1, "january february march april may june july august september october november december")
_DIGITS_ZH = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_SCALES_ZH = {"十": 10, "百": 100, "千": 1_000}
_NUMBER_ZH = re.compile("[零〇一二两三四五六七八九十百千]+(?:点[零〇一二三四五六七八九]+)?[万亿]?|半")


class Value(NamedTuple):
    """A number in one spelling (``"37.5"``) and the UCUM code of the unit behind it, ``""`` where there is none."""

    number: str
    unit: str


class Side(NamedTuple):
    """``left``, ``right`` or ``both``, and the word (in Chinese the character) that says what of; ``""`` unknown."""

    side: str
    site: str


def values(text: str) -> set[Value]:
    """All numbers, with their units where there are such."""
    found: set[Value] = set()
    text = _LISTED.sub(" ", _TIMES_A_DAY.sub(" ", text))
    rest = 0
    for quantity in quantities(text):
        found |= {Value(number, "") for number in numbers(text[rest : quantity.start])}
        unit = quantity.unit.ten("code") + quantity.unit.spelled("code")
        read = list(numbers(text[quantity.start : quantity.number_end]))
        found |= {Value(number, unit) for number in read[:1]}
        rest = quantity.end
    return found | {Value(number, "") for number in numbers(text[rest:])}


def spoken_numbers(text: str) -> set[str]:
    """Numbers in words: ``three hundred and fifty`` is 350, 三十七点五 37.5, twice 2; spelled as `scores.numbers` does.

    Every reading of a run of words is there (in "twenty five": 25, and 20 and 5; in "nineteen eighty three" 1983, too),
    and the numbers of months, since it is asked whether a number may have been said.
    """
    found = {_spelled(value) for value in _spoken_en(text)}
    for match in _NUMBER_ZH.finditer(text):
        value = _read_zh(match.group())
        found |= {_spelled(value)} if value is not None else set()
    return found


def denied_spans(text: str) -> list[tuple[int, int]]:
    """Where in a text stands what is said not to be there."""
    spans: list[tuple[int, int]] = []
    for clause in _CLAUSE.finditer(text):
        start, end = clause.span()
        hidden = [match.span() for match in _PSEUDO.finditer(text, start, end)]
        for match in _DENIAL.finditer(text, start, end):
            if any(low <= match.start() < high for low, high in hidden):
                continue
            begins = _BEGINS.match(text, match.end(), end)
            turn = _TURN.search(text, begins.end() if begins else match.end(), end)
            reach = min(end, match.end() + _FARTHEST, turn.start() if turn else end)
            spans.append((match.end(), reach))
        for match in _BACK.finditer(text, start, end):
            if not any(low <= match.start() < high for low, high in hidden):
                begin = max(start, match.start() - _FARTHEST, text.rfind(",", start, match.start()) + 1)
                spans.append((begin, match.start()))
    return spans


def denied_words(text: str) -> set[str]:
    """Words that are said not to hold: English ones stemmed, Chinese ones as all pairs of neighbouring characters."""
    words: set[str] = set()
    for start, end in denied_spans(text):
        for part in _PARTS.split(text[start:end]):
            words |= content_words(part)
    return words


def content_words(text: str) -> set[str]:
    """What a text is about: English words that say something, stemmed; pairs of neighbouring Chinese characters."""
    latin = _HAN.sub(" ", text)
    kept = [word for word in re.findall(r"[A-Za-z][A-Za-z'’-]+", latin) if word.lower() not in _EMPTY_EN]
    words = {token for word in kept for token in tokens(word, "en")}
    for run in _HAN.findall(_EMPTY_ZH.sub(" ", text)):
        words |= {run[at : at + 2] for at in range(len(run) - 1)} if len(run) > 1 else {run}
    return words


def sides(text: str) -> set[Side]:
    """Sides of the body and what is there; left and right in another sense ("left the hospital") are left out."""
    found: set[Side] = set()
    for match in _SIDE_EN.finditer(text):
        words = re.findall(r"[a-z]+", (match[2] or "").lower())
        if not words or words[0] in _NO_SITE:
            if match[1].lower() in ("bilateral", "bilaterally"):
                found.add(Side("both", ""))
            continue
        site = _site(text, match.start(2))
        found.add(Side(_SIDES[match[1].lower()], site))
    for match in _SIDE_ZH.finditer(text):
        if match[2] is None and len(match[1]) == 1:
            continue  # 左 and 右 of something else: 100左右
        if match[1] == "右" and text[match.start() - 1 : match.start()] == "左":
            continue
        found.add(Side(_SIDE_OF_ZH[match[1][0]], match[2] or ""))
    return found


def _site(text: str, start: int) -> str:
    """The word that a side belongs to, past upper, lower and their like: ``low lobe`` of the right lower lobe."""
    words = re.findall(r"[A-Za-z]+", text[start : start + _FARTHEST])
    taken = []
    for word in words[:3]:
        taken.append(word.lower())
        if word.lower() not in _BETWEEN:
            break
    return " ".join(tokens(" ".join(taken), "en"))


def _spoken_en(text: str) -> Iterator[float]:
    """The numbers that a run of words may mean, read on from each of its words."""
    run: list[str] = []
    for word in re.findall(r"[a-z]+|[0-9.]+|[^a-z0-9\s-]", text.lower()):
        if word in _ALONE_EN:
            yield _ALONE_EN[word]
        if word in _MONTHS_EN:
            yield _MONTHS_EN[word]
        word = _ORDINALS_EN.get(word, word.removesuffix("th").replace("tie", "ty") if word.endswith("th") else word)
        if word.endswith("ties"):  # in her twenties
            word = word[:-3] + "y"
        if word in _UNITS_EN or word in _TENS_EN or word in _SCALES_EN or (word == "and" and run):
            run.append(word)
        elif run:
            yield from _readings(run)
            run = []
    yield from _readings(run)


def _readings(run: list[str]) -> Iterator[float]:
    for start in range(len(run)):
        total = current = 0.0
        pair: float | None = None  # nineteen, of nineteen eighty three; one, of one fifty
        for word in run[start : start + 8]:
            small, ten = _UNITS_EN.get(word), _TENS_EN.get(word)
            if word in _SCALES_EN:
                current = max(current, 1) * _SCALES_EN[word]
                if _SCALES_EN[word] >= 1_000:
                    total, current = total + current, 0.0
            elif small is not None and (current % 100 == 0 or (20 <= current % 100 < 100 and current % 10 == 0)):
                current += small
            elif ten is not None and current % 100 == 0:
                current += ten
            elif word != "and":
                if pair is not None or not 0 < current < 100:
                    break
                pair, current = current, float(small if small is not None else ten or 0)
            yield total + current
            if pair is not None:
                yield 100 * pair + current


def _read_zh(text: str) -> float | None:
    if text == "半":
        return 0.5
    whole, _, decimals = text.rstrip("万亿").partition("点")
    value = current = 0.0
    if not any(sign in _SCALES_ZH for sign in whole):  # digit by digit: 二零二四
        value = float("".join(str(_DIGITS_ZH[sign]) for sign in whole) or 0)
    else:
        for sign in whole:
            if sign in _SCALES_ZH:
                value += (current or 1) * _SCALES_ZH[sign]
                current = 0
            else:
                current = _DIGITS_ZH[sign]
        value += current
    if decimals:
        value += float("0." + "".join(str(_DIGITS_ZH[sign]) for sign in decimals))
    return value * {"万": 10_000, "亿": 100_000_000}.get(text[-1], 1)


def _spelled(value: float) -> str:
    return next(numbers(f"{value:.6f}"))
