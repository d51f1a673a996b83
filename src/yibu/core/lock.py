"""A lock that dies with its holder: flock on a file, one per artifact that is being made.

The kernel frees it at ``kill -9``, which no lock file with a pid in it can promise. The pid is written all the same,
for the message to those who wait. Lock files are never removed: removing one that another process has just opened
would let two processes hold "the" lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from yibu.core import log
from yibu.core.disk import space_for

_PATIENCE_SECONDS = 2.0
_logger = log.get("store")
_held: set[int] = set()


@contextlib.contextmanager
def hold(path: Path, what: str, wait: bool = True) -> Iterator[bool]:
    """Hold the lock at a path for the length of the block.

    Args:
        path: the lock file; it and its folder are made.
        what: what the lock protects, for the message to those who wait.
        wait: wait until the lock is free, saying who holds it; else come back at once.

    Yields:
        True where the lock is held; False where ``wait`` is false and another process has it.

    Raises:
        NoSpace: the lock file cannot be made.
    """
    with space_for(f"the lock {path.name}", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(descriptor)
    try:
        if _take(descriptor, what, wait):
            _sign(descriptor)
            yield True
            os.ftruncate(descriptor, 0)
        else:
            yield False
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _take(descriptor: int, what: str, wait: bool) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not wait:
                return False
        holder = _holder(descriptor)
        if holder is not None or time.monotonic() > deadline:
            break
        time.sleep(0.005)  # the holder signs a moment after it has the lock
    _logger.info("waiting for %s, held by %s", what, holder or "another process")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True


def _sign(descriptor: int) -> None:
    record = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError):  # on a full disk the lock holds without the name of its holder
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)


def _holder(descriptor: int) -> str | None:
    try:
        record = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {record['pid']} on {record['host']} since {record['since']}"
    except (ValueError, KeyError, TypeError):
        return None


def _close_in_child() -> None:
    """A forked worker must not inherit the lock: were its parent killed, the orphan would keep it."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
