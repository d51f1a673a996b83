"""Slips of character recognition: 0 and O, l and 1, rn and m; in Chinese the look-alike, or a character fallen apart.

Numbers are protected as in all noise, so a digit is only brought in between letters (``lo4n``), where nobody takes it
for a value; with ``keep: []`` the digits of a number are misread too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from yibu.augmenters import NoiseSettings
from yibu.augmenters._noise import Noise
from yibu.augmenters._shapes import ALIKE
from yibu.core.edits import Edit

# What is read for what is printed, the likeliest first. Pairs that are one stroke or one gap apart in common typefaces.
_CONFUSED: dict[str, tuple[str, ...]] = {
    "rn": ("m",),
    "cl": ("d",),
    "vv": ("w",),
    "li": ("h",),
    "ri": ("n",),
    "nn": ("m",),
    "m": ("rn", "nn"),
    "d": ("cl",),
    "w": ("vv",),
    "h": ("b", "li"),
    "n": ("ri", "u"),
    "u": ("n", "ii", "v"),
    "l": ("1", "I", "i"),
    "i": ("l", "j", "1"),
    "I": ("l", "1"),
    "o": ("0", "c"),
    "O": ("0", "Q", "D"),
    "Q": ("O",),
    "D": ("O",),
    "e": ("c", "o"),
    "c": ("e", "o"),
    "a": ("o", "e", "4"),
    "b": ("h", "6"),
    "B": ("8", "E"),
    "E": ("F", "B"),
    "F": ("E", "P"),
    "f": ("t",),
    "t": ("f", "l"),
    "g": ("q", "9"),
    "q": ("g", "9"),
    "S": ("5",),
    "s": ("5",),
    "Z": ("2",),
    "z": ("2",),
    "G": ("6", "C"),
    "C": ("G",),
    "v": ("y", "u"),
    "y": ("v",),
    "j": ("i",),
    "r": ("n",),
    "P": ("F",),
    "R": ("P",),
    "M": ("N",),
    "N": ("M",),
    "U": ("V",),
    "V": ("U",),
    "T": ("I",),
    "0": ("O", "o"),
    "1": ("l", "I"),
    "2": ("Z",),
    "5": ("S",),
    "6": ("b",),
    "8": ("B",),
    "9": ("g",),
}
# Left and right half of a wide character, each read as a character of its own.
_HALVES_TABLE = (
    "明日月 好女子 林木木 朋月月 从人人 双又又 加力口 功工力 知矢口 和禾口 相木目 村木寸 材木才 "
    "柏木白 杜木土 叶口十 吐口土 唱口昌 鸣口鸟 野里予 鲜鱼羊 外夕卜 胡古月 期其月 职耳只 取耳又 "
    "对又寸 难又隹 欢又欠 新亲斤 妈女马 奶女乃 姓女生 如女口 始女台 吃口乞 呀口牙 吗口马 哪口那 "
    "啊口阿 时日寸 晴日青 昨日乍 暗日音 的白勺 种禾中 科禾斗 程禾呈 积禾只 秋禾火 理王里 现王见 "
    "球王求 致至攵 政正攵 款士欠 郎良阝 敌舌攵 醉酉卒"
)
_HALVES: dict[str, str] = {entry[0]: entry[1:] for entry in _HALVES_TABLE.split()}


class Settings(NoiseSettings):
    """Table ``{kind: ocr, ...}``."""

    kind: Literal["ocr"] = "ocr"


class Augmenter(Noise[Settings]):
    """See `yibu.augmenters`."""

    def candidates(self, text: str) -> Iterator[Edit]:
        for place, character in enumerate(text):
            for size in (2, 1):
                printed = text[place : place + size]
                if len(printed) == size:
                    yield from (Edit(place, place + size, new) for new in _CONFUSED.get(printed, ()))
            yield from (Edit(place, place + 1, new) for new in ALIKE.get(character, "")[:2])
            if character in _HALVES:
                yield Edit(place, place + 1, _HALVES[character])
