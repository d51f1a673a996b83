"""The same function over a cluster: chunks go through ``ray.data``, results come back in the order of the chunks.

For what outgrows one machine. Rows are read here and refined there; what comes out is byte for byte what the local
engine makes, since the function is pure and the order is kept. ``RAY_ADDRESS`` names the cluster; without one Ray
starts a local one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from yibu.core.errors import MissingExtra

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

_WINDOW = 400  # chunks that are sent at once: bounds what lies in memory here and in the object store


def over_cluster(make: Callable[[], Callable[[Chunk], Result]], work: Iterable[Chunk]) -> Iterator[Result]:
    """The results of a function for each chunk, in order.

    Args:
        make: makes the function, once in each process of the cluster.
        work: the chunks.

    Raises:
        MissingExtra: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", "data.engine: ray") from None
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    call = _class(make)
    try:
        iterator = iter(work)
        while window := list(itertools.islice(iterator, _WINDOW)):
            sent = ray.data.from_items([{"chunk": chunk} for chunk in window], override_num_blocks=len(window))
            done = sent.map(call, concurrency=(1, max(1, int(ray.cluster_resources().get("CPU", 1)))))
            for row in done.iter_rows():
                yield row["result"]
    finally:
        if started:
            ray.shutdown()


def _class(make: Callable[[], Callable[[Any], Any]]) -> type:
    """An actor class that makes its function when it starts."""

    class Call:
        def __init__(self) -> None:
            self._function = make()

        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"result": self._function(row["chunk"])}

    return Call
