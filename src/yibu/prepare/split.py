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
out or shuffled can move a few others. With groups the first row of a group decides for all, so that groups whose first
row does not speak for them can break both bounds: a rule that looked at the whole group would move it when the
patient comes again. The summary shows the shares that came out, with and without ``stratify``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from yibu.core.chance import uniform
from yibu.core.record import Split
from yibu.prepare.settings import SplitSettings

TOLERANCE = 0.01  # of a split's rows, by which the share of a class may stray from its share of all rows


def split_shares(settings: SplitSettings, fixed: Collection[Split] = ()) -> dict[str, float]:
    """Share of each split of the rows whose split the source does not fix, adding up to 1.

    Args:
        settings: the three shares.
        fixed: splits that the source brings itself; the others are carved from the rest in the ratio of their shares.
    """
    # Test first, so that other shares of train and valid leave the test rows where they are.
    given = {"test": settings.test, "valid": settings.valid, "train": settings.train}
    shares = {split: share for split, share in given.items() if split == "train" or split not in fixed}
    total = sum(shares.values())
    return {split: share / total for split, share in shares.items() if share > 0}


def fold_shares(num_folds: int) -> dict[str, float]:
    """Equal shares for the folds ``"0"``, ``"1"``, ... of a cross-validation."""
    return {str(fold): 1 / num_folds for fold in range(num_folds)}


class Splitter:
    """Places units, as they come, into parts of given shares: splits, or folds.

    Args:
        shares: part -> share, adding up to 1.
        seed: of the hash.
        stratify: keep the shares of the strata equal in all parts.
        salt: keeps splits and folds independent of each other.
        tolerance: how far a stratum's share may stray before the hash is overruled. With 0 the part that is furthest
            behind gets the unit and the hash decides between equals: that is closest, since what comes later of a
            group cannot be foreseen.
    """

    def __init__(
        self,
        shares: Mapping[str, float],
        seed: int,
        stratify: bool = False,
        salt: str = "split",
        tolerance: float = TOLERANCE,
    ) -> None:
        self._tolerance = tolerance
        self._shares = dict(shares)
        self._seed = seed
        self._stratify = stratify
        self._salt = salt
        self._num_placed = 0
        self._counts: dict[str, dict[str, int]] = {}
        self._of_unit: dict[str, str] = {}

    def place(self, unit: str, strata: Sequence[str] = ()) -> str:
        """The part of the next row.

        Args:
            unit: group, id or prompt; equal units share a part.
            strata: the values whose shares are to be kept when stratifying: one class, or the labels of a row that
                has several (the greedy rule of iterative stratification, Sechidis et al. 2011, in order of arrival).
        """
        picked = self._by_hash(uniform(self._seed, unit, self._salt))
        return self._balanced(picked, unit, strata or ("",)) if self._stratify else picked

    def _by_hash(self, number: float) -> str:
        edge = 0.0
        for part, share in self._shares.items():
            edge += share
            if number < edge:
                return part
        return next(reversed(self._shares))

    def _balanced(self, picked: str, unit: str, strata: Sequence[str]) -> str:
        """The hash's choice, or the part that is furthest behind where that choice would break a bound."""
        self._num_placed += 1
        counts = [self._counts.setdefault(stratum, dict.fromkeys(self._shares, 0)) for stratum in strata]
        if unit in self._of_unit:
            picked = self._of_unit[unit]
        else:
            picked = self._furthest_behind(picked, counts) if self._tolerance == 0 else self._bounded(picked, counts)
            self._of_unit[unit] = picked
        for of_stratum in counts:
            of_stratum[picked] += 1
        return picked

    def _furthest_behind(self, picked: str, counts: Sequence[dict[str, int]]) -> str:
        """The part where one more row takes most from the sum of squared deviations of the row's strata."""
        ahead = {
            part: sum(of_stratum[part] - share * sum(of_stratum.values()) for of_stratum in counts) / share
            for part, share in self._shares.items()
        }
        least = min(ahead.values())
        return picked if ahead[picked] == least else min(ahead, key=lambda part: ahead[part])

    def _bounded(self, picked: str, counts: Sequence[dict[str, int]]) -> str:
        need, excess = dict.fromkeys(self._shares, -math.inf), dict.fromkeys(self._shares, -math.inf)
        for of_stratum in counts:
            num_rows = sum(of_stratum.values()) + 1
            for part, share in self._shares.items():
                slack = max(1.0, min(self._tolerance * share * self._num_placed, share * num_rows / 2))
                behind = share * num_rows - of_stratum[part]
                need[part] = max(need[part], behind / slack)
                excess[part] = max(excess[part], (1 - behind) / slack)
        needy = max(need, key=lambda part: need[part])
        return needy if need[needy] >= 1 or excess[picked] > 1 else picked
