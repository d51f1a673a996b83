"""A disk that is really full: a tmpfs of one megabyte, mounted for the test and unmounted after it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """One megabyte.

    Where the machine forbids mounting, the full disk is simulated where the kernel may report it too: at fsync. The
    tests run either way.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.mounted = False
        self._filler = path / "filler"
        self._monkeypatch = monkeypatch
        self._sync = os.fsync

    def mount(self) -> None:
        self.path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.path)]
        try:
            self.mounted = subprocess.run(command, capture_output=True, timeout=30).returncode == 0
        except OSError:
            self.mounted = False

    def fill(self, leave: int = 0) -> None:
        """Use up the space but ``leave`` bytes, a multiple of 4096."""
        if not self.mounted:
            self._monkeypatch.setattr(os, "fsync", self._fail)
            return
        block = b"x" * 4096
        with self._filler.open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(block):
                    pass
            assert os.statvfs(self.path).f_bavail == 0
            file.truncate(file.tell() - file.tell() % 4096 - leave)

    def free(self) -> None:
        if self.mounted:
            self._filler.unlink(missing_ok=True)
        else:
            self._monkeypatch.setattr(os, "fsync", self._sync)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.path)], check=True, timeout=30)

    @staticmethod
    def _fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "small", monkeypatch)
    disk.mount()
    yield disk
    disk.close()


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What yibu logs from INFO up, also where another test has configured its logger."""
    monkeypatch.setattr(logging.getLogger("yibu"), "propagate", True)
    caplog.set_level(logging.INFO, logger="yibu")
    return caplog
