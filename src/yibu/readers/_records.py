"""What readers yield."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Raw:
    """One record as it stands in its source.

    Attributes:
        source: file or address.
        line: where the record starts, from 1: the physical line of a text file, else the number of the record.
        record: column -> JSON value.
    """

    source: str
    line: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bad:
    """A place in a source that holds no readable record.

    Attributes:
        source: file or address.
        line: as in `Raw`.
        reason: why, without any text of the row.
    """

    source: str
    line: int
    reason: str
