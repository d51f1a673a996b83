"""Readers: from an address (a file, a folder, a glob, a hub id, a package) to raw records, one at a time.

A reader is one file here. Its contract::

    FORMATS: str                                  what it reads, for messages: ".csv, .tsv"
    FILES: bool                                   whether its addresses are paths of single files
    accepts(address: str) -> bool                 cheap: by suffix or scheme; exactly one reader accepts an address
    read(address: str) -> Iterator[Raw | Bad]     streaming, bounded memory, the same order each time
    digest(address: str) -> dict[str, str]        what the rows depend on: SHA-256 per file, a version, a revision

A row that cannot be read is yielded as `Bad`; it is never dropped and never raises. `DataError` is for what is wrong
with an address as a whole: no such file, no rows can be told apart in it, a package is missing.

This module turns what the user wrote (`open_sources`) into addresses and reads them in order (`read`).
"""

from __future__ import annotations

import glob as globbing
from collections.abc import Iterator, Sequence
from pathlib import Path

from yibu.core.errors import DataError, nearest
from yibu.core.plugs import Family
from yibu.readers import _registry
from yibu.readers._labels import label_names, names_file, with_names
from yibu.readers._records import Bad, Raw
from yibu.readers._text import file_digest

__all__ = ["FAMILY", "Bad", "Raw", "Source", "digest", "open_sources", "read", "reader_of"]

FAMILY = Family(__name__, requires=("FORMATS", "FILES", "accepts", "read", "digest"))

Source = str | Sequence[str]
"""A file, folder, glob, ``scheme:address``, or a list of these."""


def open_sources(source: Source) -> list[str]:
    """The addresses that a source stands for, each one accepted by a reader; a file named twice is read once.

    A folder stands for every file of a known format in it, sorted by name, hidden files left out; a folder that holds
    LLaMA-Factory's ``dataset_info.json`` stands for the data set described there.

    Raises:
        DataError: nothing at the path (names the nearest file), a folder or glob without a readable file, a format
            that no reader knows.
    """
    given = [source] if isinstance(source, str) else list(source)
    if not given:
        raise DataError("No data source was given.", do="set data.source to a file, a folder, a glob or a hub id")
    return list(dict.fromkeys(address for one in given for address in _expand(one)))


def reader_of(address: str) -> str:
    """Name of the one reader that accepts an address.

    Raises:
        DataError: no reader does.
    """
    found = next((name for name, plug in FAMILY.all().items() if plug.accepts(address)), None)
    if found is None:
        raise DataError("No reader knows this format.", got=address, allowed=_formats())
    return found


def read(source: Source) -> Iterator[Raw | Bad]:
    """Every record of a source in a fixed order, those that cannot be read as `Bad`.

    Whole-number labels become names where a names file lies beside the data (see `yibu.readers._labels`).

    Raises:
        DataError: see `open_sources`; a file that cannot be opened or whose structure is broken beyond its rows.
    """
    for address in open_sources(source):
        items = FAMILY.load(reader_of(address)).read(address)
        names = label_names(Path(address).parent) if Path(address).is_file() else None
        try:
            for item in items:
                yield item if names is None or isinstance(item, Bad) else with_names(item, names)
        except OSError as error:
            raise DataError("This source cannot be read.", got=f"{address}: {error.strerror or error}") from error


def digest(source: Source) -> dict[str, str]:
    """What the rows of a source depend on, for artifact ids: path -> SHA-256, package -> version, hub id -> revision.

    Raises:
        DataError: see `open_sources`.
    """
    result: dict[str, str] = {}
    for address in open_sources(source):
        result.update(FAMILY.load(reader_of(address)).digest(address))
        if Path(address).is_file() and (names := names_file(Path(address).parent)):
            result.update(file_digest(str(names)))
    return result


def _expand(given: str) -> list[str]:
    path = Path(given).expanduser()
    if path.is_dir():
        return _expand_folder(path)
    if path.is_file():
        found = [str(path)]
    elif globbing.has_magic(given):
        found = sorted(hit for hit in globbing.glob(str(path), recursive=True) if Path(hit).is_file())
        if not found:
            raise DataError("No file matches this pattern.", got=given, do=_what_is_near(path))
    elif any(plug.accepts(given) and not plug.FILES for plug in FAMILY.all().values()):
        found = [given]
    else:
        raise DataError("There is no such file or folder.", got=given, do=_what_is_near(path))
    for address in found:
        reader_of(address)
        if _registry.is_address(address):
            _registry.entries(address)
    return found


def _expand_folder(folder: Path) -> list[str]:
    registry = folder / _registry.NAME
    if registry.is_file() and not _registry.is_huggingface(registry):
        return [_registry.only_address(registry)]
    names = names_file(folder)
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.is_file() and entry != names and entry.name not in _registry.SIDECARS]
    found = [str(file) for file in files if any(plug.accepts(str(file)) for plug in FAMILY.all().values())]
    if not found:
        below = [entry for entry in entries if entry.is_dir()]
        raise DataError(
            "This folder holds no file of a known format.",
            got=f"{folder}: {', '.join(entry.name for entry in entries) or 'empty'}",
            allowed=_formats(),
            do=f"give a folder below it, e.g. {below[0]}" if below else None,
        )
    return found


def _what_is_near(path: Path) -> str:
    """Advice for a path that is not there: the nearest name, or what the folder above it holds."""
    folder = path.parent
    while not folder.is_dir():
        path, folder = folder, folder.parent
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    close = nearest(path.name, names)
    if close is not None:
        return f"did you mean {folder / close}?"
    seen = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"{folder.resolve()} holds: {seen or 'nothing'}"


def _formats() -> list[str]:
    return [plug.FORMATS for plug in FAMILY.all().values()]
