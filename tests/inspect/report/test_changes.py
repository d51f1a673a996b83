"""Before and after: what differs is marked, and together the pieces are the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sample_data import chinese
from yibu.inspect.report.changes import (
    CONTEXT,
    MOST_CHANGES,
    Piece,
    compared,
    examples,
    private,
    shortened,
    steps,
    terms,
    visible,
)
from yibu.inspect.report.text import Text

EN = Text("en")
SHORT = st.text(alphabet="ab 高血压3.5,", max_size=8)  # too short for more changes than are shown


@given(SHORT, SHORT)
def test_pieces_are_the_text(before: str, after: str) -> None:
    """Of short texts nothing is left out; only white space that changed looks different, so that it can be seen."""
    old, new = compared(before, after)
    assert "".join(piece.text for piece in old).replace("␣", " ") == before
    assert "".join(piece.text for piece in new).replace("␣", " ") == after


@given(SHORT, SHORT)
def test_what_is_not_marked_is_in_both(before: str, after: str) -> None:
    old, new = compared(before, after)
    assert [p.text for p in old if p.kind == "same"] == [p.text for p in new if p.kind == "same"]
    assert before != after or all(piece.kind == "same" for piece in old + new)


def test_changed_pieces_are_marked() -> None:
    old, new = compared("体温３８．５℃", "体温38.5℃")
    assert old == [Piece("same", "体温"), Piece("changed", "３８．５"), Piece("same", "℃")]
    assert new == [Piece("same", "体温"), Piece("changed", "38.5"), Piece("same", "℃")]


def test_white_space_and_characters_without_a_shape_can_be_seen() -> None:
    assert visible("\u200b") == "⟨U+200B⟩"
    assert visible("  \n") == "␣␣↵"
    assert visible("\u3000") == "⟨U+3000⟩"
    assert visible("a b") == "a b", "space between words needs no mark"
    assert visible("a\u200bb") == "a⟨U+200B⟩b"


def test_long_unchanged_text_is_cut_down_to_what_stands_beside_a_change() -> None:
    long = "x" * 500
    old, _ = compared(f"{long}A{long}", f"{long}B{long}")
    assert [piece.kind for piece in old] == ["gap", "same", "changed", "same", "gap"]
    assert len(old[1].text) == len(old[3].text) == CONTEXT
    inner = shortened([Piece("changed", "a"), Piece("same", long), Piece("changed", "b")])
    assert [piece.kind for piece in inner] == ["changed", "same", "gap", "same", "changed"]


def test_of_many_changes_the_first_are_shown() -> None:
    before = "".join(f"finding {n}  is {n * n};" for n in range(40))
    old, new = compared(before, before.replace("  ", " "))
    assert [piece.kind for piece in old].count("changed") == MOST_CHANGES
    assert old[-1] == new[-1] == Piece("gap", "…")


def test_where_a_text_was_cut_is_no_change() -> None:
    old, new = compared("ab  cdef…", "ab cdefgh…", is_cut=True)
    assert [piece.text for piece in old if piece.kind == "changed"] == ["␣"]
    assert [piece for piece in new if piece.kind == "changed"] == []
    assert new[-1] == Piece("gap", "…")


def test_an_example_without_the_text_before_shows_the_text_after_only() -> None:
    (shown,) = [example for example in examples(chinese(), EN) if not example.before]
    assert "".join(piece.text for piece in shown.after).startswith("[姓名]")


def test_steps_say_what_they_did_the_most_frequent_first() -> None:
    rows = {row.name: row for row in steps(chinese(), EN)}
    assert rows["cleaning"].rows == "1,804"
    assert rows["cleaning"].kinds.startswith("full width to half (3,120), white space (911)")
    assert rows["terms"].kinds.startswith("高血压病 (288)"), "terms stand for themselves"
    assert rows["personal data"].kinds == "name (702), telephone (266), identity card (98)"


def test_terms_and_personal_data_are_ordered_by_number() -> None:
    plot, line = terms(chinese(), EN)
    assert plot is not None
    assert "666" in line
    assert [row.kind for row in private(chinese(), EN)] == ["name", "telephone", "identity card"]
    assert [row.mode for row in private(chinese(), EN)] == ["replaced by an invented one", "masked",
                                                            "hashed with a secret"]  # fmt: skip
