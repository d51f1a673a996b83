"""The server around the gateway: starts, answers, and ends without losing an answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError, MissingExtra, YibuError
from yibu.core.log import get
from yibu.core.store import Artifact, Store
from yibu.engines import FAMILY, Engine
from yibu.serve.choose import Chosen, choose
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
    refs: Sequence[str],
    store: Store,
    settings: ServeSettings,
    *,
    is_open: bool = False,
    tell: Callable[[str, Chosen], None] = lambda address, chosen: None,
) -> None:
    """Answer until SIGTERM or Ctrl-C.

    Args:
        refs: names of the store, each of a trained model; all of one base.
        is_open: no keys are asked for; on the loopback only.
        tell: called with the address when requests are answered, and with the engine.

    Raises:
        InputError: a name that is no ref, models of two bases, no keys, an address that is taken.
        YibuError: the engine did not start.
    """
    require()
    from yibu.serve.keeper import version_of
    from yibu.serve.keys import Keys, keys_path
    from yibu.train import Config

    if is_open and not _is_loopback(settings.host):
        raise InputError("A gateway without keys may only listen on the loopback.", got=settings.host)
    keys = None if is_open else Keys(keys_path(store))
    if keys is not None and not len(keys):
        raise InputError("There is no API key yet.", do="yibu keys add NAME, or --open on the loopback")
    models = {ref: _model(ref, store) for ref in refs}
    configs = {ref: Config.model_validate(model.manifest.config) for ref, model in models.items()}
    digests = {config.base.digest for config in configs.values()}
    if len(digests) != 1:
        raise InputError("One gateway serves models of one base.", got=refs, do="start one for each base")
    versions = {ref: version_of(model, store) for ref, model in models.items()}
    first, training = versions[refs[0]], configs[refs[0]].train
    chosen = choose(first, _base_path(configs[refs[0]].base, store), settings.engine, training.device, training.dtype)
    engine = FAMILY.load(str(getattr(chosen.settings, "kind", ""))).Engine(chosen.settings)
    _run(_serve(settings, engine, keys, store, versions, digests.pop(), lambda address: tell(address, chosen)))


def _base_path(base: Any, store: Store) -> str:
    """The base of a training, where it lies now."""
    if Path(base.path).is_dir():
        return str(base.path)
    from yibu.model.resolve import resolve  # imports torch, which the gateway has no other use for

    return str(resolve(base.name, store).path)


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
    versions: Any,
    base_digest: str,
    tell: Callable[[str], None],
) -> None:
    from yibu.serve.app import Gateway
    from yibu.serve.keeper import Keeper
    from yibu.serve.routes import Routes

    gateway = Gateway(settings, engine, Routes(engine), keys)
    keeper = Keeper(gateway, store, keys, versions, base_digest)
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
