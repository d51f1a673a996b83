"""What holds for every engine: stamps rise, the limit is passed on, failures have one class, settings are closed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from pydantic import ValidationError

from bench.stub import Stub
from yibu import engines
from yibu.engines import CLOCK, EngineFailed, Piece

PLUGS = engines.FAMILY.names()
every_plug = pytest.mark.parametrize("name", PLUGS)


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
