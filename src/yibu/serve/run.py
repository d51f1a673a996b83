"""The server around the gateway: starts, answers, and ends without losing an answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from yibu.core.errors import InputError, MissingExtra, YibuError
from yibu.core.log import get
from yibu.core.store import Artifact, Store
from yibu.engines import FAMILY, Engine
from yibu.serve.choose import Chosen, choose
from yibu.serve.routes import Served, Version
from yibu.serve.settings import ServeSettings

log = get("serve")


def require() -> None:
    """
    Raises:
        MissingExtra: a package of the extra ``serve`` is missing.
    """
    import importlib.util

    for package in ("fastapi", "uvicorn", "httptools", "uvloop", "httpx"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, extra="serve", use="serving a model")


def serve(
    refs: Mapping[str, str],
    store: Store,
    settings: ServeSettings,
    *,
    is_open: bool = False,
    tell: Callable[[str, Chosen], None] = lambda address, chosen: None,
) -> None:
    """Answer until SIGTERM or Ctrl-C.

    Args:
        refs: what clients call a model -> ref of the store; all on the same base or weights.
        is_open: no keys are asked for; on the loopback only.
        tell: called with the address when requests are answered, and with the engine.

    Raises:
        InputError: a name that is no ref, models of two bases, no keys, an address that is taken.
        YibuError: the engine did not start.
    """
    require()
    from yibu.serve.keys import Keys, keys_path
    from yibu.serve.weights import weights_of

    if is_open and not _is_loopback(settings.host):
        raise InputError("A gateway without keys may only listen on the loopback.", got=settings.host)
    keys = None if is_open else Keys(keys_path(store))
    if keys is not None and not len(keys):
        raise InputError("There is no API key yet.", do="yibu keys add NAME, or --open on the loopback")
    weights = {name: weights_of(_model(ref, store), store) for name, ref in refs.items()}
    first = next(iter(weights.values()))
    chosen = choose(first, store, settings.engine)
    if chosen.endpoint is not None and len(refs) > 1:
        raise InputError(
            "An endpoint that somebody else runs is asked for one model.",
            got=list(refs),
            do="start one gateway for each, with serve.engine.model=NAME",
        )
    if len({one.digest for one in weights.values()}) != 1:
        raise InputError("One gateway serves models of one base.", got=list(refs), do="start one for each base")
    versions = {name: one.version() for name, one in weights.items()}
    if chosen.endpoint is not None:  # an answer must not name an artifact that may not run there
        versions = {name: Version(chosen.endpoint, None, one.asked) for name, one in weights.items()}
    engine = FAMILY.load(str(getattr(chosen.settings, "kind", ""))).Engine(chosen.settings)
    served = Served(dict(refs), versions, None if chosen.endpoint else first.digest)
    _run(_serve(settings, engine, keys, store, served, lambda address: tell(address, chosen)))


def _model(ref: str, store: Store) -> Artifact:
    """
    Raises:
        InputError: no ref; an id or a path is none.
    """
    model = store.ref(ref)
    if model is None:
        raise InputError(
            "Only what a ref names is served, so that what answers can be moved and rolled back.",
            got=ref,
            allowed=sorted(store.refs()) or "nothing: the store has no refs yet",
        )
    return model


async def _serve(
    settings: ServeSettings,
    engine: Engine,
    keys: Any,
    store: Store,
    served: Served,
    tell: Callable[[str], None],
) -> None:
    from yibu.serve.app import Gateway
    from yibu.serve.keeper import Keeper
    from yibu.serve.routes import Routes

    gateway = Gateway(settings, engine, Routes(engine), keys)
    keeper = Keeper(gateway, store, keys, served)
    with _listening(settings) as door:
        server = _server(gateway, settings)
        answering = asyncio.create_task(server.serve(sockets=[door]))  # alive at once, ready when the engine is
        try:
            await _or_first(keeper.start(), answering)
            if not answering.done():
                tell(f"http://{settings.host}:{door.getsockname()[1]}")
                await _or_first(keeper.run(), answering)
        finally:
            server.should_exit = True
            await answering
            await engine.close()


def _server(gateway: Any, settings: ServeSettings) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """uvicorn's, which would end the process by the signal that it got, before the engine is closed."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop, wanted = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
            for number in wanted:
                loop.add_signal_handler(number, self.handle_exit, number, None)
            try:
                yield
            finally:
                for number in wanted:
                    loop.remove_signal_handler(number)

    config = uvicorn.Config(
        gateway.app,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        backlog=2048,
    )
    return Server(config)


@contextlib.contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """
    Raises:
        InputError: somebody else listens there, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP, since asyncio switches Nagle's algorithm off for those alone.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((settings.host, settings.port))
        except OSError as error:
            raise InputError(
                "It cannot listen at this address.",
                got=f"{settings.host}:{settings.port} ({error.strerror})",
                do="choose another port: serve.port=8001",
            ) from error
        yield door


async def _or_first(work: Any, other: asyncio.Task[None]) -> None:
    """Some work, ended where the other ends first.

    Raises:
        YibuError: what the work raises.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task, other), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, YibuError):
            await task


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(work: Any) -> None:
    import uvloop

    uvloop.run(work)
