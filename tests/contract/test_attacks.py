"""One contract for every attack: what comes back, what is left alone, the same each time."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from yibu.attacks import FAMILY, Attacked, attack
from yibu.attacks.textattack import PYTHON
from yibu.core.edits import Edit, apply

TEXTS = ["this service is really dreadful", "what a wonderful little bank", "nothing of note here", "dreadful"]
LABELS = [1, 0, 0, 0]  # the last one is misread before any change


def classify(texts: list[str]) -> Any:
    """Class 1 where the word ``dreadful`` stands, letter by letter."""
    belief = np.array([0.9 if "dreadful" in text else 0.2 for text in texts])
    return np.stack([1 - belief, belief], axis=1)


def options(text: str) -> list[Edit]:
    return [Edit(place, place + 1, "x") for place, letter in enumerate(text) if letter.isalpha()]


def needs(name: str) -> None:
    if name == "textattack" and not os.environ.get(PYTHON):
        pytest.skip(f"{PYTHON} names no Python that has TextAttack")


def test_the_attacks_are_these() -> None:
    assert FAMILY.names() == ["characters", "textattack"]


@pytest.mark.parametrize("name", FAMILY.names())
def test_the_table_is_closed(name: str) -> None:
    settings = FAMILY.load(name).Settings
    assert settings().kind == name
    with pytest.raises(ValueError, match="extra"):
        settings(no_such_key=1)
    with pytest.raises(ValueError, match="queries"):
        settings(queries=0)


@pytest.mark.parametrize("name", FAMILY.names())
def test_what_comes_back(name: str) -> None:
    needs(name)
    settings = FAMILY.load(name).Settings()
    found = attack(TEXTS, LABELS, classify, settings, 0, options)
    assert found == attack(TEXTS, LABELS, classify, settings, 0, options)
    assert [item.status for item in found] == ["flipped", "held", "held", "wrong"]
    flipped = found[0]
    assert isinstance(flipped, Attacked)
    assert flipped.flipped
    assert "dreadful" not in flipped.text
    assert flipped.num_changes == 1 if name == "characters" else flipped.num_changes >= 1
    for text, item in zip(TEXTS[1:], found[1:], strict=True):
        assert item.text == text
        assert item.num_changes == 0
        assert item.num_queries >= 1
    if flipped.edits is not None:
        assert apply(TEXTS[0], flipped.edits) == flipped.text


@pytest.mark.parametrize("name", FAMILY.names())
def test_no_texts_is_no_work(name: str) -> None:
    needs(name)
    assert attack([], [], classify, FAMILY.load(name).Settings(), 0, options) == []
