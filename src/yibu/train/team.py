"""Several processes that train one model: what they say to each other, and who is named when one falls silent.

Every process (a *rank*, counted from 0) holds the same adapter and takes its share of the passes of a step. Gradients
are summed over the ranks, never averaged: each pass is divided by the targets of the whole step already, so the sum is
the gradient of one process. Everything else (rows, cuts, seeds, rates, when to stop) each rank decides for itself from
the same facts; where the facts are its own (a signal, memory that ended) it says them, and all hear all.

Before each exchange the ranks meet at a monitored barrier on gloo, also beside NCCL: it tells rank 0 which rank has not
come. A rank that hangs is named after ``train.hang_seconds``, one that is gone at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.tensor import DTensor

from yibu.core.errors import InputError, TrainingError

_BUCKET = 2**25  # numbers that are summed at once: bounds the copy beside the gradients to 128 MiB
_ROLL_CALL_SECONDS = 5  # for those who are left to say so, after an exchange failed
# What gloo, NCCL and the store say where another process is gone or silent; they have no class of their own for it.
_WORDS = ("gloo", "nccl", "monitoredbarrier", "connection closed", "connection reset", "broken pipe")


class Lost(TrainingError):
    """Another rank does not answer.

    Attributes:
        silent: it did not come in time; else its connection has ended.
    """

    silent: bool = False


@dataclass(frozen=True)
class Member:
    """Where a rank runs."""

    rank: int
    host: str
    pid: int

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.pid} on {self.host})"


class Team:
    """All ranks of a run as one of them sees them; alone where nothing is said.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
        local_size: how many of them share this machine.
        hang_seconds: how long to wait for one that does not come.

    Attributes:
        first: whether this is rank 0, which alone writes.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_size: int = 1, hang_seconds: float = 600.0) -> None:
        self.rank, self.size, self.local_size = rank, size, local_size
        self.first = rank == 0
        self._patience = timedelta(seconds=hang_seconds)
        self._words: Any = None
        self._members: list[Member] = []

    @staticmethod
    @contextlib.contextmanager
    def meet(
        device: torch.device,
        rank: int,
        size: int,
        local_size: int,
        hang_seconds: float,
        store: Store | None = None,
    ) -> Iterator[Team]:
        """Join the others; with `store` a process group is made, without one it is there already (Ray makes its own).

        Raises:
            Lost: one of them does not come.
        """
        team = Team(rank, size, local_size, hang_seconds)
        if store is not None:
            # NCCL sums what lies on GPUs; words and barriers go over gloo, which can say who is missing.
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            with team._naming("at the start"):
                dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=team._patience)
        try:
            with team._naming("at the start"):
                team._words = dist.new_group(backend="gloo", timeout=team._patience)
            found = team.gather([socket.gethostname(), os.getpid()], "at the start")
            team._members = [Member(number, host, pid) for number, (host, pid) in enumerate(found)]
            yield team
        finally:
            if store is not None and dist.is_initialized():
                dist.destroy_process_group()

    def gather(self, words: Any, where: str) -> list[Any]:
        """What every rank says, by rank; all say something at the same place.

        Args:
            words: JSON values.
            where: in the run, for the message where one does not come.

        Raises:
            Lost: a rank does not answer; names it.
        """
        if self.size == 1:
            return [words]
        with self._naming(where):
            dist.monitored_barrier(self._words, self._patience, wait_all_ranks=True)
            mine = torch.frombuffer(bytearray(json.dumps(words).encode()), dtype=torch.uint8)
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            dist.all_gather(lengths, torch.tensor([len(mine)]), group=self._words)
            longest = max(int(length) for length in lengths)
            parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
            dist.all_gather(parts, torch.nn.functional.pad(mine, (0, longest - len(mine))), group=self._words)
        return [json.loads(bytes(part[: int(length)].tolist())) for part, length in zip(parts, lengths, strict=True)]

    def hear_first(self, words: Any, where: str) -> Any:
        """What rank 0 says."""
        return self.gather(words if self.first else None, where)[0]

    def any_of(self, words: Any, where: str) -> Any:
        """What the first rank says that says anything; None where none does."""
        return next((said for said in self.gather(words, where) if said is not None), None)

    def agree(self, facts: Mapping[str, Any], where: str) -> None:
        """Refuse to train where the ranks do not have the same before them.

        Raises:
            InputError: names what differs and the first rank that has another one than rank 0.
        """
        said = self.gather(dict(facts), where)
        for rank, other in enumerate(said):
            apart = sorted(key for key in {*said[0], *other} if said[0].get(key) != other.get(key))
            if apart:
                raise InputError(
                    f"The processes of this run do not have the same before them: {', '.join(apart)} "
                    f"of {self.name(rank)} {'is' if len(apart) == 1 else 'are'} not that of rank 0.",
                    got=[f"{key}: {other.get(key)}" for key in apart],
                    allowed=[f"{key}: {said[0].get(key)}" for key in apart],
                    do="give every machine the same base, versions and kind of processor, and one store that all see",
                )

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Let every rank hold the sum of all ranks' gradients; sharded parameters are summed in the backward pass.

        A parameter that no rank has a gradient for stays without one, as it would in one process.

        Raises:
            Lost: a rank does not answer.
        """
        here = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
        if self.size == 1 or not here:
            return
        with self._naming("while gradients were summed"):
            some = torch.tensor([p.grad is not None for p in here], dtype=torch.uint8, device=here[0].device)
            dist.all_reduce(some, dist.ReduceOp.MAX)
            moved = [parameter for parameter, any_grad in zip(here, some.tolist(), strict=True) if any_grad]
            for bucket in _buckets(moved):
                flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in bucket])
                dist.all_reduce(flat)
                for parameter, part in zip(bucket, torch.split(flat, [p.numel() for p in bucket]), strict=True):
                    parameter.grad = part.view_as(parameter)

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Give every rank rank 0's values; sharded tensors are left alone."""
        if self.size == 1:
            return
        with self._naming("while the first weights were handed out"):
            for tensor in tensors:
                if not isinstance(tensor, DTensor):
                    dist.broadcast(tensor.data, src=0)

    def name(self, rank: int) -> str:
        """Rank, process and machine, for people."""
        return str(self._members[rank]) if rank < len(self._members) else f"rank {rank}"

    def lost(self, error: BaseException, where: str, waited: float = 0.0) -> Lost:
        """The error that names who does not answer, from what torch said about it.

        Args:
            waited: seconds; a barrier says the same of a rank that hangs and of one that is gone, but later.
        """
        missing = _missing(str(error))
        if not missing and self._words is not None:
            missing = self._roll_call()
        if not missing and self.size == 2:  # a broken connection names nobody, and there is one other only
            missing = [1 - self.rank]
        seconds = self._patience.total_seconds()
        silent = waited > 0.9 * seconds or "timed out" in str(error).lower()
        names = ", ".join(self.name(rank) for rank in missing) or f"another of the {self.size} processes"
        found = Lost(
            f"The run stopped: {names} does not answer."
            if silent
            else f"The run stopped: {names} has ended, or its machine has.",
            got=f"nothing for {seconds:g} seconds, {where}" if silent else where,
            do="look at what it printed last, at memory (dmesg) and at the network; the same command goes on from the "
            "last checkpoint" + (", and train.hang_seconds waits longer" if silent else ""),
        )
        found.silent = silent
        if silent:
            self._end(missing)
        return found

    @contextlib.contextmanager
    def _naming(self, where: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            if not is_lost(error):  # memory, say
                raise
            raise self.lost(error, where, time.monotonic() - began) from error

    def _roll_call(self) -> list[int]:
        """Who does not come to a last barrier; only rank 0 learns of all."""
        try:
            dist.monitored_barrier(self._words, timedelta(seconds=_ROLL_CALL_SECONDS), wait_all_ranks=True)
        except RuntimeError as error:
            return _missing(str(error))
        return []

    def _end(self, ranks: Sequence[int]) -> None:
        """A process that hangs does not obey a polite signal, and would keep its memory: end those of this machine."""
        here = socket.gethostname()
        for member in self._members:
            if self.first and member.rank in ranks and member.host == here:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member.pid, signal.SIGKILL)


ALONE = Team()


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process does not answer."""
    if isinstance(error, dist.DistError):  # of the store, or of NCCL
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def deal(sizes: Sequence[int], num: int) -> list[list[int]]:
    """Numbers of the passes that each of `num` ranks takes: the largest first, always to who has least so far.

    A step waits for its slowest rank, so shares are of about equal size (Graham 1969: at most 4/3 of the best). Within
    a share passes keep their order. Shares are empty where there are fewer passes than ranks.
    """
    shares: list[list[int]] = [[] for _ in range(num)]
    loads = [0] * num
    for index in sorted(range(len(sizes)), key=lambda place: (-sizes[place], place)):
        least = min(range(num), key=lambda rank: (loads[rank], rank))
        shares[least].append(index)
        loads[least] += sizes[index]
    return [sorted(share) for share in shares]


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and size + parameter.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket


def _missing(text: str) -> list[int]:
    """Ranks that a monitored barrier names."""
    found = re.search(r"Ranks? ([\d, ]+) failed to pass", text)
    if found:
        return [int(number) for number in re.findall(r"\d+", found.group(1))]
    return [0] if re.search(r"(from|by) rank 0\b", text) else []
