"""Label-aware mixing: the own text stays whole, the other has the same label, and it is named."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from yibu import augmenters
from yibu.augmenters.mix import sentences_of


def mixer(**table: Any) -> Any:
    return augmenters.build(augmenters.settings_of({"kind": "mix", **table}))


@given(st.text(max_size=80))
def test_sentences_are_the_text(text: str) -> None:
    assert "".join(sentences_of(text)) == text


def test_sentences_end_where_they_end() -> None:
    assert sentences_of("体温37.5。无发热！Dose 3.5 mg. Then stop") == [
        "体温37.5。",
        "无发热！",
        "Dose 3.5 mg. ",
        "Then stop",
    ]


def test_only_rows_of_the_label_are_joined() -> None:
    made = mixer()
    for id, text, label in (("a", "甲。", "x"), ("b", "乙。", "x"), ("c", "丙。", "y")):
        made.add(id, text, label)
    assert made.join("a", "甲。", "x", random.Random(0)) == augmenters.Joined("甲。乙。", "b")
    assert made.join("c", "丙。", "y", random.Random(0)) is None
    assert made.join("d", "丁。", "z", random.Random(0)) is None


def test_the_own_text_stays_whole_and_a_part_follows() -> None:
    made = mixer(part=0.5)
    made.add("b", "One. Two. Three. Four.", "x")
    joined = made.join("a", "My card is lost", "x", random.Random(3))
    assert joined.text.startswith("My card is lost. ")
    assert len(sentences_of(joined.text)) == 3
    order = [joined.text.index(word) for word in ("One", "Two", "Three", "Four") if word in joined.text]
    assert order == sorted(order)


def test_long_texts_are_not_made() -> None:
    made = mixer(max_characters=10)
    made.add("b", "乙" * 8, "x")
    assert made.join("a", "甲" * 8, "x", random.Random(0)) is None


def test_the_pool_does_not_depend_on_the_order() -> None:
    rows = [(f"r{i}", f"text {i}.", "x") for i in range(50)]
    found = []
    for order in (rows, rows[::-1]):
        made = mixer(pool=5)
        for row in order:
            made.add(*row)
        found.append([made.join("q", "question", "x", random.Random(seed)) for seed in range(30)])
    assert found[0] == found[1]
    assert 1 < len({joined.other for joined in found[0]}) <= 5
