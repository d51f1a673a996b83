"""Rows that cannot be used: each one written down with its line and reason, and too many of them stop the run.

Other tools drop such rows without a word; a third of a data set can vanish that way and nobody notices.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from yibu.core.errors import DataError

_NUM_REASONS = 5  # shown in the error
_NUM_EXAMPLES = 3  # lines shown for each reason


class Rejects:
    """The list of rejected rows; use as ``with Rejects.writing(path) as rejects``. Holds no text of any row."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._file = file
        self._examples: dict[str, list[str]] = {}

    @classmethod
    @contextmanager
    def writing(cls, path: Path) -> Iterator[Rejects]:
        with path.open("w", encoding="utf-8") as file:
            yield cls(path, file)

    @property
    def total(self) -> int:
        return self.reasons.total()

    def add(self, source: str, line: int, reason: str) -> None:
        self.reasons[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _NUM_EXAMPLES:
            examples.append(f"{Path(source).name}:{line}")
        record = {"source": source, "line": line, "reason": reason}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def error(self, rows_read: int, share: float, full_list: Path) -> DataError:
        """What to raise when they are too many; `full_list` is where the list was kept."""
        lines = [f"{self.total} of {rows_read} rows cannot be used, more than the {share:.2%} that may be rejected."]
        for reason, count in self.reasons.most_common(_NUM_REASONS):
            lines.append(f"  - {count} x {reason}, e.g. {', '.join(self._examples[reason])}")
        if len(self.reasons) > _NUM_REASONS:
            lines.append(f"  - and {len(self.reasons) - _NUM_REASONS} more reasons")
        return DataError(
            "\n".join(lines), do=f"all of them: {full_list}; mend the rows, or raise data.reject_share if that is meant"
        )
