"""The built-in dictionary: real titles, terms and codes."""

import pytest

from yibu.core.edits import apply
from yibu.terms import Dictionary, TermsSettings, digest
from yibu.terms.icd10cm import concepts


@pytest.fixture(scope="module")
def icd() -> Dictionary:
    return Dictionary.load("icd10cm")


@pytest.mark.parametrize(
    ("text", "preferred", "code"),
    [
        ("Hx of hay\nfever.", "Allergic rhinitis due to pollen", "J30.1"),
        ("典型classical cholera病例", "Cholera due to Vibrio cholerae 01, biovar cholerae", "A00.0"),
        (
            "dx: TYPE 2 DIABETES MELLITUS WITHOUT COMPLICATIONS",
            "Type 2 diabetes mellitus without complications",
            "E11.9",
        ),
    ],
)
def test_terms_lead_to_title_and_code(icd: Dictionary, text: str, preferred: str, code: str) -> None:
    (match,) = icd.find(text)
    assert (match.entry.preferred, match.entry.code, match.entry.language) == (preferred, code, "en")


def test_a_title_of_parent_and_child_stands_for_the_parent() -> None:
    found = {concept.title: concept.code for concept in concepts()}
    assert found["Other viral enteritis"] == "A08.3"
    assert len(found) > 90_000


def test_an_ambiguous_term_is_left_out(icd: Dictionary) -> None:
    """Eosinophilic granuloma is listed under C96.6 and K13.4."""
    assert icd.entry("Eosinophilic granuloma") is None


def test_kinds_of_the_rest_are_counted_but_never_exchanged(icd: Dictionary) -> None:
    edits, counts = icd.normalise("Smith-Magenis syndrome")
    assert edits == []
    assert counts == {"Other microdeletions": 1}
    assert icd.synonyms("Smith-Magenis syndrome") == ()
    assert icd.find("Smith-Magenis syndrome")[0].entry.code == "Q93.88"
    assert icd.synonyms("Pollinosis")[0] == "Allergic rhinitis due to pollen"
    assert "Hay fever" in icd.synonyms("Pollinosis")
    assert not icd.find("The axis is normal."), "a vertebra only below its fracture"


def test_an_inner_capital_is_no_reason_to_touch_the_first(icd: Dictionary) -> None:
    assert apply("a long qt syndrome", icd.edits("a long qt syndrome")) == "a long QT syndrome"


def test_kinds() -> None:
    settings = TermsSettings(dictionary="icd10cm", kinds=["disease", "symptom"])
    dictionary = Dictionary.load(settings)
    kinds = {entry.kind for entry in dictionary.entries}
    assert kinds == {"disease", "symptom"}
    assert not dictionary.find("hurt in a tornado")
    assert Dictionary.load("icd10cm").find("hurt in a tornado")
    assert dictionary.find("The patient has measles.")[0].entry.code == "B05"


def test_digest_is_the_version() -> None:
    assert digest(["icd10cm"])["icd10cm"].startswith("simple-icd-10-cm==")
