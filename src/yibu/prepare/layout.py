"""How records become rows: the shape, the task, and the columns that hold id, label, group and time.

Decided once, by looking at the first records, before the source is read through: a recipe that names a column which
does not exist must stop at once and not after a gigabyte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from yibu import shapes, tasks
from yibu.core.errors import DataError, RecipeError, nearest
from yibu.core.recipe import Settings
from yibu.core.record import Row, Split, content_id
from yibu.prepare.settings import DataSettings, PrepareConfig
from yibu.readers import Raw

ANY_COLUMNS = "fields"  # the shape of records whose columns the task names itself
SPANS = ("entities", "relations")  # what points into a text and goes with it
STRUCTURED = ("messages", "entities")  # fields whose value a shape must put in order
CLASS = "label"  # as a column to stratify by: the task's class


class Layout:
    """What a look at the first records decided.

    Attributes:
        shape: how a record is laid out.
        settings: the task, spelled out.
        task: built from them; its labels are not known yet.
        cleaned: fields whose text is cleaned: those of the prompt and the target, but no label and no column with a
            role of its own.
        kept: fields that stay where personal data is handled: what the task needs. A spare column would bring the
            names back in.

    Raises:
        RecipeError: a column that no record has; rows that do not say what is to be learned from them.
        DataError: no known shape fits.
    """

    def __init__(self, config: PrepareConfig, records: list[dict[str, Any]]) -> None:
        self._data = data = config.data
        columns = list(dict.fromkeys(column for record in records for column in record))
        self.shape = _shape(config, records, columns)
        self.settings = config.task or _default_task(self.shape, data)
        self.task = tasks.build(self.settings)
        self._to_fields: Callable[[dict[str, Any]], dict[str, Any]] = shapes.FAMILY.load(self.shape).to_fields
        canonical = self._canonical(records)
        self._borrowed = tuple(name for name in self.task.fields if name not in canonical)
        has_class = bool(self.task.label_fields) or data.label is not None
        self._stratify = None if data.split.stratify == CLASS and has_class else data.split.stratify

        roles = {"id": data.id, "label": data.label, "group": data.group_column, "time": data.time}
        roles["split.stratify"] = self._stratify
        known = list(dict.fromkeys((*canonical, *columns)))
        for name in self.task.fields:
            _require(name, known, "The task")
        for role, column in roles.items():
            if column is not None:
                _require(column, known, f"data.{role}")
        untouched = {*self.task.label_fields, *roles.values()}
        self.cleaned = tuple(name for name in self.task.fields if name not in untouched)
        self.kept = (*self.task.fields, *(name for name in SPANS if name not in self.task.fields))

    def row(self, raw: Raw, split: Split | None) -> Row | str:
        """The row of a record, not yet cleaned, or why it cannot be used.

        Args:
            raw: the record.
            split: the split that the source fixes.
        """
        try:
            fields = self._to_fields(raw.record)
        except ValueError as error:
            return str(error)
        for name in self._borrowed:
            if name in raw.record:
                fields[name] = raw.record[name]
        bare = Row(id="", fields=fields, source=raw.source, line=raw.line)
        problem = self.task.problem(bare)
        if problem is not None:
            return problem
        data = self._data
        id, group = self._column(data.id, raw, fields), self._column(data.group_column, raw, fields)
        time = self._column(data.time, raw, fields)
        needed = {data.id: id, data.group_column: group} | ({data.time: time} if data.split.by == "time" else {})
        for column, value in needed.items():
            if column is not None and value is None:
                return f"column {column!r} is empty"
        if data.split.by == "time" and instant(time or "") is None:
            return f"column {data.time!r} is no time as ISO 8601 writes it"
        if id is not None and split is not None:
            id = f"{split}-{id}"  # numbering often starts again in each file
        label = self.task.label(bare)
        return Row(
            id=content_id(fields) if id is None else id,
            fields=fields,
            label=self._column(data.label, raw, fields) if label is None else label,
            group=group,
            time=time,
            source=raw.source,
            line=raw.line,
        )

    def strata(self, row: Row, raw: Raw) -> tuple[str, ...]:
        """The values whose shares a stratified split keeps: of a column, each item of a list in it; or the class."""
        if self._stratify is None:
            return () if row.label is None else (row.label,)
        value = raw.record.get(self._stratify, row.fields.get(self._stratify))
        if isinstance(value, list):
            return tuple(sorted({str(item).strip() for item in value}))
        text = self._column(self._stratify, raw, row.fields)
        return () if text is None else (text,)

    def _column(self, column: str | None, raw: Raw, fields: dict[str, Any]) -> str | None:
        """A column's value as text, of the record or of its canonical fields; None where it is empty."""
        if column is None:
            return None
        value = raw.record[column] if column in raw.record else fields.get(column)
        if value is None:
            return None
        return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).strip() or None

    def _canonical(self, records: list[dict[str, Any]]) -> list[str]:
        """Names of the fields that the shape makes of these records."""
        names: dict[str, None] = {}
        for record in records:
            try:
                names |= dict.fromkeys(self._to_fields(record))
            except ValueError:
                continue  # counted as a rejected row when the source is read through
        return list(names)


def instant(text: str) -> float | None:
    """Seconds since 1970 of a time in ISO 8601, in UTC where it names no zone; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _shape(config: PrepareConfig, records: list[dict[str, Any]], columns: Collection[str]) -> str:
    """The shape that is set; else any columns, where the task names such; else what the rows look like.

    Turns and entities come in many dialects, so a column of that name does not do: it is read by its shape.
    """
    if config.data.shape != "auto":
        return config.data.shape
    if config.task is None:
        return shapes.detect(records)
    wanted = tasks.build(config.task).fields
    if all(name in columns for name in wanted) and not any(name in STRUCTURED for name in wanted):
        return ANY_COLUMNS
    try:
        return shapes.detect(records)
    except DataError:
        for name in wanted:
            _require(name, columns, "The task")
        if all(name in columns for name in wanted):
            return ANY_COLUMNS
        raise


def _default_task(shape: str, data: DataSettings) -> Settings:
    if data.label is not None and shape in ("text", "text_label"):
        return tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": f"{{{data.label}}}"})
    return tasks.settings_of(tasks.default_for(shape))


def _require(name: str, columns: Collection[str], who: str) -> None:
    if name not in columns:
        close = nearest(name, columns)
        raise RecipeError(
            f"{who} names a column that the rows do not have.",
            got=name,
            allowed=list(columns),
            do=f"did you mean {close!r}?" if close else None,
        )
