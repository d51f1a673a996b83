"""What people decided about rows: an edited ``review.csv``, read and applied by row id.

`yibu inspect` writes the list, people fill in ``action`` and ``new_label``, and ``data.review`` names the edited file
in the next run of prepare. A line without an action decides nothing; nothing is deleted that nobody marked as ``drop``.

The file comes back from a spreadsheet, so it is read as spreadsheets write: UTF-8 with or without a byte order mark,
UTF-16, or GB 18030 (what a Chinese Excel saves as "CSV"), with commas, semicolons or tabs. Any mistake stops the run,
with its line number, before a row is touched.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from yibu.core import log
from yibu.core.errors import DataError, nearest
from yibu.core.record import Row
from yibu.tasks import Task

Action = Literal["keep", "drop", "relabel"]
ACTIONS: tuple[Action, ...] = get_args(Action)
NEEDED = ("id", "action", "new_label")
DROPPED = "review"  # the reason in dropped.jsonl
REVIEWED = "reviewed"  # the flag of a row that people kept or relabelled: inspect does not ask about it again
_GUARD = "'"
_SHOWN = 10  # mistakes named in an error
_PROBE = "\x00"

_logger = log.get("prepare.review")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to happen to a row: ``line`` of the file, ``action`` and, for relabel, ``new_label``."""

    line: int
    action: Action
    new_label: str = ""


