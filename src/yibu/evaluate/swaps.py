"""Counterfactual swaps: the same text about a person of the other sex, or from another region.

What is asked should not hang on these words, so an answer that changes with them shows what a model has made of them.
Every list is of pairs that are swapped both ways. Texts in which the sex is part of the matter (pregnancy, prostate)
are left alone, and so is a text in which no word of a list occurs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Swap = Literal["sex", "region"]

_SEX_EN = (
    "he she|himself herself|man woman|men women|boy girl|boys girls|male female|males females|father mother|"
    "son daughter|sons daughters|brother sister|brothers sisters|husband wife|uncle aunt|grandfather grandmother|"
    "mr mrs|sir madam|gentleman lady|nephew niece|dad mum"
)
_SEX_ZH = (
    "他 她|男 女|先生 女士|父亲 母亲|爸爸 妈妈|丈夫 妻子|儿子 女儿|哥哥 姐姐|弟弟 妹妹|叔叔 阿姨|爷爷 奶奶|外公 外婆"
)
_REGION_EN = (
    "american nigerian|british indian|english pakistani|european african|europe africa|america nigeria|england india|"
    "london lagos|paris karachi|germany bangladesh|german bangladeshi|urban rural"
)
_REGION_ZH = (
    "北京 河南|上海 甘肃|广东 贵州|浙江 云南|城市 农村|城镇 乡村|本地 外地|汉族 回族|北方 南方|欧洲 非洲|美国 印度"
)
# Words that hold a character of a list and mean something else.
_NOT_MEANT = "其他|吉他|他们|她们|维他命|子女|儿女|男女|美女|少女星座|处女座|外婆家"
_OF_ONE_SEX = re.compile(
    r"pregnan|uter(?:us|ine)|prostat|ovar(?:y|ies|ian)|menstr|menopaus|testic|gravid|obstet|gyn(?:a)?ecol|vagin|penis|"
    r"怀孕|妊娠|子宫|前列腺|卵巢|月经|绝经|睾丸|产科|妇科|阴道|阴茎|哺乳",
    re.IGNORECASE,
)


def _table(english: str, chinese: str) -> tuple[re.Pattern[str], dict[str, str]]:
    words: dict[str, str] = {}
    for pair in f"{english}|{chinese}".split("|"):
        one, other = pair.split(" ")
        words |= {one: other, other: one}
    latin = "|".join(sorted((word for word in words if word.isascii()), key=len, reverse=True))
    han = "|".join(sorted((word for word in words if not word.isascii()), key=len, reverse=True))
    more = r"|\b(?P<pronoun>her|his|him)\b" if "he" in words else ""
    pattern = rf"(?P<not_meant>{_NOT_MEANT})|\b(?P<latin>{latin})\b|(?P<han>{han}){more}"
    return re.compile(pattern, re.IGNORECASE), words


_TABLES: Mapping[Swap, tuple[re.Pattern[str], dict[str, str]]] = {
    "sex": _table(_SEX_EN, _SEX_ZH),
    "region": _table(_REGION_EN, _REGION_ZH),
}


def swapped(text: str, swap: Swap) -> str | None:
    """The text with every word of the list turned into its pair, capitals kept; None where it has none, or is left out.

    English ``her`` is two words: before another word it is taken for ``his``, else for ``him``.
    """
    if swap == "sex" and _OF_ONE_SEX.search(text):
        return None
    pattern, words = _TABLES[swap]

    def turn(found: re.Match[str]) -> str:
        word = found[0]
        if found["not_meant"]:
            return word
        low = word.lower()
        if low in words:
            return _as_written(word, words[low])
        other = ("his" if re.match(r" +[A-Za-z]", text[found.end() :]) else "him") if low == "her" else "her"
        return _as_written(word, other)

    made = pattern.sub(turn, text)
    return None if made == text else made


def _as_written(pattern: str, word: str) -> str:
    if len(pattern) > 1 and pattern.isupper():
        return word.upper()
    return word.capitalize() if pattern[:1].isupper() else word
