"""Dates of every form, dates of birth by what stands beside them, and what only looks like a date."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.detectors import date


def spans(text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.kind) for one in date.find(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("于2016年3月28日入院，3月30日手术", ["2016年3月28日", "3月30日"]),
        ("2016年3月至今", ["2016年3月"]),
        ("二〇一六年三月二十八日签订", ["二〇一六年三月二十八日"]),
        ("2016-03-28 10:30:00入院", ["2016-03-28 10:30:00"]),
        ("2016/3/28、2016.03.28", ["2016/3/28", "2016.03.28"]),
        ("03/28/2016 and 28.03.2016, 3/28/16", ["03/28/2016", "28.03.2016", "3/28/16"]),
        ("on March 28, 2016, 28 Mar 2016, Mar 2016", ["March 28, 2016", "28 Mar 2016", "Mar 2016"]),
        ("January 20th", ["January 20th"]),
        ("日期20160328记录", ["20160328"]),
    ],
)
def test_finds_dates(text: str, found: list[str]) -> None:
    assert [words for words, _ in spans(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "2016年",
        "血压120/80",
        "1/2片",
        "3.5.2版",
        "10:30",
        "第28条",
        "20160328号订单",
        "may be 3 or 4",
        "疗程3月",
        "13/45/2016",
        "2016-13-01",
        "section 1.2.34",
    ],
)
def test_leaves_these(text: str) -> None:
    assert spans(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "出生日期：1949年12月31日",
        "1949年12月31日出生",
        "1949年12月31日生，汉族",
        "生于1949-12-31",
        "DOB: 12/31/1949",
        "was born on December 31, 1949",
    ],
)
def test_knows_a_date_of_birth(text: str) -> None:
    assert [kind for _, kind in spans(text)] == ["birth_date"]


def test_a_later_date_is_no_date_of_birth() -> None:
    assert [kind for _, kind in spans("出生于1949年12月31日，2016年3月28日入院")] == ["birth_date", "date"]
    assert [kind for _, kind in spans("2016年3月28日生效")] == ["date"]


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)))
def test_every_day_is_found_in_every_form(day: datetime.date) -> None:
    for form in (
        f"{day.year}年{day.month}月{day.day}日",
        f"{day:%Y-%m-%d}",
        f"{day:%m/%d/%Y}",
        f"{day:%B} {day.day}, {day.year}",
        f"{day.day} {day:%b} {day.year}",
    ):
        assert [words for words, _ in spans(f"于{form}，")] == [form]