@dataclass(frozen=True)
class Review:
    """The decisions of one file, by row id.

    Use: ``Review.read(path)``, then `check` once with the task, `apply` for each row, and `finish` with the ids met.
    `apply` changes nothing here, so that it may run in several processes.
    """

    path: str = ""
    decisions: dict[str, Decision] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Review:
        """Read an edited list.

        Raises:
            DataError: no such file, no table, a column that is missing; with line numbers: an action that is none, a
                line without an id, relabel without a new label, two decisions about one row.
        """
        decisions: dict[str, Decision] = {}
        problems: list[str] = []
        header, records = _table(path)
        place = {name: header.index(name) for name in NEEDED}
        for line, cells in records:
            id, action, new_label = (_bare(cells[at]) if at < len(cells) else "" for at in place.values())
            problem = _problem(id, action, new_label)
            if problem is None and action:
                decision = Decision(line, _action(action), new_label if action.casefold() == "relabel" else "")
                other = decisions.setdefault(id, decision)
                if (other.action, other.new_label) != (decision.action, decision.new_label):
                    problem = f"decides otherwise about the row of line {other.line}"
            if problem is not None:
                problems.append(f"line {line}: {problem}")
        if problems:
            raise _mistakes(path, problems)
        return cls(str(path), decisions)

    def __contains__(self, id: object) -> bool:
        return id in self.decisions

    def __len__(self) -> int:
        return len(self.decisions)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by action."""
        actions = [decision.action for decision in self.decisions.values()]
        return {action: actions.count(action) for action in ACTIONS}

    def check(self, task: Task) -> None:
        """Refuse, before the first row, what can never be applied under this task.

        Raises:
            DataError: relabel where the task has no class, or one made of several columns; a new label outside the
                closed set that the task names.
        """
        relabelled = [decision for decision in self.decisions.values() if decision.action == "relabel"]
        if not relabelled:
            return
        if not task.label_fields:
            raise _mistakes(
                Path(self.path),
                [f"line {decision.line}: relabel, but the task has no class" for decision in relabelled],
            )
        if task.closed_set and len(task.label_fields) > 1:
            columns = ", ".join(task.label_fields)
            what = f"relabel, but the class is made of several columns ({columns}), so it cannot be set"
            raise _mistakes(Path(self.path), [f"line {decision.line}: {what}" for decision in relabelled])
        problems = []
        for decision in relabelled:
            if task.closed_set and task.labels is not None and decision.new_label not in task.labels:
                close = nearest(decision.new_label, task.labels)
                hint = f"; did you mean {close!r}?" if close else ""
                problems.append(
                    f"line {decision.line}: new_label {decision.new_label!r} is not one of the labels{hint}"
                )
        if problems:
            raise _mistakes(Path(self.path), problems)

    def check_labels(self, labels: Iterable[str]) -> None:
        """The same for a closed set that is only known once the rows are read.

        Args:
            labels: of all rows but those whose label comes from here (`relabels`), which would vouch for themselves.

        Raises:
            DataError: a new label that no row had as its own; most likely it is mistyped.
        """
        known = set(labels)
        problems = []
        for decision in self.decisions.values():
            if decision.action == "relabel" and decision.new_label not in known:
                close = nearest(decision.new_label, sorted(known))
                hint = f"; did you mean {close!r}?" if close else ""
                problems.append(f"line {decision.line}: no row has the label {decision.new_label!r}{hint}")
        if problems:
            raise _mistakes(Path(self.path), problems)

    def relabels(self, id: str) -> bool:
        """Whether a row gets its label from here: such a label proves nothing about the closed set."""
        decision = self.decisions.get(id)
        return decision is not None and decision.action == "relabel"

    def apply(self, row: Row, task: Task) -> Row | str:
        """The row as it was decided: itself, with another label, or the reason (`DROPPED`) why it is left out.

        To be called on the row as the layout made it, before its label is used for anything. The id stays; what was
        kept or relabelled has the flag `REVIEWED`.

        Raises:
            DataError: the label of this row cannot be set to the new one.
        """
        decision = self.decisions.get(row.id)
        if decision is None:
            return row
        if decision.action == "drop":
            return DROPPED
        flagged = replace(row, flags=tuple(dict.fromkeys((*row.flags, REVIEWED))))
        if decision.action == "keep":
            return flagged
        changed = _relabelled(flagged, task, decision.new_label)
        if changed is None:
            raise _mistakes(
                Path(self.path), [f"line {decision.line}: the label of this row cannot be set by one column"]
            )
        return changed

    def finish(self, met: Iterable[str]) -> int:
        """How many decisions belong to no row that was read; to be called at the end, and shown as a warning.

        Args:
            met: ids of all rows of the source that the file has a decision about.

        Raises:
            DataError: not one of the rows was met: the file belongs to other data, or ``data.id`` has changed.
        """
        unmet = set(self.decisions).difference(met)
        if self.decisions and len(unmet) == len(self.decisions):
            raise DataError(
                "Not one row of the review file is in the data.",
                got=f"{self.path}: {len(unmet)} rows with an action",
                do="use the file that inspect wrote for these rows; ids change with data.id and with the fields",
            )
        if unmet:
            _logger.warning("%d of %d rows with an action in %s are not in the data", len(unmet), len(self), self.path)
        return len(unmet)


def digest(path: Path) -> str:
    """SHA-256 of the file: other decisions make another artifact.

    Raises:
        DataError: there is no such file.
    """
    return hashlib.sha256(_bytes(path)).hexdigest()


def _relabelled(row: Row, task: Task, label: str) -> Row | None:
    """The row with the class set; None where no single field decides it."""
    deciding = []
    for name in task.label_fields:
        shown = task.label(row.with_fields({**row.fields, name: _PROBE}))
        if shown is not None and _PROBE in shown:
            deciding.append((name, shown))
    if len(deciding) != 1:
        return None
    name, shown = deciding[0]
    # The template may add words (class {label}); the decision names the label as it is shown, or the column's value.
    before, _, after = shown.partition(_PROBE)
    for value in (label.removeprefix(before).removesuffix(after), label):
        changed = row.with_fields({**row.fields, name: value})
        told = task.label(changed)
        if told == label or told == before + label + after:
            return replace(changed, label=told)
    return None


def _problem(id: str, action: str, new_label: str) -> str | None:
    """What is wrong with a line; an empty line of a spreadsheet is none."""
    if not action:
        return f"has new_label {new_label!r} but no action" if new_label else None
    if action.casefold() not in ACTIONS:
        close = nearest(action, ACTIONS)
        hint = f"; did you mean {close!r}?" if close else ""
        return f"action {action!r} is unknown{hint}"
    if not id:
        return "has an action but no id"
    if action.casefold() == "relabel" and not new_label:
        return "relabel needs a new_label"
    return None


def _action(text: str) -> Action:
    return next(action for action in ACTIONS if action == text.casefold())


def _bare(cell: str) -> str:
    """A cell without the apostrophe that guards it (see `yibu.inspect.review`) and without white space around it."""
    return cell.strip().removeprefix(_GUARD).strip()


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the records, each with the line that it begins on."""
    text = _decoded(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} is not a table that can be read.", got=f"line {line}: {error}") from error
    header = [cell.strip().casefold() for cell in records[0][1]] if records else []
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise DataError(
            f"The review file {path} lacks columns.",
            got=f"missing: {', '.join(missing)}",
            allowed="a file that inspect wrote, with its header line",
        )
    return header, records[1:]


def _decoded(path: Path) -> str:
    content = _bytes(path)
    encodings = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"The text of {path} cannot be read.", allowed="UTF-8, UTF-16 or GB 18030", do="save it as UTF-8")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError("The review file cannot be read.", got=f"{path}: {error.strerror}") from error


def _mistakes(path: Path, problems: list[str]) -> DataError:
    num = len(problems)
    head = f"The review file {path} has a mistake." if num == 1 else f"The review file {path} has {num} mistakes."
    more = [f"and {num - _SHOWN} more"] if num > _SHOWN else []
    return DataError(
        head + "".join(f"\n  - {problem}" for problem in [*problems[:_SHOWN], *more]),
        allowed=f"action: empty, {', '.join(ACTIONS)}; relabel with a new_label of the task's labels",
    )
