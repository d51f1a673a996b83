"""Progress: silent in a pipe, JSON lines when asked for, a bar on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from yibu.core import progress
from yibu.core.progress import emit, track, use_json


@pytest.fixture(autouse=True)
def _no_json() -> Iterator[None]:
    use_json(False)
    yield
    use_json(False)


def _events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_nothing_is_printed_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with track("reading", total=3) as bar:
        for _ in range(3):
            bar.advance(note="x")
    emit("done", n=3)
    assert capsys.readouterr() == ("", "")


def test_json_lines_say_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    use_json(True)
    with track("读取", total=3, done=1) as bar:
        bar.advance()
        bar.advance(0.5, note="half")
        bar.advance(0.5)
    emit("done", path=os.path, n=2)
    output, errors = capsys.readouterr()
    assert errors == ""
    *steps, last = _events(output)
    assert [step["done"] for step in steps] == [2.0, 2.5, 3.0, 3.0]
    assert [step["note"] for step in steps] == [None, "half", "half", "half"]
    assert all((step["event"], step["title"], step["total"]) == ("progress", "读取", 3) for step in steps)
    assert last["event"] == "done"
    assert last["n"] == 2


def test_a_million_steps_do_not_make_a_million_lines(capsys: pytest.CaptureFixture[str]) -> None:
    use_json(True)
    with track("rows", total=10_000) as bar:
        for _ in range(10_000):
            bar.advance()
    steps = _events(capsys.readouterr().out)
    assert len(steps) < 100
    assert steps[-1]["done"] == 10_000


def test_an_unknown_total_and_an_error_inside_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    use_json(True)
    with contextlib.suppress(KeyboardInterrupt), track("x") as bar:
        bar.advance()
        raise KeyboardInterrupt
    (step,) = _events(capsys.readouterr().out)
    assert (step["total"], step["done"]) == (None, 1.0)


_SCRIPT = """
import sys
from yibu.core.progress import track, use_json
use_json("--json" in sys.argv)
with track("reading rows", total=4, done=1) as bar:
    bar.advance(2, note="fast")
"""


@pytest.mark.parametrize("json_lines", [False, True])
def test_on_a_terminal_a_bar_is_shown_on_stderr_and_never_on_stdout(json_lines: bool) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-c", _SCRIPT, *(["--json"] if json_lines else [])]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, timeout=60, check=True)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # Linux ends a terminal whose other side is closed with an error
            pass
    finally:
        os.close(ours)
    if json_lines:
        assert shown == b""
        assert _events(done.stdout.decode())[-1]["done"] == 3
    else:
        assert done.stdout == b""
        assert b"reading rows" in shown
        assert b"3/4" in shown
        assert b"fast" in shown
