"""One process of several: what it is told, what it does, and what it leaves behind where it fails.

``python -m yibu.train.rank JOB.json`` is what `yibu.train.launch` starts; a process that torchrun started comes here by
`follow`, one that Ray started by `take_part`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from yibu.core import log, progress
from yibu.core.artifact import open_artifact
from yibu.core.errors import InputError, YibuError
from yibu.core.machine import end_with_parent
from yibu.core.store import Work, write_atomically

logger = log.get("rank")
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(days=30)  # of ranks that wait while the first one prepares the rows


@dataclass(frozen=True)
class Place:
    """Which process this is, among all and on its machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


@dataclass(frozen=True)
class Job:
    """One run of the stage `train`, as its processes are told it: JSON values, paths that all of them see.

    Attributes:
        config: of the stage.
        work: folder that becomes the artifact; the first rank writes into it, the others read checkpoints there.
        data: folder of the data artifact.
        json_lines, level: how the first rank speaks.
    """

    config: dict[str, Any]
    work: str
    data: str
    json_lines: bool = False
    level: int = 20

    def write(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Job:
        return Job(**json.loads(path.read_text(encoding="utf-8")))

    @property
    def errors(self) -> Path:
        """Where ranks leave what went wrong."""
        return Path(self.work) / "scratch" / "ranks"


def place() -> Place | None:
    """The place that a launcher such as torchrun gave this process; None where none did.

    Raises:
        InputError: the launcher's variables are set in part, or make no sense.
    """
    found = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    if not {"RANK", "WORLD_SIZE"} & set(found):
        return None
    missing = [name for name in _VARIABLES if name not in found]
    if missing:
        raise InputError(
            "This process was started as one of several, but its launcher did not say all that it has to.",
            got=f"{', '.join(sorted(found))} without {', '.join(missing)}",
            allowed="all of " + ", ".join(_VARIABLES),
            do="start it with torchrun -m yibu, or unset " + " ".join(sorted(found)),
        )
    try:
        rank, size, local = (int(found[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE") or size)
    except ValueError:
        rank, size, local, local_size = -1, 0, 0, 0
    if not (0 <= rank < size and 0 <= local < local_size <= size):
        raise InputError(
            "The launcher's variables do not say which process of how many this is.",
            got=[f"{name}={value}" for name, value in found.items()],
            allowed="0 <= RANK < WORLD_SIZE and 0 <= LOCAL_RANK < LOCAL_WORLD_SIZE",
            do="start it with torchrun -m yibu, or unset " + " ".join(sorted(found)),
        )
    return Place(rank, size, local, local_size)


def require_gpus(device: str, local_size: int) -> None:
    """Refuse more processes than GPUs on a machine that trains on them.

    Raises:
        InputError: names both numbers.
    """
    import torch

    if device == "cpu" or not torch.cuda.is_available() or local_size <= torch.cuda.device_count():
        return
    raise InputError(
        "There are more processes than GPUs on this machine; each needs one of its own.",
        got=f"{local_size} processes, {torch.cuda.device_count()} GPUs",
        allowed=f"train.processes up to {torch.cuda.device_count()}",
        do="use fewer, add machines (torchrun --nnodes), or set train.device: cpu",
    )


def take_part(job: Job, here: Place, store: Any = None) -> None:
    """Do this process's part of a run; what goes wrong is left beside the work folder for who started it.

    Args:
        store: where the processes meet; None where a process group is there already.

    Raises:
        YibuError: as the stage; `Lost` where another process does not answer.
    """
    with _left_behind(job, here):
        import torch

        from yibu.model.assemble import choose_device
        from yibu.train import Config
        from yibu.train.run import train_on
        from yibu.train.team import Team, is_lost

        if here.rank > 0:
            progress.be_silent()
            log.LOGGER.setLevel("ERROR")
        config = Config.model_validate(job.config)
        settings = config.train
        _require_same_folders(job, config.base.path)
        if store is not None:  # Ray shows each worker its own GPU alone
            require_gpus(settings.device, here.local_size)
        if settings.device != "cpu" and torch.cuda.is_available():
            torch.cuda.set_device(here.local_rank % torch.cuda.device_count())
        data = open_artifact(Path(job.data))
        device = choose_device(settings.device)
        meeting = Team.meet(device, here.rank, here.size, here.local_size, settings.hang_seconds, store)
        with meeting as team, _own_work(job, here) as work:
            try:
                train_on(config, work, data, team)
            except RuntimeError as error:  # from inside a sharded layer
                if not is_lost(error):
                    raise
                raise team.lost(error, "in a pass") from error
            team.gather(None, "at the end")


def follow(here: Place) -> None:
    """What every rank but the first does under torchrun: wait for runs, take part, until the first one has ended."""
    store = meeting_point()
    number = 0
    while True:
        key = f"yibu/job/{number}"
        store.wait([key], _PATIENCE)
        said = store.get(key).decode()
        if said == "end":
            return
        take_part(Job(**json.loads(said)), here, _part_of(store, number))
        number += 1


class Leader:
    """The first rank under torchrun: it alone walks through the recipe, and calls the others where it trains."""

    def __init__(self) -> None:
        self._store = meeting_point()
        self._number = 0

    def run(self, job: Job, here: Place) -> None:
        """Train with all ranks."""
        number, self._number = self._number, self._number + 1
        self._store.set(f"yibu/job/{number}", json.dumps(asdict(job)))
        take_part(job, here, _part_of(self._store, number))

    def end(self) -> None:
        """Let the others go."""
        self._store.set(f"yibu/job/{self._number}", "end")


def meeting_point() -> Any:
    """The store that the launcher's variables name."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://")))
    return store


def _part_of(store: Any, number: int) -> Any:
    """A part of the store for one run, where it meets no words of another."""
    from torch.distributed.distributed_c10d import PrefixStore

    return PrefixStore(f"yibu/run/{number}", store)


def main(path: str) -> None:
    """A process that `yibu.train.launch` started."""
    end_with_parent()
    job = Job.read(Path(path))
    log.configure()
    log.LOGGER.setLevel(job.level)
    progress.use_json(job.json_lines)
    here = place()
    assert here is not None, "started without a launcher"
    try:
        take_part(job, here, meeting_point())
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # it has been written down, and who started this process tells it
        sys.exit(1)


@contextlib.contextmanager
def _own_work(job: Job, here: Place) -> Iterator[Work]:
    """The real work folder for the first rank, one that is thrown away for the others."""
    if here.rank == 0:
        yield Work(Path(job.work), fresh=False)
        return
    with tempfile.TemporaryDirectory(prefix=f"yibu-rank-{here.rank}-") as folder:
        yield Work(Path(folder), fresh=True)


def _require_same_folders(job: Job, base: str) -> None:
    for what, path in (("store", job.work), ("store", job.data), ("base", base)):
        if not Path(path).exists():
            raise InputError(
                f"A process of this run does not see the {what} at the path where the first one has it.",
                got=path,
                allowed="the same path on all machines",
                do="put store and base on a shared folder (--store, base: /shared/...)",
            )


@contextlib.contextmanager
def _left_behind(job: Job, here: Place) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, YibuError):
            table = error.as_dict()
        else:
            logger.debug("rank %d", here.rank, exc_info=True)
            # The text of a foreign exception may quote a row.
            table = {
                "error": "TrainingError",
                "what": f"Rank {here.rank} of {here.size} failed where it should not: "
                f"{type(error).__name__} in {_place_of(error)}.",
                "got": None,
                "allowed": None,
                "do": "run it again with YIBU_LOG=DEBUG, and report what it prints with `yibu doctor`",
            }
        table |= {"rank": here.rank, "time": time.time(), "silent": getattr(error, "silent", None)}
        with contextlib.suppress(OSError):
            job.errors.mkdir(parents=True, exist_ok=True)
            write_atomically(job.errors / f"error-{here.rank}.json", json.dumps(table))
        raise


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).parents[1])
    ours = [frame for frame in frames if frame.filename.startswith(package)] or frames
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}"


if __name__ == "__main__":
    main(sys.argv[1])
