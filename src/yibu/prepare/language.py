"""Whether rows are Chinese: it decides how texts are measured (characters or words) and the report's language."""

from __future__ import annotations

import re
from typing import Literal

_CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_NO_LETTER = re.compile(r"[\W\d_]+")
_NUM_ROWS = 1000
_NUM_CHARACTERS = 1000  # of each row
_MIN_SHARE = 0.2


class LanguageGuess:
    """Counts letters in the first rows."""

    def __init__(self) -> None:
        self._num_rows = self._num_letters = self._num_cjk = 0

    def add(self, text: str) -> None:
        if self._num_rows < _NUM_ROWS:
            self._num_rows += 1
            letters = _NO_LETTER.sub("", text[:_NUM_CHARACTERS])
            self._num_letters += len(letters)
            self._num_cjk += len(letters) - len(_CJK.sub("", letters))

    @property
    def language(self) -> Literal["en", "zh"]:
        """``zh`` where more than a fifth of the letters are Chinese characters, else ``en``."""
        return "zh" if self._num_cjk > _MIN_SHARE * self._num_letters else "en"
