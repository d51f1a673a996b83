"""The first pass: from sources to usable, clean, distinct rows in a scratch file per split, and a table about them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

from yibu import readers
from yibu.core.progress import track
from yibu.core.record import SPLITS, Row, Split
from yibu.core.store import Work
from yibu.prepare.clean import Cleaner
from yibu.prepare.language import LanguageGuess
from yibu.prepare.layout import Layout
from yibu.prepare.rejects import Rejects
from yibu.prepare.same import exact_key, key
from yibu.prepare.settings import PrepareConfig
from yibu.prepare.split import Splitter
from yibu.prepare.table import NOTHING, Labels, Seen, Table
from yibu.readers import Bad, Raw

_SAMPLE = 100  # records that are looked at to find the layout
_PATIENCE = 1000  # rows among which they are looked for
_STEP = 200  # rows between two updates of the progress bar

Item = tuple[Split | None, Raw | Bad]


def open_items(config: PrepareConfig) -> tuple[list[Item], Iterator[Item]]:
    """The first items, and the rest of them, each with the split that its source fixes."""
    items = ((split, item) for split, source in config.data.sources().items() for item in readers.read(source))
    first: list[Item] = []
    num_records = 0
    for item in itertools.islice(items, _PATIENCE):
        first.append(item)
        num_records += isinstance(item[1], Raw)
        if num_records == _SAMPLE:
            break
    return first, items


class Gathering:
    """State of the first pass, and afterwards its result.

    Attributes:
        layout: how records became rows.
        tables: one per split.
        classes, strata: texts behind the numbers in the tables.
        cleaner: with its counts.
        num_read: rows of the sources, readable or not.
        num_duplicates: rows left out since an earlier one has the same prompt and target.
        num_conflicts: rows kept though an earlier one has the same prompt and another target.
    """

    def __init__(self, config: PrepareConfig, layout: Layout, work: Work, dropped: IO[str]) -> None:
        data = config.data
        sources = data.sources()
        self.layout = layout
        self.tables = {split: Table(ids_are_hex=data.id is None) for split in SPLITS}
        self.classes, self.strata = Labels(), Labels()
        self.cleaner = Cleaner(data.clean.profile)
        self.language = LanguageGuess()
        self.num_read = self.num_duplicates = 0
        self._carves = {split for split in sources if split in (None, "train")}
        self._splitter = Splitter(data.split, [split for split in sources if split is not None])
        # Rows that the splitter divides are compared with each other; those of a fixed split among themselves.
        self._seen = {split: Seen(self.tables) for split in sources}
        self._own_ids: set[str] | None = None if data.id is None else set()
        self._dropped = dropped
        self._files: dict[Split, IO[str]] = {}
        self._folder = work.scratch

    @property
    def num_conflicts(self) -> int:
        return sum(seen.num_conflicts for seen in self._seen.values())

    def scratch(self, split: Split) -> Path:
        """Where the usable rows of a split lie, one a line, in the order of its table."""
        return self._folder / f"{split}.jsonl"

    def run(self, items: Iterable[Item], rejects: Rejects) -> None:
        """Read all items; each row ends in a scratch file, in the list of duplicates, or among the rejects."""
        with ExitStack() as stack, track("reading rows") as progress:
            for name in SPLITS:
                self._files[name] = stack.enter_context(self.scratch(name).open("w", encoding="utf-8"))
            for split, item in items:
                self.num_read += 1
                if self.num_read % _STEP == 0:
                    progress.advance(_STEP)
                problem = item.reason if isinstance(item, Bad) else self._take(item, split)
                if problem is not None:
                    rejects.add(item.source, item.line, problem)

    def _take(self, raw: Raw, given: Split | None) -> str | None:
        """Use one record; returns why it cannot be used."""
        row = self.layout.row(raw, given)
        if isinstance(row, str):
            return row
        stratum = self.layout.stratum(row, raw)
        try:
            cleaned = row.with_fields(self.cleaner.fields(row.fields, self.layout.cleaned))
        except ValueError as error:
            return str(error)
        task = self.layout.task
        problem = None if cleaned.fields == row.fields else task.problem(cleaned)
        if problem is not None:
            return f"{problem} after cleaning with profile {self.cleaner.profile!r}"
        prompt, target = task.prompt_text(cleaned), task.target(cleaned)
        prompt_key, target_key = key(prompt), key(target)
        other = self._seen[given].find(prompt_key, target_key)
        if other is not None:
            self.num_duplicates += 1
            self._dropped.write(dropped_line(row, "duplicate", other))
            return None
        if self._own_ids is not None:
            if row.id in self._own_ids:
                return "the id is that of an earlier row"
            self._own_ids.add(row.id)
        free_text = "\n".join(text for name, text in task.truth(cleaned).items() if name not in task.label_fields)
        split = self._place(row, given, prompt_key, stratum)
        table = self.tables[split]
        table.append(
            row.id,
            prompt=prompt_key,
            target=target_key,
            answer=key(free_text) if free_text else NOTHING,
            group=NOTHING if row.group is None else exact_key(row.group),
            label=self.classes.number(row.label),
            stratum=self.strata.number(stratum),
            prompt_characters=len(prompt),
            target_characters=len(target),
        )
        self._seen[given].add(prompt_key, target_key, split)
        self.language.add(prompt + target)
        self._files[split].write(replace(cleaned, split=split).to_json() + "\n")
        return None

    def _place(self, row: Row, given: Split | None, prompt: int, stratum: str | None) -> Split:
        if given not in self._carves:
            assert given is not None
            return given
        # Without a group or an id of the user's, rows with one prompt stay together: split, they would be a leak.
        unit = row.group if row.group is not None else row.id if self._own_ids is not None else f"{prompt:016x}"
        return self._splitter.place(unit, stratum)


def dropped_line(row: Row, reason: str, other: str) -> str:
    """A line of ``dropped.jsonl``: which row, why, and the id of the row that it repeats."""
    record = {"id": row.id, "source": row.source, "line": row.line, "reason": reason, "other": other}
    return json.dumps(record, ensure_ascii=False) + "\n"
