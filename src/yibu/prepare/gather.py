"""The first pass: from sources to usable, distinct rows in one scratch file, and a table about them."""

from __future__ import annotations

import functools
import itertools
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from yibu import readers
from yibu.core.progress import track
from yibu.core.record import Row, Split
from yibu.core.store import Work
from yibu.prepare import boilerplate
from yibu.prepare.clean import Cleaner
from yibu.prepare.language import LanguageGuess
from yibu.prepare.layout import Layout
from yibu.prepare.refine import Example, Item, Refined, Refiner, Refused
from yibu.prepare.rejects import Rejects
from yibu.prepare.review import Review
from yibu.prepare.settings import PrepareConfig
from yibu.prepare.sieve import Heads
from yibu.prepare.table import Labels, Seen, Table
from yibu.prepare.workers import chunks, over_processes
from yibu.readers import Raw

LAYOUT_SAMPLE = 100
"""Records that decide about the layout."""

_SAMPLE = 1000  # records that are looked at to find the language
_BOILERPLATE_SAMPLE = 5000  # to find lines that repeat
_PATIENCE = 10  # times as many items are read to find them
_EXAMPLES = 5  # rows shown for each step
_EXAMPLE_CHUNKS = 10  # looked through for them

Results = Iterator[list[Refined | Refused]]


def open_items(config: PrepareConfig) -> tuple[list[Item], Iterator[Item]]:
    """The first items, and the rest of them, each with the split that its source fixes."""
    items = ((split, item) for split, source in config.data.sources().items() for item in readers.read(source))
    wanted = _BOILERPLATE_SAMPLE if config.data.clean.boilerplate else _SAMPLE
    first: list[Item] = []
    num_records = 0
    for item in itertools.islice(items, wanted * _PATIENCE):
        first.append(item)
        num_records += isinstance(item[1], Raw)
        if num_records == wanted:
            break
    return first, items


@dataclass
class Tally:
    """What was done to how many rows.

    Attributes:
        rows: step -> rows that it changed.
        what: step -> kind of change -> how often.
        kinds: step -> kind -> rows in which it occurs.
        terms: term of the dictionary -> how often it is mentioned.
        flags: flag -> rows.
        left_out: step -> reason -> rows.
        examples: the first changed rows of each step: (id, example).
    """

    rows: Counter[str] = field(default_factory=Counter)
    what: dict[str, Counter[str]] = field(default_factory=dict)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    terms: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[tuple[str, Example]] = field(default_factory=list)

    def add(self, row: Refined) -> None:
        """Count a row that is kept."""
        self.flags.update(row.flags)
        self.terms.update(row.terms)
        for step, what in row.changes.items():
            self.rows[step] += 1
            self.what.setdefault(step, Counter()).update(what)
            self.kinds.setdefault(step, Counter()).update(what.keys())
        for example in row.examples:
            if sum(shown.step == example.step for _, shown in self.examples) < _EXAMPLES:
                self.examples.append((row.id, example))


