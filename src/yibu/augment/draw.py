"""Chance that only depends on what it is for: a seed, a row, a purpose.

A draw for one row says nothing about another, so rows may be added, removed and reordered, and the copies of the others
stay as they are.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable

from yibu.core.chance import digest, uniform


def generator(seed: int, id: str, purpose: str) -> random.Random:
    """A source of chance for one row and one purpose."""
    return random.Random(int.from_bytes(digest(seed, id, purpose), "big"))


def threshold(ids: Iterable[str], seed: int, purpose: str, share: float, limit: int | None) -> float:
    """The number below which `uniform` chooses a row, so that a share of the rows but no more than the limit is chosen.

    Raising the limit only adds rows.
    """
    if limit is None:
        return share
    # The limit + 1 smallest draws: the last of them is the first that is not chosen any more.
    smallest = heapq.nsmallest(limit + 1, (uniform(seed, id, purpose) for id in ids))
    return min(share, smallest[limit]) if len(smallest) > limit else share
