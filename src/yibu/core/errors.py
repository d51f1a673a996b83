"""One tree of errors. The exit code of the command line is an attribute of the class.

::

    YibuError                 1   something failed while the input was right
    ├── InputError            2   what the user gave is wrong; nothing was written
    │   ├── RecipeError           the YAML, an override, a key, a value
    │   ├── DataError             rows, files, labels, splits
    │   ├── BaseModelError        the base cannot be found, read or trusted
    │   ├── TemplateError         the chat template cannot carry the task
    │   └── MissingExtra          an optional dependency is not installed
    ├── StoreError            1   an artifact, a ref or the ledger
    │   ├── Damaged               bytes on disk are not those that were recorded
    │   └── NoSpace               the disk is full; what was finished before is untouched
    ├── TrainingError         1   a run that would look right and is not
    └── GateRefused           3   a measured figure misses its gate
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class YibuError(Exception):
    """An error a person can act on: what was wrong, what was got, what is allowed, what to do.

    Args:
        what: one sentence that says what is wrong.
        got: the offending value, shortened for print; never row text (it may be personal data).
        allowed: what would have been right.
        do: the next step, ideally a command.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: object = None, allowed: object = None, do: str | None = None) -> None:
        self.what = what
        self.got = got
        self.allowed = allowed
        self.do = do
        super().__init__(self.render())

    def render(self) -> str:
        lines = [self.what]
        if self.got is not None:
            lines.append(f"  got:     {_short(self.got)}")
        if self.allowed is not None:
            lines.append(f"  allowed: {_short(self.allowed, limit=600)}")
        if self.do is not None:
            lines.append(f"  do:      {self.do}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """For ``--json``: the same four parts, machine-readable."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "got": None if self.got is None else _short(self.got),
            "allowed": None if self.allowed is None else _short(self.allowed, limit=600),
            "do": self.do,
        }


def from_dict(table: Mapping[str, Any]) -> YibuError:
    """The error that another process told by `YibuError.as_dict`; of a kind that is not ours: a `TrainingError`."""
    kind = globals().get(str(table["error"]))
    if not (isinstance(kind, type) and issubclass(kind, YibuError)):
        kind = TrainingError
    made = kind.__new__(kind)
    YibuError.__init__(made, table["what"], got=table["got"], allowed=table["allowed"], do=table["do"])
    return made


class InputError(YibuError):
    exit_code = 2


class RecipeError(InputError):
    pass


class DataError(InputError):
    pass


class BaseModelError(InputError):
    pass


class TemplateError(InputError):
    pass


class MissingExtra(InputError):
    """An optional dependency is missing; names the extra that brings it."""

    def __init__(self, package: str, extra: str, use: str) -> None:
        super().__init__(
            f"{use} needs the package {package!r}, which is not installed.",
            do=f'pip install "yibu[{extra}]"',
        )


class StoreError(YibuError):
    pass


class Damaged(StoreError):
    pass


class NoSpace(StoreError):
    pass


class TrainingError(YibuError):
    pass


class GateRefused(YibuError):
    exit_code = 3


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a mistyped one, letter case aside, or None if nothing is close."""
    folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def _short(value: object, limit: int = 200) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        text = ", ".join(str(item) for item in items)
    else:
        text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
