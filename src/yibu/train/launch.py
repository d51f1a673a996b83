"""How a run gets its processes: torch's elastic launcher on this machine, torchrun on several, or Ray.

With ``train.processes: 2`` the stage itself starts them (`torch.distributed.launcher`, no restarts) and waits: it holds
the lock of the artifact and seals it, so that no process but this one knows the store. Under torchrun each process is
the whole command; the first walks through the recipe and calls the others where it comes to train.

A process that ends or falls silent ends the run within seconds, with an error that names it; the same command goes on
from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yibu.core import log, progress
from yibu.core.errors import InputError, TrainingError, from_dict
from yibu.train.rank import Job, Leader, Place, follow, place, require_gpus

if TYPE_CHECKING:
    from yibu.core.store import Artifact, Work
    from yibu.train import Config, TrainSettings

logger = log.get("launch")
_GRACE_SECONDS = 300  # for the step that runs and a checkpoint, after Ctrl-C
_leader: Leader | None = None


@contextlib.contextmanager
def joined() -> Iterator[bool]:
    """Whether this process has only to follow another, and has done so; around all that a command does.

    Raises:
        InputError: a launcher's variables are set in part.
    """
    global _leader
    here = place()
    if here is None or here.size == 1:
        yield False
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    if here.rank > 0:
        follow(here)
        yield True
        return
    _leader = Leader()
    try:
        yield False
        _leader.end()
    finally:
        _leader = None


def elsewhere(config: Config, work: Work, data: Artifact) -> bool:
    """Train in other processes, or together with them, where that is wanted; else False and nothing is done.

    Raises:
        InputError: more processes than GPUs, or another number than torchrun started.
        TrainingError: a process ended or fell silent; names it. Any error of the stage, as a process had it.
    """
    settings = config.train
    here = place()
    if _leader is None and settings.engine == "local" and settings.processes == 1:
        return False
    job = Job(
        config=config.as_config(),
        work=str(work.path.absolute()),
        data=str(data.path.absolute()),
        json_lines=progress.uses_json(),
        level=log.LOGGER.getEffectiveLevel(),
    )
    shutil.rmtree(job.errors, ignore_errors=True)
    if _leader is not None and here is not None:
        _require_size(settings, here)
        _leader.run(job, here)
    elif settings.engine == "ray":
        from yibu.train.on_ray import train_on_ray

        train_on_ray(job, settings)
    else:
        _start(job, settings)
    shutil.rmtree(job.errors, ignore_errors=True)
    return True


def _start(job: Job, settings: TrainSettings) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    require_gpus(settings.device, settings.processes)
    job.errors.mkdir(parents=True)
    path = job.errors / "job.json"
    job.write(path)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=settings.processes,
        run_id="yibu",
        # On one machine there is nobody to meet but a store.
        rdzv_backend="static",
        rdzv_endpoint=f"127.0.0.1:{_free_port()}",
        rdzv_configs={"rank": 0},
        max_restarts=0,
        shutdown_timeout=_GRACE_SECONDS,
    )
    logger.info("%d processes", settings.processes)
    try:
        with _environment(_for_ranks(settings.processes)), _quiet_torch():
            elastic_launch(config, sys.executable)("-m", "yibu.train.rank", str(path))
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        raise why(job, codes, settings.processes) from None
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + error.sigval) from None


def why(job: Job, codes: Mapping[int, int], size: int) -> BaseException:
    """The one error behind the failures of several processes.

    One that ends takes the others with it, so what matters is, in this order: what a process said of itself; whom the
    first rank found silent; who ended without a word; who missed another.

    Args:
        codes: exit codes by rank; negative: a signal.
    """
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(job.errors.glob("error-*.json"))]
    own = sorted((table for table in tables if table["silent"] is None), key=lambda table: table["time"])
    if own:
        return from_dict(own[0])
    silent = [table for table in tables if table["silent"] and table["rank"] == 0]
    if silent:
        return from_dict(silent[0])
    if codes and set(codes.values()) <= {130, 128 + signal.SIGTERM, -signal.SIGTERM}:
        return KeyboardInterrupt()
    said = {table["rank"] for table in tables}
    # The launcher sends SIGTERM to those that are left: who ended by anything else was before them.
    mute = sorted((code == -signal.SIGTERM, rank) for rank, code in codes.items() if rank not in said)
    if mute:
        rank = mute[0][1]
        return TrainingError(
            f"The run stopped: rank {rank} of {size} ended before it was done.",
            got=_end_of(codes[rank]),
            do="look at memory (dmesg, `yibu check`); the same command goes on from the last checkpoint",
        )
    return from_dict(tables[0]) if tables else TrainingError("The run stopped: its processes ended.", got=dict(codes))


def _end_of(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"ended by {name}" + (", as the system does where memory ends" if name == "SIGKILL" else "")


def _require_size(settings: TrainSettings, here: Place) -> None:
    if settings.processes in (1, here.size):
        return
    raise InputError(
        "train.processes is not the number of processes that were started.",
        got=f"{settings.processes}; started: {here.size}",
        allowed="leave it out, the launcher's number holds",
    )


def _for_ranks(processes: int) -> dict[str, str]:
    """Environment of the processes: the cores are shared out, and C++ is silent, for `Team` says it better."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // processes)),
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL") or "FATAL",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet_torch() -> Iterator[None]:
    """The launcher logs every end of a process as a fault of its own."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]
    loud = [found for found in map(logging.getLogger, names) if not found.disabled]
    for found in loud:
        found.disabled = True
    try:
        yield
    finally:
        for found in loud:
            found.disabled = False
