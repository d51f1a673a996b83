"""Configs of bases: those that were published, written down with their sources, and those on this machine.

The numbers of a config are facts. They lie in ``yibu/bases/published``, one JSON file a size, so that what training
would need can be told of a base that nobody has fetched. A file has no weights, no tokenizer and no template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from yibu import bases
from yibu.core.errors import BaseModelError, nearest

Config = Mapping[str, Any] | str | Path
"""A config as a table, a path, a hub id, or the short name of a published one."""


@dataclass(frozen=True)
class Published:
    """A config that somebody published.

    Attributes:
        names: hub ids with these numbers.
        total, active: parameters that its makers state, None where they state none; `stated_by` says who.
        sources: where the numbers were read.
        note: what is to be known of them.
        config: what decides the sizes, under the names of ``config.json``.
    """

    names: tuple[str, ...]
    total: float | None
    active: float | None
    stated_by: str
    sources: tuple[str, ...]
    note: str
    config: dict[str, Any]


@cache
def published() -> dict[str, Published]:
    """Short name (that of the file) -> config, for every base whose numbers are written down."""
    found = {}
    folder = resources.files(bases).joinpath("published")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        table = json.loads(file.read_text(encoding="utf-8"))
        stated = table["parameters"]
        found[file.name.removesuffix(".json")] = Published(
            tuple(table["names"]),
            stated["total"],
            stated["active"],
            stated["stated_by"],
            tuple(table["sources"]),
            table["note"],
            table["config"],
        )
    return found


def read_config(base: Config) -> tuple[dict[str, Any], Published | None]:
    """The config of a base: a table, a folder with ``config.json``, a hub id in the local cache, or a published one.

    Raises:
        BaseModelError: none of these; names what is written down.
    """
    if isinstance(base, Mapping):
        return dict(base), None
    path, name = Path(base).expanduser(), str(base)
    file = path if path.suffix == ".json" else path / "config.json"
    if not file.is_file() and name.count("/") == 1:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(name, "config.json")
        file = Path(cached) if isinstance(cached, str) else file
    if file.is_file():
        try:
            table = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BaseModelError("The base's config.json is not JSON.", got=file) from error
        if not isinstance(table, dict) or "model_type" not in table:
            raise BaseModelError("The base's config.json names no architecture.", got=file, allowed="model_type: ...")
        return table, None
    known = {alias.casefold(): one for key, one in published().items() for alias in (key, *one.names)}
    known |= {alias.rpartition("/")[2]: one for alias, one in known.items()}
    if (found := known.get(name.casefold())) is None:
        every = sorted(alias for one in published().values() for alias in one.names)
        close = nearest(name, every)
        raise BaseModelError(
            "There is no config of this base on this machine, and none is written down.",
            got=name,
            allowed=["a folder with config.json", "a hub id in the local cache", *every],
            do=f"did you mean {close!r}?" if close else "`hf download <owner/name> config.json`",
        )
    return dict(found.config), found


def facts_of(base: Config) -> bases.Facts | None:
    """Facts of a base's architecture, from its config alone; None where there is no config, or none of that type."""
    try:
        config, _ = read_config(base)
    except BaseModelError:
        return None
    return bases.known().get(str(config.get("model_type")))
