"""How a masked place looks, so that what one run wrote the next run leaves alone.

``[ID_CARD]`` is the kind in capitals, ``[身份证号]`` the same in Chinese, ``[ID_CARD:5f1c0a9b3e77]`` the same with the
keyed hash of what stood there. A kind that a package of its own brings has no Chinese name and keeps its capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CHINESE = {
    "account": "账号",
    "address": "地址",
    "age_over_89": "高龄",
    "bank_card": "银行卡号",
    "biometric": "生物特征",
    "birth_date": "出生日期",
    "credit_code": "统一社会信用代码",
    "date": "日期",
    "device": "设备号",
    "email": "邮箱",
    "id_card": "身份证号",
    "insurance": "医保号",
    "ip": "IP地址",
    "licence": "证件号",
    "licence_plate": "车牌号",
    "medical_record": "病历号",
    "name": "姓名",
    "other_id": "其他编号",
    "passport": "护照号",
    "phone": "电话",
    "ssn": "社会保障号",
    "url": "网址",
    "vehicle": "车架号",
}
"""Chinese names of the kinds, as placeholders use them."""


def pattern(kinds: Iterable[str]) -> re.Pattern[str]:
    """Matches the placeholders of these kinds and the Chinese ones, nothing else: ``[E12345678]`` is looked at."""
    names = sorted({*(kind.upper() for kind in kinds), *CHINESE.values()}, key=lambda name: (-len(name), name))
    return re.compile(r"\[(?:" + "|".join(map(re.escape, names)) + r")(?::[0-9a-f]{12})?\]")


def placeholder(kind: str, chinese: bool, token: str = "") -> str:
    """The text that stands for personal data of a kind.

    Args:
        kind: of the data.
        chinese: whether to use the Chinese name, where there is one.
        token: 12 hexadecimal digits of a keyed hash, or nothing.
    """
    name = CHINESE.get(kind) if chinese else None
    return f"[{name or kind.upper()}{':' if token else ''}{token}]"
