"""JSON as its standard has it, for answers that a program must read: what lenient readers let pass is an error here."""

from __future__ import annotations

import json
from typing import Any

_DEEPEST = (
    200  # nested brackets; the decoder of the standard library recurses, and an answer may be "[" a thousand times
)


def read_json(text: str) -> Any:
    """The value of a text that is one JSON value and nothing else (RFC 8259).

    No fence and no word around it, no NaN or Infinity, and no name twice in one object, since readers differ in which
    of the two they keep (RFC 8259, section 4).

    Raises:
        ValueError: it is not that.
    """
    if text.count("[") + text.count("{") > _DEEPEST and _depth(text) > _DEEPEST:
        raise ValueError("nested too deep")
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)


def _depth(text: str) -> int:
    """No less than the depth of its brackets; those within strings count, too."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return table
