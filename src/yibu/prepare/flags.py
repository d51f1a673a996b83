"""What is wrong with the quality of a row, noted and never acted upon; and why the filters leave a row out.

``repetition``
    The text repeats itself: more than 15 % of it lies in runs that stand in it twice, after the rule of Gopher for
    n-grams of five words (Rae et al. 2021, 2112.11446, table A1). The runs are counted in characters, about as many as
    five words have, so that text without spaces is measured like any other.
``truncated``
    Prose that stops in the middle of a sentence, or within a quotation or bracket that it opened.
``wrong_language``
    The script of the prompt is not that of most rows.
``mostly_symbols``
    More marks than letters and digits.
``mojibake``
    What a wrong decoding leaves behind, and cleaning could not repair: Ã©, U+FFFD, 锟斤拷.

Everything is found in a few scans of the text: flags are for every row of a million.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yibu.prepare.language import is_foreign, is_none_of, num_sure_letters

if TYPE_CHECKING:
    from yibu.prepare.clean import CleanSettings

FLAGS = ("repetition", "truncated", "wrong_language", "mostly_symbols", "mojibake")

_NUM_CHARACTERS = 4000  # that are looked at for repetition and symbols
_RUN = 30  # characters of a run: five words
_RUN_WIDE = 16
_MAX_REPEATED = 0.15
_MIN_RUNS = 2  # so many must be repeated: one phrase that comes back is none
_MIN_LENGTH = 80  # of a text that can repeat itself or be cut off; shorter ones are labels, titles, commands
_MIN_LENGTH_WIDE = 40

_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_END = re.compile(r"[。！？!?；…]|(?<=[^\W_]{3})\.(?=\s)")  # not that of Dr. or of A.
_OPEN = frozenset(",，、-–—([{（【「『《〈“‘")  # after these more must come
_BRACKETS = [tuple(pair) for pair in ("()", "（）", "[]", "【】", "「」", "『』", "《》", "〈〉", "“”")]
_MIN_ENDS_PROMPT = 4  # people end a question without a mark; whole documents they do not
_MIN_ENDS_TARGET = 1
_PARAGRAPH = 1000  # characters
_TAIL = 300  # characters; a bracket left open before them is a slip

_MARK = re.compile(r"[^\w\s]")
_ASCII_WORDS = bytes(code for code in range(128) if chr(code).isalnum() or chr(code).isspace())
_MIN_MARKS = 20
_MAX_SYMBOLS = 0.5

_SUSPECT = re.compile("[\ufffd锟斤烫屯ÂÃâãäåæçï]")
_BROKEN = re.compile(
    "\ufffd|锟斤|斤拷|烫烫烫|屯屯屯|ï»¿|ï¿½"
    "|[ÂÃ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œžŸ]"  # two bytes
    "|[âãäåæçï][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"  # three
)


def flags(text: str, target: str, language: str) -> tuple[str, ...]:
    """The flags of a row, of `FLAGS` and in their order.

    Args:
        text: the prompt, clean.
        target: what is to be answered; may be empty.
        language: of most rows, ``zh`` or ``en``.
    """
    texts = (text,) if target == text else (text, target)  # of raw text the target is the text itself
    found = (
        any(map(_repeats, texts)),
        _is_cut(target, _MIN_ENDS_TARGET) or (target != text and _is_cut(text, _MIN_ENDS_PROMPT)),
        is_foreign(text, language),
        any(map(_is_symbols, texts)),
        any(map(_is_broken, texts)),
    )
    return tuple(flag for flag, is_so in zip(FLAGS, found, strict=True) if is_so)


def refusal(text: str, settings: CleanSettings) -> str | None:
    """Why the filters of length and language leave a row out; None where they do not.

    Args:
        text: the prompt, clean.
        settings: the recipe's section ``data.clean``.

    Raises:
        MissingExtra: languages are asked for and lingua is not installed.
    """
    if len(text) < settings.min_characters:
        return "the prompt is shorter than clean.min_characters"
    if settings.max_characters is not None and len(text) > settings.max_characters:
        return "the prompt is longer than clean.max_characters"
    if settings.languages and is_none_of(text, settings.languages):
        return "the prompt is in none of clean.languages"
    return None


def _is_wide(text: str) -> bool:
    """Whether a text is of characters rather than of words between spaces."""
    return not text.isascii() and text.count(" ") * 12 < len(text) and _WIDE.search(text) is not None


def _repeats(text: str) -> bool:
    """Whether too much of the text stands in it again, at whatever distance."""
    if len(text) < _MIN_LENGTH_WIDE:
        return False
    text = text[:_NUM_CHARACTERS]
    is_wide = _is_wide(text)
    if not is_wide and len(text) < _MIN_LENGTH:
        return False
    size = _RUN_WIDE if is_wide else _RUN
    find = text.find
    starts = range(0, len(text) - size, size)
    num_repeated = sum([find(text[start : start + size], start + 1) > 0 for start in starts])
    return num_repeated >= _MIN_RUNS and num_repeated * size > _MAX_REPEATED * len(text)


def _is_cut(text: str, min_ends: int) -> bool:
    """Whether prose ends in the middle; prose has so many whole sentences in its last lines."""
    if len(text) < _MIN_LENGTH_WIDE:
        return False
    text = text.rstrip()
    if len(text) < _MIN_LENGTH and not _is_wide(text):
        return False
    tail = text[-_TAIL:]
    for opening, closing in _BRACKETS:
        if opening in tail and tail.rfind(opening) > tail.rfind(closing) and text.count(opening) > text.count(closing):
            return True
    last = text[-1]
    if last in _OPEN:
        return True
    # Lists, headings and signatures end without a mark; a line that had whole sentences before does not.
    return last.isalpha() and len(_END.findall(text, max(text.rfind("\n"), len(text) - _PARAGRAPH))) >= min_ends


def _is_symbols(text: str) -> bool:
    if len(text) < _MIN_MARKS:
        return False
    text = text[:_NUM_CHARACTERS]
    num_signs = len(text) - text.count(" ") - text.count("\n")
    if num_sure_letters(text) >= (1 - _MAX_SYMBOLS) * num_signs:
        return False  # as in most texts
    num_marks = len(text.encode().translate(None, _ASCII_WORDS)) if text.isascii() else len(_MARK.findall(text))
    return num_marks >= _MIN_MARKS and num_marks > _MAX_SYMBOLS * num_signs


def _is_broken(text: str) -> bool:
    return not text.isascii() and _SUSPECT.search(text) is not None and _BROKEN.search(text) is not None
