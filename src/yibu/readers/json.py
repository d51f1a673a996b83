"""A JSON file that is one array of objects, or ``{"data": [...]}``, or (often met) JSON Lines under the name ``.json``.

The array is never held as a whole: the standard decoder takes one element after the other from a sliding window of
text. A broken element is a bad row as long as its brackets and quotes balance, so that the next one can be found. Where
they do not, nothing after that place could be counted, and the file is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yibu.core.errors import DataError
from yibu.readers import jsonl
from yibu.readers._json import DECODER, as_record, escapes_surrogates
from yibu.readers._records import Bad, Raw
from yibu.readers._registry import NAME as REGISTRY
from yibu.readers._text import MAX_LINE, TOO_LONG, chunks, file_digest, has_fault, has_suffix

FORMATS = ".json"
FILES = True

digest = file_digest

_SPACE = re.compile(r"[ \t\n\r]*")
_STRUCTURE = re.compile(r'["\\\[\]{},]')
_NEAR_THE_END = 16  # characters: a token cut off there ("-Infinity", "\\ud83d\\ude00") may be whole with more text


def accepts(address: str) -> bool:
    return has_suffix(address, ".json") and Path(address).name != REGISTRY


def read(address: str) -> Iterator[Raw | Bad]:
    path = Path(address)
    if _is_json_lines(next(chunks(path), "")):
        yield from jsonl.read(address)
        return
    window = _Window(path)
    opening = window.peek()
    if opening == "":
        return
    if opening == "{" and not _enter_data(window):
        yield Bad(address, window.line, 'the file is neither an array of rows nor {"data": [...]}')
        return
    if window.peek() != "[":
        yield Bad(address, window.line, "the file is neither an array of rows nor an object")
        return
    yield from _elements(address, window)
    if opening == "[" and window.peek() != "":
        raise window.refuse("text after the end of the array")


def _is_json_lines(head: str) -> bool:
    """Whether the first two lines with anything in them are each one object."""
    first, _, rest = head.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")


def _enter_data(window: _Window) -> bool:
    """Moves to the array under the key ``data`` of the object that begins here; False if there is none."""
    window.step()
    try:
        while window.peek() == '"':
            key = window.value()
            if window.peek() != ":":
                raise window.refuse("a key without a value")
            window.step()
            if key == "data" and window.peek() == "[":
                return True
            window.value()
            if window.peek() == ",":
                window.step()
    except _Broken as error:
        raise window.refuse(str(error)) from error
    return False


def _elements(address: str, window: _Window) -> Iterator[Raw | Bad]:
    window.step()
    if window.peek() == "]":
        window.step()
        return
    while True:
        window.peek()
        line = window.line
        try:
            yield Raw(address, line, as_record(window.value(), window.may_hold_surrogates))
        except _Broken as error:
            window.skip()
            yield Bad(address, line, str(error))
        except ValueError as error:
            yield Bad(address, line, str(error))
        after = window.peek()
        if after not in (",", "]"):
            raise window.refuse("neither a comma nor the end of the array after a row")
        window.step()
        if after == "]":
            return


class _Broken(ValueError):
    """The decoder cannot read the value that begins here."""


class _Window:
    """A place in the text of a file, with as much text after it as has been needed so far."""

    def __init__(self, path: Path) -> None:
        self.line = 1
        self.may_hold_surrogates = False
        self._path = path
        self._chunks = chunks(path)
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is not white space, without taking it; an empty text at the end of the file."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._move(match.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def step(self) -> None:
        self._move(self._at + 1)

    def value(self) -> Any:
        """Takes the JSON value that begins here or after white space.

        Raises:
            _Broken: it cannot be decoded, or is longer than a line may be; the place is at its beginning.
        """
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _NEAR_THE_END or error.msg.startswith("Unterminated")
                if len(self._text) - self._at > MAX_LINE:
                    raise _Broken(TOO_LONG) from None
                if not cut or not self._double():
                    raise _Broken(f"broken JSON: {error.msg}") from None
            except (ValueError, RecursionError) as error:
                deep = isinstance(error, RecursionError)
                raise _Broken("broken JSON: nested too deeply" if deep else str(error)) from None
            else:
                # A number that touches the end of the window may go on behind it.
                if end < len(self._text) or not self._more():
                    self._move(end)
                    return value

    def skip(self) -> None:
        """Moves to the comma or bracket that ends the value which begins here, by structure alone."""
        depth, in_text, start = 0, False, self.line
        while True:
            match = _STRUCTURE.search(self._text, self._at)
            if match is None:
                self._move(len(self._text))
                if not self._more():
                    raise self.refuse(f"brackets or quotes that do not balance from line {start} on")
                continue
            character = match.group()
            if character == "\\":
                if match.end() < len(self._text):
                    self._move(match.end() + 1)
                    continue
                if self._more():
                    continue
                raise self.refuse(f"the end of the file within the text that begins on line {start}")
            if character == '"':
                in_text = not in_text
            elif not in_text:
                if depth == 0 and character in ",]}":
                    self._move(match.start())
                    return
                depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
            self._move(match.end())

    def refuse(self, what: str) -> DataError:
        return DataError(
            "This JSON file breaks off from its structure, so that its rows can no longer be told apart.",
            got=f"{self._path}, line {self.line}: {what}",
            do="repair it there, or write the rows as JSON Lines (.jsonl), where one broken row harms no other",
        )

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Appends text and lets go of what was taken; False at the end of the file."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._text = self._text[self._at :] + chunk
        self._at = 0
        self.may_hold_surrogates = escapes_surrogates(self._text) or has_fault(self._text)
        return True

    def _double(self) -> bool:
        wanted = 2 * (len(self._text) - self._at)
        grew = False
        while len(self._text) - self._at < wanted and self._more():
            grew = True
        return grew
