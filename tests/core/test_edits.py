"""Edits of a text: what is replaced, and where the spans go."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.edits import Edit, SpanLost, apply, edit_field, move


def test_replaces_inserts_and_deletes() -> None:
    assert apply("abcdef", [Edit(0, 1, "A"), Edit(2, 2, "-"), Edit(4, 6, "")]) == "Ab-cd"
    assert apply("abc", []) == "abc"


@pytest.mark.parametrize(
    "edits", [[Edit(0, 2, "x"), Edit(1, 3, "y")], [Edit(2, 3, "x"), Edit(0, 1, "y")], [Edit(2, 9, "x")]]
)
def test_refuses_edits_that_overlap_or_lie_outside(edits: list[Edit]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        apply("abcd", edits)


@pytest.mark.parametrize(
    ("span", "edit", "moved"),
    [
        ((2, 4), Edit(0, 1, "xyz"), (4, 6)),
        ((2, 4), Edit(4, 5, "xyz"), (2, 4)),
        ((2, 4), Edit(2, 4, "xyz"), (2, 5)),
        ((2, 4), Edit(3, 3, "-"), (2, 5)),
        ((2, 4), Edit(2, 2, "-"), (3, 5)),
        ((2, 4), Edit(4, 4, "-"), (2, 4)),
        ((2, 4), Edit(3, 4, ""), (2, 3)),
    ],
)
def test_spans_follow(span: tuple[int, int], edit: Edit, moved: tuple[int, int]) -> None:
    assert move(*span, [edit]) == moved


@pytest.mark.parametrize("edit", [Edit(1, 3, "x"), Edit(3, 5, "x"), Edit(0, 6, "x")])
def test_a_cut_span_is_said_to_be_lost(edit: Edit) -> None:
    with pytest.raises(SpanLost):
        move(2, 4, [edit])


def without_overlaps(edits: Iterable[Edit]) -> list[Edit]:
    """Sorted edits of which none overlaps an earlier one; of two that begin alike the longer is kept."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept


@given(st.text(min_size=1, max_size=30), st.data())
def test_what_a_span_says_stays_where_no_edit_touches_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    cuts = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)), st.text(max_size=4))
    drawn = [Edit(min(a, b), max(a, b), new) for a, b, new in data.draw(st.lists(cuts, max_size=6))]
    edits = [edit for edit in without_overlaps(drawn) if edit.end <= start or edit.start >= end]
    new_start, new_end = move(start, end, edits)
    assert apply(text, edits)[new_start:new_end] == text[start:end]


def test_entities_follow_their_text() -> None:
    fields = {"text": "有高血压3级", "entities": [{"start": 1, "end": 4, "type": "d", "text": "高血压"}], "label": "x"}
    edited = edit_field(fields, "text", [Edit(0, 1, "患者有"), Edit(1, 4, "高血压病")])
    assert edited["text"] == "患者有高血压病3级"
    assert edited["entities"] == [{"start": 3, "end": 7, "type": "d", "text": "高血压病"}]
    assert fields["entities"][0]["start"] == 1
