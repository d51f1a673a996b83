"""Bytes on disk: digests, writes that are whole or absent, and a full disk told as what it is.

"Whole or absent" takes four steps, and leaving out any of them has cost other tools their checkpoints: write to a
temporary name, fsync the file, rename over the target, fsync the folder. Without the first fsync a power cut leaves a
file of the right length full of zeros; without the second the old name may come back.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from yibu.core.errors import InputError, NoSpace, YibuError

_TEMPORARY = ".yibu-tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT}
# safetensors and Arrow report a full disk as a text of their own error class.
_FULL_TEXTS = ("no space left on device", "disk quota exceeded", "os error 28", "os error 122")


def digest_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, 64 hex digits.

    Raises:
        InputError: there is no file at the path.
    """
    if not os.path.isfile(path):
        raise InputError("There is no file at this path.", got=path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_folder(path: Path | str) -> str:
    """SHA-256 over the names and bytes of all files below a folder, 64 hex digits; empty folders do not count.

    Symbolic links are followed (a model in the hub's cache is a folder of links), so the digest says what is read, not
    how it is stored.

    Raises:
        InputError: there is no folder at the path, or a link in it leads nowhere.
    """
    if not os.path.isdir(path):
        raise InputError("There is no folder at this path.", got=path)
    root = Path(path)
    seen = {os.path.realpath(root)}
    digests: dict[str, str] = {}
    for folder, below, files in os.walk(root, followlinks=True):
        for name in sorted(below):
            real = os.path.realpath(os.path.join(folder, name))
            if real in seen:  # a link that leads back: counted, not entered
                below.remove(name)
                digests[Path(folder, name).relative_to(root).as_posix()] = "folder counted before"
            seen.add(real)
        below.sort()  # the order decides which of two names of one folder is entered
        for name in files:
            file = Path(folder, name)
            digests[file.relative_to(root).as_posix()] = digest_file(file)
    return digest_json(digests)


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys, no spaces, ASCII), 64 hex digits.

    Raises:
        TypeError, ValueError: the value is not JSON (an object, NaN).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_atomically(path: Path | str, data: bytes | str) -> None:
    """Write a file so that, whatever happens, its name holds either all the old bytes or all the new ones.

    Args:
        path: target; its folder is made.
        data: bytes, or text to be written as UTF-8.

    Raises:
        NoSpace: the disk is full; the target is as it was and no temporary file stays.
    """
    raw = data.encode() if isinstance(data, str) else data
    with whole_file(Path(path), len(raw)) as file:
        file.write(raw)


@contextlib.contextmanager
def whole_file(target: Path, num_bytes: int, private: bool = False) -> Iterator[BinaryIO]:
    """A file to be written piece by piece, whose name appears when all of it is on the disk.

    Args:
        target: its path; its folder is made.
        num_bytes: that will be written, for the message.
        private: nobody but its owner may read it.

    Raises:
        NoSpace: the disk is full; the target is as it was and no temporary file stays.
    """
    temporary = target.with_name(f".{secrets.token_hex(6)}{_TEMPORARY}")
    with space_for(f"{target.name}, {num_bytes:,} bytes", target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb", opener=_for_its_owner if private else None) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(target.parent)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def remove_temporary(folder: Path) -> None:
    """Remove what `write_atomically` was writing below a folder when the process was killed."""
    for file in folder.rglob(f".*{_TEMPORARY}"):
        file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (creation and renaming are writes to the folder, not to the file)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def space_for(what: str, place: Path) -> Iterator[None]:
    """Turn a full disk (or quota) inside the block into `NoSpace`; other errors pass.

    Args:
        what: what is being written, for the message.
        place: folder whose file system is meant.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, YibuError) or not is_full_disk(error):
            raise
        raise NoSpace(
            f"The disk is full: no space left to write {what}.",
            got=f"{_free(place)} at {place}",
            do="free some space, or point YIBU_STORE to a larger disk, and run the same command again; "
            "everything that was finished before is untouched",
        ) from error


def is_full_disk(error: BaseException | None) -> bool:
    """True where an error, or one that it was raised from, says that a disk or a quota is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(text in str(error).lower() for text in _FULL_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _free(place: Path) -> str:
    while not place.exists() and place != place.parent:
        place = place.parent
    status = os.statvfs(place)
    free = f"{status.f_bavail * status.f_frsize:,} bytes free"
    # With many small files a disk runs out of inodes while it has bytes; systems that do not count them say 0 of 0.
    return free + (", no inode free" if status.f_files and not status.f_favail else "")
