"""The lock: one holder, the others wait and are told for whom, and it dies with its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from yibu.core.lock import hold

_HOLDER = """
import os, sys, time
from pathlib import Path
from yibu.core.lock import hold
with hold(Path(sys.argv[1]), "x"):
    if len(sys.argv) > 2 and os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    if len(sys.argv) == 2:
        print("held", flush=True)
    time.sleep(60)
"""


def _start(lock: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, str(lock), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _is_free(lock: Path) -> bool:
    with hold(lock, "x", wait=False) as held:
        return held


def test_a_lock_excludes_a_second_holder_even_in_the_same_process(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "a.lock"
    with hold(lock, "x") as held:
        assert held
        assert not _is_free(lock)
    assert _is_free(lock)


def test_an_exception_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hold(tmp_path / "a.lock", "x"):
        raise KeyboardInterrupt
    assert _is_free(tmp_path / "a.lock")


def test_who_waits_is_told_for_what_and_whom(tmp_path: Path, messages: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "a.lock"
    with hold(lock, "x"):
        thread, entered = _wait_in_thread(lock, messages, "waiting")
        assert not entered.is_set()
    thread.join(20)
    assert entered.is_set()
    assert "waiting for prepare-1234" in messages.text
    assert f"process {os.getpid()} on " in messages.text


def test_a_lock_file_with_junk_in_it_does_no_harm(tmp_path: Path, messages: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "a.lock"
    with hold(lock, "x"):
        lock.write_bytes(b"\xff[]")
        thread, entered = _wait_in_thread(lock, messages, "held by another process")
        assert not entered.is_set()
    thread.join(20)
    assert entered.is_set()


def _wait_in_thread(
    lock: Path, messages: pytest.LogCaptureFixture, text: str
) -> tuple[threading.Thread, threading.Event]:
    """A thread that wants the lock; returns when it has logged the text."""
    entered = threading.Event()

    def wait() -> None:
        with hold(lock, "prepare-1234"):
            entered.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while text not in messages.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert text in messages.text
    return thread, entered


def test_kill_9_frees_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    process, said = _start(lock)
    assert said == "held"
    assert not _is_free(lock)
    process.kill()
    process.wait(20)
    assert _is_free(lock)


def test_a_forked_worker_that_outlives_its_killed_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    process, worker = _start(lock, "fork")
    try:
        assert not _is_free(lock)
        process.kill()
        process.wait(20)
        os.kill(int(worker), 0)  # the orphan lives
        assert _is_free(lock)
    finally:
        os.kill(int(worker), signal.SIGKILL)
