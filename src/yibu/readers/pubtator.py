"""PubTator: abstracts with entities and relations (NCBI; the format of BC5CDR and many other biomedical sets)::

    227508|t|Naloxone reverses the antihypertensive effect of clonidine.
    227508|a|In unanesthetized, spontaneously hypertensive rats ...
    227508	0	8	Naloxone	Chemical	D009270
    227508	CID	D008750	D007022

Offsets count characters over the title, one separator, and the abstract. A document becomes one record in the shape
``spans``: ``{"id", "text", "entities": [{"start", "end", "type", "text", "id"}], "relations": [{"type", "head",
"tail"}]}``, the text being title, line feed, abstract; heads and tails are the ids of entities. A document with a line
that cannot be read is bad as a whole, since its annotation would have a hole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yibu.readers._records import Bad, Raw
from yibu.readers._text import MAX_LINE, Line, file_digest, has_suffix, lines

FORMATS = ".pubtator, .txt in PubTator format"
FILES = True

digest = file_digest

_PART = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)


def accepts(address: str) -> bool:
    """By suffix; a plain ``.txt`` only if its first line is a PubTator title."""
    if has_suffix(address, ".pubtator", ".pubtator.txt"):
        return True
    if not has_suffix(address, ".txt") or not Path(address).is_file():
        return False
    with Path(address).open("rb") as file:
        return re.match(rb"(?:\xef\xbb\xbf)?\s*[^|\s]+\|t\|", file.read(200)) is not None


def read(address: str) -> Iterator[Raw | Bad]:
    for document in _documents(lines(Path(address))):
        try:
            yield Raw(address, document[0].number, _record(document))
        except _BadLine as error:
            yield Bad(address, error.line, str(error))


class _BadLine(Exception):
    def __init__(self, line: Line, reason: str) -> None:
        super().__init__(reason)
        self.line = line.number


def _documents(source: Iterator[Line]) -> Iterator[list[Line]]:
    """Lines that belong together; a blank line or the next title ends a document."""
    held: list[Line] = []
    size = 0
    for line in source:
        part = _PART.match(line.text)
        begins = part is not None and part[2] == "t"
        if held and (begins or not line.text.strip() or size > MAX_LINE) and not line.fault:
            yield held
            held, size = [], 0
        if line.text.strip() or line.fault:
            held.append(line)
            size += len(line.text)
    if held:
        yield held


def _record(document: list[Line]) -> dict[str, Any]:
    texts: dict[str, str] = {}
    entities: list[dict[str, Any]] = []
    relations: list[dict[str, str]] = []
    name = None
    for line in document:
        if line.fault:
            raise _BadLine(line, line.fault)
        content = line.text.rstrip("\r\n")
        part = _PART.match(content)
        cells = content.split("\t")
        owner = part[1] if part else cells[0]
        name = owner if name is None else name
        if owner != name:
            raise _BadLine(line, "a line of another document, without a title or blank line before it")
        if part and not entities and not relations:
            if part[2] in texts:
                raise _BadLine(line, "a second title or abstract")
            texts[part[2]] = part[3]
        elif len(cells) >= 5 and cells[1].isdecimal() and cells[2].isdecimal():
            entity = {"start": int(cells[1]), "end": int(cells[2]), "type": cells[4], "text": cells[3]}
            entities.append(entity | ({"id": cells[5]} if len(cells) > 5 else {}))
        elif len(cells) == 4:
            relations.append({"type": cells[1], "head": cells[2], "tail": cells[3]})
        else:
            raise _BadLine(line, "neither title, abstract, entity nor relation")
    if "t" not in texts:
        raise _BadLine(document[0], "a document without a title")
    text = texts["t"] + ("\n" + texts["a"] if "a" in texts else "")
    return {"id": name, "text": text, "entities": entities, "relations": relations}
