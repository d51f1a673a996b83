"""Engines: what runs a model, as seen by those who ask it.

One file is one engine. A plug defines

- ``Settings``: its table, with a literal ``kind``: `EngineSettings` of an address, or `ProcessSettings` of a process
  that is started here;
- ``Engine(settings)``: see `Engine`. Its exceptions are `EngineFailed`, and for what was never possible `InputError`.

Some only ask a server that somebody else runs (``openai``, ``triton``); the others start a process, watch it and ask it
by the OpenAI protocol over the loopback, so that a model that dies takes nobody with it, and one client serves all.
What such a process runs inside is no plug and begins with an underscore. One whose packages clash with ours (``vllm``)
runs in a Python of its own, which is found and not imported.

Everything is asynchronous: a client in an open loop has as many requests under way as the load makes, so no pool of
connections or threads may hold one back (`unlimited_client`).

Adapters are named by what they are (the id of an artifact), never replaced under their name: engines keep what they
computed with an adapter by its name, and some would answer with the old one (vLLM #42125).
"""

from __future__ import annotations

import abc
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from yibu.core.errors import InputError, MissingExtra, YibuError
from yibu.core.plugs import Family
from yibu.core.recipe import Settings

GENERATE, SCORE, EMBED, ADAPTERS = "generate", "score", "embed", "adapters"
"""What an engine may be able to do, see `Engine.can`."""

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


class ProcessSettings(Settings):
    """What every engine is told that loads a model into a process of its own."""

    base_path: str = Field("", description="folder of the base; `yibu serve` fills it in, as it does the adapter")
    adapter_path: str | None = Field(None, description="folder of the adapter that is there from the start")
    adapter_kind: str = Field("lora", description="plug of `yibu.adapters` that made it")
    adapter_name: str = Field("default", description="name under which it is asked")
    threads: int | None = Field(None, ge=1, description="default: one core is left to whoever asks")
    start_seconds: float = Field(600.0, gt=0, description="a large base is read from disk")

    @property
    def adapter(self) -> Adapter | None:
        """The adapter that is there from the start."""
        path = self.adapter_path
        return None if path is None else Adapter(self.adapter_name, Path(path), self.adapter_kind)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: share of the probability that may be drawn from.
        seed: of the draws; None draws anew each time.
        stop: texts that end an answer and are not part of it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in a folder: the name under which it is asked, and the plug of `yibu.adapters` that made it."""

    name: str
    path: Path
    kind: str = "lora"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that an engine sent.

    Attributes:
        at: when it arrived, by `CLOCK`.
        num_tokens: tokens in it, as far as can be told: 1 for a piece of text, 0 for anything else.
        total_tokens: length of the answer, where the server says it (in its last piece).
        prompt_tokens: length of the prompt, where the server says it.
        text: what it says.
        finish: why the answer ends, in the piece that ends it: ``stop`` or ``length``.
    """

    at: float
    num_tokens: int = 1
    total_tokens: int | None = None
    prompt_tokens: int | None = None
    text: str = ""
    finish: str | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """What texts are as vectors.

    Attributes:
        vectors: one for each text, of length one.
        prompt_tokens: of all texts.
    """

    vectors: list[list[float]]
    prompt_tokens: int


