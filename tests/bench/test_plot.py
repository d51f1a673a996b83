from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from yibu.bench.plot import drawn


def found(value: float | None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": None if value is None else value / 2, "high": high, "n": 9}


def rate(asked: float, seconds: float, p99: float | None = None, saturated: bool = False) -> dict[str, Any]:
    levels = {"p50": found(seconds, 2 * seconds), "p90": found(seconds), "p99": found(p99)}
    measures = dict.fromkeys(("ttft", "per_token", "e2e"), levels)
    return {"rate": asked, "arrived_rate": asked, "achieved_rate": asked, "saturated": saturated, **measures}


EMPTY = {"rate": 2, "arrived_rate": None, "achieved_rate": None, "saturated": False}
EMPTY |= dict.fromkeys(("ttft", "per_token", "e2e"))


@pytest.mark.parametrize(
    ("rates", "dots"),
    [
        ([], 0),
        ([EMPTY], 0),
        ([rate(1, 0.2)], 6),  # p99 is beyond the limit, so it has no dot
        ([rate(1, 0.02, 0.03), rate(2, 0.02, 0.05), EMPTY], 18),
        ([rate(1, 0.02, 0.03), rate(2, 5.0, 60.0, saturated=True)], 18),
    ],
)
def test_whatever_was_measured_can_be_drawn(rates: list[dict[str, Any]], dots: int) -> None:
    root = ET.fromstring(drawn(rates))
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert tags.count("circle") == dots
    said = " ".join(element.text or "" for element in root.iter())
    assert ("no answers" in said) is (dots == 0)
    for element in root.iter():
        for name in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy"):
            if name in element.attrib:
                assert -1 <= float(element.attrib[name]) <= 901


def test_only_the_rate_that_is_full_has_a_dashed_line() -> None:
    assert 'class="full"' not in drawn([rate(1, 0.2, 0.3)])
    assert 'class="full"' in drawn([rate(1, 0.2, 0.3), rate(2, 2.0, 3.0, saturated=True)])
