"""Whether rows are Chinese."""

from __future__ import annotations

import pytest

from yibu.prepare.language import LanguageGuess


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["The patient is well."], "en"),
        (["患者一般情况良好。"], "zh"),
        (["患者服用 aspirin 100 mg，无不适。"], "zh"),
        (["The patient 患者 was seen in clinic today for follow up."], "en"),
        (["12345 !!!"], "en"),
        ([], "en"),
    ],
)
def test_language(texts: list[str], language: str) -> None:
    guess = LanguageGuess()
    for text in texts:
        guess.add(text)
    assert guess.language == language
