"""A server of somebody else's, started on the loopback to be asked, and gone at the end of the block."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

START_SECONDS, ANSWER_SECONDS = 300, 600


@contextlib.contextmanager
def started(
    program: Sequence[str],
    environment: Mapping[str, str],
    is_ready: Callable[[], bool],
    failed: Callable[[list[str], int | None], Exception],
    grace: float,
    *,
    seconds: float = START_SECONDS,
    before: Callable[[], None] | None = None,
    alone: bool = False,
    ended: Callable[[list[str], int], None] = lambda said, exit_code: None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs and is ready.

    Args:
        failed: makes the error of a program that ended, or is not ready in time: from the lines that it said, and its
            exit code (None while it runs).
        grace: seconds that it has to end by itself.
        seconds: that it has to be ready in.
        before: called in its process, before it is there.
        alone: it gets a session of its own, and whatever is left of that ends with it: a program that is killed cannot
            end what it started.
        ended: called after the block where the program ended by itself in it, with what `failed` is given.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            program, stdout=said, stderr=said, env=dict(environment), preexec_fn=before, start_new_session=alone
        )
        try:
            deadline = time.monotonic() + seconds
            while not is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise failed(said.read().splitlines(), process.poll())
                time.sleep(0.1)
            yield process
            if process.poll() is not None:
                said.seek(0)
                ended(said.read().splitlines(), process.returncode)
        finally:
            process.terminate()
            try:
                process.wait(timeout=grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if alone:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