class EngineFailed(YibuError):
    """A request got no whole answer.

    Attributes:
        reason: one word for tables: ``refused`` no connection, ``broken`` one that ended too soon, ``status_503`` and
            the like, ``protocol`` something that is no answer, ``error`` an error inside of an answer, ``down`` a
            process that is not there (yet), ``unable`` something that this engine cannot do.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__("A request got no whole answer.", got=reason)


class Engine(abc.ABC):
    """What is called of an engine; `start` before all else, `close` at last.

    Attributes:
        can: what it can do.
        reads: forms of weights that it loads itself: ``folder`` of Hugging Face, ``gguf``; none of a server elsewhere.
        adapter_kinds: plugs of `yibu.adapters` that it knows; None: every one.
    """

    can: frozenset[str] = frozenset({GENERATE})
    reads: frozenset[str] = frozenset()
    adapter_kinds: frozenset[str] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether what was started still runs; `start` again makes it so. Cheap, and says nothing about health."""
        return True

    @classmethod
    def why_not(cls, adapter: Adapter) -> str | None:
        """Why it cannot load an adapter of a kind that it knows; None where it can. Reads its config alone."""
        return None

    async def start(self) -> None:  # noqa: B027  (not every engine has something to start)
        """Load, or begin to; a server of somebody else's needs nothing.

        Raises:
            InputError: what it needs is not there.
            YibuError: it did not start.
        """

    @abc.abstractmethod
    def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """Ask, and yield what comes as it comes.

        Args:
            prompt: a text, or messages, which the engine renders by the model's chat template.
            adapter: name of a loaded adapter; None asks what the settings name.

        Raises:
            EngineFailed: there is no whole answer.
        """

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        """``log p(answer and its end | prompt)`` of each answer, from one forward pass where the model allows it.

        Raises:
            EngineFailed: ``unable``, or as above.
        """
        raise EngineFailed("unable")

    async def embed(self, texts: Sequence[str], adapter: str | None = None) -> Embedded:
        """Vectors of texts: the mean of the last layer's states over the tokens of each.

        Raises:
            EngineFailed: ``unable``, or as above.
        """
        raise EngineFailed("unable")

    async def load_adapter(self, adapter: Adapter) -> None:
        """Make an adapter ready while others answer. Once it returns, the name may be asked for.

        Raises:
            EngineFailed: ``unable``, or the engine refused it.
        """
        raise EngineFailed("unable")

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter that nobody asks for any more.

        Raises:
            EngineFailed: as above.
        """
        raise EngineFailed("unable")

    async def is_healthy(self) -> bool:
        """Whether it would answer now."""
        return True

    async def facts(self) -> dict[str, Any]:
        """What is known of it: for the log and for measurements."""
        return {}

    @abc.abstractmethod
    async def close(self) -> None:
        """Close connections, end what was started."""


def unlimited_client(settings: EngineSettings, socket: str | None = None) -> Any:
    """An ``httpx.AsyncClient`` that holds no request back and sets no time limit of its own.

    Args:
        socket: path of a Unix socket behind which the endpoint's host is; None: it is found by its name.

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
    # llama-server closes a connection that was idle for five seconds; one that is about to close is not used again.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=3.0)
    mounts = {}
    if socket is not None:
        host = urlsplit(settings.endpoint).hostname
        mounts[f"all://{host}"] = httpx.AsyncHTTPTransport(uds=socket, limits=limits, trust_env=False)
    timeout = httpx.Timeout(None, connect=10.0)
    return httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits, mounts=mounts, trust_env=False)


async def is_answered(client: Any, address: str) -> bool:
    """Whether a GET of this address ends with 200 within two seconds."""
    import httpx

    try:
        response = await client.get(address, timeout=2.0)
    except (httpx.HTTPError, RuntimeError):  # the latter for a client that is closed
        return False
    return bool(response.status_code == 200)


async def server_sent_events(client: Any, address: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events, until ``[DONE]`` or its end.

    Raises:
        EngineFailed: no connection, another status than 200, a stream that breaks or is no such stream.
    """
    import httpx

    require_open(client)
    try:
        async with client.stream("POST", address, json=body) as response:
            if response.status_code != 200:
                raise EngineFailed(refusal(response.status_code, await response.aread()))
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


def require_open(client: Any) -> None:
    """What was asked for while an engine is replaced has lost it; httpx calls that a `RuntimeError`.

    Raises:
        EngineFailed: ``down``, the client is closed.
    """
    if client.is_closed:
        raise EngineFailed("down")


def refusal(status: int, body: bytes) -> str:
    """The reason of a failure; a prompt that is too long is 413, whatever status a server has for it."""
    told = body[:4096].decode(errors="replace")
    too_long = ("exceed_context_size_error", "context_length_exceeded")  # llama.cpp; OpenAI and those who follow it
    return "status_413" if status == 400 and any(word in told for word in too_long) else f"status_{status}"


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
