"""Units get one spelling; numbers, signs and everything without a unit stay; what pint reads is the same quantity."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.edits import apply, edit_field
from yibu.core.errors import RecipeError
from yibu.core.recipe import parse
from yibu.terms import Units, UnitSettings


def changed(text: str, **chosen: Any) -> str:
    return apply(text, Units(UnitSettings(**chosen)).edits(text))


# Spelling -> preferred spelling, and how pint reads the spelling: written by hand, not read off the table.
SPELLINGS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(["mg/dl", "MG/DL", "mg／dL", "毫克/分升", "毫克每分升", "mg / dL", "mg·dL-1", "㎎/㎗", "Mg/dl"],
                    ("mg/dL", "mg/dL")),
    **dict.fromkeys(["mmol/l", "MMOL/L", "mmol·L⁻¹", "毫摩尔/升", "毫摩尔每升", "ｍｍｏｌ／Ｌ", "mmol per L"],
                    ("mmol/L", "mmol/L")),
    **dict.fromkeys(["umol/L", "µmol/L", "μmol/l", "微摩尔/升", "UMOL/L"], ("μmol/L", "umol/L")),
    **dict.fromkeys(["℃", "° C", "摄氏度", "ºC", "°c", "deg C"], ("°C", "degC")),
    **dict.fromkeys(["℉", "华氏度", "°f"], ("°F", "degF")),
    **dict.fromkeys(["mmhg", "MMHG", "mm Hg", "毫米汞柱", "mm[Hg]", "ｍｍＨｇ"], ("mmHg", "mmHg")),
    **dict.fromkeys(["cmh2o", "厘米水柱", "cmH₂O"], ("cmH2O", "cmH2O")),
    **dict.fromkeys(["公斤", "KG", "Kg", "千克", "㎏"], ("kg", "kg")),
    **dict.fromkeys(["MG", "毫克", "㎎"], ("mg", "mg")),
    **dict.fromkeys(["ug", "mcg", "µg", "微克"], ("μg", "ug")),
    **dict.fromkeys(["ng/ml", "NG/ML", "纳克/毫升"], ("ng/mL", "ng/mL")),
    **dict.fromkeys(["pg/ml", "PG/ML"], ("pg/mL", "pg/mL")),
    **dict.fromkeys(["ml", "ML", "毫升", "cc"], ("mL", "mL")),
    **dict.fromkeys(["l", "升"], ("L", "L")),
    **dict.fromkeys(["CM", "厘米", "公分"], ("cm", "cm")),
    **dict.fromkeys(["kg/m2", "KG/M2", "kg/㎡", "公斤/平方米", "kg/m^2"], ("kg/m²", "kg/m**2")),
    **dict.fromkeys(["bpm", "次/分", "次／分钟", "次/min", "beats/min", "跳/分"], ("/min", "1/min")),
    **dict.fromkeys(["mg/kg/天", "mg/kg/day", "毫克/公斤/日"], ("mg/kg/d", "mg/kg/day")),
    **dict.fromkeys(["mm/hr", "MM/H", "毫米/小时"], ("mm/h", "mm/hour")),
    **dict.fromkeys(["ml/min", "毫升/分钟", "毫升/分"], ("mL/min", "mL/min")),
    **dict.fromkeys(["KCAL", "大卡"], ("kcal", "kcal")),
    **dict.fromkeys(["kpa", "KPA", "千帕"], ("kPa", "kPa")),
    **dict.fromkeys(["g/l", "G/L", "克/升"], ("g/L", "g/L")),
    **dict.fromkeys(["％"], ("%", "percent")),
}  # fmt: skip
POWERS = [
    "×10^9/L",
    "x10⁹/L",
    "×10~9/L",
    "X10E9/l",
    "*10^9/L",
    " × 10^9/L",
    "×10⁹／升",
    " 10*9/L",
    "×10**9/L",
    "×10^{9}/L",
]


@pytest.mark.parametrize(("spelling", "preferred"), [(name, told[0]) for name, told in SPELLINGS.items()])
def test_one_spelling_for_each_unit(spelling: str, preferred: str) -> None:
    assert changed(f"为5.6{spelling}。") == f"为5.6{preferred}。"
    gap = "" if preferred == "/min" else " "
    assert changed(f"is 5.6 {spelling}, and") == f"is 5.6{gap}{preferred}, and"
    assert changed(f"5.6{preferred}") == f"5.6{preferred}"


@pytest.mark.parametrize("spelling", POWERS)
def test_powers_of_ten(spelling: str) -> None:
    assert changed(f"WBC5.6{spelling}↑") == "WBC5.6×10^9/L↑"
    assert changed(f"WBC5.6{spelling}", style="code") == "WBC5.6 10*9/L"
    assert changed("≥10⁹/l, 10^12/L") == "≥10^9/L, 10^12/L"


@lru_cache(maxsize=1)
def registry() -> Any:
    import pint

    return pint.UnitRegistry(non_int_type=Decimal)


def quantity(number: str, unit: str) -> Any:
    return registry().Quantity(Decimal(number), unit)


# How pint reads what is written: the preferred spellings and the UCUM codes.
READ = {told[0]: told[1] for told in SPELLINGS.values()} | {
    "Cel": "degC", "[degF]": "degF", "mm[Hg]": "mmHg", "cm[H2O]": "cmH2O", "ug": "ug", "umol/L": "umol/L",
    "kg/m2": "kg/m**2", "/min": "1/min",
}  # fmt: skip

NUMBERS = st.decimals(0, 9999, places=2, allow_nan=False).map(lambda value: f"{value.normalize():f}")


@given(NUMBERS, st.sampled_from(sorted(SPELLINGS)), st.sampled_from(["", " "]), st.sampled_from(["print", "code"]))
@settings(max_examples=300, deadline=None)
def test_pint_reads_the_same_quantity_before_and_after(number: str, spelling: str, gap: str, style: str) -> None:
    text = f"值{number}{gap}{spelling}；"
    after = changed(text, style=style)
    assert after.startswith(f"值{number}")
    assert after.endswith("；")
    unit = after[len(number) + 1 : -1].strip()
    assert quantity(number, READ[unit]) == quantity(number, SPELLINGS[spelling][1])
    assert changed(after, style=style) == after


@given(st.integers(0, 999), st.integers(1, 15), st.sampled_from(["×10^{}/L", "x10^{}/l", " X 10E{}/L", "×10~{}/升"]))
def test_pint_reads_the_same_power(number: int, power: int, pattern: str) -> None:
    after = changed(f"{number}{pattern.format(power)}")
    coefficient, _, rest = after.partition("×10^")
    exponent, _, unit = rest.partition("/")
    assert unit == "L"
    assert quantity(coefficient, "1/liter") * 10 ** int(exponent) == quantity(str(number), "1/liter") * 10**power


@pytest.mark.parametrize(
    "text",
    [
        "",
        "血糖mg/dl，单位：MMOL/L",  # no number
        "体温37.5升高", "5克隆", "3米粒", "2天津",
        "5G网络，3D打印，L5S1，T2 MM，3 MM患者，100 M, 4 S",
        "3天前，2 hours ago，5 pounds，3米，2周，1.5小时",
        "第1165条，¥1,234.50，1:64，2024-05-01，-0.3，±2，3.5-5.5，AB12mgx",
        "1.2型糖尿病 2.高血压",
        "JYM125摩托车，n910u型，55 units of blood，3单位", "5 in the morning",
        "5mgx", "5kgs2", "5 mind", "5 lately", "5 mLs2",
        "5.6×109/L",  # perhaps a lost superscript, perhaps not
        "阴性(-)，++，1/2片，10个/HP",
    ],
)  # fmt: skip
def test_what_stays_to_the_byte(text: str) -> None:
    assert Units().edits(text) == []


@given(st.text(st.characters(exclude_categories=["Cs", "Nd", "No"]), max_size=80))
def test_text_without_numbers_is_untouched(text: str) -> None:
    every = UnitSettings(everyday=True, convert={"temperature": "degF", "glucose": "mg/dL", "mass": "kg"})
    assert Units(every).normalise(text) == ([], {})


_PARTS = ["3.5-5.5", "≥", "<", "±", "37.5", "-0.3", "1,234.50", " ", "体温", "至", "（", "B12", "/"]


@given(st.lists(st.sampled_from(_PARTS), max_size=12))
def test_numbers_and_signs_without_units_are_untouched(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert changed(text, convert={"temperature": "degF", "mass": "kg"}, everyday=True, space="one") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("≥3.5mmol/l", "≥3.5mmol/L"),
        ("3.5-5.5 mmol/l", "3.5-5.5 mmol/L"),
        ("3.5mmol/l～5.5MMOL/L", "3.5mmol/L～5.5mmol/L"),
        ("37.5±0.3℃", "37.5±0.3°C"),
        ("-0.3℃", "-0.3°C"),
        ("１２０／８０ｍｍｈｇ", "１２０／８０mmHg"),
        ("BP120/80mmhg，P80次/分，T36.5℃", "BP120/80mmHg，P80/min，T36.5°C"),
        ("1,234.5 MG", "1,234.5 mg"),
        ("5MG/片", "5mg/片"),
        ("eGFR 90ml/min/1.73m2", "eGFR 90mL/min/1.73m²"),
        ("90 mL/(min·1.73m²)", "90 mL/min/1.73m²"),
        ("10u胰岛素，5iu/l，3.2mEq/l", "10U胰岛素，5IU/L，3.2meq/L"),
        ("3.5g/24小时", "3.5g/24h"),
        ("2升，500毫升", "2L，500mL"),
    ],
)
def test_numbers_comparisons_and_ranges_stay(text: str, expected: str) -> None:
    assert changed(text) == expected


@pytest.mark.parametrize(
    ("chosen", "text", "expected"),
    [
        (
            {"style": "chinese"},
            "5 mg/dl，37℃，80bpm，5.6x10⁹/l，20%",
            "5 毫克/分升，37摄氏度，80次/分，5.6×10^9/升，20%",
        ),
        ({"style": "code"}, "37℃，120mmhg，5µg，5iu，22kg/m²", "37Cel，120mm[Hg]，5ug，5[IU]，22kg/m2"),
        ({"space": "one"}, "5mg，5  ml，20%，80次/分，37℃", "5 mg，5 mL，20%，80/min，37 °C"),
        ({"space": "none"}, "5 mg，5  ml，20 %", "5mg，5mL，20 %"),
        ({"everyday": True}, "3天，2 hours，5 pounds", "3d，2 h，5 lb"),
        ({"ignore": ["U", "degC"]}, "10u，37℃，5ML", "10u，37℃，5mL"),
    ],
)
def test_settings(chosen: dict[str, Any], text: str, expected: str) -> None:
    assert changed(text, **chosen) == expected


def test_counts_are_of_units_as_they_are_preferred() -> None:
    edits, counts = Units().normalise("5mg/dl、6MG/DL、7mg/dL、37℃、5.6x10⁹/l、3天")
    assert counts == {"mg/dL": 3, "°C": 1, "10^9/L": 1}
    assert len(edits) == 4


def test_entities_follow_and_none_is_cut() -> None:
    text = "血糖5.6MMOL/L，体温37.5℃"
    marked = ["5.6MMOL/L", "37.5℃", "MMOL", "L，体"]
    places = [(text.index(word), text.index(word) + len(word)) for word in marked]
    spans = [{"start": start, "end": end, "text": text[start:end]} for start, end in places]
    moved = edit_field({"text": text, "entities": spans[:2]}, "text", Units().edits(text, places[:2]))
    assert [span["text"] for span in moved["entities"]] == ["5.6mmol/L", "37.5°C"]
    moved = edit_field({"text": text, "entities": spans}, "text", Units().edits(text, places))
    assert [span["text"] for span in moved["entities"]] == ["5.6mmol/L", "37.5°C", "mmol", "L，体"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"temprature": "degC"}, "did you mean 'temperature'"),
        ({"temperature": "kg"}, "another kind of quantity"),
        ({"mass": "kilo"}, "no unit that is known"),
        ({"glucose": "mmHg"}, "another kind of quantity"),
        ({"lb": "cm"}, "another kind of quantity"),
        ({"U": "IU"}, "cannot be converted to"),
    ],
)
def test_wrong_conversions_are_refused_at_the_door(table: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(UnitSettings, {"convert": table})
    with pytest.raises(RecipeError, match="no unit that is known"):
        parse(UnitSettings, {"ignore": ["kilo"]})
