"""The pass that looks for test rows, and for named benchmarks, inside the rows that are trained on.

Equal prompts are found in the table (`yibu.prepare.leaks`); this finds what is not quite equal: another width, other
punctuation, a near copy, a test row inside a longer text. Only train and valid shrink; test rows are never touched.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from yibu.core.progress import track
from yibu.core.record import SPLITS, Row, Split
from yibu.prepare.contamination import ContaminationSettings, Hit, Probe, read_items
from yibu.prepare.gather import Gathering
from yibu.prepare.leaks import Drop, Others
from yibu.prepare.place import Placed
from yibu.prepare.workers import chunks, over_processes
from yibu.tasks import Task

Items = list[tuple[str, str]]

_TEST = "test"
_OF = "\x1f"  # between the source of a protected item and its name


class _Prober:
    """Looks into the rows of a chunk. Built once in each process."""

    def __init__(self, items: Items, settings: ContaminationSettings, task: Task) -> None:
        self._probe = Probe.of(items, settings)
        self._task = task

    def __call__(self, lines: list[bytes]) -> list[Hit | None]:
        return self._probe.find_all([self._task.prompt_text(Row.from_json(line.decode())) for line in lines])


def decontaminate(
    settings: ContaminationSettings, workers: int | None, gathered: Gathering, placed: Placed, others: Others
) -> dict[str, dict[str, int]]:
    """Mark the rows of train and valid that hold a protected text; adds to `others` which one.

    Returns:
        for test and each named file: how many texts are protected, and how many rows were left out because of them.
    """
    if not settings.enabled:
        return {}
    task = gathered.layout.task
    protected: Items = [(f"{_TEST}{_OF}{row.id}", task.prompt_text(row)) for row in _rows(gathered, placed, _TEST)]
    for address in settings.against:
        name = Path(address).name
        protected += [(f"{name}{_OF}{item}", text) for item, text in read_items(address, settings)]
    counts = {source: {"items": n, "hits": 0} for source, n in Counter(_source(name) for name, _ in protected).items()}
    if not protected:
        return counts
    make = functools.partial(_Prober, protected, settings, task)
    waiting = _waiting(gathered, placed)
    places = [(split, place) for split, place, _ in _waiting(gathered, placed)]
    found = over_processes(make, chunks(line for _, _, line in waiting), workers)
    with track("looking for test rows in train", total=len(places)) as progress:
        position = 0
        for hits in found:
            for hit in hits:
                split, place = places[position]
                position += 1
                if hit is None:
                    continue
                placed.tables[split].dropped[place] = Drop.CONTAMINATED
                others[split, place] = hit.name.partition(_OF)[2]
                counts[_source(hit.name)]["hits"] += 1
            progress.advance(len(hits))
    return counts


def _source(name: str) -> str:
    return name.partition(_OF)[0]


def _lines(gathered: Gathering, placed: Placed) -> Iterator[tuple[Split, int, bytes]]:
    """Split, place and line of every row."""
    places = dict.fromkeys(SPLITS, -1)
    with gathered.rows_path.open("rb") as rows:
        for number, line in zip(placed.split_of, rows, strict=True):
            split = SPLITS[number]
            places[split] += 1
            yield split, places[split], line


def _rows(gathered: Gathering, placed: Placed, wanted: str) -> Iterator[Row]:
    for split, _, line in _lines(gathered, placed):
        if split == wanted:
            yield Row.from_json(line.decode())


def _waiting(gathered: Gathering, placed: Placed) -> Iterator[tuple[Split, int, bytes]]:
    """Rows outside of test that are still kept. A drop that is marked meanwhile is that of a row already given."""
    for split, place, line in _lines(gathered, placed):
        if split != _TEST and not placed.tables[split].dropped[place]:
            yield split, place, line
