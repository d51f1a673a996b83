"""What a stage is, and the folder that it writes into. `yibu.core.store.Store.run` runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from yibu.core.artifact import MANIFEST
from yibu.core.disk import write_atomically
from yibu.core.errors import StoreError

SCRATCH = "scratch"


class Work:
    """The folder that a stage writes into; on success it becomes the artifact.

    Attributes:
        path: the folder.
        fresh: False where an earlier run of a resumable stage was killed or failed and left its files here.
        notes: facts that go into the manifest (device, threads, counts); JSON values.
    """

    def __init__(self, path: Path, fresh: bool) -> None:
        self.path = path
        self.fresh = fresh
        self.notes: dict[str, Any] = {}

    @property
    def scratch(self) -> Path:
        """A folder for checkpoints and the like: kept with the work folder, never part of the artifact.

        It is removed only after the manifest is written, so a run killed while its files are being hashed still
        resumes from it.
        """
        folder = self.path / SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def file(self, name: str) -> Path:
        """A path inside the folder; the folders above it are made.

        Raises:
            StoreError: the name leads out of the folder or is one that the store keeps for itself.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or parts in ((MANIFEST,), (SCRATCH,)):
            raise StoreError(
                "A stage may not write a file of this name.",
                got=name,
                allowed=f"a relative path inside its folder, but not {MANIFEST} or {SCRATCH}",
            )
        path = self.path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON value, indented.

        Raises:
            StoreError: the value is not JSON: an object, or NaN, which other programs cannot read (write None).
        """
        try:
            text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StoreError(f"{name} cannot be written as JSON.", got=error) from error
        self.write_text(name, text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text as UTF-8, whole or not at all."""
        write_atomically(self.file(name), text)


@dataclass(frozen=True)
class Stage:
    """A function from settings and artifacts to an artifact.

    Attributes:
        name: begins the ids of what it makes; lower case.
        function: called as ``function(settings, work, **inputs)``; writes into ``work``.
        version: raised when the same settings would give another result.
        neutral: dotted keys of the settings that cannot change the output (device, number of workers); not in the id.
        resumable: the work folder of a killed or failed run is kept and handed back with ``work.fresh`` False.
        external: digests of what the function reads from outside the store (source files), by a name of its choice.
            They go into the id and are taken again afterwards: a source that changed while it was read is an error.
    """

    name: str
    function: Callable[..., None]
    version: int = 1
    neutral: tuple[str, ...] = ()
    resumable: bool = False
    external: Callable[[Any], dict[str, str]] | None = None

    def __post_init__(self) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", self.name), f"a stage cannot be named {self.name!r}"


def stage(
    *,
    version: int = 1,
    neutral: tuple[str, ...] = (),
    resumable: bool = False,
    external: Callable[[Any], dict[str, str]] | None = None,
    name: str | None = None,
) -> Callable[[Callable[..., None]], Stage]:
    """Decorator that makes a `Stage` of a function, named after it where no name is given."""

    def make(function: Callable[..., None]) -> Stage:
        return Stage(name or function.__name__, function, version, neutral, resumable, external)

    return make
