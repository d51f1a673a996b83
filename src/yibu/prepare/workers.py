"""One function over many chunks, by all cores of this machine; results come in the order of the chunks.

Processes are started only once it is clear that there is work for them: a few thousand rows are done sooner in this
one. What comes out is the same, since the function is pure and the order is kept.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from yibu.core.errors import YibuError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

CHUNK = 200
"""Rows of a chunk: enough to pay for sending them, few enough to keep memory small."""

_ALONE = 15  # chunks that this process does itself before it asks for help
_AHEAD = 3  # chunks under way for each process

_function: Callable[[Any], Any] | None = None


def chunks(items: Iterable[Chunk], size: int = CHUNK) -> Iterator[list[Chunk]]:
    """Lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def over_processes(
    make: Callable[[], Callable[[Chunk], Result]], work: Iterable[Chunk], num_workers: int | None = None
) -> Iterator[Result]:
    """The results of a function for each chunk, in order; at most a few chunks are in memory.

    Args:
        make: makes the function, once in each process; can be pickled (a `functools.partial` of a class).
        work: the chunks.
        num_workers: processes; default one per usable core; 1 works in this process only.

    Raises:
        YibuError: a process was killed, most likely for want of memory; and whatever the function raises.
    """
    iterator = iter(work)
    here = make()
    for chunk in itertools.islice(iterator, _ALONE):
        yield here(chunk)
    wanted = num_workers or len(os.sched_getaffinity(0))
    if wanted == 1:
        yield from map(here, iterator)
        return
    first = next(iterator, None)
    if first is None:
        return
    # Not forked: this process may hold threads (torch, Arrow), and a fork of those can stand still for ever.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(wanted, context, _start, (make,)) as pool:
            under_way: deque[Future[Result]] = deque()
            for chunk in itertools.chain([first], iterator):
                under_way.append(pool.submit(_call, chunk))
                if len(under_way) >= wanted * _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
    except BrokenProcessPool:
        raise YibuError(
            "A process that prepared rows has died.",
            got="most likely the machine ran out of memory, or a script that calls yibu has no main guard",
            do='set data.workers=1; or put what the script does below `if __name__ == "__main__":`',
        ) from None


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    _function = make()


def _call(chunk: Any) -> Any:
    assert _function is not None
    return _function(chunk)
