"""The files in which dictionaries come, taken apart into lines and cells; errors name the line."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yibu.core.errors import DataError, RecipeError

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
_MAX_SHOWN = 8
DO = "correct the file; docs/how_to/dictionary.md describes the columns"


def refuse(path: str, problems: list[str]) -> None:
    """Raise the error that lists the first problems of a dictionary, if there are any."""
    if not problems:
        return
    shown = [f"\n  - {problem}" for problem in problems[:_MAX_SHOWN]]
    if len(problems) > _MAX_SHOWN:
        shown.append(f"\n  - and {len(problems) - _MAX_SHOWN} more")
    count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    raise DataError(
        f"The dictionary {path} has {count}:" + "".join(shown),
        allowed="each variant has one preferred term, and no preferred term is empty",
        do=DO,
    )


def content(path: str) -> bytes:
    """The bytes of a dictionary file.

    Raises:
        RecipeError: there is no such file, it cannot be read, or it has another format.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise RecipeError(
            "A dictionary has a format that is not read.",
            got=path,
            allowed=f"icd10cm, or a file that ends in {', '.join(SUFFIXES)}",
            do="save the table as csv (Excel: CSV UTF-8)",
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise RecipeError(
            "A dictionary cannot be read.",
            got=f"{path}: {error.strerror}",
            allowed="icd10cm, or the path of a file, seen from the folder in which yibu runs",
            do="correct the path under data.terms.dictionary",
        ) from error


def text_of(path: str) -> str:
    """The text of a dictionary file: UTF-8 with or without byte order mark, GB18030, UTF-16 with one.

    Raises:
        RecipeError: as `content`.
        DataError: another encoding, or no text.
    """
    data = content(path)
    encodings: tuple[str, ...] = ("utf-8-sig", "gb18030")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ("utf-16",)
    fault: UnicodeDecodeError | None = None
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            fault = fault or error
        else:
            if "\0" not in text:
                return text
    line = data.count(b"\n", 0, fault.start) + 1 if fault else data[: data.find(b"\0")].count(b"\n") + 1
    raise DataError(
        "This dictionary is no text in an encoding that can be told.",
        got=f"{path}, line {line}",
        allowed="UTF-8, GB18030 (GBK), UTF-16 with a byte order mark",
        do="save it as UTF-8",
    )


def csv_records(path: str, text: str, suffix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and cells of each row of a table; first those of the header, with None for every cell."""
    head = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = "\t" if suffix == ".tsv" or "\t" in head else ";" if ";" in head and "," not in head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError("The quoting of this dictionary is broken.", got=f"{path}, line {line}", do=DO) from error
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            twice = sorted({name for name in header if name and header.count(name) > 1})
            if twice:
                raise DataError("Two columns of this dictionary have the same name.", got=f"{path}: {', '.join(twice)}")
            yield line, dict.fromkeys(filter(None, header))
        elif len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            refuse(path, [f"line {line}: {len(cells)} cells, where the header has {len(header)}"])
        else:
            yield line, {name: cell for name, cell in zip(header, cells, strict=False) if name}


def jsonl_records(path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and values of each object, one a line."""
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
        except ValueError as error:
            raise _no_json(path, line, error) from error
        yield line, _object(path, line, record)


def json_records(path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of ``[{...}]``, or of ``{variant: preferred}``, ``{preferred: [variants]}``, ``{preferred: {...}}``.

    The items are decoded one by one, since `json.loads` keeps neither the lines nor a key that is there twice.
    """
    scan = _Scan(path, text)
    opening = scan.take("[{")
    closing = "]" if opening == "[" else "}"
    if scan.peek() == closing:
        return
    while True:
        line = scan.line()
        if opening == "[":
            yield line, _object(path, line, scan.value())
        else:
            name = scan.value()
            scan.take(":")
            value = scan.value()
            if isinstance(value, str):
                yield line, {"variants": [name], "preferred": value}
            elif isinstance(value, list):
                yield line, {"variants": value, "preferred": name}
            else:
                yield line, {"preferred": name, **_object(path, line, value)}
        if scan.take("," + closing) == closing:
            return


class _Scan:
    """A place in a JSON text that moves on."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def line(self) -> int:
        self.peek()
        return self._text.count("\n", 0, self._at) + 1

    def take(self, allowed: str) -> str:
        sign = self.peek()
        if not sign or sign not in allowed:
            raise _no_json(self._path, self.line(), f"{' or '.join(allowed)} is missing")
        self._at += 1
        return sign

    def value(self) -> Any:
        self.peek()
        try:
            value, self._at = self._decoder.raw_decode(self._text, self._at)
        except ValueError as error:
            raise _no_json(self._path, self.line(), error) from error
        return value


def _no_json(path: str, line: int, why: object) -> DataError:
    return DataError(
        "This dictionary is not valid JSON.",
        got=f"{path}, line {line}: {why}",
        allowed="[{variants, preferred, code}], {variant: preferred}, {preferred: [variants]}, {preferred: {...}}",
        do=DO,
    )


def _object(path: str, line: int, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(path, [f"line {line}: a row must be an object, not {type(value).__name__}"])
    record: dict[str, Any] = value
    return record
