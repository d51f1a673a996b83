"""A disk that is really full: a tmpfs of one megabyte, mounted for the test and unmounted after it."""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import subprocess
import sys
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


class Packages:
    """A folder on ``sys.path`` for packages and distributions that a test makes up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def family(self, name: str, requires: tuple[str, ...] = ("Settings",), **plugs: str) -> str:
        """A family of plugs; each plug is the source text of its file."""
        source = f"from yibu.core.plugs import Family\nFAMILY = Family(__name__, requires={requires!r})\n"
        self.module(f"{name}/__init__", source)
        for plug, text in plugs.items():
            self.module(f"{name}/{plug}", text)
        return name

    def module(self, name: str, text: str) -> None:
        path = self.folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()

    def distribution(self, name: str, entry_points: str) -> None:
        """An installed distribution with these entry points."""
        folder = self.folder / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    before = set(sys.modules)
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Packages(folder)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(folder):
            del sys.modules[name]
