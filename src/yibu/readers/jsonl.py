"""JSON Lines: one JSON object a line (jsonlines.org, also called NDJSON).

Blank lines at the end of a file are no rows; a blank line between rows is reported, since something may be missing
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yibu.readers._json import as_record, escapes_surrogates, parse
from yibu.readers._records import Bad, Raw
from yibu.readers._text import file_digest, has_suffix, lines

FORMATS = ".jsonl, .ndjson"
FILES = True

digest = file_digest


def accepts(address: str) -> bool:
    return has_suffix(address, ".jsonl", ".ndjson")


def read(address: str) -> Iterator[Raw | Bad]:
    blank: list[int] = []
    for line in lines(Path(address)):
        if not line.fault and not line.text.strip():
            blank.append(line.number)
            continue
        yield from (Bad(address, number, "empty line") for number in blank)
        blank.clear()
        if line.fault:
            yield Bad(address, line.number, line.fault)
            continue
        try:
            record = as_record(parse(line.text), escapes_surrogates(line.text))
        except ValueError as error:
            yield Bad(address, line.number, str(error))
        else:
            yield Raw(address, line.number, record)
