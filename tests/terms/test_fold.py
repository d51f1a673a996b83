"""Folding finds what is written in another way, and always finds the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.terms.fold import fold, is_word, key


@pytest.mark.parametrize(
    ("written", "term"),
    [
        ("ＨｂＡ１ｃ", "HbA1c"),
        ("Ⅱ型糖尿病", "II型糖尿病"),
        ("ⅳ期", "IV期"),
        ("CO₂", "CO2"),
        ("X‐ray", "X-ray"),
        ("Crohn’s disease", "Crohn's disease"),
        ("type 2\n  diabetes", "type 2 diabetes"),
        ("高血压（2级）", "高血压(2级)"),
        ("µ阿片受体", "μ阿片受体"),
        ("HEART ATTACK", "heart attack"),
        ("ΟΔΟΣ", "οδος"),
    ],
)
def test_one_form_for_what_means_the_same(written: str, term: str) -> None:
    assert key(written) == key(term)


@pytest.mark.parametrize(
    ("one", "other"), [("10⁹", "109"), ("heart\n\nattack", "heart attack"), ("3.5", "35"), ("a-b", "a b")]
)
def test_what_differs_in_meaning_stays_apart(one: str, other: str) -> None:
    assert key(one) != key(other)


def test_case_can_count() -> None:
    assert key("AS", ignore_case=False) != key("as", ignore_case=False)


@given(st.text(st.sampled_from("aÄ高 \n\tⅡⅫＡ１İß₂’（é\u0301🫀"), max_size=30))
def test_every_folded_character_leads_back(text: str) -> None:
    """Spans of the folded text that begin and end with whole characters fold back to the same."""
    folded = fold(text)
    covered = 0
    for start in range(len(folded.text)):
        place = folded.original(start, start + 1)
        if place is None:  # inside of a numeral
            continue
        assert place[0] >= covered
        covered = place[1]
        if not folded.text[start].isspace() and folded.text[start] != "\0":
            assert fold(text[slice(*place)]).text == folded.text[start]
    whole = folded.original(0, len(folded.text)) if folded.text else (0, 0)
    assert whole is not None
    assert whole[0] == 0


def test_no_span_begins_within_a_numeral() -> None:
    folded = fold("第Ⅲ期")
    assert folded.text == "第iii期"
    assert folded.original(1, 4) == (1, 2)
    assert folded.original(2, 4) is None
    assert folded.original(1, 3) is None


@pytest.mark.parametrize(
    ("characters", "expected"), [("aZ7éαж\u0301", True), ("高か한ก（ ，²-。_", False)], ids=["goes on", "parts"]
)
def test_which_characters_go_on_with_a_word(characters: str, expected: bool) -> None:
    assert [is_word(character) for character in characters] == [expected] * len(characters)
