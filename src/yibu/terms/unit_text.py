"""Reading units: where in a text a number has a unit behind it, and what that unit is.

A unit is a name out of `yibu.terms.unit_table`, or names with denominators behind them, written with a slash, with 每
or "per", or with a raised -1 (mmol·L⁻¹); in front of it may stand a power of ten. The longest reading counts, and one
that would run on into a word or number (mgx, 升高) is none.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal, NamedTuple

from yibu.core.errors import nearest
from yibu.terms.unit_table import ATOMS, BEATS, NOT_BEFORE, Atom

Style = Literal["print", "code", "chinese"]


class Unit(NamedTuple):
    """A unit as it stands in a text, taken apart.

    Attributes:
        above: the numerator; empty for /min and /L.
        below: the denominators.
        power: of ten, as in ×10^9/L; None where there is none.
        everyday: it is one word of everyday language (3天).
        whole: nothing stands behind it that could belong to it (mg in mg/片 is not whole).
    """

    above: tuple[Atom, ...]
    below: tuple[Atom, ...]
    power: int | None = None
    everyday: bool = False
    whole: bool = True

    def spelled(self, style: Style) -> str:
        """Without the power of ten."""
        name = {"print": "symbol", "code": "code", "chinese": "chinese"}[style]
        above = "".join(getattr(atom, name) for atom in self.above)
        if style == "chinese" and not above and [atom.code for atom in self.below] == ["min"] and self.power is None:
            return "次/分"
        return above + "".join("/" + getattr(atom, name) for atom in self.below)

    def ten(self, style: Style) -> str:
        """The power of ten, or an empty text."""
        return "" if self.power is None else f"10{'*' if style == 'code' else '^'}{self.power}"

    def dimensions(self) -> dict[str, int]:
        """Base dimension -> power, those of power 0 left out."""
        total: Counter[str] = Counter()
        for atoms, sign in ((self.above, 1), (self.below, -1)):
            for atom in atoms:
                for name, power in atom.dims.items():
                    total[name] += sign * power
        return {name: power for name, power in total.items() if power}

    def pint(self) -> str | None:
        """As pint reads it; None where it cannot be converted."""
        if self.power is not None or not self.above or not all(atom.pint for atom in (*self.above, *self.below)):
            return None
        return "*".join(str(atom.pint) for atom in self.above) + "".join(f"/({atom.pint})" for atom in self.below)


class Quantity(NamedTuple):
    """A number and the unit behind it; offsets in characters of the text.

    Attributes:
        start: of the number's digits, without a sign.
        number_end: end of the number.
        unit_start: where the unit begins (behind the gap).
        end: of the unit.
        unit: what stands there.
    """

    start: int
    number_end: int
    unit_start: int
    end: int
    unit: Unit


def read_unit(name: str) -> Unit:
    """The unit that a setting names, in any spelling that is read in text.

    Raises:
        ValueError: no such unit.
    """
    folded = _fold(name.strip())
    parsed = _parse(folded, 0)
    if parsed is None or parsed[1] != len(folded) or not folded:
        known = [atom.symbol for atom in ATOMS]
        close = nearest(name, known)
        raise ValueError(f"{name!r} is no unit that is known" + (f"; did you mean {close!r}?" if close else ""))
    return parsed[0]


def quantities(text: str) -> list[Quantity]:
    """All numbers with a unit behind them, from left to right."""
    folded = _fold(text)
    found: list[Quantity] = []
    end = 0
    for number in _NUMBER.finditer(folded):
        if number.start() < end:
            continue
        quantity = _quantity(folded, number)
        if quantity is not None:
            found.append(quantity)
            end = quantity.end
    return found


_DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_WIDE = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {
    **{ord("µ"): "μ", ord("∕"): "/", ord("⁄"): "/", ord("•"): "·", ord("⋅"): "·", ord("∙"): "·", ord("˙"): "·"},
    **{ord("⁻"): "-", ord("−"): "-", 0x3000: " ", 0xA0: " ", 0x202F: " ", 0x2009: " "},
}
_SPECIAL = re.compile("[" + "".join(re.escape(chr(code)) for code in _WIDE) + "]")
_NUMBER = re.compile(
    r"(?<![0-9])(?<![0-9][.,])(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+(?![A-Za-z0-9]))?"
)
_EXPONENT = rf"(?:(?:\^|\*\*|\*|~|[eE])\s?\{{?(?P<digits>[0-9]{{1,2}})\}}?|(?P<raised>[{_DIGITS}]{{1,2}}))"
_TIMES_TEN = re.compile(rf"(?: ?[×xX*✕✖] ?| )10{_EXPONENT}")
_BARE_TEN = re.compile(_EXPONENT)
_LATIN = re.compile(r"[A-Za-zμ]")


def _fold(text: str) -> str:
    """Full width, signs that look alike and odd spaces made one; no character more or less."""
    return text.translate(_WIDE) if _SPECIAL.search(text) else text


def _quantity(text: str, number: re.Match[str]) -> Quantity | None:
    """The unit behind one number, with a power of ten between them if there is one."""
    end = number.end()
    ten = _TIMES_TEN.match(text, end)
    start = end
    if ten is None and number[0] == "10":
        bare = _BARE_TEN.match(text, end)
        if bare is not None:
            ten, start, end = bare, number.start(), number.start()
    at = ten.end() if ten else end
    gap = 0
    while gap < 2 and text[at + gap : at + gap + 1] == " ":
        gap += 1
    parsed = _parse(text, at + gap)
    if parsed is None:
        return None
    unit, unit_end = parsed
    if _LETTER_BEFORE.match(text, number.start() - 1) and unit_end - end == 1 and text[end].isalpha():
        return None  # a code such as n910u
    if ten is None:
        return Quantity(number.start(), end, at + gap, unit_end, unit)
    digits = ten["digits"] or "".join(str(_DIGITS.index(digit)) for digit in ten["raised"])
    return Quantity(number.start(), start, start, unit_end, unit._replace(power=int(digits)))


class _Name(NamedTuple):
    atom: Atom
    everyday: bool


def _names() -> tuple[dict[str, _Name], dict[str, Atom], dict[str, Atom]]:
    """Spelling -> atom: where it stands alone or in front, as a part in any letter case, only as a denominator."""
    alone: dict[str, _Name] = {}
    loose: dict[str, Atom] = {}
    below: dict[str, Atom] = {}
    for atom in ATOMS:
        usual = () if atom.below and not atom.names and not atom.everyday else (atom.code, atom.symbol, atom.chinese)
        for name in atom.everyday:
            alone[name] = _Name(atom, True)
        for name in (*usual, *atom.names):
            alone.setdefault(_fold(name), _Name(atom, False))
        for name in atom.loose:
            loose[name] = atom
        for name in atom.below:
            below[_fold(name)] = atom
    return alone, loose, below


_ALONE, _LOOSE, _BELOW = _names()


def _either(names: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(names, key=lambda name: (-len(name), name)))))


_ALONE_RE = _either(list(_ALONE))
_BELOW_RE = _either([*_ALONE, *_BELOW])
_BEATS_RE = _either([*BEATS, *(f"{{{word}}}/min" for word in ("beats", "breaths"))])
_LETTER_BEFORE = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"[A-Za-zμ]+")
_SLASH = re.compile(r" ?/ ?\(?|每| per ")
_RAISED = re.compile(r"·(?P<name>[A-Za-zμ]+)(?:-1|-¹)(?![0-9])")
_DOT = re.compile("·")
_BRACKET_ENDS = re.compile(r"\)|·[^)]{1,8}\)")
_GOES_ON = re.compile(r" ?[/·^²³*每]")
_LEADING = re.compile(r"次?(?: ?/ ?|每)(?=[A-Za-zμ分升微毫])")
_LEADING_UNITS = {"min", "L", "mL", "uL", "mm3", "h", "d"}
_MINUTE = next(atom for atom in ATOMS if atom.code == "min")


def _parse(text: str, at: int) -> tuple[Unit, int] | None:
    """The unit that begins here and where it ends; None where there is none, or where it runs on into a word."""
    beats = _BEATS_RE.match(text, at)
    if beats and not _runs_on(text, beats.end() - 1):
        return Unit((), (_MINUTE,)), beats.end()
    leading = _LEADING.match(text, at)
    if leading:
        return _denominators(text, at, leading.start(), (), False)
    composed = _composed(text, at)
    if composed is not None:
        return composed
    name, end = _longest(_ALONE_RE, text, at)
    if name is None or _runs_on(text, end - 1):
        return None
    atom, everyday = _ALONE[name]
    if _begins_word(text, end):
        return None
    return Unit((atom,), (), everyday=everyday, whole=not _GOES_ON.match(text, end)), end


def _composed(text: str, at: int) -> tuple[Unit, int] | None:
    """A unit with at least one denominator."""
    word = _WORD.match(text, at)
    above = _LOOSE.get(word[0].lower()) if word else None
    end = word.end() if word and above else at
    exact, exact_end = _longest(_ALONE_RE, text, at)
    if exact is not None and (above is None or exact_end >= end) and not _runs_on(text, exact_end - 1):
        above, end = _ALONE[exact].atom, exact_end
    if above is None:
        return None
    return _denominators(text, at, end, (above,), True)


def _denominators(text: str, start: int, end: int, above: tuple[Atom, ...], any_unit: bool) -> tuple[Unit, int] | None:
    below: list[Atom] = []
    while True:
        part = _denominator(text, end, is_first=not below and not any_unit)
        if part is None:
            break
        below.append(part[0])
        end = part[1]
    if not below:
        return None
    if not above and (len(below) > 1 or below[0].code not in _LEADING_UNITS):
        return None
    return Unit(above, tuple(below), whole=not _GOES_ON.match(text, end)), end


def _denominator(text: str, at: int, is_first: bool) -> tuple[Atom, int] | None:
    raised = _RAISED.match(text, at)
    if raised and raised["name"].lower() in _LOOSE:
        return _LOOSE[raised["name"].lower()], raised.end()
    if is_first and text.startswith("次", at):
        at += 1
    slash = _SLASH.match(text, at)
    bracket = slash is not None and slash[0].endswith("(")
    if slash is None and text.startswith("·", at) and text.find(")", at, at + 12) > 0:
        slash = _DOT.match(text, at)  # the second part of mL/(min·1.73m²)
    if slash is None:
        return None
    name, end = _longest(_BELOW_RE, text, slash.end())
    atom = None if name is None else _BELOW.get(name) or _ALONE[name].atom
    word = _WORD.match(text, slash.end())
    if word and word.end() > end:
        atom, end = _LOOSE.get(word[0].lower()), word.end()
    if atom is None or _runs_on(text, end - 1) or _begins_word(text, end):
        return None
    if bracket and not _BRACKET_ENDS.match(text, end):
        return None
    if text.startswith(")", end) and (bracket or slash[0] == "·"):
        end += 1
    return atom, end


def _longest(names: re.Pattern[str], text: str, at: int) -> tuple[str | None, int]:
    found = names.match(text, at)
    return (found[0], found.end()) if found else (None, at)


def _runs_on(text: str, last: int) -> bool:
    """Whether a Latin unit that ends here goes on as a word or number."""
    following = text[last + 1 : last + 2]
    own = text[last]
    if not following or not (_LATIN.match(own) or own.isdigit() or own in "²³"):
        return False
    return bool(_LATIN.match(following)) or following.isdigit() or following in _DIGITS


def _begins_word(text: str, end: int) -> bool:
    """Whether the Chinese unit that ends here is the beginning of another word (37.5升高)."""
    return end < len(text) and text[end] in NOT_BEFORE.get(text[end - 1], "")
