"""Addresses: where they begin and end in text without spaces, in other languages, and places that are no address."""

from __future__ import annotations

import pytest

from yibu.detectors import address


def texts(text: str) -> list[str]:
    return [text[one.start : one.end] for one in address.find(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("家住浙江省杭州市西湖区文三路478号3幢2单元501室的王某", ["浙江省杭州市西湖区文三路478号3幢2单元501室"]),
        ("现住浙江杭州西湖区文三路478号，", ["浙江杭州西湖区文三路478号"]),
        ("住在建国路88号院多年", ["建国路88号院"]),
        ("位于翠苑小区3栋2单元501室的房屋", ["翠苑小区3栋2单元501室"]),
        ("户籍地：河南省周口市太康县马头镇前王村，", ["河南省周口市太康县马头镇前王村"]),
        ("邮编310012，", ["310012"]),
        ("lives at 123 Main Street, Apt 4, Springfield, IL 62704.", ["123 Main Street, Apt 4, Springfield, IL 62704"]),
        ("I moved to 8709 Marcy Ave. last week", ["8709 Marcy Ave."]),
        ("send it to P.O. Box 1234 today", ["P.O. Box 1234"]),
        ("address: 6750 Koskikatu 25 Apt. 864", ["6750 Koskikatu 25 Apt. 864"]),
        ("my zip code is 76400", ["76400"]),
        ("in Aurora, CO 80012, he", ["Aurora, CO 80012"]),
        ("at 10 Downing Street, London SW1A 2AA", ["10 Downing Street, London SW1A 2AA"]),
    ],
)
def test_finds_addresses(text: str, found: list[str]) -> None:
    assert texts(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "杭州市西湖区人民法院作出判决",
        "依照《户口登记条例》第八条",
        "阜阳市颍东区价格认证中心鉴定",
        "上海市常住户口",
        "发生道路交通事故，3号楼",
        "on 5 May Dr. Smith saw 3 patients",
        "500 mg in 2 divided doses, 4 Step Plan",
        "The 50 States and 12 Tribes",
    ],
)
def test_leaves_these(text: str) -> None:
    assert texts(text) == []
