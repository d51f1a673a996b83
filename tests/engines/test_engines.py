"""Both protocols against a server of this machine: what is asked, what is counted, how failures are named."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from pydantic import ValidationError

from bench.stub import Stub
from yibu import engines
from yibu.core.errors import InputError
from yibu.engines import EngineFailed, Piece, openai, triton

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def ask(engine: Any, prompt: engines.Prompt = "Hello") -> list[Piece]:
    async def whole() -> list[Piece]:
        try:
            return [piece async for piece in engine.generate(prompt, 5)]
        finally:
            await engine.close()

    return asyncio.run(whole())


def open_ai(address: str, **changes: Any) -> openai.Engine:
    return openai.Engine(openai.Settings(endpoint=f"{address}/v1", **changes))


def test_messages_and_texts_go_where_they_belong() -> None:
    with Stub(tokens=2) as stub:
        ask(open_ai(stub.address, model="m"), MESSAGES)
        ask(open_ai(stub.address, ignore_eos=True))
    (chat, asked), (text, other) = stub.requests
    assert (chat, asked["messages"], asked["model"]) == ("/v1/chat/completions", MESSAGES, "m")
    assert (asked["max_tokens"], asked["stream"], "ignore_eos" in asked) == (5, True, False)
    assert (text, other["prompt"], other["ignore_eos"]) == ("/v1/completions", "Hello", True)


def test_each_piece_has_its_moment_and_the_last_one_the_length() -> None:
    with Stub(tokens=3, gap=0.02) as stub:
        pieces = ask(open_ai(stub.address))
    assert [piece.num_tokens for piece in pieces] == [1, 1, 1, 0, 0]
    assert pieces[-2].finish == "stop"
    assert (pieces[-1].total_tokens, pieces[-1].prompt_tokens) == (4, 7)
    assert pieces[2].at - pieces[0].at >= 0.04


def test_triton_streams_one_token_an_event_and_an_empty_last_one() -> None:
    with Stub(tokens=3) as stub:
        pieces = ask(triton.Engine(triton.Settings(endpoint=stub.address, model="my model")), MESSAGES)
        ask(triton.Engine(triton.Settings(endpoint=stub.address, layout="tensorrt")))
    assert [piece.num_tokens for piece in pieces] == [1, 1, 1, 0]
    (path, body), (_, beside) = stub.requests
    assert path == "/v2/models/my%20model/generate_stream"
    assert body["text_input"] == "Be brief.\n\nHello"
    assert body["parameters"] == {"max_tokens": 5, "stream": True, "temperature": 0}
    assert beside["max_tokens"] == 5


@pytest.mark.parametrize(("behaviour", "reason"), [(503, "status_503"), ("break", "broken"), ("error", "error")])
@pytest.mark.parametrize("kind", ["openai", "triton"])
def test_failures_have_names(kind: str, behaviour: Any, reason: str) -> None:
    if (kind, behaviour) == ("triton", "break"):
        pytest.skip("the protocol has no word for the end of an answer")
    plug = engines.FAMILY.load(kind)
    with Stub(lambda number: behaviour) as stub, pytest.raises(EngineFailed) as raised:
        ask(plug.Engine(plug.Settings(endpoint=stub.address)))
    assert raised.value.reason == reason


def test_nobody_there_is_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EngineFailed) as raised:
        ask(open_ai(address))
    assert raised.value.reason == "refused"


def test_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(InputError, match="SOME_KEY"):
        open_ai("http://localhost:1", key_env="SOME_KEY")
    with pytest.raises(ValidationError, match="password"):
        openai.Settings(endpoint="http://me:secret@localhost/v1")
    with pytest.raises(ValidationError, match="address"):
        openai.Settings(endpoint="localhost:8000")
