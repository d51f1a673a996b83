"""Columnar files: parquet, and Arrow's IPC file and stream formats (what ``datasets`` saves), a batch at a time.

Values become plain JSON ones: dates as ISO 8601, decimals as text, NaN as null. Columns of bytes (images, audio) are
left out, which is logged. Whole-number labels become the names that the file itself carries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from yibu.core import log
from yibu.core.errors import DataError, MissingExtra
from yibu.readers._labels import class_names, with_names
from yibu.readers._records import Bad, Raw
from yibu.readers._text import file_digest, has_suffix

FORMATS = ".parquet, .arrow, .feather"
FILES = True

digest = file_digest

_ROWS_A_BATCH = 256
_BUFFER = 1024 * 1024  # bytes


def accepts(address: str) -> bool:
    return has_suffix(address, ".parquet", ".arrow", ".feather")


def read(address: str) -> Iterator[Raw | Bad]:
    """Records with their number from 1 as the line.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: the file is damaged.
    """
    try:
        import pyarrow as arrow
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", f"Reading {Path(address).name}") from error
    try:
        yield from _read(address)
    except arrow.ArrowException as error:
        raise DataError("This file is damaged or not what its name says.", got=f"{address}: {error}") from error


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """The record in JSON values.

    Raises:
        ValueError: a value that JSON cannot carry (bytes).
    """
    return {column: _plain(value) for column, value in record.items()}


def _read(address: str) -> Iterator[Raw | Bad]:
    number = 0
    names: dict[str, list[str]] | None = None
    for batch in _batches(address):
        if names is None:
            names = _names_in(batch.schema)
        for row in _rows(batch):
            number += 1
            if isinstance(row, str):
                yield Bad(address, number, row)
                continue
            item = Raw(address, number, row)
            yield with_names(item, names) if names else item


def _batches(address: str) -> Iterator[Any]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    if address.lower().endswith(".parquet"):
        # Unbuffered reading holds the columns of a whole row group, which is often the whole file.
        with parquet.ParquetFile(address, buffer_size=_BUFFER, pre_buffer=False) as file:
            columns = _text_columns(address, file.schema_arrow)
            yield from file.iter_batches(batch_size=_ROWS_A_BATCH, columns=columns)
        return
    with arrow.memory_map(address) as mapped:
        try:
            reader = arrow.ipc.open_stream(mapped)
            whole: Iterator[Any] = iter(reader)
        except arrow.ArrowInvalid:
            mapped.seek(0)
            reader = arrow.ipc.open_file(mapped)
            whole = (reader.get_batch(place) for place in range(reader.num_record_batches))
        columns = _text_columns(address, reader.schema)
        for batch in whole:
            for start in range(0, batch.num_rows, _ROWS_A_BATCH):
                yield batch.slice(start, _ROWS_A_BATCH).select(columns)


def _text_columns(address: str, schema: Any) -> list[str]:
    kept = [field.name for field in schema if not _holds_bytes(field.type)]
    left_out = sorted(set(schema.names) - set(kept))
    if left_out:
        log.get("readers").warning("%s: columns of bytes are left out: %s", address, ", ".join(left_out))
    return kept


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as arrow

    types = arrow.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_holds_bytes(kind.field(place).type) for place in range(kind.num_fields))


def _names_in(schema: Any) -> dict[str, list[str]]:
    """Label names that ``datasets`` wrote into the file."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if stored is None:
        return {}
    features = json.loads(stored).get("info", {}).get("features") or {}
    return {column: names for column, names in class_names(features).items() if column in schema.names}


def _rows(batch: Any) -> Iterator[dict[str, Any] | str]:
    """Records of a batch; a text in place of one that cannot be read."""
    try:
        rows: list[dict[str, Any]] | None = batch.to_pylist()
    except UnicodeDecodeError:
        rows = None
    for place in range(batch.num_rows):
        try:
            row = plain(rows[place] if rows is not None else batch.slice(place, 1).to_pylist()[0])
        except UnicodeDecodeError:
            yield "wrong encoding: a text that is not UTF-8"
        except ValueError as error:
            yield str(error)
        else:
            yield row if any(value not in (None, "") for value in row.values()) else "empty row"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    raise ValueError(f"a value of the type {type(value).__name__}, which JSON cannot carry")
