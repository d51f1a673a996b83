"""Dates that move keep their form, and their distance to each other."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.prepare.shifted_dates import shifted


@pytest.mark.parametrize(
    ("value", "days", "new"),
    [
        ("2016年3月28日", 5, "2016年4月2日"),
        ("2016年03月28日 10:30", 5, "2016年04月02日 10:30"),
        ("3月28日", 5, "4月2日"),
        ("2016年3月", 31, "2016年4月"),
        ("二〇一六年三月二十八日", 5, "二〇一六年四月二日"),
        ("二〇一六年十二月三十一日", 1, "二〇一七年一月一日"),
        ("2016-03-28T10:30:00", -28, "2016-02-29T10:30:00"),
        ("2016/3/28", 5, "2016/4/2"),
        ("03/28/2016", 5, "04/02/2016"),
        ("28.03.2016", 5, "02.04.2016"),
        ("3/28/16", 5, "4/2/16"),
        ("12/31/49", 1, "01/01/50"),
        ("20160328", 5, "20160402"),
        ("March 28, 2016", 5, "April 2, 2016"),
        ("MARCH 28th, 2016", 5, "APRIL 2nd, 2016"),
        ("28 Mar 2016", 5, "2 Apr 2016"),
        ("Mar. 2016", 31, "Apr. 2016"),
        ("28 March", 5, "2 April"),
    ],
)
def test_moves(value: str, days: int, new: str) -> None:
    assert shifted(value, days) == new


@pytest.mark.parametrize("value", ["", "yesterday", "2016-13-40", "31/31/2016", "0000年1月1日", "9999-12-31", "二十日"])
def test_what_is_no_date_is_not_guessed(value: str) -> None:
    assert shifted(value, 30) is None


@given(st.dates(datetime.date(1931, 1, 1), datetime.date(2029, 12, 31)), st.integers(-364, 364))
def test_moves_back_to_where_it_was(day: datetime.date, days: int) -> None:
    for form in (
        f"{day.year}年{day.month}月{day.day}日",
        f"{day:%Y-%m-%d}",
        f"{day:%m/%d/%Y}",
        f"{day:%B} {day.day}, {day.year}",
        f"{day:%Y%m%d}",
    ):
        there = shifted(form, days)
        assert there is not None
        assert shifted(there, -days) == form
