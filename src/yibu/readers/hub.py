"""A data set of the Hugging Face hub, streamed with the package ``datasets``. The one reader that uses the network, and
only for an address that the user gave::

    hub:owner/name[@revision][:subset][:split]      one part after the name is the split ("train" where none is given)
    owner/name                                      the same, where no such path exists
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yibu.core.errors import DataError, MissingExtra
from yibu.readers._labels import class_names, with_names
from yibu.readers._records import Bad, Raw
from yibu.readers.parquet import plain

FORMATS = "hub:owner/name[:split]"
FILES = False

_SCHEME = "hub:"
_PART = r"[A-Za-z0-9][\w.-]*"
_ADDRESS = re.compile(
    rf"(?P<name>{_PART}(?:/{_PART})?)(?:@(?P<revision>[\w./-]+))?(?::(?P<first>[\w.-]+))?(?::(?P<second>[\w.-]+))?"
)
_BARE = re.compile(rf"{_PART}/{_PART}(?::[\w.-]+){{0,2}}")
_FILE_SUFFIXES = (
    ".jsonl",
    ".ndjson",
    ".json",
    ".csv",
    ".tsv",
    ".parquet",
    ".arrow",
    ".feather",
    ".txt",
    ".pubtator",
    ".yaml",
    ".yml",
    ".md",
    ".xlsx",
    ".xls",
    ".gz",
    ".zip",
    ".pdf",
    ".docx",
    ".xml",
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class _Place(NamedTuple):
    name: str
    revision: str | None
    subset: str | None
    split: str


def accepts(address: str) -> bool:
    if address.startswith(_SCHEME):
        return True
    if not _BARE.fullmatch(address) or Path(address).exists():
        return False
    # A folder of that name makes "data/train" a mistyped path, not a repository.
    owner, _, rest = address.partition("/")
    return not Path(owner).exists() and not rest.partition(":")[0].lower().endswith(_FILE_SUFFIXES)


def read(address: str) -> Iterator[Raw | Bad]:
    """Rows numbered from 1.

    Raises:
        MissingExtra: ``datasets`` is not installed.
        DataError: the hub cannot be reached, or has no such data set, subset or split.
    """
    place = _parse(address)
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hub", f"The data source {address}") from error
    try:
        stream = datasets.load_dataset(
            place.name, place.subset, split=place.split, revision=place.revision, streaming=True
        )
        rows = iter(stream)
        names = class_names(stream.features.to_dict()) if stream.features else {}
    except Exception as error:  # datasets, its file systems and its HTTP client each raise their own
        raise _unreachable(address, place, error) from error
    number = 0
    while True:
        try:
            row = next(rows, None)
        except Exception as error:
            raise _unreachable(address, place, error) from error
        if row is None:
            return
        number += 1
        try:
            item = Raw(address, number, plain(row))
        except ValueError as error:
            yield Bad(address, number, str(error))
        else:
            yield with_names(item, names) if names else item


def digest(address: str) -> dict[str, str]:
    """The data set's name and the commit that its revision stands for now (asks the hub, unless a commit is given).

    Raises:
        MissingExtra: ``huggingface_hub`` is not installed.
        DataError: the hub cannot be reached, or has no such data set.
    """
    place = _parse(address)
    if place.revision and _COMMIT.fullmatch(place.revision):
        return {address: f"{place.name}@{place.revision}"}
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "hub", f"The data source {address}") from error
    try:
        commit = huggingface_hub.HfApi().dataset_info(place.name, revision=place.revision).sha
    except Exception as error:
        raise _unreachable(address, place, error) from error
    return {address: f"{place.name}@{commit}"}


def _parse(address: str) -> _Place:
    match = _ADDRESS.fullmatch(address.removeprefix(_SCHEME))
    if match is None:
        raise DataError(
            "This is no address of a data set on the hub.",
            got=address,
            allowed="hub:owner/name[@revision][:split] or hub:owner/name[@revision]:subset:split",
        )
    first, second = match["first"], match["second"]
    subset, split = (first, second) if second else (None, first or "train")
    return _Place(match["name"], match["revision"], subset, split)


def _unreachable(address: str, place: _Place, error: Exception) -> DataError:
    folder = f"data/{place.name.rpartition('/')[2]}"
    return DataError(
        f"The data set {place.name} could not be read from the hub (and no file or folder is called {address!r}).",
        got=f"{type(error).__name__}: {error}",
        do=f"on a machine with a connection: hf download {place.name} --repo-type dataset --local-dir {folder}; "
        f"then give the folder {folder} as the source",
    )
