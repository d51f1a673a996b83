"""What a found term becomes: its preferred term, but never twice what the text already says.

- A text that has the preferred term stays; only another width, or letters whose case carries meaning (HbA1c, COPD), are
  set right. A capital at the beginning of a sentence is no other spelling.
- What stands around the term is not said again: 原发性高血压 with 高血压 -> 原发性高血压 stays, 甲亢症 becomes
  甲状腺功能亢进症 (one 症), "essential HTN" becomes "essential hypertension".
- A definition stays: 2型糖尿病（T2DM）, "DM (diabetes mellitus)". Replaced, it would name one thing twice.
- A Latin term gets a space where the text would run into it: 服用阿司匹林100mg becomes 服用aspirin 100mg.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from yibu.core.edits import Edit
from yibu.terms.fold import fold, is_word

_GAP = re.compile(
    r"|\s*/\s*|\s*[(（\[【〔]\s*(?:以下简称|简称|又称|又名|也称|亦称|即|a\.?k\.?a\.?|i\.?e\.?|or|also called)?"
    r"[\s:：,，]*[\"'“‘]?\s*",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Za-z0-9]+")
_BRACKETS = re.compile(r"[(（\[【〔]")
_CLOSING = re.compile(r"\s*[\"'”’]?\s*[)）\]】〕]")

# Chinese nouns of class, of medicine and of law, that end a term and may stand behind its short form; not where they
# begin another word.
_CLASS_NOUNS = {
    "病": "人史情程变例因理房区床毒灶种原历友患",
    "症": "状候",
    "征": "象",
    "术": "前后中式者语野",
    "药": "物品学师房",
    "炎": "症性",
    "癌": "症细变性",
    "瘤": "体样",
    "罪": "名犯行责人过恶状刑数案证与",
    "法": "律院人官庭学定规治制条则典警医理方",
    "款": "项式待额",
    "费": "用率者时力",
    "税": "务率收额费款种法",
    "案": "件例情由发犯子卷号",
}


def is_definition(text: str, first_end: int, second_start: int, second_end: int) -> bool:
    """Whether two terms of one entry, which follow each other, are one thing under two names: X (Y), X/Y, XY."""
    gap = text[first_end:second_start]
    if not _GAP.fullmatch(gap):
        return False
    return not _BRACKETS.search(gap) or _CLOSING.match(text, second_end) is not None


def edits_of(
    text: str, start: int, end: int, preferred: str, variant: str | None, alone: Collection[int] = ()
) -> list[Edit]:
    """The edits that put a preferred term in the place of ``text[start:end]``; none where nothing is to be done.

    Args:
        text: the whole text.
        start, end: of the term that was found.
        preferred: what to write.
        variant: the dictionary's spelling of what was found; None where it is the preferred term.
        alone: borders (start, end) beyond which nothing counts as a part of the term.
    """
    seen = text[start:end]
    if variant is None:
        new = _respelled(seen, preferred)
        return [] if new == seen else [Edit(start, end, new)]
    left, right = _already_there(text, start, end, preferred)
    left, right = (0 if start in alone else left), (0 if end in alone else right)
    new = preferred[left : len(preferred) - right]
    if not left:
        new = _with_capital(seen, new, variant)
    if new == seen:
        return []
    edits = [Edit(start, end, new)]
    if not left and start and _runs_together(text[start - 1], new[:1]):
        edits.insert(0, Edit(start, start, " "))
    if not right and end < len(text) and _runs_together(new[-1:], text[end]):
        edits.append(Edit(end, end, " "))
    return edits


def inside_spans(text: str, edits: Sequence[Edit], spans: Sequence[tuple[int, int]]) -> list[Edit]:
    """The edits of one term, made so that none reaches over the border of a span; none where that cannot be.

    An edit that does is first made as small as it can be: with "acute MI" -> "acute myocardial infarction", a span on
    "MI" stays whole when only MI is replaced.
    """
    result = []
    for edit in edits:
        if any(_crosses(edit, start, end) for start, end in spans):
            edit = _smallest(text, edit)
            if any(_crosses(edit, start, end) for start, end in spans):
                return []
        result.append(edit)
    return result


def _crosses(edit: Edit, start: int, end: int) -> bool:
    outside = edit.end <= start or edit.start >= end
    return not outside and not (start <= edit.start and edit.end <= end)


def _smallest(text: str, edit: Edit) -> Edit:
    """The same change without what both sides begin and end with."""
    start, end, new = edit
    while start < end and new and text[start] == new[0]:
        start, new = start + 1, new[1:]
    while start < end and new and text[end - 1] == new[-1]:
        end, new = end - 1, new[:-1]
    return Edit(start, end, new)


def _respelled(seen: str, preferred: str) -> str:
    """The preferred term in the spelling of the dictionary, but for capitals without meaning and for white space."""
    if seen.split() == preferred.split():
        return seen
    if len(seen) != len(preferred):
        same = seen.lower().split() == preferred.lower().split() and not _exact_places(preferred)
        return seen if same else preferred
    exact = _exact_places(preferred)
    return "".join(
        two if place in exact and not (one.isspace() and two.isspace()) else _in_case_of(one, two)
        for place, (one, two) in enumerate(zip(seen, preferred, strict=True))
    )


def _in_case_of(one: str, two: str) -> str:
    if one.isspace() and two.isspace():
        return one
    return two.upper() if one.isupper() and len(two.upper()) == 1 else two.lower() if one.islower() else two


@lru_cache(maxsize=4096)
def _exact_places(preferred: str) -> frozenset[int]:
    """The places of letters whose case carries meaning: words with capitals inside (HbA1c, QT) or with digits (B12)."""
    places: set[int] = set()
    for word in _WORDS.finditer(preferred):
        name = word[0]
        if name[1:] != name[1:].lower() or (name != name.lower() and any(sign.isdigit() for sign in name)):
            places.update(range(*word.span()))
    return frozenset(places)


def _with_capital(seen: str, new: str, variant: str) -> str:
    """Carry over the capital that begins a sentence, which is the text's and not the term's."""
    begins = len(seen) > 1 and seen[0].isupper() and seen[1].islower() and variant[:1].islower()
    if begins and new[:1].islower() and new[1:2].islower() and not _exact_places(new):
        return new[0].upper() + new[1:]
    return new


def _already_there(text: str, start: int, end: int, preferred: str) -> tuple[int, int]:
    """How many characters of the preferred term already stand before the place, and how many behind it."""
    term = fold(preferred)
    if term.places is not None:  # rare: numerals or runs of spaces in a preferred term
        return 0, 0
    reach = len(preferred) + 4
    before = fold(text[max(0, start - reach) : start]).text
    after = fold(text[end : end + reach]).text
    left = next((size for size in range(len(preferred) - 1, 0, -1) if _stands_before(before, term.text, size)), 0)
    right = next((size for size in range(len(preferred) - 1, 0, -1) if _stands_behind(after, term.text, size)), 0)
    middle = fold(text[start:end]).text
    if left + right > len(preferred):
        right = 0
    # The whole term stands there, though not within borders of its own (12型糖尿病 holds 2型糖尿病).
    for place in range(len(preferred) - len(middle) + 1):
        if term.text.startswith(middle, place) and before.endswith(term.text[:place]):
            rest = term.text[place + len(middle) :]
            if after.startswith(rest) and (place or rest):
                return place, len(rest)
    return left, right


def _stands_before(before: str, term: str, size: int) -> bool:
    piece = term[:size]
    if not piece.endswith(" "):
        before = before.rstrip(" ")
    if not before.endswith(piece) or not _is_telling(piece) or _splits_word(term, size):
        return False
    outer = before[-len(piece) - 1 : -len(piece)]
    return not (outer and piece[0].isalpha() and is_word(piece[0]) and is_word(outer))


def _stands_behind(after: str, term: str, size: int) -> bool:
    piece = term[-size:]
    if not piece.startswith(" "):
        after = after.lstrip(" ")
    if not after.startswith(piece) or _splits_word(term, len(term) - size):
        return False
    following = after[size : size + 1]
    if size == 1:
        return piece in _CLASS_NOUNS and not (following and following in _CLASS_NOUNS[piece])
    return _is_telling(piece) and not (following and is_word(piece[-1]) and is_word(following))


def _is_telling(piece: str) -> bool:
    return sum(character.isalnum() for character in piece) >= 2


def _splits_word(term: str, place: int) -> bool:
    return is_word(term[place - 1]) and is_word(term[place])


def _runs_together(one: str, two: str) -> bool:
    return bool(one and two) and is_word(one) and is_word(two)
