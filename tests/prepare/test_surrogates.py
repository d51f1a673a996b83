"""Invented values: the same each time, of the same form, with valid check digits, in ranges that nobody has."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.detectors import account, bank_card, credit_code, find_all, id_card, vehicle
from yibu.detectors._found import luhn
from yibu.prepare.surrogates import Surrogates

MADE = Surrogates(b"a secret of the tests")


def new(kind: str, value: str, person: str | None = "p1") -> str:
    made = MADE.replace(kind, value, person)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("id_card", "11010519491231002X", r"290000\d{11}[\dX]"),
        ("id_card", "110105491231002", r"290000\d{9}"),
        ("phone", "13812345678", r"161\d{8}"),
        ("phone", "+86 138-1234-5678转801", r"\+86 161-\d{4}-\d{4}转\d{3}"),
        ("phone", "(0571)87654321", r"\(0100\)1\d{7}"),
        ("phone", "(212) 555-1234 ext. 12", r"\([2-9]\d\d\) 555-01\d\d ext\. \d\d"),
        ("phone", "+44 20 7946 0958", r"\+99 9\d \d{4} \d{4}"),
        ("bank_card", "6222 0212 3456 7890 128", r"9999 \d{4} \d{4} \d{4} \d{3}"),
        ("credit_code", "91350100M000100Y43", r"91290000[0-9A-Z]{10}"),
        ("passport", "E12345678", r"Z\d{8}"),
        ("ssn", "123-45-6789", r"9\d\d-(?:0[1-9]|[1-4]\d)-\d{4}"),
        ("licence_plate", "沪A·D12345", r"沪I·[A-Z]\d{5}"),
        ("email", "li@163.com", r"[a-z]+\d+@example\.(?:com|org|net)"),
        ("url", "https://x.cn/a", r"https://example\.(?:com|org|net)/\d+"),
        ("vehicle", "1M8GDM9AXKP042788", r"000[A-HJ-NPR-Z]{5}[\dX][A-H]{2}\d{6}"),
        ("device", "00:1A:2B:3C:4D:5E", r"02:00:00(?::[0-9A-F]{2}){3}"),
        ("medical_record", "ZY-0012345", r"[A-Z]{2}-\d{7}"),
        ("address", "310012", r"00\d{4}"),
        ("address", "浙江省杭州市文三路478号", r"[一-鿿]+市[一-鿿]+区[一-鿿]+\d+号"),
        ("address", "12 Main Street", r"\d+ \w+ \w+, \w+"),
        ("age_over_89", "93", "90"),
        ("biometric", "张三.jpg", r"file\d+\.jpg"),
        ("account", "GB29 NWBK 6016 1331 9268 19", r"ZZ\d\d [A-Z]{4} \d{4} \d{4} \d{4} \d\d"),
    ],
)
def test_keeps_the_form_and_takes_a_range_that_nobody_has(kind: str, value: str, form: str) -> None:
    made = new(kind, value)
    assert re.fullmatch(form, made), made
    assert made == new(kind, value)
    assert kind == "age_over_89" or made != new(kind, value, "p2")
    assert made != value


@given(st.from_regex(r"[1-9][0-9]{5}19[3-9][0-9](?:0[1-9]|1[0-2])(?:0[1-9]|1[0-9]|2[0-8])[0-9]{3}", fullmatch=True))
def test_check_digits_are_right_and_the_sex_stays(body: str) -> None:
    made = new("id_card", body + id_card.check_character(body))
    assert id_card.find(made)[0].certain
    assert int(made[16]) % 2 == int(body[16]) % 2
    card = new("bank_card", "62" + body[:16])
    assert luhn(card)
    assert bank_card.find(f"卡号{card}")
    code = new("credit_code", "91350100M000100Y43", body)
    assert credit_code.check_character(code[:17]) == code[17]
    number = new("vehicle", "1M8GDM9AXKP042788", body)
    assert vehicle.check_character(number) == number[8]
    assert account.remainder(new("account", "GB29NWBK60161331926819", body)) == 1


def test_addresses_of_the_net_are_reserved_ones() -> None:
    reserved = [
        ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    ]
    for value in ("10.1.2.3", "172.61.42.192", "fe80::1:2"):
        made = ipaddress.ip_address(new("ip", value))
        assert any(made in net for net in reserved if net.version == made.version)


def test_names_agree_by_their_parts() -> None:
    assert new("name", "张伟")[0] == new("name", "张")
    assert len(new("name", "欧阳震华")) == 3
    smith = new("name", "John Smith").split()
    assert new("name", "Smith") == smith[1]
    assert new("name", "John") == smith[0]
    assert new("name", "JOHN SMITH") == " ".join(smith).upper()
    assert re.fullmatch(r"\w+ [A-Z]\. de la \w+", new("name", "Maria C. de la Cruz"))
    assert re.fullmatch(r"[一-鿿]{3}·[一-鿿]{2}", new("name", "买买提·艾力"))


@given(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["name", "phone", "address", "id_card", "date", "account", "other_id", "ip", "url", "device"]),
)
def test_any_value_gets_an_answer(value: str, kind: str) -> None:
    """Whatever a recogniser of somebody else's calls a date or a number."""
    made = MADE.replace(kind, value, None)
    assert made is None or isinstance(made, str)


def test_dates_of_one_person_keep_their_distance() -> None:
    from datetime import date

    days = []
    for value in ("2016年3月28日", "2016年4月2日"):
        days.append(date(*map(int, re.findall(r"\d+", new("date", value)))))
    assert (days[1] - days[0]).days == 5
    assert 30 <= abs((days[0] - date(2016, 3, 28)).days) <= 364
    assert MADE.days("p1") != MADE.days("p2")
    assert new("birth_date", "12/31/1949") == f"{days[0] + (date(1949, 12, 31) - date(2016, 3, 28)):%m/%d/%Y}"


def test_invented_values_are_of_their_kind_again() -> None:
    text = f"身份证号{new('id_card', '11010519491231002X')}，卡号{new('bank_card', '6222021234567890128')}"
    assert [one.kind for one in find_all(text, ["id_card", "bank_card"])] == ["id_card", "bank_card"]
