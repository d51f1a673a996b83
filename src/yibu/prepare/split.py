"""Which split a row belongs to: a hash decides, so that adding rows moves no old row.

A row's *unit* is its group (a patient), else its id, else its prompt; the SHA-256 of seed and unit, read as a number in
[0, 1), falls into the test share, the valid share or the rest. A row's split depends on nothing but itself: rows may
be added, removed and shuffled, and the others stay.

**What that costs.** Shares of classes are then those of a lottery: a class that makes up a fifth of all rows makes up
20 % +- 1.8 points (standard deviation) of 500 test rows. This cannot be mended for free. Suppose a rule is exact, gives
the same splits for every order of the rows and never moves an old row when others are added. Then the split of a
row is the same in every data set that holds it, hence a function of the row alone. Among all possible rows of one class
some share goes to train, and a data set that happens to hold only those has no test row of that class at all. So one
of the three must go.

**With ``stratify``** the order goes: rows are placed as they come, by their hash as long as the class keeps its share,
and against it where it would not (about one row in twenty):

- in no split does a class's share of the rows stray by more than `TOLERANCE` from its share of all rows,
- no split holds less than half of its quota of a class, once that quota is two rows.

Rows that are appended (a new month, a new file that sorts last) still move nothing; rows that are put in between, taken
out or shuffled can move a few others. With groups the first row of a group decides for all, so that a large group
can break both bounds. The summary shows the shares that came out, with and without ``stratify``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from yibu.core.record import SPLITS, Split
from yibu.prepare.settings import SplitSettings

TOLERANCE = 0.01  # of a split's rows, by which the share of a class may stray from its share of all rows


def uniform(seed: int, unit: str, salt: str) -> float:
    """A number in [0, 1) that only depends on the arguments, uniform over units.

    Args:
        seed: of the split.
        unit: what is drawn for.
        salt: keeps draws for different purposes independent.
    """
    digest = hashlib.sha256(f"{salt}\0{seed}\0{unit}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64


class Splitter:
    """Places the rows whose split the source does not fix.

    Args:
        settings: shares, seed, whether to stratify.
        fixed: splits that the source brings itself; the others are carved from the rest in the ratio of their shares.
    """

    def __init__(self, settings: SplitSettings, fixed: Collection[Split] = ()) -> None:
        self._seed = settings.seed
        self._stratify = settings.stratify is not None
        # Test first, so that other shares of train and valid leave the test rows where they are.
        given = {"test": settings.test, "valid": settings.valid, "train": settings.train}
        shares = {split: share for split, share in given.items() if split == "train" or split not in fixed}
        total = sum(shares.values())
        self._shares = {split: share / total for split, share in shares.items() if share > 0}
        self._num_placed = 0
        self._counts: dict[str, dict[str, int]] = {}
        self._of_unit: dict[str, str] = {}

    def place(self, unit: str, stratum: str | None = None) -> Split:
        """The split of the next row.

        Args:
            unit: group, id or prompt; equal units share a split.
            stratum: the value whose shares are to be kept, when stratifying.
        """
        picked = self._by_hash(uniform(self._seed, unit, "split"))
        if self._stratify:
            picked = self._balanced(picked, unit, stratum or "")
        return next(split for split in SPLITS if split == picked)

    def _by_hash(self, number: float) -> str:
        edge = 0.0
        for split, share in self._shares.items():
            edge += share
            if number < edge:
                return split
        return "train"

    def _balanced(self, picked: str, unit: str, stratum: str) -> str:
        """The hash's choice, or the split that is furthest behind where that choice would break a bound."""
        self._num_placed += 1
        counts = self._counts.setdefault(stratum, dict.fromkeys(self._shares, 0))
        if unit in self._of_unit:
            picked = self._of_unit[unit]
        else:
            num_rows = sum(counts.values()) + 1
            behind = {split: share * num_rows - counts[split] for split, share in self._shares.items()}
            slack = {
                split: max(1.0, min(TOLERANCE * share * self._num_placed, share * num_rows / 2))
                for split, share in self._shares.items()
            }
            needy = max(behind, key=lambda split: behind[split] / slack[split])
            if behind[needy] >= slack[needy] or 1 - behind[picked] > slack[picked]:
                picked = needy
            self._of_unit[unit] = picked
        counts[picked] += 1
        return picked
