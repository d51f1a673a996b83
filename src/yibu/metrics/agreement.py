"""Whether two judgements of the same things agree, beyond what chance would bring about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from yibu.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two judgements go together.

    Attributes:
        share: of the things that are judged alike.
        kappa: the same with chance taken off: 1 throughout, 0 as by chance; None where both always say the same thing.
        n: things.
    """

    share: float
    kappa: float | None
    n: int


def agreement(one: Sequence[Hashable], other: Sequence[Hashable]) -> Agreement:
    """Share of equal judgements, and Cohen's kappa (1960, Educational and Psychological Measurement 20).

    Raises:
        DataError: nothing was judged, or the two are not equally long.
    """
    if not one or len(one) != len(other):
        raise DataError("Two judgements of the same things are compared.", got=f"{len(one)} and {len(other)}")
    n = len(one)
    share = sum(a == b for a, b in zip(one, other, strict=True)) / n
    first, second = Counter(one), Counter(other)
    by_chance = sum(count * second[value] for value, count in first.items()) / n**2
    return Agreement(share, None if by_chance == 1 else (share - by_chance) / (1 - by_chance), n)
