"""The inclusion terms of ICD-10-CM, against the package's own tree."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from yibu.core.errors import MissingExtra
from yibu.readers import Raw, digest, read

ADDRESS = "package:simple-icd-10-cm"


@pytest.fixture(scope="module")
def rows() -> list[Raw]:
    pytest.importorskip("simple_icd_10_cm")
    items = list(read(ADDRESS))
    assert all(isinstance(item, Raw) for item in items)
    return [item for item in items if isinstance(item, Raw)]


def test_every_inclusion_term_of_every_code_is_a_row(rows: list[Raw]) -> None:
    import simple_icd_10_cm as icd

    codes = {code for code in icd.get_all_codes(with_dots=True) if icd.is_category_or_subcategory(code)}
    wanted = Counter((term, code) for code in codes for term in icd.get_inclusion_term(code))
    assert Counter((row.record["term"], row.record["code"]) for row in rows) == wanted
    assert [row.line for row in rows] == list(range(1, len(rows) + 1))


def test_the_counts_of_the_release_of_april_2026(rows: list[Raw]) -> None:
    import simple_icd_10_cm as icd

    if digest(ADDRESS) != {ADDRESS: "simple-icd-10-cm==1.5.0"}:
        pytest.skip("another release of the tables")
    assert len(rows) == 12_569
    assert sum(not icd.is_block(row.record["code"]) for row in rows) == 12_554
    assert len({row.record["chapter"] for row in rows}) == 22


def test_the_fields_of_a_row(rows: list[Raw]) -> None:
    assert rows[0].record == {
        "term": "Classical cholera",
        "code": "A00.0",
        "category": "A00",
        "category_title": "Cholera",
        "chapter": "Certain infectious and parasitic diseases",
        "chapter_number": "1",
    }
    # The only category of its section: the category's own data are meant, not the section's.
    mental = next(row.record for row in rows if row.record["code"] == "F99")
    assert mental["category_title"] == "Mental disorder, not otherwise specified"
    # "QA0" and "O9A" are not letter-digit-digit.
    chapters = {row.record["chapter"] for row in rows}
    assert not any("(" in chapter for chapter in chapters)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simple_icd_10_cm", None)
    with pytest.raises(MissingExtra, match=r"yibu\[icd10\]"):
        next(iter(read(ADDRESS)))
