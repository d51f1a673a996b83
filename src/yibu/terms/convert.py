"""Values in another unit, where a recipe asks for it: the one place in which numbers of a text change.

**Digits.** The last digit of a converted value is worth as much as that of the original, rounded down to a power of
ten, so that the original can be recovered and no digits are invented: 7.0 mmol/L of glucose is 126 mg/dL, 126 mg/dL is
6.99 mmol/L, 37.5 °C is 99.5 °F.

**What is left alone**: a value without a unit; a unit that goes on (mg in mg/片); fractions (1/2 kg); a temperature
with a sign whose meaning is unclear. A temperature difference (±0.3 ℃, 升高1.5 ℃) is converted without the offset.
Mass and amount of a substance are converted by its molar mass, where its name stands before the value in the clause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from yibu.core.edits import Edit
from yibu.core.errors import MissingExtra
from yibu.terms.unit_table import DIMENSIONS, SUBSTANCES
from yibu.terms.unit_text import Quantity, Unit, read_unit

_BEFORE = re.compile(
    r"(?<![0-9])(?<![0-9][.,])(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?)"
    r"\s*(?P<sign>±|\+/-|-|–|—|~|～|〜|至|到|to|/|×|x|X|\*)\s*$"
)
_RANGE = re.compile(r"\s*(?:-|–|—|~|～|〜|至|到|to)\s*")  # between two quantities: 38℃-39.5℃
_DIFFERENCE = re.compile(
    r"(?:升高|上升|下降|降低|增高|增加|减少|相差|温差|波动|rose|fell|rise|drop(?:ped)?|increased?|decreased?|by)"
    r"\s*(?:了|约|大约|about|by|of)*\s*$",
    re.IGNORECASE,
)
_WIDE_DIGITS = {code: chr(code - 0xFEE0) for code in (*range(0xFF10, 0xFF1A), 0xFF0C, 0xFF0E, 0xFF0D, 0xFF0B, 0xFF0F)}


def convert(text: str, found: Sequence[Quantity], table: Mapping[str, str]) -> dict[int, tuple[list[Edit], Unit]]:
    """Edits of the numbers, and the new unit, by the place of a quantity in ``found``.

    Args:
        text: the text that the quantities stand in.
        found: from `yibu.terms.unit_text.quantities`.
        table: what -> unit, checked by `yibu.terms.units.UnitSettings`.

    Raises:
        MissingExtra: pint is not installed.
    """
    plain = text.translate(_WIDE_DIGITS)
    result: dict[int, tuple[list[Edit], Unit]] = {}
    for place, quantity in enumerate(found):
        if quantity.unit.pint() is None or not quantity.unit.whole or quantity.number_end == quantity.start:
            continue
        earliest = found[place - 1].end if place else 0
        wanted = _wanted(plain, quantity, earliest, table)
        if wanted is None:
            continue
        target, molar_mass = wanted
        edits = _numbers(plain, quantity, earliest, target, molar_mass)
        if edits is not None:
            result[place] = edits, target
    return result


def _wanted(text: str, quantity: Quantity, earliest: int, table: Mapping[str, str]) -> tuple[Unit, str | None] | None:
    """The unit to convert to, and the molar mass where that is needed; None where nothing was asked for."""
    dims = quantity.unit.dimensions()
    concentrations = [DIMENSIONS["mass_concentration"], DIMENSIONS["substance_concentration"]]
    if dims in concentrations:
        clause = text[max(earliest, quantity.start - 30) : quantity.start]
        for name in table:
            if name in SUBSTANCES and _names_of(name).search(clause):
                return _different(quantity.unit, read_unit(table[name]), SUBSTANCES[name][0])
    for name, spelling in table.items():
        if name in SUBSTANCES:
            continue
        if name in DIMENSIONS:
            if DIMENSIONS[name] == dims:
                return _different(quantity.unit, read_unit(spelling), None)
        elif read_unit(name).spelled("code") == quantity.unit.spelled("code"):
            return _different(quantity.unit, read_unit(spelling), None)
    return None


def _different(unit: Unit, target: Unit, molar_mass: str | None) -> tuple[Unit, str | None] | None:
    return None if unit.spelled("code") == target.spelled("code") else (target, molar_mass)


@lru_cache(maxsize=64)
def _names_of(substance: str) -> re.Pattern[str]:
    """A name of the substance with nothing but a few words between it and the number."""
    names = sorted(SUBSTANCES[substance][1], key=len, reverse=True)
    parts = [rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" if name.isascii() else re.escape(name) for name in names]
    # Names in capitals only (TC, UA, Ca) are abbreviations, so that letter case counts but for longer words.
    parts = [f"(?i:{part})" if len(name) > 4 else part for name, part in zip(names, parts, strict=True)]
    return re.compile(rf"(?:{'|'.join(parts)})[^0-9。；;\n,，、]{{0,16}}(?:[0-9][0-9.]*\s*[-–~～至到±]\s*)?$")


def _numbers(text: str, quantity: Quantity, earliest: int, target: Unit, molar_mass: str | None) -> list[Edit] | None:
    """Edits of the number before the unit and of those that share the unit (3.5-5.5, 120/80, 3×4); None: leave it."""
    source, wanted = str(quantity.unit.pint()), str(target.pint())
    offset = "temperature" in quantity.unit.dimensions()
    places = [(quantity.start, quantity.number_end)]
    difference = [False]
    while (before := _BEFORE.search(text, max(earliest, places[0][0] - 40), places[0][0])) is not None:
        sign = before["sign"]
        if sign in ("×", "x", "X", "*") and quantity.unit.dimensions() != DIMENSIONS["length"]:
            break
        if sign == "/" and quantity.unit.dimensions() != DIMENSIONS["pressure"]:
            return None
        if sign in ("±", "+/-"):
            difference[0] = True
        places.insert(0, before.span("number"))
        difference.insert(0, False)
    minus = False
    if offset and not _RANGE.fullmatch(text, earliest, places[0][0]):
        head = text[max(0, places[0][0] - 16) : places[0][0]]
        if head.rstrip().endswith("±"):
            difference[0] = True
        elif head.endswith(("-", "−")):
            if head[-2:-1] and not re.match(r"[\s(（:：,，;；为是]", head[-2:-1]):
                return None
            minus = True
        elif head.endswith("+"):
            return None
        elif _DIFFERENCE.search(head):
            difference = [True] * len(difference)
    edits = []
    for number, ((start, end), is_difference) in enumerate(zip(places, difference, strict=True)):
        negative = minus and number == 0
        new = _value(text[start:end], source, wanted, molar_mass, negative, is_difference)
        if new is None:
            return None
        edits.append(Edit(start - negative, end, new))
    return edits


def _value(
    number: str, source: str, target: str, molar_mass: str | None, negative: bool, difference: bool
) -> str | None:
    """The converted number, written as the original was."""
    try:
        value = Decimal(number.replace(",", "")) * (-1 if negative else 1)
    except ArithmeticError:
        return None
    zero = _in_unit(Decimal(0), source, target, molar_mass)
    factor = _in_unit(Decimal(1), source, target, molar_mass) - zero
    new = value * factor + (0 if difference else zero)
    exponent = value.as_tuple().exponent
    step = (Decimal(1).scaleb(int(exponent)) * factor).normalize().adjusted()
    rounded = new.quantize(Decimal(1).scaleb(step)) if step <= 0 else (new / 10**step).quantize(Decimal(1)) * 10**step
    text = f"{rounded:,f}" if "," in number else f"{rounded:f}"
    return text.removeprefix("-") if not rounded and text.startswith("-") else text


@lru_cache(maxsize=1024)
def _in_unit(value: Decimal, source: str, target: str, molar_mass: str | None) -> Decimal:
    registry = _registry()
    quantity = registry.Quantity(value, source)
    if molar_mass is None:
        return Decimal(quantity.to(target).magnitude)
    mass = registry.Quantity(Decimal(molar_mass), "gram/mole")
    return Decimal(quantity.to(target, "chemistry", mw=mass).magnitude)


@lru_cache(maxsize=1)
def _registry() -> Any:
    try:
        import pint
    except ImportError as error:
        raise MissingExtra("pint", extra="data", use="Converting values to another unit") from error
    registry: Any = pint.UnitRegistry(non_int_type=Decimal)
    registry.define("jin = 500 gram")
    return registry
