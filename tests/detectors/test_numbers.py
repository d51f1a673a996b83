"""Numbers with a form: what is one, glued to text on either side, and what only looks like one."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.detectors import (
    FAMILY,
    account,
    age,
    bank_card,
    biometric,
    credit_code,
    device,
    email,
    id_card,
    ip,
    licence,
    licence_plate,
    medical_record,
    other_id,
    passport,
    phone,
    ssn,
    url,
    vehicle,
)
from yibu.detectors._found import luhn


def texts(plug: str, text: str) -> list[str]:
    return [text[one.start : one.end] for one in FAMILY.load(plug).find(text)]


# Numbers of the standards' own examples: GB 11643 (11010519491231002X), GB 32100 (91350100M000100Y43), ISO 13616
# (GB29NWBK60161331926819), ISO 3779 (1M8GDM9AXKP042788); test numbers of the card schemes.
@pytest.mark.parametrize(
    ("plug", "text", "found"),
    [
        ("id_card", "号11010519491231002X已", ["11010519491231002X"]),
        ("id_card", "号110105 19491231 002X已", ["110105 19491231 002X"]),
        ("id_card", "110105491231002号", ["110105491231002"]),
        ("id_card", "流水11010519491331002X", []),
        ("id_card", "身份证号110105194913310021有误", ["110105194913310021"]),
        ("id_card", "单号9911010519491231002X", []),
        ("id_card", "0.110105194912310021", []),
        ("phone", "13812345678", ["13812345678"]),
        ("phone", "致电010-62345678或(0571)87654321转8012", ["010-62345678", "(0571)87654321转8012"]),
        ("phone", "+86 138 1234 5678、0086-13812345678", ["+86 138 1234 5678", "0086-13812345678"]),
        ("phone", "call (212) 555-0199 ext. 12 or 212.555.0199", ["(212) 555-0199 ext. 12", "212.555.0199"]),
        ("phone", "+44 20 7946 0958, +46 (0)8 928 571 38", ["+44 20 7946 0958", "+46 (0)8 928 571 38"]),
        ("phone", "Fax: 99 668472", ["99 668472"]),
        ("phone", "热线400-820-8820", ["400-820-8820"]),
        ("phone", "电话62345678", ["62345678"]),
        ("phone", "共13812345678元", []),
        ("phone", "编号138123456789", []),
        ("phone", "0.13812345678", []),
        ("phone", "2016-03-28 10:30:00", []),
        ("phone", "电话随访2016-03-28", []),
        ("phone", "a total of 13812345678", []),
        ("phone", "hash a13812345678f", []),
        ("bank_card", "卡6222021234567890128被", ["6222021234567890128"]),
        ("bank_card", "4111 1111 1111 1111", ["4111 1111 1111 1111"]),
        ("bank_card", "378282246310005", ["378282246310005"]),
        ("bank_card", "4111111111111112", []),
        ("bank_card", "卡号4111111111111112", ["4111111111111112"]),
        ("bank_card", "0000000000000000", []),
        ("credit_code", "码91350100M000100Y43的", ["91350100M000100Y43"]),
        ("credit_code", "信用代码91350100M000100Y44", ["91350100M000100Y44"]),
        ("credit_code", "x91350100M000100Y43", []),
        ("credit_code", "910105194912310021", []),
        ("passport", "持E12345678及G87654321", ["E12345678", "G87654321"]),
        ("passport", "passport no. 123456789.", ["123456789"]),
        ("passport", "通行证号H12345678901", []),
        ("passport", "台胞证号12345678", ["12345678"]),
        ("passport", "型号D12345678", []),
        ("medical_record", "住院号：ZY0012345，", ["ZY0012345"]),
        ("medical_record", "MRN 00123456 and chart no. 7741-22", ["00123456", "7741-22"]),
        ("medical_record", "policy number: 884-22-1", ["884-22-1"]),
        ("medical_record", "门诊2016年", []),
        ("medical_record", "病历号 2016-03-28", []),
        ("medical_record", "group 2019 was larger", []),
        (
            "licence_plate",
            "沪A·D12345、京A12345、粤Z1234港、WJ京12345",
            ["沪A·D12345", "京A12345", "粤Z1234港", "WJ京12345"],
        ),
        ("licence_plate", "京ABCDEF", []),
        ("licence_plate", "license plate: 7ABC123", ["7ABC123"]),
        ("email", "写a.b+c@x.co.uk。", ["a.b+c@x.co.uk"]),
        ("email", "邮箱li_wei@163.com收", ["li_wei@163.com"]),
        ("email", "price @ 3.50, user@localhost", []),
        ("ip", "从10.0.0.255到fe80::1:2，2001:db8:0:0:1:0:0:1", ["10.0.0.255", "fe80::1:2", "2001:db8:0:0:1:0:0:1"]),
        ("ip", "1.2.3.256, v1.2.3.4, 10:30:00, 1.2.3.4.5", []),
        (
            "url",
            "见https://x.cn/a(b)?c=1。又见www.y.com/z，及taobao.com",
            ["https://x.cn/a(b)?c=1", "www.y.com/z", "taobao.com"],
        ),
        ("url", "第3.com节 e.g. this.is 3.5", []),
        ("url", "me@x.com", []),
        ("age", "93岁、a 101-year-old, aged 95, 89岁, 190岁", ["93", "101", "95"]),
        ("age", "血压95，心率92次", []),
        ("ssn", "SSN 123456789 or 123-45-6789", ["123456789", "123-45-6789"]),
        ("ssn", "000-12-3456, 123-45-67890", []),
        ("account", "IBAN GB29 NWBK 6016 1331 9268 19 ok", ["GB29 NWBK 6016 1331 9268 19"]),
        ("account", "GB29NWBK60161331926818", []),
        ("account", "account number 004417221", ["004417221"]),
        ("vehicle", "车1M8GDM9AXKP042788停", ["1M8GDM9AXKP042788"]),
        ("vehicle", "1M8GDM9A1KP042788", []),
        ("vehicle", "发动机号GW4C20B-1122", ["GW4C20B-1122"]),
        ("device", "网卡00:1A:2B:3C:4D:5E上", ["00:1A:2B:3C:4D:5E"]),
        ("device", "IMEI：490154203237518，S/N: PM-204417", ["490154203237518", "PM-204417"]),
        ("licence", "执业证书编号：110330100001234，DEA AB1234563", ["110330100001234", "AB1234563"]),
        ("biometric", "张三正面照.jpg与scan_01.dcm，指纹编号FP0012", ["张三正面照.jpg", "scan_01.dcm", "FP0012"]),
        ("biometric", "拍摄照片3张", []),
        ("other_id", "微信号：wxid_lw88，工号 20113", ["wxid_lw88", "20113"]),
        ("other_id", "123e4567-e89b-12d3-a456-426614174000", ["123e4567-e89b-12d3-a456-426614174000"]),
    ],
)
def test_finds_these_and_no_others(plug: str, text: str, found: list[str]) -> None:
    assert texts(plug, text) == found


def test_what_a_check_digit_proves_is_certain() -> None:
    assert id_card.find("11010519491231002X")[0].certain
    assert not id_card.find("110105194912310021")[0].certain
    assert bank_card.find("4111111111111111")[0].certain
    assert not bank_card.find("卡号4111111111111112")[0].certain
    assert credit_code.find("91350100M000100Y43")[0].certain
    assert not credit_code.find("信用代码91350100M000100Y44")[0].certain
    assert vehicle.find("1M8GDM9AXKP042788")[0].certain
    assert account.find("GB29NWBK60161331926819")[0].certain
    assert device.find("IMEI：490154203237518")[0].certain


@given(st.integers(0, 10**15 - 1))
def test_luhn_catches_every_single_wrong_digit(number: int) -> None:
    digits = f"{number:015d}"
    (check,) = [digit for digit in "0123456789" if luhn(digits + digit)]
    whole = digits + check
    for place in range(16):
        wrong = whole[:place] + str((int(whole[place]) + 1) % 10) + whole[place + 1 :]
        assert not luhn(wrong)


@given(
    st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)),
    st.integers(0, 999),
    st.text("的号码，。已登记", max_size=4),
)
def test_every_valid_identity_number_is_found_whatever_touches_it(born: datetime.date, serial: int, glue: str) -> None:
    body = f"330106{str(born).replace('-', '')}{serial:03d}"
    number = body + id_card.check_character(body)
    text = glue + number + glue
    (found,) = id_card.find(text)
    assert text[found.start : found.end] == number
    assert found.certain


@given(st.text("0123456789", min_size=20, max_size=40))
def test_a_longer_run_of_digits_is_nobodys_number(digits: str) -> None:
    for plug in (
        id_card,
        phone,
        bank_card,
        ssn,
        credit_code,
        passport,
        age,
        ip,
        url,
        email,
        licence_plate,
        licence,
        medical_record,
        other_id,
        biometric,
    ):
        assert plug.find(f"值{digits}的") == []
