"""Long calls side by side on a Ray cluster.

``RAY_ADDRESS`` names the cluster; without one Ray starts a local one. What a call makes lies in the store, which all
machines see at one path; what comes back is only that it is done. A call whose machine is lost is made again elsewhere,
where the store lets it go on from what was there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from yibu.core import log
from yibu.core.errors import MissingExtra, TrainingError, YibuError, from_dict


@dataclass(frozen=True)
class Share:
    """What each call may use of the cluster.

    Attributes:
        threads: CPUs; None divides those of the largest machine among the calls that it can take at once.
        on_gpu: whether a call gets a GPU of its own, where the cluster has any.
    """

    threads: int | None = None
    on_gpu: bool = True


def side_by_side(call: Callable[..., None], jobs: Sequence[dict[str, Any]], share: Share, use: str) -> Iterator[int]:
    """Call with the arguments of each job and its number of ``threads``; yields a job's place when it is done.

    Args:
        call: a function of a module that all machines have.
        jobs: arguments by name, plain values.
        use: what asks for the cluster, for the error where Ray is missing.

    Raises:
        MissingExtra: Ray is not installed.
        TrainingError: a machine was lost again and again, or a call failed where it should not; or what a call raised.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", use) from None
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=True, include_dashboard=False)
    waiting: dict[Any, int] = {}
    try:
        gpus = 1 if share.on_gpu and ray.cluster_resources().get("GPU", 0) > 0 else 0
        threads = share.threads or _threads(len(jobs))
        remote = ray.remote(_called).options(num_cpus=threads, num_gpus=gpus, name=call.__name__)
        level = log.LOGGER.getEffectiveLevel()
        waiting |= {remote.remote(call, {**job, "threads": threads}, level): place for place, job in enumerate(jobs)}
        while waiting:
            done, _ = ray.wait(list(waiting))
            try:
                table = ray.get(done[0])
            except ray.exceptions.RayError as error:
                raise TrainingError(
                    "A call on the Ray cluster failed where it should not.",
                    got=type(error).__name__,
                    do="look at Ray's log of the worker; the same command goes on from what is done",
                ) from None
            if table is not None:
                raise from_dict(table)
            yield waiting.pop(done[0])
    finally:
        for left in waiting:
            ray.cancel(left, force=True)
        if started:
            ray.shutdown()


def _threads(num_calls: int) -> int:
    import ray

    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    at_once = max(1, -(-num_calls // len(machines)))
    return max(1, max(machines) // at_once)


def _called(call: Callable[..., None], job: dict[str, Any], level: int) -> dict[str, object] | None:
    """In a worker: the error as a table, for exceptions with arguments of their own do not survive pickling."""
    log.configure()
    log.LOGGER.setLevel(level)
    try:
        call(**job)
    except YibuError as error:
        return error.as_dict()
    return None
