"""The units that are known, as data: how each is spelled, and what it is.

The preferred spelling is that of UCUM (The Unified Code for Units of Measure, https://ucum.org, case sensitive): its
print symbols (mg/dL, °C, mmHg, μg) or its codes (mg/dL, Cel, mm[Hg], ug). Names are tried as they stand; names in
other letter cases (MG/DL) only where they cannot be another unit: MM is no millimetre, since it is multiple myeloma.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit that is not composed.

    Attributes:
        code: UCUM, case sensitive.
        symbol: what UCUM prints.
        chinese: the Chinese name.
        pint: the name in pint; None where pint cannot convert it.
        dims: base dimension -> power.
        names: other spellings, right wherever they stand behind a number.
        everyday: spellings of everyday language (3天, 5 pounds): left alone unless they are part of a composed unit.
        loose: right in any letter case within a composed unit (MG/DL).
        below: only as a denominator (次/分: 分 is also a mark in a test).
    """

    code: str
    symbol: str
    chinese: str
    pint: str | None
    dims: dict[str, int] = field(hash=False)
    names: tuple[str, ...] = ()
    everyday: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


_MASS = {"mass": 1}
_VOLUME = {"length": 3}
_AMOUNT = {"amount": 1}
_LENGTH = {"length": 1}
_PRESSURE = {"mass": 1, "length": -1, "time": -2}
_ENERGY = {"mass": 1, "length": 2, "time": -2}
_TIME = {"time": 1}
_FREQUENCY = {"time": -1}

