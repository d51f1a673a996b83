"""Addresses, Chinese and in Latin script, and postcodes. See `_address_zh` and `_address_en` for how they are told."""

from __future__ import annotations

from yibu.detectors import _address_en, _address_zh
from yibu.detectors._found import Found

KINDS = ("address",)
IN_ALL = True


def find(text: str) -> list[Found]:
    return sorted(_address_zh.find(text) + _address_en.find(text))
