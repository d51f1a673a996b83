"""Tables as text: comma-, semicolon- or tab-separated, with a header line (RFC 4180).

The rules are strict, so that a stray quote is seen: a row whose quoting is broken is bad, and a quote that is never
closed costs its own line, not the rest of the file. Cells are texts as they stand; an empty cell is an empty text.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yibu.core.errors import DataError
from yibu.readers._records import Bad, Raw
from yibu.readers._text import MAX_LINE, Line, file_digest, has_suffix, lines

FORMATS = ".csv, .tsv"
FILES = True

digest = file_digest


def accepts(address: str) -> bool:
    return has_suffix(address, ".csv", ".tsv")


def read(address: str) -> Iterator[Raw | Bad]:
    # The module's own limit of 131,072 characters a cell is below the length of a long clinical note.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    feed = _Feed(lines(Path(address)))
    records = _records(feed, "\t" if address.lower().endswith(".tsv") else feed.delimiter())
    head = next((record for record in records if record.cells or record.fault), None)
    if head is None:
        return
    header = _header(address, head)
    blank: list[int] = []
    for record in records:
        if not record.cells and not record.fault:
            blank.append(record.line)
            continue
        yield from (Bad(address, line, "empty line") for line in blank)
        blank.clear()
        if record.fault:
            yield Bad(address, record.line, record.fault)
        elif len(record.cells) != len(header):
            yield Bad(address, record.line, f"{len(record.cells)} cells, where the header has {len(header)}")
        elif not any(cell.strip() for cell in record.cells):
            yield Bad(address, record.line, "empty row")
        else:
            yield Raw(address, record.line, dict(zip(header, record.cells, strict=True)))


class _Record(NamedTuple):
    line: int  # that it starts on
    cells: list[str]  # none for a blank line
    fault: str | None


class _TooLong(Exception):
    pass


class _Feed:
    """Lines for the csv module; remembers which of them the current record took, and can hand them out again."""

    def __init__(self, source: Iterator[Line]) -> None:
        self._source = source
        self._again: deque[Line] = deque()
        self._size = 0
        self.taken: list[Line] = []
        self.ended = False

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        try:
            line = self._again.popleft() if self._again else next(self._source)
        except StopIteration:
            self.ended = True
            raise
        self.taken.append(line)
        self._size += len(line.text)
        if self._size > MAX_LINE:
            raise _TooLong
        return line.text

    def start(self) -> None:
        """A new record begins."""
        self.taken = []
        self._size = 0
        self.ended = False

    def give_back(self) -> None:
        """Hands out the lines of the current record again, but for the first."""
        self._again.extendleft(reversed(self.taken[1:]))

    def delimiter(self) -> str:
        """The separator by the first line: a comma, unless there is none but a semicolon or tab."""
        first = next(self._source, None)
        if first is None:
            return ","
        self._again.append(first)
        return next((mark for mark in ",;\t" if mark in first.text), ",")


def _records(feed: _Feed, delimiter: str) -> Iterator[_Record]:
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.start()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            first, last = feed.taken[0].number, feed.taken[-1].number
            if feed.ended or isinstance(error, _TooLong):
                # Nothing closed the quote, so the lines behind it are rows of their own.
                feed.give_back()
                reason = "broken quoting: a quote that is never closed"
            else:
                reason = "broken quoting" + (f" in lines {first} to {last}" if last > first else "")
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            yield _Record(first, [], reason)
        else:
            fault = next((line.fault for line in feed.taken if line.fault), None)
            yield _Record(feed.taken[0].number, cells, fault)


def _header(address: str, head: _Record) -> list[str]:
    """Names of the columns; a column without a name (the index that pandas writes) is called after its place."""
    if head.fault:
        raise DataError(
            "The header line of this table cannot be read.", got=f"{address}, line {head.line}: {head.fault}"
        )
    names = [name.strip() or f"column_{place}" for place, name in enumerate(head.cells, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError("Two columns of this table have the same name.", got=f"{address}: {', '.join(twice)}")
    return names
