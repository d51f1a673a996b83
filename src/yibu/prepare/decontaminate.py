"""The pass that looks for test rows, and for named benchmarks, inside the rows that are trained on.

Equal prompts are found in the table (`yibu.prepare.leaks`); this finds what is not quite equal: another width, other
punctuation, a near copy, a test row inside a longer text. Only train and valid shrink; test rows are never touched.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
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
    """Looks into the rows of a chunk."""

    def __init__(self, probe: Probe, task: Task) -> None:
        self._probe = probe
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
    probe = Probe.of(protected, settings)
    make = functools.partial(_Prober, probe, task)
    with track("looking for test rows in train", total=len(placed.split_of)) as progress:
        suspects = list(_suspects(gathered, placed, probe, progress.advance))
        found = over_processes(make, chunks(gathered.lines(number for _, _, number in suspects)), workers)
        for (split, place, _), hit in zip(suspects, itertools.chain.from_iterable(found), strict=True):
            if hit is not None:
                placed.tables[split].dropped[place] = Drop.CONTAMINATED
                others[split, place] = hit.name.partition(_OF)[2]
                counts[_source(hit.name)]["hits"] += 1
    return counts


def _source(name: str) -> str:
    return name.partition(_OF)[0]


def _places(placed: Placed) -> Iterator[tuple[Split, int]]:
    """Split and place of every row, in the order of the scratch file."""
    places = dict.fromkeys(SPLITS, -1)
    for number in placed.split_of:
        split = SPLITS[number]
        places[split] += 1
        yield split, places[split]


def _rows(gathered: Gathering, placed: Placed, wanted: str) -> Iterator[Row]:
    numbers = (number for number, (split, _) in enumerate(_places(placed)) if split == wanted)
    return (Row.from_json(line.decode()) for line in gathered.lines(numbers))


def _suspects(
    gathered: Gathering, placed: Placed, probe: Probe, advance: Callable[[float], None]
) -> Iterator[tuple[Split, int, int]]:
    """Split, place and number of the rows outside of test that are still kept and may hold a protected text."""
    places = enumerate(_places(placed))
    sieve = probe.sieve()
    for heads, starts in gathered.heads.batches():
        passed = sieve.passed(heads, starts).tolist()
        for may_hold, (number, (split, place)) in zip(passed, places, strict=False):
            if may_hold and split != _TEST and not placed.tables[split].dropped[place]:
                yield split, place, number
        advance(len(passed))
