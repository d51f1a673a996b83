"""One row, from its source to its split: what each step made of it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yibu.core.errors import DataError
from yibu.core.recipe import parse
from yibu.core.record import SPLITS, Row, read_rows
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig
from yibu.prepare.refine import Example, Refined, Refused
from yibu.prepare.trace import prepared_from, trace

_COPY = "~"  # between the id of a row and what an augmenter adds to it
_TOKEN = re.compile(r"[A-Za-z0-9]+|\s+|.", re.DOTALL)


def find_row(store: Store, data: Artifact, id: str) -> dict[str, Any]:
    """Everything that is known of a row: where it is from, where it is, and every step in between.

    Args:
        store: that holds the artifact.
        data: a data artifact.
        id: of a row that was kept or left out; of a copy, the row that it was made from is told.

    Raises:
        DataError: no row has this id.
    """
    wanted = id.partition(_COPY)[0]
    place = _kept(data, wanted) or _dropped(data, wanted)
    if place is None:
        raise DataError(
            "No row of this data set has this id.", got=id, do="ids stand in train.jsonl, dropped.jsonl and review.csv"
        )
    origin = prepared_from(store, data)
    if origin is None:
        raise DataError("The preparation that this data set was made from is gone from the store.", got=data.id)
    found = trace(parse(PrepareConfig, origin.manifest.config), place["source"], place["line"])
    steps = found.examples if isinstance(found, Refined) else []
    reason = found.reason if isinstance(found, Refused) else place.get("reason")
    return {"id": wanted, **place, "reason": reason, "steps": [example._asdict() for example in steps]}


def row_view(found: dict[str, Any]) -> RenderableType:
    """The same for people: what a step took out is red, what it put in is green."""
    where = f"{found['source']}:{found['line']}"
    became = found.get("split") or f"left out: {found['reason']}"
    head = Text.assemble((found["id"], "bold"), f"  {where}  →  ", (str(became), "bold"))
    if not found["steps"]:
        return Group(head, Text("No step changed its text.", style="dim"))
    table = Table("step", "field", "before", "after", show_lines=True)
    for step in found["steps"]:
        example = Example(**step)
        before, after = _compared(example.before, example.after) if example.before else (Text("(not shown)"), None)
        table.add_row(example.step, example.field, before, after or Text(example.after))
    return Group(head, table)


def _compared(before: str, after: str) -> tuple[Text, Text]:
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    left, right = Text(), Text()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        left.append("".join(old[a:b]), style="" if kind == "equal" else "red")
        right.append("".join(new[c:d]), style="" if kind == "equal" else "green")
    return left, right


def _kept(data: Artifact, id: str) -> dict[str, Any] | None:
    for row in _rows(data):
        if row.id == id:
            return {"source": row.source, "line": row.line, "split": row.split, "flags": list(row.flags)}
    return None


def _rows(data: Artifact) -> Iterator[Row]:
    for split in SPLITS:
        yield from read_rows(data.file(f"{split}.jsonl"))


def _dropped(data: Artifact, id: str) -> dict[str, Any] | None:
    with data.file("dropped.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["id"] == id:
                return {key: record[key] for key in ("source", "line", "reason") if key in record}
    return None
