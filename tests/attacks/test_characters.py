"""The search for the fewest changed characters: it finds the least, takes back what is not needed, keeps its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.attacks import Attacked
from yibu.attacks.characters import Settings, attack
from yibu.core.edits import Edit, apply
from yibu.core.errors import InputError


def believing(weights: dict[str, float], bias: float) -> Any:
    """Class 1 by the sum of the weights of the characters, as a logistic regression would."""

    def classify(texts: list[str]) -> Any:
        scores = np.array([bias + sum(weights.get(character, 0.0) for character in text) for text in texts])
        right = 1 / (1 + np.exp(-scores))
        return np.stack([1 - right, right], axis=1)

    return classify


def any_letter(text: str) -> list[Edit]:
    return [Edit(place, place + 1, new) for place in range(len(text)) for new in "yz" if text[place] != new]


def run(text: str, classify: Any, **table: Any) -> Attacked:
    return attack([text], [1], classify, Settings(share=1, **table), 0, any_letter)[0]


def test_one_change_is_found_where_one_does() -> None:
    found = run("aaaabaaaa", believing({"a": 0.1, "b": 3.0}, -2.0))
    assert (found.status, found.num_changes) == ("flipped", 1)
    assert found.edits is not None
    assert found.edits[0].start == 4


@pytest.mark.parametrize("needed", [1, 2, 3, 4])
def test_the_fewest_changes_are_found(needed: int) -> None:
    # Each b is worth 1, so the class falls when `needed` of five are gone.
    found = run("abxbxbxbxba", believing({"b": 1.0}, -5.5 + needed))
    assert (found.status, found.num_changes) == ("flipped", needed)


def test_a_change_that_is_not_needed_any_more_is_taken_back() -> None:
    # Alone, changing c costs most, but only both d's together flip: then c is not needed.
    def classify(texts: list[str]) -> Any:
        right = []
        for text in texts:
            gone = 2 - text.count("d")
            right.append(0.3 if gone == 2 else (0.6 if "c" not in text else 0.9) - 0.02 * gone)
        return np.stack([1 - np.array(right), np.array(right)], axis=1)

    found = run("acadaad", classify)
    assert found.status == "flipped"
    assert found.edits is not None
    assert [edit.start for edit in found.edits] == [3, 6]


def test_limits_hold() -> None:
    hard = believing({"b": 1.0}, -0.5)
    assert run("b" * 12, hard, most=3).status == "held"
    held = run("b" * 300, hard, queries=400, most=50)
    assert held.status == "held"
    assert held.num_queries <= 400 + 2 + 300
    assert held.text == "b" * 300
    short = attack(["b" * 12], [1], hard, Settings(share=0.1, most=9), 0, any_letter)[0]
    assert short.status == "held"


def test_nothing_may_be_changed() -> None:
    classify = believing({"b": 1.0}, -0.5)
    found = attack(["bbb", ""], [1, 1], classify, Settings(), 0, lambda text: [])
    assert [item.status for item in found] == ["held", "wrong"]
    with pytest.raises(InputError, match="changes that it may make"):
        attack(["bbb"], [1], classify, Settings(), 0)


@given(st.text(alphabet="abcd", min_size=1, max_size=20), st.floats(-3, 1))
def test_what_is_said_is_true(text: str, bias: float) -> None:
    classify = believing({"a": 1.0, "b": 0.5, "c": -0.5}, bias)
    found = run(text, classify)
    assert found.edits is not None
    assert apply(text, found.edits) == found.text
    assert found.num_changes == len(found.edits)
    before, after = (int(classify([said])[0].argmax()) == 1 for said in (text, found.text))
    assert found.status == ("wrong" if not before else "held" if after else "flipped")
    if found.flipped and found.num_changes > 1:  # every change is needed
        for edit in found.edits:
            fewer = [other for other in found.edits if other != edit]
            assert int(classify([apply(text, fewer)])[0].argmax()) == 1
