"""Names for labels that are stored as whole numbers.

Two places are known: the ``ClassLabel`` feature that Hugging Face writes into parquet and arrow files, and a names
file beside the data (``labels.txt``, ``classes.json``, ...): one name a line, or a JSON list, or a JSON table in either
direction (``{"0": "card_arrival"}``, ``{"card_arrival": 0}``). Names are applied to the columns ``label`` and
``ner_tags``; a label that is text already is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yibu.core.errors import DataError
from yibu.readers._records import Bad, Raw

COLUMNS = ("label", "ner_tags")

_STEMS = ("labels", "label_names", "classes", "class_names", "categories")
_SUFFIXES = (".txt", ".json")
_MAX_BYTES = 1_000_000  # a names file is small; a larger file of that name is data


def names_file(folder: Path) -> Path | None:
    """The names file of a folder, if it has one.

    Raises:
        DataError: several of them.
    """
    candidates = [folder / (stem + suffix) for stem in _STEMS for suffix in _SUFFIXES]
    found = [file for file in candidates if file.is_file() and _parse(file) is not None]
    if len(found) > 1:
        raise DataError(
            "This folder holds several files of label names.",
            got=[file.name for file in found],
            do="keep the one that belongs to the data",
        )
    return found[0] if found else None


def label_names(folder: Path) -> list[str] | None:
    """Names in the order of their numbers from 0, or None where the folder has no names file."""
    file = names_file(folder)
    return None if file is None else _parse(file)


def with_names(item: Raw, names: Sequence[str] | Mapping[str, Sequence[str]]) -> Raw | Bad:
    """The record with its numbers replaced by names; `Bad` where a number has no name.

    Args:
        item: the record.
        names: one list for every column of `COLUMNS`, or a list for each column by name.
    """
    by_column = names if isinstance(names, Mapping) else dict.fromkeys(COLUMNS, names)
    record = dict(item.record)
    for column, known in by_column.items():
        try:
            record[column] = _named(record.get(column), known)
        except LookupError:
            return Bad(item.source, item.line, f"{column} holds a number that is none of the {len(known)} label names")
        if column not in item.record:
            del record[column]
    return Raw(item.source, item.line, record)


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names by column from the description of a data set's features, as Hugging Face stores it.

    ``{"label": {"names": [...], "_type": "ClassLabel"}}``; a list of labels has it under ``feature``.
    """
    found: dict[str, list[str]] = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, Mapping) else None
        if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel":
            found[column] = [str(name) for name in inner["names"]]
    return found


def _named(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if not isinstance(value, int):
        return value
    if value == -1:  # Hugging Face's mark for "no label"
        return None
    if not 0 <= value < len(names):
        raise LookupError(value)
    return names[value]


def _parse(file: Path) -> list[str] | None:
    if file.stat().st_size > _MAX_BYTES:
        return None
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".txt":
            return [line.strip() for line in text.splitlines() if line.strip()] or None
        value = json.loads(text)
        if isinstance(value, dict):
            value = _in_order(value)
    except ValueError:
        return None
    is_list = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    return value if is_list else None


def _in_order(table: dict[str, Any]) -> list[str]:
    """``{"0": "a", "1": "b"}`` or ``{"a": 0, "b": 1}`` as ``["a", "b"]``; ValueError if it is neither."""
    pairs = {(int(number), name) for number, name in table.items() if isinstance(name, str) and number.isdigit()}
    if len(pairs) != len(table):
        pairs = {(number, name) for name, number in table.items() if type(number) is int}
    if sorted(number for number, _ in pairs) != list(range(len(table))):
        raise ValueError("not a table of labels")
    return [name for _, name in sorted(pairs)]
