"""What every request passes before the application sees it, and what is written down when it is over.

Plain ASGI, since this is the path of every request: an id, the key, the allowance, and the size of the body, in that
order, so that nothing of a body is read for who may not ask.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from yibu.core.log import get
from yibu.serve.keys import Guesses, Key, Keys
from yibu.serve.limits import Allowances, whole_seconds
from yibu.serve.metrics import Metrics
from yibu.serve.problems import Problem
from yibu.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

access = get("serve.access")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BODY_SECONDS = 30.0
"""For a body to arrive; a slow one must not hold a connection for ever."""

_DISCARDED = 64 * 2**20
"""Bytes of a refused body that are read and thrown away, so that its sender gets to read why."""

PUBLIC = {"/health": None, "/ready": None, "/openapi.json": None, "/chat": None}
SCOPES: dict[str, str | None] = {
    "/v1/chat/completions": "generate",
    "/v1/completions": "generate",
    "/v1/embeddings": "embed",
    "/v1/classify": "classify",
    "/v1/extract": "extract",
    "/v1/models": None,
    "/metrics": "metrics",
}
"""Every path that needs a key, and the scope that it needs beside."""


@dataclass(slots=True)
class Told:
    """What is known of a request; parts of it end in the log, none of it is text.

    Attributes:
        id: of the request. client: id of the key, or the address where no key is asked for.
        model, artifact: what was asked, what answered.
    """

    id: str
    client: str
    model: str = ""
    artifact: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    status: int = 0
    problem: str = ""


class Guard:
    """The outermost layer.

    Args:
        app: what answers.
        keys: None where everyone may ask: on the loopback, if it was asked for.
    """

    def __init__(self, app: App, settings: ServeSettings, keys: Keys | None, metrics: Metrics) -> None:
        limits = settings.limits
        self._app, self._settings, self._keys, self._metrics = app, settings, keys, metrics
        self._guesses = Guesses(limits.wrong_keys, limits.lockout_seconds)
        self.allowances = Allowances(limits.requests_per_minute, limits.tokens_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun, headers = time.monotonic(), dict(scope["headers"])
        path = scope["path"]
        told = Told(_request_id(headers), "")
        scope["state"]["told"] = told

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told.status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", told.id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            try:
                self._admit(scope, headers, path, told)
                if scope["method"] == "POST":
                    receive = await self._body(headers, receive)
                await self._app(scope, receive, answer)
            except Problem as problem:
                self.count_problem(problem, told)
                await _refuse(problem, receive, answer, whole=problem.status == 413)
            except Exception as error:  # its text may quote a request
                told.problem = type(error).__name__
                access.error("request %s failed where it should not: %s", told.id, type(error).__name__)
                if not told.status:
                    await _refuse(Problem(500, "the gateway failed", "internal_error"), receive, answer, whole=False)
        finally:
            known = path if path in SCOPES or path in PUBLIC else "other"
            seconds = time.monotonic() - begun
            self._metrics.request(known, told.status, seconds)
            if access.isEnabledFor(logging.INFO) and known not in PUBLIC:
                access.info("%s", _line(told, scope["method"], known, seconds))

    def _admit(self, scope: Scope, headers: dict[bytes, bytes], path: str, told: Told) -> None:
        """
        Raises:
            Problem: no key, a wrong one, one without the scope, or one that asked too often.
        """
        address = scope["client"][0] if scope.get("client") else "?"
        told.client = address
        if path in PUBLIC:
            return
        if self._keys is not None:
            key = self._key(headers, address)
            told.client = key.id
            needed = SCOPES.get(path)
            if needed is not None and needed not in key.scopes:
                raise Problem(403, f"this key may not be used for it; it needs the scope {needed}", "scope_missing")
        if path in SCOPES:
            self.allowances.take_request(told.client)

    def _key(self, headers: dict[bytes, bytes], address: str) -> Key:
        assert self._keys is not None
        wait = self._guesses.locked_for(address)
        if wait:
            raise Problem(429, "too many wrong keys came from this address", "locked_out", retry_after=wait)
        kind, _, presented = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not presented:
            raise Problem(401, "a key is needed: Authorization: Bearer yibu-...", "key_missing")
        key = self._keys.check(presented.strip())
        if key is None:
            self._guesses.wrong(address)
            raise Problem(401, "this key is not known, or no longer", "key_wrong")
        return key

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """The body, read up to the bound; what is received then is it, and after it what the server says.

        Raises:
            Problem: too long, too slow, or not what it says.
        """
        most = self._settings.max_body_bytes
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or int(told) > most:
            raise Problem(413, f"the body has more than {most} bytes", "body_too_large")
        parts, size = [], 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise Problem(413, f"the body has more than {most} bytes", "body_too_large")
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Problem(408, "the body did not arrive", "body_too_slow") from None
        whole: MutableMapping[str, Any] | None = {"type": "http.request", "body": b"".join(parts), "more_body": False}

        async def replay() -> MutableMapping[str, Any]:
            nonlocal whole
            if whole is not None:
                message, whole = whole, None
                return message
            return await receive()

        return replay

    def count_problem(self, problem: Problem, told: Told) -> None:
        """Write down why a request was refused."""
        told.problem = problem.code
        self._metrics.count("yibu_refused_total", 1, f'reason="{problem.code}"')


async def _refuse(problem: Problem, receive: Receive, send: Send, whole: bool) -> None:
    """Send the error; of a body that is too long, throw away what still comes, or its sender would see no answer but a
    connection that broke."""
    body = to_json(problem.as_dict())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if problem.retry_after is not None:
        headers.append((b"retry-after", str(whole_seconds(problem.retry_after)).encode()))
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if whole:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": whole})
    if not whole:
        return
    left = _DISCARDED
    try:
        async with asyncio.timeout(2.0):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else os.urandom(8).hex()


def _line(told: Told, method: str, path: str, seconds: float) -> str:
    values: dict[str, Any] = {
        "request": told.id,
        "client": told.client,
        "method": method,
        "path": path,
        "status": told.status,
        "ms": round(1000 * seconds, 2),
    }
    for name in ("model", "artifact", "prompt_tokens", "completion_tokens", "problem"):
        value = getattr(told, name)
        if value:
            values[name] = value
    return json.dumps(values, ensure_ascii=False)
