from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from rich.text import Text

from yibu.cli.session import command, session
from yibu.core import progress
from yibu.core.errors import DataError, GateRefused, NoSpace, TrainingError

SECRET = "Mrs Miller, born 1950"  # a row's text in the message of a foreign exception


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TrainingError("the loss is no number"), 1),
        (NoSpace("the disk is full"), 1),
        (DataError("no rows"), 2),
        (GateRefused("accuracy misses its gate"), 3),
        (KeyboardInterrupt(), 130),
        (ValueError(SECRET), 1),
    ],
)
def test_every_end_has_its_exit_code(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, session(json_lines=False, verbose=False):
        raise error
    assert ended.value.exit_code == code
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    assert SECRET not in told.err


def test_an_exit_of_a_verb_passes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, session(json_lines=False, verbose=False):
        raise typer.Exit(2)
    assert ended.value.exit_code == 2
    assert capsys.readouterr() == ("", "")


def test_an_unexpected_error_says_where_and_how_to_report_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), session(json_lines=True, verbose=False):
        raise ZeroDivisionError
    told = capsys.readouterr()
    assert "ZeroDivisionError" in told.err
    assert "yibu doctor --json" in told.err
    assert json.loads(told.out)["error"] == "ZeroDivisionError"


def test_verbose_keeps_the_whole_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), session(json_lines=False, verbose=True):
        raise ValueError(SECRET)
    assert SECRET in capsys.readouterr().err


def test_what_is_told_is_for_people_or_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with session(json_lines=False, verbose=False) as here:
        here.tell("found", Text("[3] rows in /a/very/long/path" + "/x" * 60), rows=3)
        here.say(Text("next"))
    assert capsys.readouterr().out == "[3] rows in /a/very/long/path" + "/x" * 60 + "\nnext\n"
    with session(json_lines=True, verbose=False) as here:
        here.tell("found", Text("3 rows"), rows=3)
        here.say(Text("next"))
    assert json.loads(capsys.readouterr().out) == {"event": "found", "rows": 3}


def test_the_next_command_can_be_typed_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "my venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "yibu").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert command("chat", "a b") == f"'{programs}/yibu' chat 'a b'"
    monkeypatch.chdir(tmp_path)
    assert command("chat") == "'my venv/bin/yibu' chat"
    monkeypatch.setenv("PATH", str(programs))
    assert command("chat") == "yibu chat"


def test_json_ends_with_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with session(json_lines=True, verbose=False):
        pass
    progress.emit("later")
    assert capsys.readouterr().out == ""
