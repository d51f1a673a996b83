"""Names of people, in Chinese and in Latin script. See `_names_zh` and `_names_en` for how they are told."""

from __future__ import annotations

from yibu.detectors import _names_en, _names_zh
from yibu.detectors._found import Found

KINDS = ("name",)
IN_ALL = True


def find(text: str) -> list[Found]:
    return sorted(_names_zh.find(text) + _names_en.find(text))
