"""One JSON value as a record: the checks that JSON readers share."""

from __future__ import annotations

import json
from typing import Any

from yibu.readers._text import WRONG_ENCODING, has_fault


def _constant(name: str) -> None:
    """NaN is what pandas writes for a missing value; infinities are no JSON and mean something went wrong before."""
    if name != "NaN":
        raise ValueError(f"broken JSON: {name} is no JSON value")


DECODER = json.JSONDecoder(parse_constant=_constant)


def parse(text: str) -> Any:
    """The JSON value in a text.

    Raises:
        ValueError: the reason, without any of the text.
    """
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg} (character {error.pos + 1})") from None
    except RecursionError:
        raise ValueError("broken JSON: nested too deeply") from None


def as_record(value: Any, may_hold_surrogates: bool = True) -> dict[str, Any]:
    """The value if it is a record that can be kept.

    Args:
        value: a parsed JSON value.
        may_hold_surrogates: False spares the search where the text that it came from cannot hold any.

    Raises:
        ValueError: the reason, without any text of the row.
    """
    if not isinstance(value, dict):
        raise ValueError(f"not an object but {_kind(value)}")
    if not value:
        raise ValueError("empty row")
    if may_hold_surrogates and has_fault(json.dumps(value, ensure_ascii=False)):
        raise ValueError(WRONG_ENCODING)
    return value


def escapes_surrogates(text: str) -> bool:
    """Whether JSON text has escapes of surrogates, one of which may be alone."""
    return "\\ud" in text or "\\uD" in text


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a text", bool: "true or false", int: "a number", float: "a number"}[type(value)]
