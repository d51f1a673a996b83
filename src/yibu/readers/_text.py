"""Text files of any usual encoding as lines, in bounded memory.

Three encodings are read: UTF-8 (with or without a byte order mark), UTF-16 with one, and GB18030 (the Chinese national
standard, which holds GBK and GB2312). The encoding is a property of the file and is found by strictly decoding its
bytes; a line that is not in the file's encoding is reported, never guessed at, because GB18030 accepts almost any pair
of bytes and would turn a stray Latin-1 letter into a Chinese character.

Undecodable bytes become lone surrogates, which no valid text contains, so that a fault stays visible to the caller
without breaking the lines around it.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yibu.core import log
from yibu.core.errors import DataError

MAX_LINE = 64 * 1024 * 1024
"""Characters; a longer line is a fault (a row that long cannot be trained on, and would not fit in memory)."""

CHUNK = 1024 * 1024
"""Bytes read at a time."""

WRONG_ENCODING = "wrong encoding: bytes that do not decode as the rest of the file does (UTF-8, UTF-16 or GB18030)"
TOO_LONG = "line too long (over 64 million characters)"

_ENOUGH_VOTES = 10_000
_SCHEMES = ("hub:", "package:")
# The part of GB18030 that holds the usual Chinese characters; in Latin-1 text such pairs hardly occur.
_GB2312_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")


class Line(NamedTuple):
    """A physical line.

    Attributes:
        number: from 1.
        text: with its line ending; only structure may be taken from it where ``fault`` is set.
        fault: why the line cannot be used; None for a sound line.
    """

    number: int
    text: str
    fault: str | None


def has_suffix(address: str, *suffixes: str) -> bool:
    """Whether an address is the path of a file with one of these endings, in upper or lower case."""
    return address.lower().endswith(suffixes) and not address.startswith(_SCHEMES)


def file_digest(address: str) -> dict[str, str]:
    """``{path: SHA-256}`` of one file: the ``digest`` of every reader of single files."""
    with Path(address).open("rb") as file:
        return {address: hashlib.file_digest(file, "sha256").hexdigest()}


def has_fault(text: str) -> bool:
    """Whether text holds a lone surrogate: bytes that did not decode, or half of an escaped pair in JSON."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def detect_encoding(path: Path) -> str:
    """``utf-8``, ``utf-8-sig``, ``utf-16`` or ``gb18030``; one pass over the file.

    Raises:
        DataError: UTF-32, or a file full of zero bytes (UTF-16 without a mark, or no text at all).
    """
    with path.open("rb") as file:
        head = file.read(1024)
    utf_32 = head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not utf_32:
        return "utf-16"
    if utf_32 or head.count(0) > len(head) / 8:
        raise DataError(
            "This file is not text in an encoding that can be told.",
            got=f"{path}: zero bytes (UTF-32, or UTF-16 without a byte order mark, or no text)",
            allowed="UTF-8, GB18030, UTF-16 with a byte order mark",
            do=f"iconv -f UTF-16LE -t UTF-8 {path} > converted{path.suffix}",
        )
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if _decodes(path, "utf-8"):
        return "utf-8"
    encoding = _encoding_of_most_lines(path)
    log.get("readers").info("%s is read as %s", path, encoding.upper())
    return encoding


def chunks(path: Path) -> Iterator[str]:
    """The text of a file piece by piece; undecodable bytes as lone surrogates, the byte order mark taken off."""
    encoding = detect_encoding(path)
    errors = "surrogatepass" if encoding == "utf-16" else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    first = True
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            text = decoder.decode(data)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            if text:
                yield text
    try:
        rest = decoder.decode(b"", final=True)
    except UnicodeDecodeError:  # half a UTF-16 unit, which surrogatepass does not cover
        rest = "\udcff"
    if rest:
        yield rest


def lines(path: Path) -> Iterator[Line]:
    """The physical lines of a file. Only ``\\n`` ends a line (``\\r\\n`` keeps its ``\\r`` in the text)."""
    number = 0
    held: list[str] = []
    size = 0
    for chunk in chunks(path):
        pieces = chunk.split("\n")
        for piece in pieces[:-1]:
            number += 1
            size += len(piece)
            yield _line(number, held, piece + "\n", size)
            held, size = [], 0
        size += len(pieces[-1])
        if size <= MAX_LINE:
            held.append(pieces[-1])
        else:
            held = []
    if size:
        yield _line(number + 1, held, "", size)


def _line(number: int, held: list[str], end: str, size: int) -> Line:
    if size > MAX_LINE:
        return Line(number, "\n", TOO_LONG)
    text = "".join(held) + end if held else end
    return Line(number, text, WRONG_ENCODING if has_fault(text) else None)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    with path.open("rb") as file:
        try:
            while data := file.read(CHUNK):
                decoder.decode(data)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _encoding_of_most_lines(path: Path) -> str:
    """For a file that is not UTF-8 throughout: GB18030 if more lines are Chinese in it than are non-ASCII UTF-8.

    The first ten thousand lines that are not plain ASCII decide.
    """
    votes = {"utf-8": 0, "gb18030": 0}
    with path.open("rb") as file:
        while piece := file.readline(CHUNK):
            if piece.isascii():
                continue
            if _piece_decodes(piece, "utf-8"):
                votes["utf-8"] += 1
            elif _piece_decodes(piece, "gb18030") and _looks_chinese(piece):
                votes["gb18030"] += 1
            if sum(votes.values()) == _ENOUGH_VOTES:
                break
    return "gb18030" if votes["gb18030"] > votes["utf-8"] else "utf-8"


def _piece_decodes(piece: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        decoder.decode(piece, final=piece.endswith(b"\n"))
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(piece: bytes) -> bool:
    return 8 * len(_GB2312_PAIR.findall(piece)) >= len(_HIGH_BYTE.findall(piece))
