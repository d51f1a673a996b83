"""Progress of long work: a Rich bar on a terminal, silence in a pipe, JSON lines under ``--json``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from yibu.core.log import console

_LINE_SECONDS = 0.5
_json_lines = False
_silent = False


def use_json(on: bool) -> None:
    """Switch machine-readable progress on or off for the whole process (the ``--json`` flag)."""
    global _json_lines
    _json_lines = on


def uses_json() -> bool:
    """Whether progress is machine-readable."""
    return _json_lines


def be_silent() -> None:
    """Show nothing from now on: for a process whose work another one shows."""
    global _silent
    _silent = True


def emit(event: str, **values: object) -> None:
    """One JSON line on stdout, only under ``--json``."""
    if _json_lines and not _silent:
        print(json.dumps({"event": event, **values}, ensure_ascii=False, default=str), flush=True)


class Track(Protocol):
    """What the body of `track` calls."""

    def advance(self, amount: float = 1, note: str | None = None) -> None: ...


class _Bar:
    def __init__(self, progress: Progress, total: float | None, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, note="")

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        self._progress.update(self._task, advance=amount)
        if note is not None:
            self._progress.update(self._task, note=note)


class _Quiet:
    """At most one line in `_LINE_SECONDS`, so that a million rows do not make a million lines; the last one always."""

    def __init__(self, title: str, total: float | None, done: float) -> None:
        self._title, self._total, self._done = title, total, done
        self._note: str | None = None
        self._next_line = 0.0

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        self._done += amount
        self._note = self._note if note is None else note
        if time.monotonic() >= self._next_line:
            self.report()
            self._next_line = time.monotonic() + _LINE_SECONDS

    def report(self) -> None:
        emit("progress", title=self._title, done=self._done, total=self._total, note=self._note)


@contextmanager
def track(title: str, total: float | None = None, done: float = 0) -> Iterator[Track]:
    """Show the progress of one piece of work.

    Args:
        title: what is being done, a few words.
        total: number of units; None where it is not known.
        done: units finished before (a resumed run).
    """
    if _json_lines or _silent or not sys.stderr.isatty():
        quiet = _Quiet(title, total, done)
        yield quiet
        quiet.report()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = _Bar(progress, total, title)
        if done:
            bar.advance(done)
        yield bar
