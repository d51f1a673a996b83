"""The one row type. Readers make rows, prepare cleans and splits them, train and evaluate read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from yibu.core.errors import DataError

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Row:
    """One example.

    Attributes:
        id: stable name of the row: the user's own id, else a hash of its fields (see `content_id`).
        fields: what the task's templates refer to, e.g. ``{"dialogue": ..., "note": ...}``. Values are text, or
            JSON values for shapes that carry more (``messages``, ``entities``).
        label: the class, for stratifying and class balance; None where the task has none.
        group: rows of one group (a patient, an account) never lie in two splits.
        time: ISO 8601 time of the row, where there is one.
        structured: inputs that are not text (lab values, codes, graphs), read by side encoders.
        split: a split that the source itself fixes; None if yibu is to assign it.
        source: file or address the row came from.
        line: position in the source, from 1.
        fold: which part of a cross-validation the row belongs to, from 0; None where there is none.
        flags: what was noticed about the row and must stay visible, e.g. ``"target_in_train"``.
    """

    id: str
    fields: dict[str, Any]
    label: str | None = None
    group: str | None = None
    time: str | None = None
    structured: dict[str, Any] = field(default_factory=dict)
    split: Split | None = None
    source: str = ""
    line: int = 0
    flags: tuple[str, ...] = ()
    fold: int | None = None

    def with_fields(self, fields: dict[str, Any]) -> Row:
        return replace(self, fields=fields)

    def to_json(self) -> str:
        """One line of JSON, always valid UTF-8; empty parts are left out."""
        record: dict[str, Any] = {"id": self.id, "fields": self.fields}
        for name in ("label", "group", "time", "structured", "split", "source", "line"):
            value = getattr(self, name)
            if value:
                record[name] = value
        if self.fold is not None:
            record["fold"] = self.fold
        if self.flags:
            record["flags"] = list(self.flags)
        text = json.dumps(record, ensure_ascii=False)
        # Half an emoji (a lone surrogate, left where a tool cut a text) has no UTF-8; as an escape it survives.
        return text if _has_utf8(text) else json.dumps(record)

    @staticmethod
    def from_json(line: str) -> Row:
        """The row that `to_json` wrote.

        Raises:
            ValueError, TypeError: the line is not such a row; `read_rows` says which line of which file.
        """
        record = json.loads(line)
        if not isinstance(record, dict):
            raise TypeError("a row is a table")
        record["flags"] = tuple(record.get("flags", ()))
        return Row(**record)


def content_id(fields: dict[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the fields: equal rows get equal names on every machine."""
    text = json.dumps(fields, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a JSONL file written by `Row.to_json`, one at a time.

    Raises:
        DataError: names the file and the line that is no row; never its text.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = Row.from_json(line.decode())
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{path}, line {number} is not a row that yibu wrote.", got=type(error).__name__
                ) from None
            yield row


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
