"""Any columns, for a task whose templates name them (``task.prompt``, ``task.target``). Never guessed, as it would
fit all."""

from __future__ import annotations

from typing import Any

COLUMNS = "any; the task's templates name them"
RANK = 1


def fits(records: list[dict[str, Any]]) -> bool:
    return False


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    if not record:
        raise ValueError("empty row")
    return dict(record)
