"""One contract for every detector: its own kinds, exact and sorted spans, the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.errors import MissingExtra
from yibu.detectors import FAMILY, HIPAA, Found, expand, find_all, kinds

# One text with one span each, glued to Chinese or English; ⟦ ⟧ mark what must be found.
EXAMPLES = {
    "account": "转入账号⟦6302154789021⟧已到账",
    "address": "现住址⟦浙江省杭州市西湖区文三路478号3幢2单元501室⟧，独居",
    "age_over_89": "患者，女，⟦93⟧岁，跌倒",
    "bank_card": "卡号⟦6222021234567890128⟧被冻结",
    "biometric": "影像存为⟦IMG_20310.dcm⟧备查",
    "birth_date": "出生日期⟦1949年12月31日⟧，汉族",
    "credit_code": "由⟦91350100M000100Y43⟧开票",
    "date": "于⟦2016年3月28日⟧入院",
    "device": "起搏器序列号⟦PM-204417⟧植入",
    "email": "发至⟦li.wei@hospital.org.cn⟧即可",
    "id_card": "身份证号⟦11010519491231002X⟧已登记",
    "insurance": "医保号⟦3301068842⟧结算",
    "ip": "从⟦172.16.31.9⟧访问",
    "licence": "驾驶证档案编号⟦330101884422⟧扣分",
    "licence_plate": "驾驶⟦沪A·D12345⟧违停",
    "medical_record": "住院号⟦0012345678⟧的病历",
    "name": "患者⟦张伟⟧因腹痛就诊",
    "other_id": "学号⟦2019113042⟧的学生",
    "passport": "护照⟦E12345678⟧入境",
    "phone": "电话⟦13812345678⟧转告",
    "ssn": "SSN ⟦123-45-6789⟧ on file",
    "url": "见⟦https://www.example.cn/a?b=1⟧所载",
    "vehicle": "车架号⟦LSVAA4187C2184841⟧登记",
}
PLAIN = (
    "体温37.5℃，血压120/80mmHg，白细胞11.2×10^9/L，滴度1:64，血糖-0.3，共3次，每次0.5g。",
    "依照《中华人民共和国民法典》第一千一百六十五条第2款、第3款，判决如下。",
    "订单号28374650918273645091，金额1,234,567.89元，编号A-17，版本2.10.3。",
    "The dose was 500 mg twice daily, 12.5 units at night; hemoglobin 13.2, platelets 250,000, INR 1.1.",
    "How do I top up my card, and what is the limit for the first 30 days?",
    "校验值da39a3ee5e6b4b0d3255bfef95601890afd80709，占比12.34567890123%。",
)


def test_the_detectors_are_these() -> None:
    assert FAMILY.names() == [
        "account",
        "address",
        "age",
        "bank_card",
        "biometric",
        "credit_code",
        "date",
        "device",
        "email",
        "id_card",
        "ip",
        "licence",
        "licence_plate",
        "medical_record",
        "name",
        "other_id",
        "passport",
        "phone",
        "presidio",
        "ssn",
        "url",
        "vehicle",
    ]


@pytest.mark.parametrize("name", FAMILY.names())
def test_a_detector_states_its_kinds(name: str) -> None:
    plug = FAMILY.load(name)
    assert isinstance(plug.KINDS, tuple)
    assert plug.KINDS
    assert isinstance(plug.IN_ALL, bool)
    assert plug.__doc__
    assert set(plug.KINDS) <= set(kinds())


def test_every_kind_of_all_has_an_example() -> None:
    assert set(EXAMPLES) == set(expand(["all"]))


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_finds_its_kind_glued_to_text_and_to_the_character(kind: str) -> None:
    head, value, tail = EXAMPLES[kind].replace("⟧", "⟦").split("⟦")
    text = head + value + tail
    expected = (len(head), len(head) + len(value), kind)
    assert [one[:3] for one in find_all(text, [kind])] == [expected]
    assert expected in [one[:3] for one in find_all(text, expand(["all"]))]


@pytest.mark.parametrize("hipaa_class", sorted(HIPAA))
def test_each_class_of_safe_harbor_has_a_kind_that_is_found(hipaa_class: str) -> None:
    for kind in HIPAA[hipaa_class]:
        text = EXAMPLES[kind].replace("⟦", "").replace("⟧", "")
        assert kind in {one.kind for one in find_all(text, expand(["hipaa"]))}


def test_safe_harbor_has_18_classes() -> None:
    assert len(HIPAA) == 18


@pytest.mark.parametrize("text", PLAIN)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    assert find_all(text, expand(["all"])) == []


@pytest.mark.parametrize("name", FAMILY.names())
@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            [*"0123456789-.:/ @xX年月日号张王第 的", "138", "1949", "身份证", "Mr. ", "电话", "\n", "路", "𝟙", "é"]
        )
    )
)
def test_spans_are_exact_sorted_and_the_same_each_time(name: str, parts: list[str]) -> None:
    plug = FAMILY.load(name)
    text = "".join(parts)
    try:
        found = plug.find(text)
    except MissingExtra:
        pytest.skip("presidio-analyzer is not installed")
    assert found == plug.find(text)
    assert found == sorted(found)
    for one in found:
        assert isinstance(one, Found)
        assert 0 <= one.start < one.end <= len(text)
        assert one.kind in plug.KINDS
