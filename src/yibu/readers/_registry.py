"""``dataset_info.json``: whose it is, and which data sets it describes.

Three tools write a file of this name. LLaMA-Factory's is a table of data sets (``{"name": {"file_name": ...}}``) and is
read as it is. ms-swift's is a list of hub ids (``[{"ms_dataset_id": ...}]``), which names no file. The ``datasets``
library leaves one with ``features`` beside its own arrow files, and says nothing that those files do not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yibu.core.errors import DataError, nearest

NAME = "dataset_info.json"

SIDECARS = (NAME, "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files of the ``datasets`` library that hold no rows."""

_PLACES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")


def is_address(address: str) -> bool:
    """Whether an address is a registry's path, with or without ``:name``."""
    return split_address(address)[0].name == NAME


def split_address(address: str) -> tuple[Path, list[str]]:
    """``path/dataset_info.json:one,two`` as the path and the names asked for (none: not said)."""
    path, found, names = address.rpartition(NAME + ":")
    if not found:
        return Path(address), []
    return Path(path + NAME), [name.strip() for name in names.split(",") if name.strip()]


def is_huggingface(path: Path) -> bool:
    """Whether the file is the one that ``datasets.save_to_disk`` writes."""
    table = _load(path)
    return isinstance(table, dict) and "features" in table and not isinstance(table["features"], str)


def only_address(path: Path) -> str:
    """The address of the one data set that a registry describes.

    Raises:
        DataError: it describes several, so that one must be named; it is not LLaMA-Factory's.
    """
    known = sorted(_table(path))
    if len(known) != 1:
        raise DataError(
            f"{path} describes {len(known)} data sets; say which is meant.",
            allowed=known,
            do=f'set data.source to "{path}:{known[0]}" (or several names with commas)' if known else None,
        )
    return f"{path}:{known[0]}"


def entries(address: str) -> dict[str, dict[str, Any]]:
    """The descriptions that an address asks for, by name.

    Raises:
        DataError: no such file or name; not LLaMA-Factory's schema.
    """
    path, names = split_address(address)
    if not path.is_file():
        raise DataError("There is no such file.", got=path, do=f"look for {NAME} with: find . -name {NAME}")
    if not names:
        return entries(only_address(path))
    table = _table(path)
    for name in names:
        if name not in table:
            close = nearest(name, table)
            raise DataError(
                f"{path} describes no data set of that name.",
                got=name,
                allowed=sorted(table),
                do=f"did you mean {close!r}?" if close else None,
            )
    return {name: table[name] for name in names}


def _table(path: Path) -> dict[str, dict[str, Any]]:
    table = _load(path)
    if isinstance(table, list):
        raise DataError(
            f"{path} is in ms-swift's schema (a list of hub ids), not LLaMA-Factory's (a table of data sets).",
            do='give the data themselves: a file, a folder, or "hub:owner/name"',
        )
    if is_huggingface(path):
        raise DataError(
            f"{path} was written by the datasets library and describes the arrow files beside it.",
            do=f"give the folder: {path.parent}",
        )
    sound = isinstance(table, dict) and all(
        isinstance(entry, dict) and any(place in entry for place in _PLACES) for entry in table.values()
    )
    if not sound:
        raise DataError(
            f"{path} is not in LLaMA-Factory's schema.",
            allowed='{"name": {"file_name": "rows.json", "formatting": "alpaca" or "sharegpt", "columns": {...}}}',
        )
    return dict(table)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON.", got=error) from error
