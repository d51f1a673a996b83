"""Converted values are those of pint, as exact as the original, and only where they were asked for."""

import sys
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.edits import apply, edit_field
from yibu.core.errors import MissingExtra
from yibu.terms import Units, UnitSettings, convert


def changed(text: str, **table: str) -> str:
    return apply(text, Units(UnitSettings(convert=table)).edits(text))


@pytest.mark.parametrize(
    ("table", "text", "expected"),
    [
        ({"temperature": "degC"}, "98.6°F，102 ℉", "37.00°C，38.9 °C"),
        ({"temperature": "degF"}, "37.5℃", "99.5°F"),
        ({"temperature": "degF"}, "37.5±0.3℃", "99.5±0.5°F"),
        ({"temperature": "degF"}, "37-38℃，38℃-39.5℃，37～38℃", "99-100°F，100°F-103.1°F，99～100°F"),
        ({"temperature": "degF"}, "体温（-0.3℃）", "体温（31.5°F）"),
        ({"temperature": "degF"}, "升高1.5℃，升高至38.5℃，下降了 1℃", "升高2.7°F，升高至101.3°F，下降了 2°F"),
        ({"temperature": "degF"}, "BE-3.2℃，+0.5℃", "BE-3.2°C，+0.5°C"),  # what the sign means is unclear
        ({"glucose": "mg/dL"}, "空腹血糖7.0mmol/L", "空腹血糖126mg/dL"),
        ({"glucose": "mmol/L"}, "Glucose of 126 mg/dl", "Glucose of 6.99 mmol/L"),
        ({"glucose": "mg/dL"}, "血糖3.9-6.1mmol/l，钾4.5mmol/l", "血糖70-110mg/dL，钾4.5mmol/L"),
        ({"glucose": "mg/dL"}, "血糖升高。7.0mmol/L", "血糖升高。7.0mmol/L"),  # another sentence
        ({"creatinine": "mg/dL", "glucose": "mg/dL"}, "肌酐88μmol/L，GLU 5.5 mmol/L", "肌酐1.00mg/dL，GLU 99 mg/dL"),
        ({"pressure": "kPa"}, "BP120/80mmHg", "BP16.0/10.7kPa"),
        ({"lb": "kg"}, "150 lbs，70.5kg，100mg", "68.0 kg，70.5kg，100mg"),
        ({"mass": "kg"}, "1,234.5g", "1.2345kg"),
        ({"斤": "kg"}, "120斤", "60.0kg"),
        ({"length": "mm"}, "3.5×4.2cm", "35×42mm"),
        ({"mass": "g"}, "2×500mg", "2×0.500g"),
        ({"mass": "g"}, "1/2kg，5mg/片", "1/2kg，5mg/片"),
        ({"temperature": "degF"}, "３７．５℃", "99.5°F"),
        ({"length": "inch"}, "体温37.5℃，170", "体温37.5°C，170"),
        ({"mass_concentration": "g/L"}, "Hb 13.5 g/dl", "Hb 135 g/L"),
        ({"kg": "g"}, "70.5kg 1,234 kg", "70500g 1,234,000 g"),
    ],
)
def test_values(table: dict[str, str], text: str, expected: str) -> None:
    assert changed(text, **table) == expected


@lru_cache(maxsize=1)
def registry() -> Any:
    import pint

    return pint.UnitRegistry(non_int_type=Decimal)


PAIRS = [
    ("temperature", "°C", "degF"), ("temperature", "°F", "degC"), ("mass", "kg", "lb"), ("mass", "lb", "kg"),
    ("pressure", "mmHg", "kPa"), ("pressure", "cmH2O", "mmHg"), ("length", "cm", "inch"), ("volume", "mL", "L"),
    ("energy", "kcal", "kJ"), ("mass_concentration", "mg/dL", "g/L"),
]  # fmt: skip
PINT = {"°C": "degC", "°F": "degF", "lb": "pound", "inch": "inch"}


@given(st.sampled_from(PAIRS), st.decimals(0, 5000, places=2, allow_nan=False), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_the_original_can_be_recovered(pair: tuple[str, str, str], value: Decimal, places: int) -> None:
    """Converted back by pint and rounded as the original was, the value is the original."""
    what, source, target = pair
    value = value.quantize(Decimal(1).scaleb(-places))
    after = changed(f"值为{value:f}{source}。", **{what: target})
    number = after.removeprefix("值为").rstrip("。")
    digits = number.rstrip("".join(set(number) - set("-.0123456789")))
    for unit in ("°F", "°C", "lb", "kg", "kPa", "mmHg", "in", "L", "kJ", "g/L"):
        if number.endswith(unit):
            digits = number.removesuffix(unit)
    back = registry().Quantity(Decimal(digits), PINT.get(target, target)).to(PINT.get(source, source)).magnitude
    assert abs(back - value) <= Decimal("0.5").scaleb(-places) * Decimal("1.000001")


@given(st.sampled_from(PAIRS), st.integers(0, 300))
def test_a_value_without_a_unit_never_changes(pair: tuple[str, str, str], value: int) -> None:
    what, _, target = pair
    for text in (f"值{value}", f"血糖 {value}，", f"{value}.5 (x)"):
        assert changed(text, glucose="mg/dL", **{what: target}) == text


def test_entities_follow() -> None:
    text = "体温37-38℃，血压120/80mmHg"
    spans = [{"start": 2, "end": 8, "text": text[2:8]}, {"start": 2, "end": 4, "text": "37"}]
    units = Units(UnitSettings(convert={"temperature": "degF"}))
    moved = edit_field({"text": text, "entities": spans}, "text", units.edits(text, [(2, 8), (2, 4)]))
    assert [span["text"] for span in moved["entities"]] == ["99-100°F", "99"]


def test_a_value_and_its_unit_change_together_or_not_at_all() -> None:
    text = "体温37.4℃"
    units = Units(UnitSettings(convert={"temperature": "degF"}))
    assert units.edits(text, [(0, 4)]) == []  # the span ends within the number


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    convert._registry.cache_clear()
    convert._in_unit.cache_clear()
    monkeypatch.setitem(sys.modules, "pint", None)
    assert apply("5mg/dl", Units().edits("5mg/dl")) == "5mg/dL"
    with pytest.raises(MissingExtra, match=r"yibu\[data\]"):
        changed("37℃", temperature="degF")
