"""How units are written behind numbers: one spelling for each, the number untouched.

mg/dl, MG/DL, mg／dL, mg·dL⁻¹ and 毫克/分升 become mg/dL; ℃, º C and 摄氏度 become °C; x10⁹/l and ×10~9/L become
×10^9/L; bpm and 次/分 become /min. Only what stands behind a number is a unit, so that text without numbers never
changes, and signs, comparisons and ranges (≥, ±, 3.5-5.5) stay as they are. Values change only where that was asked for
(`UnitSettings.convert`, see `yibu.terms.convert`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, field_validator

from yibu.core.edits import Edit
from yibu.core.errors import nearest
from yibu.core.recipe import Settings
from yibu.terms.replace import inside_spans
from yibu.terms.unit_table import DIMENSIONS, SUBSTANCES
from yibu.terms.unit_text import Quantity, Style, Unit, quantities, read_unit


class UnitSettings(Settings):
    """One spelling for units behind numbers, and what values are converted to."""

    style: Style = Field(
        default="print", description="print: mg/dL, °C, mmHg; code: UCUM codes mg/dL, Cel, mm[Hg]; chinese: 毫克/分升"
    )
    space: Literal["keep", "one", "none"] = Field(default="keep", description="between number and unit")
    everyday: bool = Field(
        default=False, description="also single words of everyday language: 3天 (3d), 2 hours (2 h), 5 pounds"
    )
    ignore: list[str] = Field(default=[], description="units that stay as they are, in any spelling, e.g. [U, '%']")
    convert: dict[str, str] = Field(
        default={},
        description="dimension, unit or substance -> unit, e.g. {temperature: degC, lb: kg, glucose: mmol/L}",
    )

    @field_validator("ignore")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            read_unit(name)
        return names

    @field_validator("convert")
    @classmethod
    def _possible(cls, table: dict[str, str]) -> dict[str, str]:
        for what, name in table.items():
            target = read_unit(name)
            if target.pint() is None:
                raise ValueError(f"{name!r} is a unit that values cannot be converted to")
            possible = _dimensions_of(what)
            if target.dimensions() not in possible:
                raise ValueError(f"{what!r} cannot be converted to {name!r}, which is another kind of quantity")
        return table


class Units:
    """Normalises the units of texts.

    Args:
        settings: the style, and what to convert.
    """

    def __init__(self, settings: UnitSettings | None = None) -> None:
        self.settings = settings or UnitSettings()
        self._ignored = {read_unit(name).spelled("code") for name in self.settings.ignore}

    def edits(self, text: str, spans: Sequence[tuple[int, int]] = ()) -> list[Edit]:
        """What brings every unit behind a number into one spelling.

        Args:
            text: any text.
            spans: places that annotations point at; what would cut one in two is left out.

        Raises:
            MissingExtra: values are to be converted and pint is not installed.
        """
        return self.normalise(text, spans)[0]

    def normalise(self, text: str, spans: Sequence[tuple[int, int]] = ()) -> tuple[list[Edit], Counter[str]]:
        """The edits, and how often each unit stands in the text behind a number, in its preferred spelling."""
        found = quantities(text)
        counts: Counter[str] = Counter()
        edits: list[Edit] = []
        converted: dict[int, tuple[list[Edit], Unit]] = {}
        if self.settings.convert and found:
            from yibu.terms.convert import convert

            converted = convert(text, found, self.settings.convert)
        for number, quantity in enumerate(found):
            unit = quantity.unit
            values: list[Edit] = []
            if number in converted:
                values, unit = converted[number]
            elif unit.spelled("code") in self._ignored or (unit.everyday and not self.settings.everyday):
                continue
            counts[unit.ten(self.settings.style) + unit.spelled(self.settings.style)] += 1
            new = [*values, *self._respelled(text, quantity, unit)]
            edits += inside_spans(text, new, spans) if spans else new
        return edits, counts

    def _respelled(self, text: str, quantity: Quantity, unit: Unit) -> list[Edit]:
        style = self.settings.style
        gap = text[quantity.number_end : quantity.unit_start]
        name = unit.spelled(style)
        has_number = quantity.number_end > quantity.start
        if unit.power is not None:
            times = "" if not has_number else " " if style == "code" else "×"
            gap, name = "", times + unit.ten(style) + name
        elif not unit.above and not name.startswith("次"):
            gap = ""
        elif self.settings.space != "keep" and name != "%":
            gap = " " if self.settings.space == "one" else ""
        new = gap + name
        start = quantity.number_end
        if new == text[start : quantity.end]:
            return []
        if gap and text.startswith(gap, start) and quantity.unit_start == start + len(gap):
            return [Edit(quantity.unit_start, quantity.end, name)]
        return [Edit(start, quantity.end, new)]


def _dimensions_of(what: str) -> list[Mapping[str, int]]:
    """The dimensions that a key of ``convert`` may be converted to.

    Raises:
        ValueError: it is no dimension, substance or unit.
    """
    if what in DIMENSIONS:
        return [DIMENSIONS[what]]
    if what in SUBSTANCES:
        return [DIMENSIONS["mass_concentration"], DIMENSIONS["substance_concentration"]]
    try:
        unit = read_unit(what)
    except ValueError:
        known = [*DIMENSIONS, *SUBSTANCES]
        close = nearest(what, known)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}, or a unit"
        raise ValueError(f"{what!r} is no quantity that can be converted; {hint}") from None
    return [unit.dimensions()]
