"""Texts as sets of shingles."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.prepare.same import fold
from yibu.prepare.shingles import NO_SPACES, NUM_SIGNS, NUM_WORDS, jaccard, num_common, shingles, simplified

TEXTS = st.text(alphabet="ab1 ,.\n高血压壓的カ𠮷", max_size=40)


def _is_sign(sign: str) -> bool:
    return any(start <= ord(sign) < end for start, end in NO_SPACES)


def _tokens(text: str) -> list[tuple[str, bool]]:
    """Each with whether it is a sign of its own."""
    tokens: list[tuple[str, bool]] = []
    for word in simplified(fold(text)).split():
        runs = [(is_sign, "".join(signs)) for is_sign, signs in itertools.groupby(word, _is_sign)]
        for is_sign, run in runs:
            tokens += [(sign, True) for sign in run] if is_sign or len(runs) > 1 else [(run, False)]
    return tokens


def _plainly(text: str) -> set[tuple[str, ...]]:
    """The same shingles, made word by word."""
    tokens = _tokens(text)
    found = set()
    for place, (_, is_sign) in enumerate(tokens):
        width = NUM_SIGNS if is_sign else NUM_WORDS
        if place + width <= len(tokens):
            found.add(tuple(token for token, _ in tokens[place : place + width]))
    return found


@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_they_are_those_of_a_plain_program(texts: list[str]) -> None:
    made = shingles(texts)
    plain = [_plainly(text) for text in texts]
    assert [len(made[place]) for place in range(len(texts))] == [len(one) for one in plain]
    for place in range(1, len(texts)):
        assert num_common(made[0], made[place]) == len(plain[0] & plain[place])


@given(st.lists(TEXTS, max_size=5))
def test_a_text_has_the_same_shingles_in_any_company(texts: list[str]) -> None:
    made = shingles(texts)
    assert len(made) == len(texts)
    for place, text in enumerate(texts):
        assert made[place].tolist() == shingles([text])[0].tolist()
        assert made.texts[place] == simplified(fold(text))


def test_traditional_and_full_width_copies_are_equal() -> None:
    made = shingles(["高血压三级，体温３７.５度。", "高血壓三級,體溫37.5度"])
    assert jaccard(made[0], made[1]) == 1


def test_text_that_is_folded_already_may_hold_line_feeds() -> None:
    made = shingles(["a b\nc d", "e f g"], folded=True)
    assert (len(made[0]), len(made[1])) == (2, 1)


def test_a_long_word_is_one_token() -> None:
    made = shingles(["a " + "x" * 10_000 + " b", "a " + "x" * 9_999 + "y b"])
    assert (len(made[0]), len(made[1]), num_common(made[0], made[1])) == (1, 1, 0)


@pytest.mark.parametrize("text", ["", " ", "a b", "高血压病", "。，"])
def test_short_texts_have_none(text: str) -> None:
    assert len(shingles([text])[0]) == 0
    assert jaccard(shingles([text])[0], shingles([text])[0]) == 0


def test_half_a_surrogate_pair_is_a_sign_like_any_other() -> None:
    assert len(shingles(["a \ud83d b"])[0]) == 1


def test_numbers_are_the_same_in_every_process() -> None:
    code = "from yibu.prepare.shingles import shingles; print(shingles(['one two three', '高血壓三級'])[0].tolist())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{shingles(['one two three'])[0].tolist()}\n"}


def test_simplified_replaces_sign_by_sign() -> None:
    assert simplified("發展、頭髮 hair") == "发展、头发 hair"
    assert simplified("plain") == "plain"
