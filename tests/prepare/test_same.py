"""When two texts count as the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.prepare.same import exact_key, fold, key

WORDS = st.lists(st.sampled_from(["fever", "the", "Patient", "高血压", "三级", "denies", "55"]), min_size=2, max_size=8)


@given(WORDS)
def test_capitals_width_and_spaces_do_not_count(words: list[str]) -> None:
    text = " ".join(words)
    wide = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)
    assert fold(text) == fold(text.upper()) == fold(wide) == fold(f"\n {text}\t".replace(" ", "  "))


@given(WORDS, st.sampled_from([", ", ". ", "; ", " – ", " … ", '" ', "，", "! ", " ("]))
def test_punctuation_of_prose_does_not_count(words: list[str], mark: str) -> None:
    words = [word for word in words if not word.isdigit()] or ["fever"]
    assert fold(mark.join(words)) == fold(" ".join(words))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("follow-up", "follow up"),
        ("高血压 三级", "高血压三级"),
        ("高血压，3级。", "高血压3级"),
        ("What's up?", "what s up"),
        ("(mild) pain.", "mild pain"),
        ("age 5.", "age 5"),
        ("(5 mg", "5 mg"),
        ("剂量：3片", "剂量3片"),
        ("①", "1"),
        ("- mild pain", "\n - mild pain"),
        ("- mild pain", "mild pain"),
    ],
)
def test_same(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("37.5", "375"),
        ("-0.3", "0.3"),
        ("- 3", "3"),
        ("BE - 3", "BE 3"),
        ("1:64", "1/64"),
        ("5%", "5"),
        ("10⁹", "109"),
        ("≥5", "≤5"),
        ("Rh-", "Rh+"),
        ("Rh-", "Rh"),
        ("HBsAg(-)", "HBsAg(+)"),
        ("C++", "C"),
        ("1 5", "15"),
        ("1,000", "1.000"),
        ("1,000", "1000"),
        (".5", "5"),
        ("℃", "℉"),
        ("3-5", "3 5"),
        ("therapist", "the rapist"),
    ],
)
def test_values_keep_texts_apart(one: str, other: str) -> None:
    assert key(one) != key(other)


@given(st.text(alphabet="ab ,.-()0123456789高，"))
def test_folding_keeps_letters_and_digits_in_order(text: str) -> None:
    assert [sign for sign in fold(text) if sign.isalnum()] == [sign for sign in text if sign.isalnum()]


@given(st.text(alphabet="aÅé，：；！？（）\u0301\u0338１ﬁ①℃…=<高 ", max_size=12))
def test_what_nfkc_makes_equal_is_equal(text: str) -> None:
    assert fold(text) == fold(unicodedata.normalize("NFKC", text))


def test_exact_keys_fold_nothing() -> None:
    assert exact_key("a") != exact_key("A")
    assert 0 <= exact_key("a") < 2**64


def test_half_a_surrogate_pair_has_a_key() -> None:
    assert key("\ud83d") != key("\ud83e")
