"""Languages: whether a data set is Chinese or English, whether a row is in another language, traditional characters.

The script of the letters tells most, and costs next to nothing. lingua tells languages of one script apart; it is
loaded only where a recipe allows some languages. Its small model (60 MB, no download) is taken, and believed only where
the text is long enough and the answer clear: a row that is wrongly kept costs less than one that is wrongly left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

from yibu.core.edits import Edit
from yibu.core.errors import MissingExtra

# ISO 639-1, of the languages that lingua knows.
CODES = frozenset(
    re.findall(
        "..",
        "afarazbebgbnbscacscydadeeleneoeseteufafifrgaguhehihrhuhyidisitjakakkkolalgltlv"
        "mimkmnmrmsnbnlnnpaplptroruskslsnsosqsrstsvswtatethtltntrtsukurvixhyozhzu",
    )
)

Script = Literal["latin", "cjk", "kana", "hangul", "other"]

_CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_NO_LETTER = re.compile(r"[\W\d_]+")
_NUM_ROWS = 1000
_NUM_CHARACTERS = 1000  # of each row
_MIN_SHARE = 0.2

_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a]+")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]+")
_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]+")
_WEIGHT_CJK = 3  # a character of Chinese says about as much as three letters

_NUM_DETECTED = 2000  # characters that lingua looks at
_MIN_LETTERS = 40  # of an alphabet; fewer are no evidence
_MIN_CJK = 4
_MAX_DOUBT = 0.1  # confidence in the allowed languages, together, below which a row is in none of them


class LanguageGuess:
    """Counts letters in the first rows."""

    def __init__(self) -> None:
        self._num_rows = self._num_letters = self._num_cjk = 0

    def add(self, text: str) -> None:
        if self._num_rows < _NUM_ROWS:
            self._num_rows += 1
            letters = _NO_LETTER.sub("", text[:_NUM_CHARACTERS])
            self._num_letters += len(letters)
            self._num_cjk += len(letters) - len(_CJK.sub("", letters))

    @property
    def language(self) -> Literal["en", "zh"]:
        """``zh`` where more than a fifth of the letters are Chinese characters, else ``en``."""
        return "zh" if self._num_cjk > _MIN_SHARE * self._num_letters else "en"


def scripts(text: str) -> Counter[Script]:
    """How many letters of which script a text has in its first thousand characters."""
    text = text[:_NUM_CHARACTERS]
    counts: Counter[Script] = Counter()
    if text.isascii():
        counts["latin"] = len(text.encode().translate(None, _NO_ASCII_LETTER))
        return counts
    letters = _NO_LETTER.sub("", text)
    for script, pattern in _SCRIPTS.items():
        rest = pattern.sub("", letters)
        counts[script] = len(letters) - len(rest)
        letters = rest
        if not letters:
            return counts
    counts["other"] = len(letters)
    return counts


_SCRIPTS: dict[Script, re.Pattern[str]] = {"cjk": _CJK, "latin": _LATIN, "kana": _KANA, "hangul": _HANGUL}
_CJK_BLOCKS = bytes(block for block in range(0x34, 0x9F) if block != 0x4D)  # U+34xx to U+9Exx; U+4Dxx has hexagrams
_NO_ASCII_LETTER = bytes(code for code in range(128) if not chr(code).isalpha())


def is_foreign(text: str, language: str) -> bool:
    """Whether the script of a text says that it is not in the language of the data set, ``zh`` or ``en``.

    Chinese with English names and units is Chinese, and so is a case report with one Chinese name English; few letters
    are no evidence.
    """
    head = text[:_NUM_CHARACTERS]
    num_cjk, num_latin = _num_sure(head)
    # As most texts are, whatever the letters are that were not counted: each weighs at most as much as a Chinese one.
    if language == "zh":
        is_chinese = num_cjk >= _MIN_SHARE / 2 * len(head) or 2 * len(_CJK.sub("", head)) < len(head)
        if is_chinese and not _KANA.search(head):
            return False
    elif num_latin >= _MIN_SHARE * (num_latin + _WEIGHT_CJK * (len(head) - num_latin)):
        return False
    found = scripts(text)
    cjk, kana = _WEIGHT_CJK * found["cjk"], _WEIGHT_CJK * found["kana"]
    total = cjk + kana + _WEIGHT_CJK * found["hangul"] + found["latin"] + found["other"]
    if total < _MIN_LETTERS:
        return False
    if language == "zh":
        return cjk < _MIN_SHARE / 2 * total or kana > cjk / 2
    return found["latin"] < _MIN_SHARE * total


def num_sure_letters(text: str) -> int:
    """Letters that can be counted at a nanosecond each: Chinese characters and those of ASCII; there may be more."""
    return sum(_num_sure(text))


def _num_sure(text: str) -> tuple[int, int]:
    """Chinese characters and letters of ASCII, but those of a few blocks that hold other signs too.

    In UTF-16 one byte tells the block of a character. Halves of pairs have blocks of their own.
    """
    if text.isascii():
        return 0, len(text.encode().translate(None, _NO_ASCII_LETTER))
    units = text.encode("utf-16-le", "surrogatepass")
    blocks = units[1::2]
    num_cjk = len(blocks) - len(blocks.translate(None, _CJK_BLOCKS))
    return num_cjk, len(text.encode("ascii", "ignore").translate(None, _NO_ASCII_LETTER))


def is_none_of(text: str, codes: Sequence[str]) -> bool:
    """Whether a text is clearly in none of the languages.

    Args:
        text: any text; of a long one the beginning is looked at.
        codes: ISO 639-1, of `CODES`.

    Raises:
        MissingExtra: lingua is not installed.
    """
    text = text[:_NUM_DETECTED]
    found = scripts(text)
    if found["cjk"] + found["kana"] + found["hangul"] < _MIN_CJK and found["latin"] + found["other"] < _MIN_LETTERS:
        return False
    shares = _detector()(text)
    return bool(shares) and sum(share for code, share in shares.items() if code in codes) < _MAX_DOUBT


@cache
def _detector() -> Callable[[str], dict[str, float]]:
    try:
        from lingua import LanguageDetectorBuilder
    except ImportError as error:
        raise MissingExtra("lingua-language-detector", extra="data", use="the language filter") from error
    # The large models take 900 MB.
    detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()

    def detect(text: str) -> dict[str, float]:
        values = detector.compute_language_confidence_values(text)
        shares = {value.language.iso_code_639_1.name.lower(): value.value for value in values if value.value > 0}
        return shares

    return detect


def simplifications(text: str) -> list[Edit]:
    """What makes traditional characters simplified ones, by the words that they stand in (OpenCC ``t2s``).

    Raises:
        MissingExtra: opencc is not installed.
    """
    convert = _simplifier().convert
    converted = convert(text)
    if converted == text:
        return []
    if len(converted) == len(text):
        return _conversions(text, 0, lambda _: converted)
    return [edit for run in _CJK.finditer(text) for edit in _conversions(run[0], run.start(), convert)]


@cache
def _simplifier() -> Any:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise MissingExtra("opencc", extra="data", use="chinese: simplified") from error
    return OpenCC("t2s")


def _conversions(run: str, start: int, convert: Callable[[str], str]) -> list[Edit]:
    """The edits of one run of characters, each as small as the conversion allows."""
    converted = convert(run)
    if len(converted) == len(run):
        pairs = enumerate(zip(run, converted, strict=True), start=start)
        return [Edit(place, place + 1, new) for place, (old, new) in pairs if old != new]
    # A word of another length: split where the halves are converted by themselves as they are together.
    for middle in sorted(range(1, len(run)), key=lambda middle: abs(2 * middle - len(run))):
        left, right = run[:middle], run[middle:]
        if convert(left) + convert(right) == converted:
            return [*_conversions(left, start, convert), *_conversions(right, start + middle, convert)]
    return [Edit(start, start + len(run), converted)]
