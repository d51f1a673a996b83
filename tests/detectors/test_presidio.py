"""presidio's recognisers, where a check digit proves them; and what is said where the package is missing."""

from __future__ import annotations

import importlib

import pytest

from yibu.core.errors import MissingExtra
from yibu.detectors import presidio


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("uk_nhs", "病人NHS号943 476 5919已登记", "943 476 5919"),
        ("crypto_wallet", "转至16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ钱包", "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ"),
    ],
)
def test_finds_what_a_check_digit_proves_next_to_chinese(kind: str, text: str, value: str) -> None:
    pytest.importorskip("presidio_analyzer")
    found = [one for one in presidio.find(text) if one.kind == kind]
    assert [text[one.start : one.end] for one in found] == [value]
    assert found[0].certain


def test_leaves_what_fails_the_check() -> None:
    pytest.importorskip("presidio_analyzer")
    assert not [one for one in presidio.find("NHS 943 476 5918") if one.kind == "uk_nhs"]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    presidio._recognisers.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"yibu\[privacy\]"):
            presidio.find("943 476 5919")
    finally:
        presidio._recognisers.cache_clear()
