"""Entities found again in a rewritten text, names of versions, and draws that depend on one row alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.augment.draw import generator, threshold, uniform
from yibu.augment.rows import AUGMENTED, Slot, Version, named, relocated, version_of
from yibu.core.record import Row


def row(text: str, *spans: tuple[int, int, str]) -> Row:
    entities = [{"start": a, "end": b, "type": kind, "text": text[a:b]} for a, b, kind in spans]
    return Row("r", {"text": text, "entities": entities})


def places(made: Row | None) -> list[tuple[int, int]] | None:
    return None if made is None else [(e["start"], e["end"]) for e in made.fields["entities"]]


def test_entities_are_found_by_their_text() -> None:
    given = row("王建国有糖尿病", (0, 3, "P"), (4, 7, "D"))
    made = relocated(given, Slot("text"), "糖尿病患者王建国")
    assert places(made) == [(5, 8), (0, 3)]
    assert given.fields["entities"][0]["start"] == 0


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (row("王建国有糖尿病", (4, 7, "D")), "王建国有消渴症"),  # gone
        (row("糖尿病，糖尿病", (0, 3, "D")), "糖尿病，糖尿病。"),  # one of two: which?
        (row("糖尿病，糖尿病", (0, 3, "D"), (4, 7, "X")), "糖尿病和糖尿病"),  # two kinds: which is which?
        (row("2型糖尿病，糖尿病", (0, 5, "D"), (6, 9, "D")), "糖尿病和2型糖尿病"),  # one inside the other
        (row("有糖尿病", (1, 4, "D")), "糖尿病，糖尿病"),  # one more than before
    ],
)
def test_what_is_not_certain_is_refused(given: Row, text: str) -> None:
    assert relocated(given, Slot("text"), text) is None


def test_the_same_entity_twice_is_certain() -> None:
    given = row("糖尿病，糖尿病", (0, 3, "D"), (4, 7, "D"))
    assert places(relocated(given, Slot("text"), "和糖尿病与糖尿病")) == [(1, 4), (5, 8)]


@given(
    st.text(min_size=1, max_size=10), st.text(alphabet="a=~b", max_size=6), st.one_of(st.none(), st.text(max_size=5))
)
def test_a_version_is_read_back(id: str, kind: str, other: str | None) -> None:
    version = Version(id, kind, rate=0.05, other=other)
    copy = named(Row(id, {"text": "x"}, flags=("old",)), f"{id}~{kind}1", AUGMENTED, version)
    assert version_of(Row.from_json(copy.to_json())) == version
    assert version_of(Row(id, {"text": "x"}, flags=("of=me", "old"))) is None


def test_draws_depend_on_the_row_and_the_purpose_alone() -> None:
    assert uniform(0, "a", "x") == uniform(0, "a", "x") != uniform(0, "a", "y")
    assert generator(1, "a", "x").random() == generator(1, "a", "x").random() != generator(2, "a", "x").random()
    drawn = [uniform(0, f"r{i}", "x") for i in range(2000)]
    assert sum(drawn) / 2000 == pytest.approx(0.5, abs=0.03)


@given(st.integers(1, 40), st.integers(0, 30))
def test_a_limit_chooses_exactly_so_many(num_rows: int, limit: int) -> None:
    ids = [f"r{i}" for i in range(num_rows)]
    below = threshold(ids, 0, "x", 1.0, limit)
    assert sum(uniform(0, id, "x") < below for id in ids) == min(limit, num_rows)
