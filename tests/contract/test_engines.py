"""What holds for every engine: stamps rise, the limit is passed on, failures have one class, settings are closed.

Those that start a process of their own are asked in `tests/engines`, since each needs a model.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.stub import Stub
from yibu import engines
from yibu.core.errors import InputError
from yibu.engines import CLOCK, EngineFailed, Piece

PLUGS = engines.FAMILY.names()
REMOTE = [name for name in PLUGS if issubclass(engines.FAMILY.load(name).Settings, engines.EngineSettings)]
STARTED = [name for name in PLUGS if issubclass(engines.FAMILY.load(name).Settings, engines.ProcessSettings)]
every_plug = pytest.mark.parametrize("name", REMOTE)
every_started = pytest.mark.parametrize("name", STARTED)


def test_an_engine_is_asked_or_started() -> None:
    assert sorted(REMOTE + STARTED) == PLUGS


def pieces(name: str, address: str, prompt: Any = "Hello") -> list[Piece]:
    plug = engines.FAMILY.load(name)

    async def whole() -> list[Piece]:
        engine = plug.Engine(plug.Settings(endpoint=address))
        try:
            return [piece async for piece in engine.generate(prompt, 5)]
        finally:
            await engine.close()

    return asyncio.run(whole())


@every_plug
@pytest.mark.parametrize("prompt", ["Hello", [{"role": "user", "content": "Hello"}]])
def test_pieces_come_with_stamps_that_rise(name: str, prompt: Any) -> None:
    begun = CLOCK()
    with Stub(tokens=3) as stub:
        found = pieces(name, stub.address, prompt)
    stamps = [piece.at for piece in found]
    assert begun < stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] < CLOCK()
    assert sum(piece.num_tokens for piece in found) == 3
    assert "".join(piece.text for piece in found) == "word word word "
    assert found[-1].finish == "stop" or [piece.finish for piece in found].count("stop") == 1
    assert "5" in str(stub.requests[0][1])


@every_plug
def test_failures_are_engine_failures(name: str) -> None:
    with Stub(lambda number: 429) as stub, pytest.raises(EngineFailed, match="status_429"):
        pieces(name, stub.address)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EngineFailed, match="refused"):
        pieces(name, address)


@every_plug
def test_settings_are_closed_and_name_their_plug(name: str) -> None:
    wanted = engines.FAMILY.load(name).Settings(endpoint="http://localhost:1/")
    assert wanted.kind == name
    assert wanted.endpoint == "http://localhost:1"
    with pytest.raises(ValidationError):
        type(wanted)(endpoint="http://localhost:1", key="secret")


@pytest.mark.parametrize("name", PLUGS)
def test_what_an_engine_cannot_do_it_says(name: str) -> None:
    plug = engines.FAMILY.load(name)
    address = {"endpoint": "http://localhost:1"} if name in REMOTE else {"base_path": "/nowhere"}
    engine: engines.Engine = plug.Engine(plug.Settings(**address))
    assert engines.GENERATE in engine.can

    async def asked() -> None:
        try:
            for known, call in (
                (engines.SCORE, engine.score("Hi", ["a", "b"])),
                (engines.ADAPTERS, engine.load_adapter(engines.Adapter("a", Path("/nowhere")))),
            ):
                with pytest.raises(EngineFailed) as raised:
                    await call
                assert (raised.value.reason == "unable") == (known not in engine.can)
        finally:
            await engine.close()

    asyncio.run(asked())


@every_started
def test_one_that_is_not_started_is_down(name: str) -> None:
    plug = engines.FAMILY.load(name)
    engine: engines.Engine = plug.Engine(plug.Settings(base_path="/nowhere"))

    async def asked() -> None:
        assert not engine.is_alive
        assert not await engine.is_healthy()
        with pytest.raises(EngineFailed, match="down"):
            async for _ in engine.generate("Hi", 1):
                pass
        with pytest.raises(InputError, match="no longer"):
            await engine.start()
        await engine.close()

    asyncio.run(asked())


@every_plug
def test_one_that_was_closed_is_down(name: str) -> None:
    """A request may hold an engine's client while the engine is replaced."""
    plug = engines.FAMILY.load(name)

    async def asked(address: str) -> None:
        engine = plug.Engine(plug.Settings(endpoint=address))
        await engine.close()
        assert not await engine.is_healthy()
        with pytest.raises(EngineFailed, match="down"):
            async for _ in engine.generate("Hello", 5):
                pass

    with Stub() as stub:
        asyncio.run(asked(stub.address))