ATOMS: tuple[Atom, ...] = (
    Atom("kg", "kg", "千克", "kilogram", _MASS, ("KG", "Kg", "公斤", "㎏"), loose=("kg", "kgs")),
    Atom("g", "g", "克", "gram", _MASS, ("gm", "gms"), ("grams", "gram"), loose=("g",)),
    Atom("mg", "mg", "毫克", "milligram", _MASS, ("MG", "mgs", "㎎"), ("milligrams", "milligram"), loose=("mg",)),
    Atom(
        "ug", "μg", "微克", "microgram", _MASS, ("mcg", "MCG", "UG", "㎍"), ("micrograms",), loose=("ug", "μg", "mcg")
    ),
    Atom("ng", "ng", "纳克", "nanogram", _MASS, ("NG", "毫微克"), loose=("ng",)),
    Atom("pg", "pg", "皮克", "picogram", _MASS, loose=("pg",)),
    Atom("[lb_av]", "lb", "磅", "pound", _MASS, ("lbs", "LBS"), ("pounds", "pound", "磅")),
    Atom("[oz_av]", "oz", "盎司", "ounce", _MASS, (), ("ounces", "ounce", "盎司")),
    Atom("{jin}", "斤", "斤", "jin", _MASS, (), ("市斤", "斤")),
    Atom("L", "L", "升", "liter", _VOLUME, ("l",), ("liters", "litres", "liter", "litre"), loose=("l",)),
    Atom("dL", "dL", "分升", "deciliter", _VOLUME, ("dl", "DL", "㎗"), loose=("dl",)),
    Atom(
        "mL", "mL", "毫升", "milliliter", _VOLUME, ("ml", "ML", "Ml", "cc", "㎖", "㏄"), ("milliliters",), loose=("ml",)
    ),
    Atom("uL", "μL", "微升", "microliter", _VOLUME, ("ul", "uL", "μl", "UL", "㎕"), loose=("ul", "μl")),
    Atom("nL", "nL", "纳升", "nanoliter", _VOLUME, ("nl",), loose=("nl",)),
    Atom("fL", "fL", "飞升", "femtoliter", _VOLUME, ("fl", "FL"), loose=("fl",)),
    Atom("mol", "mol", "摩尔", "mole", _AMOUNT, ("MOL",), loose=("mol",)),
    Atom("mmol", "mmol", "毫摩尔", "millimole", _AMOUNT, ("MMOL", "Mmol", "mMol", "毫摩"), loose=("mmol",)),
    Atom("umol", "μmol", "微摩尔", "micromole", _AMOUNT, ("UMOL", "μMol", "微摩"), loose=("umol", "μmol")),
    Atom("nmol", "nmol", "纳摩尔", "nanomole", _AMOUNT, ("NMOL", "纳摩"), loose=("nmol",)),
    Atom("pmol", "pmol", "皮摩尔", "picomole", _AMOUNT, ("PMOL", "皮摩"), loose=("pmol",)),
    Atom("km", "km", "千米", "kilometer", _LENGTH, ("KM", "Km", "㎞"), ("公里", "千米")),
    Atom("m", "m", "米", "meter", _LENGTH, (), ("meters", "metres", "米")),
    Atom("cm", "cm", "厘米", "centimeter", _LENGTH, ("CM", "Cm", "公分", "㎝"), ("centimeters",), loose=("cm",)),
    Atom("mm", "mm", "毫米", "millimeter", _LENGTH, ("㎜",), ("millimeters",), loose=("mm",)),
    Atom("um", "μm", "微米", "micrometer", _LENGTH, ("UM",), loose=("um", "μm")),
    Atom("nm", "nm", "纳米", "nanometer", _LENGTH, ("㎚",)),
    Atom("[in_i]", "inch", "英寸", "inch", _LENGTH, (), ("inches", "英寸")),
    Atom("[ft_i]", "ft", "英尺", "foot", _LENGTH, (), ("feet", "foot", "英尺")),
    Atom("mm[Hg]", "mmHg", "毫米汞柱", "mmHg", _PRESSURE, ("mmhg", "MMHG", "MmHg", "mmHG", "mm Hg", "mm hg", "mm-Hg")),
    Atom("cm[H2O]", "cmH2O", "厘米水柱", "cmH2O", _PRESSURE, ("cmh2o", "CMH2O", "cmH₂O", "cm H2O", "cmH20")),
    Atom("kPa", "kPa", "千帕", "kilopascal", _PRESSURE, ("KPa", "kpa", "KPA", "Kpa", "kPA"), loose=("kpa",)),
    Atom("MPa", "MPa", "兆帕", "megapascal", _PRESSURE, ("Mpa",)),
    Atom("Pa", "Pa", "帕", "pascal", _PRESSURE),
    Atom(
        "Cel", "°C", "摄氏度", "degC", {"temperature": 1}, ("℃", "° C", "ºC", "˚C", "°c", "degC", "deg C", "度C", "oC")
    ),
    Atom("[degF]", "°F", "华氏度", "degF", {"temperature": 1}, ("℉", "° F", "ºF", "˚F", "°f", "degF", "deg F")),
    Atom("kcal", "kcal", "千卡", "kilocalorie", _ENERGY, ("KCAL", "Kcal", "大卡"), loose=("kcal",)),
    Atom("kJ", "kJ", "千焦", "kilojoule", _ENERGY, ("KJ", "kj", "Kj", "千焦耳"), loose=("kj",)),
    Atom("J", "J", "焦耳", "joule", _ENERGY),
    Atom("Hz", "Hz", "赫兹", "hertz", _FREQUENCY, ("HZ", "hz")),
    Atom("kHz", "kHz", "千赫", "kilohertz", _FREQUENCY, ("KHz", "KHZ", "khz", "千赫兹")),
    Atom("MHz", "MHz", "兆赫", "megahertz", _FREQUENCY, ("MHZ", "Mhz", "兆赫兹")),
    Atom("mV", "mV", "毫伏", "millivolt", {"voltage": 1}, ("mv",)),
    Atom("kV", "kV", "千伏", "kilovolt", {"voltage": 1}, ("KV", "kv")),
    Atom("mA", "mA", "毫安", "milliampere", {"current": 1}, ("ma",)),
    Atom("U", "U", "单位", None, {"U": 1}, ("u",), ("units", "unit", "单位"), loose=("u",)),
    Atom("kU", "kU", "千单位", None, {"U": 1}, ("KU",), loose=("ku",)),
    Atom("mU", "mU", "毫单位", None, {"U": 1}, loose=("mu",)),
    Atom("uU", "μU", "微单位", None, {"U": 1}, ("uU",), loose=("uu", "μu")),
    Atom("[IU]", "IU", "国际单位", None, {"IU": 1}, ("iu", "I.U.", "i.u."), loose=("iu",)),
    Atom("m[IU]", "mIU", "毫国际单位", None, {"IU": 1}, ("MIU", "miu"), loose=("miu",)),
    Atom("u[IU]", "μIU", "微国际单位", None, {"IU": 1}, ("uIU", "UIU"), loose=("uiu", "μiu")),
    Atom("k[IU]", "kIU", "千国际单位", None, {"IU": 1}, ("KIU",), loose=("kiu",)),
    Atom("meq", "meq", "毫当量", None, {"eq": 1}, ("mEq", "mEQ", "MEQ", "MEq"), loose=("meq",)),
    Atom(
        "mosm", "mOsm", "毫渗透摩尔", None, {"osm": 1}, ("mosm", "MOSM", "mOsmol", "mosmol"), loose=("mosm", "mosmol")
    ),
    Atom("Gy", "Gy", "戈瑞", "gray", {"dose": 1}, ("GY", "gy")),
    Atom("cGy", "cGy", "厘戈瑞", "centigray", {"dose": 1}, ("CGY", "cgy", "cGY")),
    Atom("mGy", "mGy", "毫戈瑞", "milligray", {"dose": 1}, ("mgy", "mGY")),
    Atom("mSv", "mSv", "毫西弗", "millisievert", {"dose": 1}, ("msv", "mSV", "MSV")),
    Atom("MBq", "MBq", "兆贝可", "megabecquerel", {"activity": 1}, ("MBQ", "Mbq")),
    Atom("mCi", "mCi", "毫居里", "millicurie", {"activity": 1}, ("mci", "MCi", "mCI")),
    Atom("%", "%", "%", None, {}, ("％",)),
    Atom("s", "s", "秒", "second", _TIME, (), ("secs", "sec", "seconds", "second", "秒钟", "秒"), loose=("s", "sec")),
    Atom(
        "min",
        "min",
        "分钟",
        "minute",
        _TIME,
        (),
        ("mins", "minutes", "minute", "分钟"),
        loose=("min",),
        below=("分", "MIN"),
    ),
    Atom("h", "h", "小时", "hour", _TIME, (), ("hrs", "hr", "hours", "hour", "小时"), loose=("h", "hr"), below=("时",)),
    Atom("d", "d", "天", "day", _TIME, (), ("days", "day", "天"), loose=("d", "day"), below=("日",)),
    Atom("wk", "wk", "周", "week", _TIME, (), ("weeks", "week", "星期", "周"), loose=("wk", "week"), below=("周",)),
    Atom(
        "{1.73_m2}",
        "1.73m²",
        "1.73平方米",
        None,
        {"bsa": 1},
        below=("1.73m2", "1.73m²", "1.73 m2", "1.73 m²", "1.73m^2", "1.73M2", "1.73㎡", "1.73平方米"),
    ),
    Atom("(24.h)", "24h", "24小时", None, {"time": 1}, below=("24h", "24 h", "24小时", "24hr", "24H")),
    Atom("m2", "m²", "平方米", "meter**2", {"length": 2}, ("m2", "m^2", "㎡", "平米"), below=("M2", "M²")),
    Atom("cm2", "cm²", "平方厘米", "centimeter**2", {"length": 2}, ("cm2", "cm^2", "CM2", "㎠")),
    Atom("mm2", "mm²", "平方毫米", "millimeter**2", {"length": 2}, ("mm2", "mm^2", "㎟")),
    Atom("m3", "m³", "立方米", "meter**3", _VOLUME, ("m3", "m^3", "㎥")),
    Atom("cm3", "cm³", "立方厘米", "centimeter**3", _VOLUME, ("cm3", "cm^3", "CM3", "㎤")),
    Atom("mm3", "mm³", "立方毫米", "millimeter**3", _VOLUME, ("mm3", "mm^3", "㎣")),
)

