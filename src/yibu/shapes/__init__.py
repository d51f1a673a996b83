"""Shapes: from a raw record to the fields that tasks know, recognised by the columns alone.

A shape is one file here. Its contract::

    COLUMNS: str                                        the columns it needs, for messages
    RANK: int                                           where two shapes fit, the higher one is meant; equal ranks ask
    fits(records: list[dict[str, Any]]) -> bool         do these first rows look so? A few bad rows among them may not
    to_fields(record: dict[str, Any]) -> dict[str, Any] raises ValueError(reason) for a bad row; no row text in it

Canonical fields, by shape:

    alpaca, sharegpt, messages   ``{"messages": [{"role", "content"}, ...]}``: an optional system turn, then user and
                                 assistant in turn; the last turn is the assistant's, and is the target
    prompt_completion            ``{"prompt", "completion"}``
    text_label                   ``{"text", "label"}``
    text                         ``{"text"}``
    ner_tags, spans              ``{"text", "entities": [{"start", "end", "type", "text"}]}``, offsets in characters,
                                 end exclusive, checked against the text; ``relations`` where the record has them
    fields                       the record as it is, for a task that names its own templates; never guessed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yibu.core.errors import DataError
from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("COLUMNS", "RANK", "fits", "to_fields"))

FIRST_ROWS = 50
"""Rows that are looked at."""


def detect(records: list[dict[str, Any]]) -> str:
    """The one shape that the first rows have.

    Args:
        records: raw records; those after the first `FIRST_ROWS` are not looked at.

    Raises:
        DataError: no rows; no known shape (says which columns were seen and how to map them); two shapes at once.
    """
    first = records[:FIRST_ROWS]
    if not first:
        raise DataError("There are no rows to tell the shape of the data from.")
    plugs = FAMILY.all()
    fitting = [name for name, plug in plugs.items() if plug.fits(first)]
    ranks = {name: plugs[name].RANK for name in fitting}
    best = [name for name in fitting if ranks[name] == max(ranks.values())]
    if len(best) == 1:
        return best[0]
    columns = list(dict.fromkeys(column for record in first for column in record))
    if best:
        raise DataError(
            f"The rows fit {len(best)} shapes: {', '.join(best)}.",
            got=f"columns: {', '.join(columns)}",
            allowed=[f"{name} ({plugs[name].COLUMNS})" for name in best],
            do=f"set data.shape to one of them, e.g. data.shape={best[0]}",
        )
    raise DataError(
        "The rows have no known shape.",
        got=f"columns: {', '.join(columns)}",
        allowed=[f"{name} ({plug.COLUMNS})" for name, plug in plugs.items() if name != "fields"],
        do=f"say what to learn from which columns: {_example(first, columns)}",
    )


def _example(records: list[dict[str, Any]], columns: list[str]) -> str:
    """Templates with the two columns that hold the most text; the longer is more likely what is read."""
    sizes = {column: sum(len(str(record.get(column) or "")) for record in records) for column in columns}
    longest = sorted(columns, key=lambda column: -sizes[column])
    source, target = longest[:2] if len(longest) > 1 else ("question", "answer")
    return f'task.prompt="{{{source}}}" task.target="{{{target}}}"'


def most(records: list[dict[str, Any]], test: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether more than half of the records pass: a shape is told by its rule, not by its exceptions."""
    return 2 * sum(test(record) for record in records) > len(records)


def has(record: dict[str, Any], *columns: str) -> bool:
    """Whether every column is there; an empty value counts, a null does not."""
    return all(record.get(column) is not None for column in columns)


def text_of(record: dict[str, Any], column: str, role: str = "") -> str:
    """The non-empty text in a column; numbers count as text.

    Args:
        record: a raw record.
        column: its name.
        role: what the column is, for the reason: "target" or "prompt".

    Raises:
        ValueError: missing, empty, or no text.
    """
    value = record.get(column)
    if value is None:
        raise ValueError(f"missing field: {column}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"{column} is no text but {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"empty {role or 'field'}: {column}")
    return value
