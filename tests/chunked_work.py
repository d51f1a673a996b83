"""Work for processes that are not forked: they must be able to import it, which they cannot from a test's own file."""

from __future__ import annotations

import os


class Square:
    """Says which process did the work."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __call__(self, numbers: list[int]) -> tuple[list[int], int]:
        if -1 in numbers:
            raise ValueError("a bad number")
        return [number * number + self._offset for number in numbers], os.getpid()
