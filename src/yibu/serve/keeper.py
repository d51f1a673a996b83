"""Keeps the gateway going: starts the engine, again where it died, and follows refs and keys as they change."""

from __future__ import annotations

import asyncio
import time

from yibu.core.errors import InputError, YibuError
from yibu.core.log import get
from yibu.core.store import Store
from yibu.engines import EngineFailed
from yibu.serve.app import Gateway
from yibu.serve.keys import Keys
from yibu.serve.routes import Served, Version
from yibu.serve.weights import weights_of

log = get("serve")

_TICK = 0.2
"""Seconds between two looks at the engine, the refs and the keys."""

_LONGEST_PAUSE = 30.0
"""Seconds before another start of an engine that dies again and again."""


class Keeper:
    """What runs beside the requests.

    Args:
        served: the names, and what they began with.
    """

    def __init__(self, gateway: Gateway, store: Store, keys: Keys | None, served: Served) -> None:
        self._gateway, self._store, self._keys, self._served = gateway, store, keys, served
        self._refused: dict[str, str] = {}  # name -> artifact that it will not be moved to

    async def start(self) -> None:
        """Load everything.

        Raises:
            YibuError: the engine did not start, or refused an adapter.
        """
        gateway = self._gateway
        await gateway.engine.start()
        gateway.metrics.count("yibu_engine_starts_total")
        begun_with = getattr(gateway.engine, "settings", None)
        first = self._served.first
        for name, version in first.items():
            loaded = getattr(begun_with, "adapter_name", None) == version.id
            await gateway.routes.switch(name, version, loaded)
            gateway.routes.also(self._served.refs[name], name)
        gateway.ready = True
        log.info("ready: %s", ", ".join(f"{name} is {version.id}" for name, version in first.items()))

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            await asyncio.sleep(_TICK)
            if not self._gateway.engine.is_alive:
                await self._restart()
            try:
                await self._follow()
                if self._keys is not None:
                    self._keys.reload()
            except YibuError as error:
                log.error("%s; what was there stays", error.what)

    async def _restart(self) -> None:
        gateway, pause = self._gateway, 0.0
        gateway.ready = False
        log.error("the engine died; it is started again")
        while True:
            begun = time.monotonic()
            try:
                await gateway.engine.start()
                break
            except YibuError as error:
                pause = min(_LONGEST_PAUSE, 2 * pause + 1)
                log.error("the engine did not start (%s); next try in %.0f s", error.what, pause)
                await asyncio.sleep(pause)
        gateway.metrics.count("yibu_engine_starts_total")
        gateway.ready = True
        log.info("the engine is back after %.1f s", time.monotonic() - begun)

    async def _follow(self) -> None:
        """Move names whose refs moved."""
        if self._served.digest is None:
            return
        for name, ref in self._served.refs.items():
            current = self._gateway.routes.version(name)
            id = await asyncio.to_thread(self._store.named, ref)
            if id is None or current is None or id in (current.id, self._refused.get(name)):
                continue
            try:
                version = await asyncio.to_thread(self._open, id)
                await self._gateway.routes.switch(name, version)
                self._refused.pop(name, None)
            except (YibuError, EngineFailed) as error:
                down = isinstance(error, EngineFailed) and error.reason in ("down", "refused", "broken")
                if not down:  # tried again when the ref moves again
                    self._refused[name] = id
                log.error("%s stays at %s: %s", name, current.id, error.what)

    def _open(self, id: str) -> Version:
        weights = weights_of(self._store.get(id), self._store)
        if weights.digest != self._served.digest:
            raise InputError(
                "This model stands on other weights than those that are loaded.",
                got=id,
                do="start another `yibu serve` for it",
            )
        return weights.version()
