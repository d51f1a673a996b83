"""Requests over HTTP/1.1 as fast as Python sends them: what drives the gateway must not be what is measured.

Latency counts from the moment at which a request was to be sent, so that a client or a server that falls behind is seen
(an open loop). Connections are kept and never limited.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

_KEPT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: 0 where the connection ended before the answer did.
        seconds: from the intended moment of sending to the last byte.
        lag: seconds by which the client itself was late.
    """

    status: int
    head: bytes
    body: bytes
    seconds: float
    lag: float

    def header(self, name: str) -> str:
        """A header's value; empty where it is not there."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode()
        return ""

    def said(self) -> tuple[set[str], str]:
        """Every name of an artifact in the answer, and its text; of a whole answer or of a stream."""
        if b"text/event-stream" not in self.head:
            table = json.loads(self.body)
            return {table["system_fingerprint"]}, table["choices"][0]["message"]["content"]
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")]
        tables = [json.loads(line) for line in lines]
        text = "".join(choice["delta"].get("content", "") for table in tables for choice in table["choices"])
        return {table["system_fingerprint"] for table in tables}, text


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._got = bytearray()
        self.waiting: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self.usable = True
        self.idle_since = 0.0

    def is_fresh(self, now: float) -> bool:
        """Whether it may be used again: a server may be about to close one that was idle for long."""
        return self.usable and now - self.idle_since < _KEPT_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0 or self.waiting is None:
            return
        head = bytes(self._got[:end]).lower()
        if b"transfer-encoding: chunked" in head:
            # The head is no part of it: llama-server's own ends in "max=100".
            if self._got.endswith(b"0\r\n\r\n", end + 4):
                self._done(head, bytes(self._got[end + 4 :]))
            return
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0])
        if len(self._got) >= end + 4 + length:
            self._done(head, bytes(self._got[end + 4 :]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result((0, b"", b""))

    def _done(self, head: bytes, body: bytes) -> None:
        assert self.waiting is not None
        self._got.clear()
        self.usable = self.usable and b"connection: close" not in head
        self.waiting.set_result((int(head[9:12]), head, body))


class Client:
    """Asks one address.

    Args:
        port: on the loopback.
        keep: whether connections are used again.

    Attributes:
        opened: connections so far.
    """

    def __init__(self, port: int, keep: bool = True) -> None:
        self._port, self._keep = port, keep
        self.opened = 0
        self._idle: list[_Connection] = []

    async def ask(self, request: bytes, at: float | None = None) -> Answer:
        """One request, which was to be sent at a moment of ``time.monotonic``; now where there is none."""
        begun = time.monotonic()
        at = begun if at is None else at
        loop = asyncio.get_running_loop()
        connection = self._idle.pop() if self._idle else None
        while connection is not None and not connection.is_fresh(begun):
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            self.opened += 1
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        connection.waiting = loop.create_future()
        connection.transport.write(request)
        status, head, body = await connection.waiting
        end = time.monotonic()
        connection.waiting = None
        if connection.usable and self._keep:
            connection.idle_since = end
            self._idle.append(connection)
        else:
            connection.transport.close()
        return Answer(status, head, body, end - at, begun - at)

    async def open_loop(self, request: Callable[[int], bytes], rate: float, count: int, seed: int = 3) -> list[Answer]:
        """So many requests at moments of a Poisson process, whether or not earlier ones were answered."""
        draw, at, tasks = random.Random(seed), time.monotonic() + 0.05, []
        for number in range(count):
            wait = at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self.ask(request(number), at)))
            at += draw.expovariate(rate)
        return list(await asyncio.gather(*tasks))

    async def closed_loop(self, request: bytes, seconds: float, at_once: int) -> list[Answer]:
        """As many as are answered, with so many under way all the time."""
        end, answers = time.monotonic() + seconds, []

        async def one() -> None:
            while time.monotonic() < end:
                answers.append(await self.ask(request))

        await asyncio.gather(*(one() for _ in range(at_once)))
        return answers

    def close(self) -> None:
        """Close the connections."""
        for connection in self._idle:
            connection.transport.close()


def post(path: str, key: str, table: object) -> bytes:
    """A request with a JSON body."""
    body = json.dumps(table).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
