"""When two texts count as the same: for duplicates, conflicts and leaks.

Compared after NFKC, case folding, and folding of white space and punctuation, so that a copy in full width, in
capitals or with other commas is still a copy. What carries a value is kept: 37.5 is not 375, -0.3 is not 0.3, 1:64 is
not 1/64, 5 % is not 5, 10⁹ is not 109. Such hard negatives (one template, other values) are what clinical and
financial rows are made of, and losing one is worse than keeping a near copy.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from yibu.core.chance import exact_key

# NFKC would make 10⁹ into 109.
_SUPERSCRIPTS = str.maketrans({sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")} | {"⁻": "^-", "⁺": "^+"})
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]")
# NFKC does this too, but it takes five times as long over a text in which there is anything to do; mostly it is these.
_WIDE_MARKS = tuple(zip("，：；！？（）", ",:;!?()", strict=True))
_VALUE_SIGNS = "%‰"  # punctuation for Unicode, but part of a value
_BRACKETS = ("Ps", "Pe", "Pi", "Pf")
_SENTENCE = ",;:!?\"'…、。"  # after NFKC, which makes ，；：！？ of Chinese into these


def fold(text: str) -> str:
    """The text as it is compared."""
    if not text.isascii():
        if _SUPERSCRIPT.search(text):  # rare, and looking for one takes a tenth of translating
            text = text.translate(_SUPERSCRIPTS)
        for wide, narrow in _WIDE_MARKS:
            text = text.replace(wide, narrow)
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
    text = text.casefold()
    *folded, cjk_space = _patterns()
    for pattern in folded:
        text = pattern.sub(" ", text)
    return text.strip() if text.isascii() else cjk_space.sub("", text).strip()


def key(text: str) -> int:
    """64 bits that stand for the folded text.

    Keys of all rows are held in memory, which is why they are short: with ten million rows the chance that any two
    different texts share a key is 3 in a million.
    """
    return exact_key(fold(text))


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Made on first use, since they list all punctuation of Unicode (which ``re`` has no class for)."""
    category = unicodedata.category
    marks = [chr(code) for code in range(0x10000) if category(chr(code))[0] == "P" and chr(code) not in _VALUE_SIGNS]
    dashes = "".join(re.escape(mark) for mark in marks if category(mark) == "Pd")
    gap = "\\s" + "".join(re.escape(mark) for mark in marks if category(mark) != "Pd")
    sentence = "".join(re.escape(mark) for mark in marks if category(mark) in _BRACKETS or mark in _SENTENCE)
    # A dash between letters or between words joins, one before a text begins a list; elsewhere it may be a minus or a
    # "negative" (-0.3, Rh-).
    joining = f"[{dashes}](?:(?<=[^\\W\\d_].)(?=[^\\W\\d_])|(?:(?<=\\s.)|(?<=\\A.))(?=\\s+[^\\s0-9]))"
    # A bracket, quotation mark or comma before a number belongs to it only inside of one (1,000).
    opening = f"[{sentence}](?<![0-9].)(?=[0-9])"
    # Becomes one space; a plain one between two words is one already, and most are.
    run = f"[{gap}](?:(?<! )[{gap}]*|[{gap}]+)"
    # White space and punctuation up to anything but a digit is prose ...
    prose = f"{run}(?![{gap}0-9])"
    # ... but a mark right before a digit may be a decimal point, a ratio, a date.
    before_value = f"{run}(?:(?=[{gap}][0-9])|(?<=\\s)(?=[0-9]))"
    cjk = "\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    cjk_space = f" (?:(?<=[{cjk}] )|(?=[{cjk}]))"
    return tuple(re.compile(pattern) for pattern in (joining, opening, prose, before_value, cjk_space))
