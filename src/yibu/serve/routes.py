"""Which artifact answers to which name, and how a name moves to another one without a mixed answer.

A name is a ref of the store and nothing else: a path, an address or an artifact that no ref names cannot be asked for.
What it points at is immutable and loaded under its own id. When the ref moves, the new artifact is loaded beside the
old one, then the name is switched, and the old one is unloaded once nobody has it any more. Who asked before the switch
is answered by the old one to the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from yibu.core.log import get
from yibu.engines import ADAPTERS, Adapter, Engine, EngineFailed
from yibu.serve.asked import Asked
from yibu.serve.problems import Problem

log = get("serve")

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


@dataclass(eq=False)
class Version:
    """A loaded artifact.

    Attributes:
        id: of the artifact; the engine knows its adapter by it.
        adapter: None for a base.
        asked: its task; None where it has none.
        leases: requests that it is answering.
    """

    id: str
    adapter: Adapter | None = None
    asked: Asked | None = None
    leases: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def engine_name(self) -> str | None:
        """What the engine is asked for; None is what it was started with."""
        return None if self.adapter is None else self.adapter.name


@dataclass(frozen=True)
class Served:
    """What a gateway begins with.

    Attributes:
        refs: what clients call a model -> ref of the store that says what it is.
        first: the version that each name begins with.
        digest: of the weights that the engine loads: a ref that moves to others is not followed. None where somebody
            else runs them, and no ref is.
    """

    refs: dict[str, str]
    first: dict[str, Version]
    digest: str | None


class Routes:
    """The names that are served.

    Args:
        engine: where adapters are loaded.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions: dict[str, Version] = {}  # by name
        self._also: dict[str, str] = {}  # another word for a name
        self._loaded: dict[str, Version] = {}  # by id
        self._draining: set[asyncio.Task[None]] = set()
        self._switching = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """Every name that may be asked for."""
        return sorted(self._versions)

    def version(self, name: str) -> Version | None:
        """What a name stands for now."""
        return self._versions.get(name)

    def also(self, word: str, name: str) -> None:
        """Let a name be asked for by another word, too, which is not listed."""
        if word != name:
            self._also[word] = name

    @contextlib.contextmanager
    def lease(self, name: str) -> Iterator[Version]:
        """What a name stands for, kept until the block ends.

        Raises:
            Problem: 404, no such name.
        """
        version = self._versions.get(name) or self._versions.get(self._also.get(name, name))
        if version is None:
            what = "there is no model of this name; GET /v1/models lists those that there are"
            if not _NAME.fullmatch(name):
                what = "this cannot be the name of a model: models are named by refs, never by a path or an address"
            raise Problem(404, what, "model_not_found", param="model")
        version.leases += 1
        try:
            yield version
        finally:
            version.leases -= 1
            if not version.leases:
                version.idle.set()

    async def switch(self, name: str, version: Version, loaded: bool = False) -> None:
        """Let a name stand for a version, which is loaded first; returns when new requests get it.

        Args:
            loaded: the engine was started with it.

        Raises:
            EngineFailed: it cannot be loaded; the name stays where it was.
        """
        async with self._switching:
            old = self._versions.get(name)
            if old is not None and old.id == version.id:
                return
            same = self._loaded.get(version.id)  # under another name, or about to be unloaded
            if same is None and version.adapter is not None and not loaded:
                await self._load(version.adapter)
            self._loaded[version.id] = self._versions[name] = same or version
            if old is not None and old not in self._versions.values():
                log.info("%s: %s takes the place of %s", name, version.id, old.id)
                task = asyncio.create_task(self._drain(old))
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)

    async def settle(self) -> None:
        """Wait until all that was replaced is unloaded."""
        while self._draining:
            await asyncio.gather(*self._draining, return_exceptions=True)

    async def _load(self, adapter: Adapter) -> None:
        if ADAPTERS not in self._engine.can:
            raise EngineFailed("unable")
        await self._engine.load_adapter(adapter)

    async def _drain(self, version: Version) -> None:
        while version.leases:
            version.idle.clear()
            await version.idle.wait()
        async with self._switching:
            if version in self._versions.values() or version.leases or self._loaded.pop(version.id, None) is None:
                return  # it came back, or was unloaded already
            if version.adapter is None or ADAPTERS not in self._engine.can:
                return
            try:
                await self._engine.unload_adapter(version.adapter.name)
            except EngineFailed as error:
                log.warning("%s could not be unloaded (%s); its memory is not free", version.id, error.reason)
