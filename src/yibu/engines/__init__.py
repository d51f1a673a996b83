"""Engines: what runs a model, as seen by those who ask it over a network or a loopback.

One file is one protocol. A plug defines

- ``Settings``: its table, with a literal ``kind`` (see `EngineSettings`);
- ``Engine(settings)``: ``generate(prompt, max_new_tokens)`` streams `Piece`s with their time stamps, and ``close()``.
  Its exceptions are `EngineFailed` and no other.

Everything is asynchronous: a client in an open loop has as many requests under way as the load makes, so no pool of
connections or threads may hold one back (`unlimited_client`). A family cannot load a model itself; our own engine is a
process of the stage `yibu.bench` that speaks the protocol of the plug ``openai``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from yibu.core.errors import InputError, MissingExtra, YibuError
from yibu.core.plugs import Family
from yibu.core.recipe import Settings

FAMILY = Family(__name__, requires=("Settings", "Engine"))

Prompt = str | Sequence[dict[str, str]]
"""A text, or messages with ``role`` and ``content``."""

CLOCK = time.monotonic
"""Seconds of the clock that all stamps are of: one for all processes of a machine."""


class EngineSettings(Settings):
    """What every engine is told."""

    endpoint: str = Field(description="address of the server, e.g. http://localhost:8000/v1")
    model: str = Field("default", min_length=1, description="name of the model, as the endpoint knows it")
    key_env: str | None = Field(None, description="environment variable that holds the key; never the key")
    ignore_eos: bool = Field(False, description="ask for answers of full length (vLLM's own parameter)")

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ValueError("must hold no password: it would be written into the artifact; use key_env")
        return endpoint.rstrip("/")


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that an engine sent.

    Attributes:
        at: when it arrived, by `CLOCK`.
        num_tokens: tokens in it, as far as can be told: 1 for a piece of text, 0 for anything else.
        total_tokens: length of the answer, where the server says it (in its last piece).
        prompt_tokens: length of the prompt, where the server says it.
    """

    at: float
    num_tokens: int = 1
    total_tokens: int | None = None
    prompt_tokens: int | None = None


class EngineFailed(YibuError):
    """A request got no whole answer.

    Attributes:
        reason: one word for tables: ``refused`` no connection, ``broken`` one that ended too soon, ``status_503`` and
            the like, ``protocol`` something that is no answer, ``error`` an error inside of an answer.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__("A request got no whole answer.", got=reason)


class EngineLike(Protocol):
    """What clients call."""

    def __init__(self, settings: Any) -> None: ...

    def generate(self, prompt: Prompt, max_new_tokens: int) -> AsyncIterator[Piece]:
        """Ask, and yield what comes as it comes."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def unlimited_client(settings: EngineSettings) -> Any:
    """An ``httpx.AsyncClient`` that holds no request back and sets no time limit of its own.

    Raises:
        MissingExtra: httpx is not installed.
        InputError: the environment variable of the key is empty.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("httpx", extra="data", use="asking an endpoint") from error
    headers = {}
    if settings.key_env is not None:
        key = os.environ.get(settings.key_env, "").strip()
        if not key:
            raise InputError(
                "The environment variable that holds the key of the endpoint is empty.",
                got=settings.key_env,
                do=f"export {settings.key_env}=...",
            )
        headers["Authorization"] = f"Bearer {key}"
    # httpx stops at 100 connections by default: an open loop would silently become a closed one.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(None, connect=10.0), limits=limits, trust_env=False)


async def server_sent_events(client: Any, address: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events, until ``[DONE]`` or its end.

    Raises:
        EngineFailed: no connection, another status than 200, a stream that breaks or is no such stream.
    """
    import httpx

    try:
        async with client.stream("POST", address, json=body) as response:
            if response.status_code != 200:
                raise EngineFailed(f"status_{response.status_code}")
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    return
                yield _table(data)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise EngineFailed("refused") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise EngineFailed("broken") from error


def _table(data: str) -> dict[str, Any]:
    try:
        table = json.loads(data)
    except ValueError as error:
        raise EngineFailed("protocol") from error
    if not isinstance(table, dict):
        raise EngineFailed("protocol")
    if table.get("error"):
        raise EngineFailed("error")
    return table
