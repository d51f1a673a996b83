"""Chance that only depends on what it is for: a seed, a row, a purpose.

A draw for one row says nothing about another, so rows may be added, removed and reordered, and the copies of the others
stay as they are.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Iterable


def uniform(seed: int, id: str, purpose: str) -> float:
    """A number in [0, 1), uniform over rows.

    Args:
        seed: of the stage.
        id: of the row.
        purpose: keeps draws for different purposes apart.
    """
    return int.from_bytes(_digest(seed, id, purpose)[:7], "big") / 2**56


def generator(seed: int, id: str, purpose: str) -> random.Random:
    """A source of chance for one row and one purpose."""
    return random.Random(int.from_bytes(_digest(seed, id, purpose), "big"))


def threshold(ids: Iterable[str], seed: int, purpose: str, share: float, limit: int | None) -> float:
    """The number below which `uniform` chooses a row, so that a share of the rows but no more than the limit is chosen.

    Raising the limit only adds rows.
    """
    if limit is None:
        return share
    # The limit + 1 smallest draws: the last of them is the first that is not chosen any more.
    smallest = heapq.nsmallest(limit + 1, (uniform(seed, id, purpose) for id in ids))
    return min(share, smallest[limit]) if len(smallest) > limit else share


def _digest(seed: int, id: str, purpose: str) -> bytes:
    return hashlib.sha256(f"{purpose}\0{seed}\0{id}".encode("utf-8", "surrogatepass")).digest()
