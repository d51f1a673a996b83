"""The list that people go through: ``review.csv``, made to be opened in a spreadsheet and handed back to prepare.

One line is one row and one problem. People fill in ``action`` (keep, drop, relabel), for relabel also ``new_label``,
and what they like as ``comment``; `yibu.prepare.review` reads it. Nothing is filled in beforehand: silence deletes
nothing.

A spreadsheet is not harmless: a cell that begins with ``=``, ``+``, ``-`` or ``@`` is run as a formula (CWE-1236, "CSV
injection"), and an id such as 12345678901234567 or 12e45678 is turned into a number. An apostrophe before such a cell
keeps it a text; prepare takes it off again. The byte order mark makes Excel read Chinese. The text is that of the
prepared rows, so personal data that was masked is masked here too.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yibu.core.record import Row, Split
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

COLUMNS = ("id", "split", "problem", "given", "suggested", "score", "text", "action", "new_label", "comment")
TEXT_CHARACTERS = 200
MAX_TYPO_ROWS = 200  # of one mistyped label
GUARD = "'"
REVIEWED = "reviewed"  # flag that prepare gives to rows about which people have decided
_FORMULA = re.compile(r"[\s\x00]*[=+\-@＝＋－＠|%]|[\t\r\n]")
_NUMBER_LIKE = re.compile(r"[0-9][0-9.,:/eE+-]*")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")

# Which comes first in the list: what is nearly sure before what is a guess.
_ORDER = {"label_typo": 0, "conflict": 1, "label_error": 2}


def write(
    path: Path,
    suspects: Iterable[Mapping[str, Any]],
    conflicts: Iterable[Mapping[str, Any]],
    typos: Iterable[Mapping[str, Any]],
    rows: Rows,
    task: Task | None = None,
) -> dict[str, int]:
    """Write ``review.csv``.

    Args:
        path: of the file; UTF-8 with a byte order mark, lines end as RFC 4180 says.
        suspects: of `labels.suspects` (those of test too, if people are to see them).
        conflicts: of `consistency.find`; each of its rows is a line, the most frequent label is suggested.
        typos: of `consistency.find`; each row with such a label is a line, at most `MAX_TYPO_ROWS` a label.
        rows: gives a fresh iterator each time.
        task: says what the text of a row is; without it all texts of the row are shown, one after the other.

    Returns:
        lines by problem: ``label_error``, ``conflict``, ``label_typo``; ``rows``, the different rows among them;
        ``reviewed``, rows of suspects and conflicts that people have decided about before, who are not asked again.
    """
    wanted: dict[str, list[dict[str, Any]]] = {}
    for suspect in suspects:
        _add(wanted, suspect["id"], "label_error", suspect["suggested"], suspect["score"])
    for number, conflict in enumerate(conflicts):
        likely = conflict["labels"][0] if len(conflict["labels"]) > 1 else ""
        for id in conflict["ids"]:
            _add(wanted, id, "conflict", likely, "", number)
    right = {typo["label"]: typo["like"] for typo in typos}
    num_typos: dict[str, int] = dict.fromkeys(right, 0)
    lines: list[tuple[tuple[Any, ...], list[str]]] = []
    met: set[str] = set()
    num_reviewed = 0
    for split, row in rows() if wanted or right else ():
        if REVIEWED in row.flags:
            num_reviewed += row.id in wanted
            continue
        label = _label(row, task)
        problems = list(wanted.get(row.id, ()))
        if label is not None and label in right and num_typos[label] < MAX_TYPO_ROWS:
            num_typos[label] += 1
            problems.append({"problem": "label_typo", "suggested": right[label], "score": "", "number": 0})
        for problem in problems:
            met.add(row.id)
            lines.append(_line(problem, split, row, label, task))
    lines.sort(key=lambda line: line[0])
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(cells for _, cells in lines)
    counts = {problem: sum(key[0] == order for key, _ in lines) for problem, order in _ORDER.items()}
    return {**counts, "rows": len(met), "reviewed": num_reviewed}


def guard(cell: str) -> str:
    """The cell as a spreadsheet leaves it alone: no formula."""
    return GUARD + cell if _FORMULA.match(cell) or cell.startswith(GUARD) else cell


def guard_id(cell: str) -> str:
    """The same for an id, which must not become a number or a date either."""
    return GUARD + cell if _NUMBER_LIKE.fullmatch(cell) else guard(cell)


def shorten(text: str, limit: int = TEXT_CHARACTERS) -> str:
    """One line of at most so many characters; beginning and end stay, since the end often decides."""
    text = _SPACE.sub(" ", text).strip()
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 3]} … {text[-tail:]}"


def _add(
    wanted: dict[str, list[dict[str, Any]]], id: str, problem: str, suggested: str, score: Any, number: int = 0
) -> None:
    found = {"problem": problem, "suggested": suggested, "score": score, "number": number}
    wanted.setdefault(id, []).append(found)


def _line(
    problem: dict[str, Any], split: Split, row: Row, label: str | None, task: Task | None
) -> tuple[tuple[Any, ...], list[str]]:
    """The cells of a line, and what it is sorted by: rows of one conflict stand together, suspects by their score."""
    suggested = "" if problem["suggested"] == label else problem["suggested"]
    score = "" if problem["score"] == "" else f"{problem['score']:.4f}"
    cells = {
        "id": guard_id(row.id),
        "split": split,
        "problem": problem["problem"],
        "given": guard(_SPACE.sub(" ", label or "")),
        "suggested": guard(_SPACE.sub(" ", suggested)),
        "score": score,
        "text": guard(shorten(_text(row, task))),
    }
    order = (_ORDER[problem["problem"]], problem["number"], score, suggested, row.id)
    return order, [cells.get(column, "") for column in COLUMNS]


def _label(row: Row, task: Task | None) -> str | None:
    label = None if task is None else task.label(row)
    return row.label if label is None else label


def _text(row: Row, task: Task | None) -> str:
    if task is not None:
        return task.prompt_text(row)
    return " ".join(value for value in row.fields.values() if isinstance(value, str) and value != row.label)