class Gathering:
    """State of the first pass, and afterwards its result.

    Attributes:
        layout: how records became rows.
        language: of most of the first rows.
        boilerplate: lines that were taken out.
        table: all usable rows.
        given: for each, the split that its source fixes, or None.
        units: for each, what must stay in one split.
        times: for each, its time, or None.
        signatures: for each, see `yibu.prepare.near`.
        heads: for each, see `yibu.prepare.sieve`.
        classes, strata: texts behind the numbers in the table.
        review: what people decided about rows, or None.
        reviewed: ids of rows that they decided about.
        own_labels: labels that came with the rows, not from a review.
        refused: id -> kind -> count of personal data that must stop the run.
        tally: what was done to how many rows.
        num_read: rows of the sources, readable or not.
        num_duplicates: rows left out since an earlier one has the same prompt and target.
        num_conflicts: rows kept though an earlier one has the same prompt and another target.
    """

    def __init__(self, config: PrepareConfig, layout: Layout, first: Sequence[Item], work: Work) -> None:
        data = config.data
        self.layout = layout
        self.table = Table(ids_are_hex=data.id is None)
        self.given: list[Split | None] = []
        self.units: list[str] = []
        self.times: list[str | None] = []
        self.signatures: list[bytes] = []
        self.heads = Heads(work.scratch / "heads")
        self.classes, self.strata = Labels(), Labels()
        self.tally = Tally()
        self.review = None if data.review is None else Review.read(Path(data.review))
        self.reviewed: set[str] = set()
        self.own_labels: set[str] = set()
        self.refused: dict[str, dict[str, int]] = {}
        self._stops = (
            set() if data.privacy is None else {k for k, mode in data.privacy.modes().items() if mode == "refuse"}
        )
        if self.review is not None:
            self.review.check(layout.task)
        self.num_read = self.num_duplicates = 0
        self.rows_path = work.scratch / "rows.jsonl"
        self._offsets = array("Q")
        self._config = config
        self._work = work
        # Rows that the splitter divides are compared with each other; those of a fixed split among themselves.
        self._seen = {split: Seen(self.table) for split in data.sources()}
        self._own_ids: set[str] | None = None if data.id is None else set()
        self.language, self.boilerplate = look(config, layout, first)

    @property
    def num_conflicts(self) -> int:
        return sum(seen.num_conflicts for seen in self._seen.values())

    def run(self, items: Iterable[Item], rejects: Rejects, dropped: IO[str]) -> None:
        """Read all items; each ends in the scratch file, in the list of those left out, or among the rejects."""
        make = functools.partial(Refiner, self._config, self.layout, self.language, self.boilerplate)
        changes = self._work.file("changes.jsonl")
        with (
            self.rows_path.open("wb") as rows,
            changes.open("w", encoding="utf-8") as changed,
            track("reading rows") as progress,
        ):
            for results in self._refined(make, items):
                for result in results:
                    self.num_read += 1
                    self._take(result, rows, rejects, dropped, changed)
                progress.advance(len(results))
        self.heads.close()

    def lines(self, places: Iterable[int]) -> Iterator[bytes]:
        """The lines of rows by their places."""
        with self.rows_path.open("rb") as rows:
            for place in places:
                rows.seek(self._offsets[place])
                yield rows.readline()

    def texts(self) -> Callable[[int], str]:
        """Reads the prompt of a row by its place, for what compares a few rows exactly."""
        rows = self.rows_path.open("rb")  # open as long as the function is held

        def read(place: int) -> str:
            rows.seek(self._offsets[place])
            return self.layout.task.prompt_text(Row.from_json(rows.readline().decode()))

        return read

    def _refined(self, make: Callable[[], Refiner], items: Iterable[Item]) -> Results:
        """The items after the steps of a row, in order, by the engine that is set."""
        data = self._config.data
        worker, work = functools.partial(_Worker, make), enumerate(chunks(items))
        if data.engine == "ray":
            from yibu.prepare.on_ray import over_cluster

            yield from over_cluster(worker, work)
        else:
            yield from over_processes(worker, work, data.workers)

    def _take(
        self, result: Refined | Refused, rows: IO[bytes], rejects: Rejects, dropped: IO[str], changed: IO[str]
    ) -> None:
        if result.reviewed:
            self.reviewed.add(result.id)
        if self.review is not None and isinstance(result, Refined) and not self.review.relabels(result.id):
            self.own_labels |= {result.label or ""}
        if isinstance(result, Refused):
            if result.step == "rejected":
                rejects.add(result.source, result.position, result.reason)
            else:
                self.tally.left_out.setdefault(result.step, Counter())[result.reason] += 1
                dropped.write(dropped_line(result.id, result.source, result.position, result.reason))
            return
        other = self._seen[result.given].find(result.prompt, result.target)
        if other is not None:
            self.num_duplicates += 1
            dropped.write(dropped_line(result.id, result.source, result.position, "duplicate", other))
            return
        if self._own_ids is not None:
            if result.id in self._own_ids:
                rejects.add(result.source, result.position, "the id is that of an earlier row")
                return
            self._own_ids.add(result.id)
        self.table.append(
            result.id,
            prompt=result.prompt,
            target=result.target,
            answer=result.answer,
            group=result.group,
            label=self.classes.number(result.label),
            stratum=self.strata.number(result.stratum),
            prompt_characters=result.prompt_characters,
            target_characters=result.target_characters,
        )
        self.given.append(result.given)
        self.units.append(result.unit)
        self.times.append(result.time)
        self.signatures.append(result.signature)
        self.heads.append(result.heads)
        self._seen[result.given].add(result.prompt, result.target)
        self.tally.add(result)
        if stopping := {kind: n for kind, n in result.changes.get("privacy", {}).items() if kind in self._stops}:
            self.refused[result.id] = stopping
        for step, what in result.changes.items():
            line = {"id": result.id, "step": step, "what": dict(sorted(what.items()))}
            changed.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._offsets.append(rows.tell())
        rows.write(result.line.encode() + b"\n")


def look(config: PrepareConfig, layout: Layout, first: Sequence[Item]) -> tuple[str, frozenset[str]]:
    """Language and boilerplate of the first rows, which every row is then refined with."""
    guess, texts = LanguageGuess(), []
    cleaner = Cleaner(config.data.clean)
    for given, item in first:
        row = layout.row(item, given) if isinstance(item, Raw) else ""
        if isinstance(row, Row):
            guess.add(layout.task.prompt_text(row) + layout.task.target(row))
            if config.data.clean.boilerplate:
                texts += [cleaner.text(value) for name in layout.cleaned if isinstance(value := row.fields[name], str)]
    return guess.language, boilerplate.learn(texts)


class _Worker:
    """A refiner that shows what it did to the rows of the first chunks."""

    def __init__(self, make: Callable[[], Refiner]) -> None:
        self._refine = make()

    def __call__(self, chunk: tuple[int, list[Item]]) -> list[Refined | Refused]:
        number, items = chunk
        return self._refine(items, with_examples=number < _EXAMPLE_CHUNKS)


def dropped_line(id: str, source: str, position: int, reason: str, other: str = "") -> str:
    """A line of ``dropped.jsonl``: which row, why, and the id of the row that it repeats, if it does."""
    record = {"id": id, "source": source, "line": position, "reason": reason} | ({"other": other} if other else {})
    return json.dumps(record, ensure_ascii=False) + "\n"
