"""What all verbs share: where output goes, how an error is told, which exit code it has."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from yibu.core import log, progress
from yibu.core.errors import YibuError

INTERRUPTED = 130  # 128 + SIGINT, as shells say it


class Session:
    """One call of a verb.

    Attributes:
        json: machine-readable lines are wanted instead of something to look at.
        out: the console on stdout. What a verb found goes there; progress and logs go to stderr.
    """

    def __init__(self, json_lines: bool) -> None:
        self.json = json_lines
        self.out = Console(highlight=False)

    def tell(self, event: str, view: RenderableType, **values: object) -> None:
        """A result: the view for people, or the event with its values as one JSON line."""
        if self.json:
            progress.emit(event, **values)
        else:
            self.out.print(view, soft_wrap=isinstance(view, (str, Text)))

    def say(self, view: RenderableType) -> None:
        """Something that only people need."""
        if not self.json:
            self.out.print(view, soft_wrap=isinstance(view, (str, Text)))


@contextmanager
def session(json_lines: bool, verbose: bool) -> Iterator[Session]:
    """Set up output for one verb, and turn whatever happens in the block into a message and an exit code.

    Exit codes: 0 done, 1 failed, 2 wrong input, 3 a gate refused, 130 Ctrl-C.
    """
    progress.use_json(json_lines)
    try:
        log.configure(verbose, json_lines)
        with _quiet_libraries(verbose):
            yield Session(json_lines)
    except typer.Exit:
        raise
    except YibuError as error:
        _refuse(error.render(), error.exit_code, verbose, **error.as_dict())
    except KeyboardInterrupt:
        _refuse("Stopped. The same command goes on from here.", INTERRUPTED, False, error="Interrupted")
    except BrokenPipeError:
        # `yibu log | head`: the reader has seen enough. Without this Python complains again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except Exception as error:
        name, place = type(error).__name__, _place(error)
        # The text of a foreign exception may quote a row, so it is shown only to those who ask for it.
        message = (
            f"yibu failed where it should not: {name} in {place}.\n"
            "  do:      run it again with --verbose, and report what it prints together with `yibu doctor --json`\n"
            "           (look through it before you share it: it may quote your data)"
        )
        _refuse(message, 1, verbose, error=name, what=f"unexpected error in {place}")
    finally:
        progress.use_json(False)


@contextmanager
def _quiet_libraries(verbose: bool) -> Iterator[None]:
    """Warnings of libraries speak to programmers; what a user must know, yibu says itself."""
    if verbose:
        yield
        return
    for variable, value in (("TRANSFORMERS_VERBOSITY", "error"), ("HF_HUB_DISABLE_PROGRESS_BARS", "1")):
        os.environ.setdefault(variable, value)  # read when the libraries are imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def command(*arguments: str) -> str:
    """What to type to call yibu with these arguments; by its path where the shell would not find it by its name."""
    program = Path(sys.executable).with_name("yibu")
    found = shutil.which("yibu")
    if found is None or not program.is_file() or not os.path.samefile(found, program):
        near = program.is_relative_to(Path.cwd())
        return shlex.join([str(program.relative_to(Path.cwd()) if near else program), *arguments])
    return shlex.join(["yibu", *arguments])


def _refuse(message: str, code: int, verbose: bool, **values: object) -> NoReturn:
    if verbose:
        traceback.print_exc()
    progress.emit("error", **values, exit_code=code)
    first, _, rest = message.partition("\n")
    text = Text(first, style="bold red")
    if rest:
        text.append("\n" + rest, style="not bold default")
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)
    raise typer.Exit(code) from None


def _place(error: BaseException) -> str:
    """File and line where our own code was when a foreign exception came up."""
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).parents[1])
    ours = [frame for frame in frames if frame.filename.startswith(package)] or frames
    name = ours[-1].filename.removeprefix(package + os.sep)
    return f"{name}, line {ours[-1].lineno}"
