"""Chains end, contradictions are refused with their lines, and the built-in dictionary gives way."""

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.terms.entries import build
from yibu.terms.fold import key
from yibu.terms.icd10cm import Concept
from yibu.terms.tables import TableRow


def row(variant: str, preferred: str, line: int, code: str | None = None, path: str = "t.csv") -> TableRow:
    return TableRow((variant,) if variant else (), preferred, code, None, None, path, line)


def made(*rows: TableRow, concepts: tuple[Concept, ...] = (), skip: bool = False) -> dict[str, tuple[str, ...]]:
    return {entry.preferred: entry.variants for entry in build(rows, concepts, key, skip)}


def refused(*rows: TableRow) -> str:
    with pytest.raises(DataError) as caught:
        build(rows, (), key, False)
    assert caught.value.exit_code == 2
    assert caught.value.do
    return str(caught.value)


def test_chains_lead_to_their_end() -> None:
    rows = (row("a", "b", 2), row("b", "c", 3), row("c", "d", 4, code="X1"), row("e", "b", 5))
    entries = build(rows, (), key, False)
    assert [(entry.preferred, entry.code, set(entry.variants)) for entry in entries] == [
        ("d", "X1", {"a", "b", "c", "e"})
    ]


def test_a_chain_as_long_as_the_dictionary() -> None:
    rows = [row(f"t{number}", f"t{number + 1}", number) for number in range(5000)]
    (entry,) = build(rows, (), key, False)
    assert entry.preferred == "t5000"
    assert len(entry.variants) == 5000


def test_a_preferred_term_among_its_variants_is_no_circle() -> None:
    assert made(TableRow(("HTN", "Hypertension", "hypertension"), "hypertension", None, None, None, "t", 2)) == {
        "hypertension": ("HTN",)
    }


@pytest.mark.parametrize("length", [2, 3, 50])
def test_circles_are_named_with_their_lines(length: int) -> None:
    rows = [row(f"t{number}", f"t{(number + 1) % length}", number + 2) for number in range(length)]
    message = refused(*rows, row("x", "t0", 99))
    assert "circle" in message
    assert "'t0' (line 2) -> 't1' (line 3)" in message
    assert message.count("circle") == 1


def test_a_circle_across_files_names_the_files() -> None:
    message = refused(row("a", "b", 2, path="one.csv"), row("b", "a", 7, path="two.csv"))
    assert "'a' (one.csv, line 2) -> 'b' (two.csv, line 7) -> 'a'" in message


def test_a_circle_is_found_behind_a_clash() -> None:
    assert "circle" in refused(row("a", "b", 2), row("a", "c", 3), row("c", "a", 4))


def test_clashes_name_both_lines() -> None:
    message = refused(row("MI", "心肌梗死", 2), row("x", "y", 3), row("ＭＩ", "二尖瓣关闭不全", 4))
    assert "'MI'" in message
    assert "'心肌梗死' (line 2), '二尖瓣关闭不全' (line 4)" in message


def test_two_ways_to_the_same_end_are_no_clash() -> None:
    assert made(row("a", "b", 2), row("a", "c", 3), row("b", "c", 4)) == {"c": ("a", "b")}


def test_skipped_clashes_leave_the_variant_alone() -> None:
    rows = (row("MI", "心肌梗死", 2), row("心梗", "心肌梗死", 3), row("MI", "二尖瓣关闭不全", 4), row("m.i.", "MI", 5))
    assert made(*rows, skip=True) == {"心肌梗死": ("心梗",), "二尖瓣关闭不全": ()}


def test_one_preferred_term_has_one_spelling_and_one_code() -> None:
    assert "'HbA1c' (line 2), 'HBA1C' (line 3)" in refused(row("a", "HbA1c", 2), row("b", "HBA1C", 3))
    rows = (row("a", "b", 2, code="X1"), row("c", "b", 3, code="X2"))
    assert "'X1' (line 2), 'X2' (line 3)" in refused(*rows)
    (entry,) = build(rows, (), key, True)
    assert entry.code is None


def test_many_mistakes_are_cut_short() -> None:
    rows = [row(f"v{number}", end, number) for number in range(40) for end in ("p", "q")]
    message = refused(*rows)
    assert "40 mistakes" in message
    assert "and 32 more" in message


CONCEPTS = (
    Concept(
        "Essential (primary) hypertension", "I10", "disease", ("High blood pressure", "Arterial hypertension"), True
    ),
    Concept("Cholera, unspecified", "A00.9", "disease", ("Cholera NOS",), True),
    Concept("Other microdeletions", "Q93.88", "disease", ("Miller-Dieker syndrome",), False),
)


def test_what_the_operator_says_holds() -> None:
    rows = (row("HTN", "High blood pressure", 2), row("Cholera NOS", "霍乱", 3, code="A00"))
    entries = {entry.preferred: entry for entry in build(rows, CONCEPTS, key, False)}
    assert entries["High blood pressure"].variants == ("HTN",)
    assert entries["High blood pressure"].code == "I10", "lent by the built-in dictionary"
    assert entries["霍乱"].code == "A00"
    assert entries["霍乱"].variants == ("Cholera NOS",)
    assert entries["Essential (primary) hypertension"].variants == ("Arterial hypertension",)
    assert entries["Cholera, unspecified"].variants == ()


def test_kinds_of_the_rest_do_not_become_variants_of_the_operators_term() -> None:
    entries = {
        entry.preferred: entry for entry in build([row("Other microdeletions", "微缺失", 2)], CONCEPTS, key, False)
    }
    assert entries["微缺失"].variants == ("Other microdeletions",)
    entries = {entry.preferred: entry for entry in build([], CONCEPTS, key, False)}
    assert entries["Other microdeletions"].variants == ("Miller-Dieker syndrome",)
    assert not entries["Other microdeletions"].interchangeable
    assert entries["Cholera, unspecified"].interchangeable


def test_a_built_in_title_that_is_a_variant_brings_its_terms_along() -> None:
    (first, *_) = build([row("Cholera, unspecified", "霍乱", 2)], CONCEPTS, key, False)
    assert first.preferred == "霍乱"
    assert first.variants == ("Cholera, unspecified", "Cholera NOS")
    assert first.code == "A00.9"


@given(st.lists(st.sampled_from(list(combinations("abcdefgh", 2))), max_size=10))
def test_no_variant_ends_up_in_two_entries(pairs: list[tuple[str, str]]) -> None:
    rows = [row(variant, preferred, line) for line, (variant, preferred) in enumerate(pairs, start=2)]
    entries = build(rows, (), key, True)  # from an earlier to a later letter, so that there is no circle
    names = [name for entry in entries for name in (entry.preferred, *entry.variants)]
    assert len(names) == len(set(names))


def test_paths_are_kept(tmp_path: Path) -> None:
    (entry,) = build([row("a", "b", 7, path=str(tmp_path / "x.csv"))], (), key, False)
    assert entry.source == f"{tmp_path / 'x.csv'}, line 7"
