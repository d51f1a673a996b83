"""How much a client may ask, and how many requests are under way: what is over is refused at once, and never hangs."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict, deque

from yibu.serve.problems import Problem


class Bucket:
    """An allowance that refills evenly: ``per_minute`` of it may be taken at once, and no more than that in a minute
    on average."""

    __slots__ = ("_at", "_full", "_left")

    def __init__(self, per_minute: int) -> None:
        self._full = self._left = float(per_minute)
        self._at = time.monotonic()

    def take(self, amount: float) -> float:
        """0 where the amount was taken; else the seconds until it could be, and nothing is taken."""
        now = time.monotonic()
        self._left = min(self._full, self._left + (now - self._at) * self._full / 60)
        self._at = now
        if amount <= self._left:
            self._left -= amount
            return 0.0
        return 60 * (min(amount, self._full) - self._left) / self._full

    def give_back(self, amount: float) -> None:
        """What was taken and not used; negative where more was used than taken."""
        self._left = min(self._full, self._left + amount)

    @property
    def size(self) -> float:
        """The most that can be taken at once."""
        return self._full


class Allowances:
    """A bucket of requests and one of tokens for each client; who was not seen for longest is forgotten first."""

    _MOST = 10_000

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._requests, self._tokens = requests, tokens
        self._of: OrderedDict[str, tuple[Bucket | None, Bucket | None]] = OrderedDict()

    def take_request(self, client: str) -> None:
        """
        Raises:
            Problem: 429, with the seconds to wait.
        """
        bucket = self._buckets(client)[0]
        wait = 0.0 if bucket is None else bucket.take(1)
        if wait:
            raise Problem(429, "too many requests in a minute", "rate_limit_exceeded", retry_after=wait)

    def take_tokens(self, client: str, amount: float) -> None:
        """Reserve the tokens that a request may need at most.

        Raises:
            Problem: 429, with the seconds to wait; 400, where they would never be there.
        """
        bucket = self._buckets(client)[1]
        if bucket is None:
            return
        if amount > bucket.size:
            what = f"the request may need {amount:.0f} tokens, and {bucket.size:.0f} are allowed in a minute"
            raise Problem(400, what, "tokens_exceed_limit")
        wait = bucket.take(amount)
        if wait:
            raise Problem(429, "too many tokens in a minute", "rate_limit_exceeded", retry_after=wait)

    def give_back_tokens(self, client: str, amount: float) -> None:
        """What was reserved and not used."""
        bucket = self._buckets(client)[1]
        if bucket is not None:
            bucket.give_back(amount)

    def _buckets(self, client: str) -> tuple[Bucket | None, Bucket | None]:
        found = self._of.get(client)
        if found is None:
            found = self._of[client] = (
                None if self._requests is None else Bucket(self._requests),
                None if self._tokens is None else Bucket(self._tokens),
            )
            if len(self._of) > self._MOST:
                self._of.popitem(last=False)
        else:
            self._of.move_to_end(client)
        return found


class Admission:
    """So many requests run, so many wait in the order of their arrival, and the next one is told when to come back.

    Args:
        running: requests that the engine has at once. waiting: requests that wait.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._most_running, self._most_waiting = running, waiting
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seconds = 0.5  # how long a request runs, smoothed

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Take a place at the engine, or wait for one.

        Raises:
            Problem: 429, if the queue is full.
        """
        if self.running < self._most_running:
            self.running += 1
            return
        if len(self._waiting) >= self._most_waiting:
            wait = self._seconds * (len(self._waiting) + 1) / self._most_running
            raise Problem(429, "the queue is full", "overloaded", retry_after=wait)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just got the place
                self._next()
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)
            raise

    def leave(self, seconds: float) -> None:
        """Give the place back, after so long a time."""
        self._seconds += 0.1 * (seconds - self._seconds)
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place goes over to whoever waited longest
                return
        self.running -= 1


def whole_seconds(wait: float) -> int:
    """What ``Retry-After`` says."""
    return max(1, math.ceil(wait))