BEATS = ("bpm", "BPM", "Bpm", "beats/min", "beats per minute", "breaths/min", "跳/分", "跳/min")
"""How often something happens in a minute: /min in UCUM, 次/分 in Chinese."""

# Where one of these follows, the character is no unit: 37.5升高, 5克隆, 3米粒.
NOT_BEFORE = {
    "摩": "托",
    "升": "高至到降温级值学麻糖",
    "克": "隆罗拉服氏",
    "米": "粒饭粉汤",
    "天": "津",
    "卡": "片",
    "磅": "礴",
}

DIMENSIONS: dict[str, dict[str, int]] = {
    "temperature": {"temperature": 1},
    "mass": _MASS,
    "length": _LENGTH,
    "area": {"length": 2},
    "volume": _VOLUME,
    "pressure": _PRESSURE,
    "energy": _ENERGY,
    "time": _TIME,
    "amount": _AMOUNT,
    "mass_concentration": {"mass": 1, "length": -3},
    "substance_concentration": {"amount": 1, "length": -3},
}

# Substances that laboratories report by mass here and by amount there: grams per mole, and their names.
SUBSTANCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "glucose": ("180.156", ("glucose", "GLU", "FPG", "FBG", "PPG", "血糖", "葡萄糖", "空腹血糖", "blood sugar")),
    "cholesterol": (
        "386.65",
        (
            "cholesterol",
            "TC",
            "CHOL",
            "LDL-C",
            "HDL-C",
            "LDL",
            "HDL",
            "胆固醇",
            "总胆固醇",
            "低密度脂蛋白",
            "高密度脂蛋白",
        ),
    ),
    "triglycerides": ("885.4", ("triglycerides", "triglyceride", "TG", "甘油三酯", "甘油三脂")),
    "creatinine": ("113.118", ("creatinine", "CREA", "SCr", "Cr", "肌酐", "血肌酐")),
    "urea_nitrogen": ("28.0134", ("urea nitrogen", "BUN", "尿素氮")),
    "urea": ("60.056", ("urea", "尿素")),
    "uric_acid": ("168.112", ("uric acid", "urate", "UA", "尿酸", "血尿酸")),
    "bilirubin": ("584.66", ("bilirubin", "TBIL", "DBIL", "胆红素", "总胆红素", "直接胆红素")),
    "calcium": ("40.078", ("calcium", "Ca", "血钙", "钙")),
    "magnesium": ("24.305", ("magnesium", "Mg", "血镁", "镁")),
    "phosphate": ("30.974", ("phosphate", "phosphorus", "血磷", "磷")),
    "iron": ("55.845", ("serum iron", "iron", "血清铁")),
    "lactate": ("90.078", ("lactate", "lactic acid", "LAC", "乳酸")),
}
