"""What is remembered of each row while the rows themselves stay on the disk.

Prepare reads a source once and writes usable rows to a scratch file; what has to look at all rows at once (duplicates,
clusters, splits, leaks, limits, class balance) works on this table. It holds about 60 bytes a row, the signatures of
near duplicates 130, and the index of prompts up to 250 more, however long the rows are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

NOTHING = 0  # in place of a key


class Names:
    """Row ids: those yibu made (16 hex digits) as 8 bytes each, a user's own as they are."""

    def __init__(self, are_hex: bool) -> None:
        self._hex = array("Q") if are_hex else None
        self._texts: list[str] = []

    def append(self, name: str) -> None:
        if self._hex is None:
            self._texts.append(name)
        else:
            self._hex.append(int(name, 16))

    def __getitem__(self, place: int) -> str:
        return self._texts[place] if self._hex is None else f"{self._hex[place]:016x}"


class Table:
    """Rows in the order in which they lie in a file.

    Attributes:
        ids: row ids.
        prompts, targets: keys of the folded texts, see `yibu.prepare.same`.
        answers: key of the target without its labels, or `NOTHING`.
        groups: key of the group, or `NOTHING`.
        classes, strata: numbers from `Labels`, -1 where there is none.
        prompt_characters, target_characters: lengths.
        folds: part of a cross-validation, -1 where there is none.
        dropped: 0 where the row is kept, else why not, see `yibu.prepare.leaks`.
    """

    _COLUMNS = (
        *("prompts", "targets", "answers", "groups", "classes", "strata"),
        *("prompt_characters", "target_characters", "folds", "dropped"),
    )

    def __init__(self, ids_are_hex: bool) -> None:
        self.ids = Names(ids_are_hex)
        self.prompts = array("Q")
        self.targets = array("Q")
        self.answers = array("Q")
        self.groups = array("Q")
        self.classes = array("i")
        self.strata = array("i")
        self.prompt_characters = array("I")
        self.target_characters = array("I")
        self.folds = array("b")
        self.dropped = bytearray()

    def __len__(self) -> int:
        return len(self.dropped)

    def append(
        self,
        id: str,
        *,
        prompt: int,
        target: int,
        answer: int,
        group: int,
        label: int,
        stratum: int,
        prompt_characters: int,
        target_characters: int,
    ) -> None:
        self.ids.append(id)
        self.prompts.append(prompt)
        self.targets.append(target)
        self.answers.append(answer)
        self.groups.append(group)
        self.classes.append(label)
        self.strata.append(stratum)
        self.prompt_characters.append(prompt_characters)
        self.target_characters.append(target_characters)
        self.folds.append(-1)
        self.dropped.append(0)

    def take(self, other: Table, place: int) -> None:
        """Append a row of another table, its drop and fold with it."""
        self.ids.append(other.ids[place])
        for column in self._COLUMNS:
            getattr(self, column).append(getattr(other, column)[place])

    @property
    def kept(self) -> Iterable[int]:
        """Places of the rows that are kept."""
        return (place for place, reason in enumerate(self.dropped) if not reason)

    @property
    def num_kept(self) -> int:
        return self.dropped.count(0)


class Labels:
    """Numbers for texts that repeat."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        if text is None:
            return -1
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


class Seen:
    """Finds exact duplicates: the first row with a prompt and target is kept.

    A duplicate across splits that the source fixes is no duplicate but a leak, so each fixed split has its own index.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._first: dict[int, int] = {}
        self._further: dict[tuple[int, int], int] = {}
        self.num_conflicts = 0

    def find(self, prompt: int, target: int) -> str | None:
        """Id of the earlier row with this prompt and target."""
        first = self._first.get(prompt)
        if first is None:
            return None
        if self._table.targets[first] == target:
            return self._table.ids[first]
        further = self._further.get((prompt, target))
        return None if further is None else self._table.ids[further]

    def add(self, prompt: int, target: int) -> None:
        """Remember the row that was just appended to the table."""
        place = len(self._table) - 1
        if self._first.setdefault(prompt, place) != place:
            self._further[prompt, target] = place
            self.num_conflicts += 1
