"""Files that an engine makes of a model, once, and keeps: named by what they were made of, and whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from yibu.core.disk import space_for


@contextlib.contextmanager
def place_for(target: Path, what: str) -> Iterator[Path | None]:
    """A folder to make it in, on the same disk, that is gone behind the block; None where the target is there.

    Raises:
        NoSpace: the disk is full.
    """
    if target.exists():
        yield None
        return
    with space_for(f"the {what} {target.name}", target.parent):
        place = Path(tempfile.mkdtemp(prefix=".yibu-", dir=target.parent))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def stamp(folder: Path) -> str:
    """Changes when a file below the folder does; without reading gigabytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((str(folder.resolve()), facts)).encode()).hexdigest()[:16]
