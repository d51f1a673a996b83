"""TextAttack (Morris et al. 2020, arXiv:2005.05909) for English: its greedy search over words, its offline changes.

Which makes the attack DeepWordBug (Gao et al. 2018, arXiv:1801.04354): the words that count most, misspelled by one
letter. Changes that need a language model, embeddings or WordNet are left out: they would be fetched from the internet.

TextAttack 0.3.11 cannot be installed beside yibu: flair 0.15.1, which it imports, needs transformers below 5 and fails
at import with 5.23. So it runs in an environment of its own, as a process. The environment variable
``YIBU_TEXTATTACK_PYTHON`` names that Python; it is no setting, because a recipe must not name programs to run. The
process gets texts on its standard input, nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field

from yibu.attacks import Attacked, Classify, Options, Status
from yibu.core.errors import InputError, YibuError
from yibu.core.recipe import Settings as BaseSettings

PYTHON = "YIBU_TEXTATTACK_PYTHON"
_PROCESS = Path(__file__).with_name("_textattack_process.py")
_STATUS: dict[str, Status] = {"flipped": "flipped", "held": "held", "wrong": "wrong"}


class Settings(BaseSettings):
    """Table ``{kind: textattack, ...}``."""

    kind: Literal["textattack"] = "textattack"
    changes: tuple[Literal["neighbours", "keyboard", "deletion", "insertion", "substitution", "homoglyphs"], ...] = (
        Field(default=("neighbours", "keyboard", "deletion", "insertion"), min_length=1, description="how words change")
    )
    most: int = Field(default=5, ge=1, description="edit distance at most")
    shortest_word: int = Field(default=4, ge=1, description="letters; shorter words are left alone")
    queries: int = Field(default=2000, ge=10, description="texts the classifier is asked about for one text at most")


def attack(
    texts: Sequence[str],
    labels: Sequence[int],
    classify: Classify,
    settings: Settings,
    seed: int,
    options: Options | None = None,
) -> list[Attacked]:
    """See `yibu.attacks`; ``options`` are ignored.

    Raises:
        InputError: TextAttack is not installed where it is looked for.
        YibuError: its process failed.
    """
    python = _python()
    work = {"texts": list(texts), "labels": [int(label) for label in labels], "seed": seed}
    work |= settings.model_dump(mode="json", exclude={"kind"})
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [python, "-I", str(_PROCESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        with process:
            done = None
            with contextlib.suppress(BrokenPipeError):
                done = _talk(process, work, classify)
            if done is None:
                process.kill()
        if done is None:
            raise YibuError(
                "The process that runs TextAttack stopped.",
                got=_last_error(said),
                do=f"check that {python} can import it",
            )
    return [
        Attacked(item["text"], _distance(text, item["text"]), _STATUS[item["status"]], None, item["queries"])
        for text, item in zip(texts, done, strict=True)
    ]


def _talk(process: subprocess.Popen[str], work: dict[str, Any], classify: Classify) -> list[dict[str, Any]] | None:
    """Answer the process until it is done; None where it ends before."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(work) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        message = json.loads(line)
        if "done" in message:
            done: list[dict[str, Any]] = message["done"]
            return done
        probabilities = [[float(value) for value in row] for row in classify(message["ask"])]
        process.stdin.write(json.dumps({"probabilities": probabilities}) + "\n")
        process.stdin.flush()
    return None


def _python() -> str:
    named = os.environ.get(PYTHON)
    if named:
        if not os.access(named, os.X_OK):
            raise InputError(f"{PYTHON} names no program.", got=named, do=_how())
        return named
    # Not this module, which has the same name: the installed package.
    if importlib.util.find_spec("textattack") is not None:
        return sys.executable
    raise InputError(
        "The attack `textattack` needs TextAttack in an environment of its own: it cannot be installed beside yibu.",
        got=f"{PYTHON} is not set",
        do=_how(),
    )


def _how() -> str:
    place = "~/textattack"
    return f"python -m venv {place} && {place}/bin/pip install textattack==0.3.11; export {PYTHON}={place}/bin/python"


def _last_error(said: IO[bytes]) -> str:
    """The kind of error that ended the process; its text might hold words of a row."""
    said.seek(0)
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line and not line[0].isspace()]
    return lines[-1].partition(":")[0][:80] if lines else "it said nothing"


def _distance(one: str, other: str) -> int:
    """Edit distance (Levenshtein 1966), one row at a time."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        previous, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]
