"""Rewrites by an endpoint: many calls at once, answers in the order of the rows, and nothing paid for twice.

Every finished rewrite goes to a file in the stage's scratch folder before it is used. When the endpoint dies half-way
(or the process does), the next run reads that file and only asks for the rest.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from yibu.augment.rows import Made, Slot, entities_in, relocated, slots_of, text_in
from yibu.augmenters import Rewritten, TextAugmenter
from yibu.core.record import Row

_AHEAD = 4  # rows per worker that are under way, so that one slow answer does not stop the others


class Finished:
    """The file of finished rewrites, one JSON line each; only where each line begins is kept in memory."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        self._file = path.open("a+b")
        self._read()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Rewritten | None:
        """What was answered for a key; None where nothing was."""
        with self._lock:
            if key not in self._places:
                return None
            self._file.seek(self._places[key])
            line = json.loads(self._file.readline())
        return Rewritten(line["text"], line["refused"])

    def put(self, key: str, answer: Rewritten) -> None:
        """Keep an answer; it survives a killed process."""
        line = json.dumps({"key": key, "text": answer.text, "refused": answer.refused}) + "\n"
        with self._lock:
            self._places[key] = self._file.seek(0, 2)
            self._file.write(line.encode())
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for line in self._file:
            try:
                self._places[str(json.loads(line)["key"])] = whole
            except (ValueError, LookupError, TypeError):
                break  # a killed process left half a line; nothing was written after it
            whole += len(line)
        self._file.truncate(whole)


class Rewriting:
    """One step's calls.

    Args:
        augmenter: of level ``texts``.
        fields: whose text is rewritten.
        purpose: of the step; begins the keys.
        finished: answers of this run and of those before.
        workers: calls at once.
    """

    def __init__(
        self, augmenter: TextAugmenter, fields: tuple[str, ...], purpose: str, finished: Finished, workers: int
    ) -> None:
        self._augmenter = augmenter
        self._fields = fields
        self._purpose = purpose
        self._finished = finished
        self._workers = workers

    def run(
        self, chosen: Iterable[tuple[Row, int]], chance: Callable[[Row, int], Any]
    ) -> Iterator[tuple[Row, int, Made]]:
        """Copies in the order of the rows.

        Raises:
            YibuError: the endpoint does not answer any more; calls under way are waited for and kept.
        """
        under_way: deque[tuple[Row, int, list[tuple[Slot, Future[Rewritten]]]]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="rewrite")
        try:
            for row, number in chosen:
                calls = [(slot, pool.submit(self._call, row, number, slot, chance)) for slot in self._slots(row)]
                under_way.append((row, number, calls))
                if len(under_way) >= _AHEAD * self._workers:
                    yield self._made(*under_way.popleft())
            while under_way:
                yield self._made(*under_way.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _slots(self, row: Row) -> list[Slot]:
        return slots_of(row, self._fields)

    def _call(self, row: Row, number: int, slot: Slot, chance: Callable[[Row, int], Any]) -> Rewritten:
        key = json.dumps([self._purpose, row.id, number, *slot])
        known = self._finished.get(key)
        if known is not None:
            return known
        text = text_in(row, slot)
        needed = [text[entity["start"] : entity["end"]] for entity in entities_in(row, slot)]
        answer = self._augmenter.rewrite(text, chance(row, number), needed)
        self._finished.put(key, answer)
        return answer

    def _made(self, row: Row, number: int, calls: list[tuple[Slot, Future[Rewritten]]]) -> tuple[Row, int, Made]:
        copy, what = row, dict[str, int]()
        if not calls:
            return row, number, Made(None, reason="nothing_to_change")
        for slot, call in calls:
            answer = call.result()
            if answer.text is None:
                return row, number, Made(None, reason=answer.refused or "no_answer")
            moved = relocated(copy, slot, answer.text)
            if moved is None:
                return row, number, Made(None, reason="entities")
            copy = moved
            what[slot.field] = what.get(slot.field, 0) + 1
        return row, number, Made(copy, what)
