"""Boilerplate: what repeats at the edges of many rows goes, what says something stays."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.edits import apply
from yibu.prepare.boilerplate import edits, learn, pieces

HEAD = "St. Mary Hospital, Department of Cardiology"
FOOT = "This report was dictated with voice recognition and signed electronically."
ZH_HEAD = "某某市第一人民医院心血管内科住院病历记录"
ZH_FOOT = "本报告仅供临床医师参考，最终解释权归本院检验科所有。"


def notes(num: int = 100, share: float = 1.0) -> list[str]:
    """Notes that differ, some of them between a letterhead and a signature."""
    draw = random.Random(0)
    texts = []
    for number in range(num):
        body = [
            f"Patient {number} has fever of {draw.uniform(36, 41):.1f} and complaint {draw.random()}." for _ in range(9)
        ]
        body[4:4] = ["Assessment and plan of the treating physician:", "No known drug allergies were reported today.",
                     "The abdomen is soft and the lungs are clear."]  # fmt: skip
        texts.append("\n".join([HEAD, *body, FOOT] if number < share * num else body))
    return texts


def test_letterhead_and_signature_are_learned_and_nothing_else() -> None:
    assert learn(notes()) == {HEAD, FOOT}


def test_what_repeats_within_the_rows_stays() -> None:
    """The sentence on the abdomen stands in every row, but with something of that row alone on either side."""
    found = learn(notes())
    assert not any("abdomen" in key or "Assessment" in key or "allergies" in key for key in found)


@pytest.mark.parametrize(("share", "learned"), [(0.19, False), (0.21, True)])
def test_the_share_decides(share: float, learned: bool) -> None:
    assert bool(learn(notes(100, share))) is learned
    assert bool(learn(notes(100, share), min_share=0.1, min_rows=10)) is True


def test_few_rows_are_no_evidence() -> None:
    assert learn(notes(19)) == frozenset()
    assert learn(notes(19), min_rows=5) == {HEAD, FOOT}
    assert learn([]) == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        "Assessment and plan of this visit:",
        "主诉以及现病史和既往史：",
        "Signed by Dr. Lee",
        "No known drug allergies on file.",
        "Patient denies chest pain today.",
        "患者否认高血压糖尿病史",
        "未见明显异常，建议定期复查随访",
        "The patient doesn't smoke cigarettes",
        "37.5 / 120 / 80 / 98 / 16 / 4.1 / 140 / 102",
        "------------------------------------",
    ],
)
def test_lines_that_may_carry_content_are_never_learned(line: str) -> None:
    assert line not in learn(f"{line}\nrow {number} says this\nand that {number}" for number in range(50))


def test_a_long_disclaimer_may_deny() -> None:
    line = (
        "This e-mail is confidential and is intended only for the addressee; if you are not the addressee, please "
        "delete it at once and tell the sender."
    )
    assert learn(f"Question {number}\nabout a card\n{line}" for number in range(50)) == {line}


def test_rows_that_are_one_piece_or_the_same_are_no_evidence() -> None:
    assert learn(["Why has my card not arrived yet in the post?"] * 50) == frozenset()
    assert learn(["One line of a note that repeats itself\nand a second line of this note"] * 50) == frozenset()


def test_values_that_vary_are_compared_exactly() -> None:
    texts = [f"Electronically signed by Dr. Lee at {number} o'clock\nNote {number}\nmore" for number in range(50)]
    assert learn(texts) == frozenset()


def test_learning_does_not_depend_on_order() -> None:
    texts = notes(60)
    assert learn(texts) == learn(reversed(texts)) == learn(iter(texts))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yibu.prepare.boilerplate._MAX_PIECES", 50)
    unique = (
        f"{HEAD}\na line that nobody ever repeats, {chr(97 + n % 26)}{n} and so on\n{FOOT}" for n in itertools.count()
    )
    assert learn(itertools.islice(unique, 2000)) == {HEAD, FOOT}


def test_sentences_of_one_line() -> None:
    texts = [f"Value {number} was 3.5 mg. Is it so? Yes, {number}. {FOOT}" for number in range(40)]
    assert learn(texts) == {FOOT}
    assert apply(texts[3], edits(texts[3], frozenset({FOOT}))) == "Value 3 was 3.5 mg. Is it so? Yes, 3. "
    chinese = [f"{number}号患者体温37.5℃。血压正常。{ZH_FOOT}" for number in range(40)]
    assert learn(chinese) == {ZH_FOOT}
    assert apply(chinese[3], edits(chinese[3], frozenset({ZH_FOOT}))) == "3号患者体温37.5℃。血压正常。"


def test_chinese_letterhead() -> None:
    texts = [f"{ZH_HEAD}\n{number}床\n患者发热{number}天，体温39℃。\n{ZH_FOOT}" for number in range(40)]
    assert learn(texts) == {ZH_HEAD, ZH_FOOT}


def test_lines_are_taken_out_with_their_breaks() -> None:
    text = f"  {HEAD} \nbody\n{FOOT}\nend"
    assert apply(text, edits(text, frozenset({HEAD, FOOT}))) == "body\nend"


def test_a_row_is_never_emptied() -> None:
    assert edits(f"{HEAD}\n{FOOT}\n \n", frozenset({HEAD, FOOT})) == []


def test_a_line_with_an_entity_stays() -> None:
    text = f"{HEAD}\nbody\n{FOOT}"
    keys = frozenset({HEAD, FOOT})
    assert apply(text, edits(text, keys, [(0, 8)])) == f"{HEAD}\nbody\n"
    assert apply(text, edits(text, keys, [(len(HEAD) + 1, len(HEAD) + 5)])) == "body\n"
    assert edits(text, keys, [(0, len(text))]) == []


@given(st.text(alphabet="ab .。!?\n\t3)”"))
def test_pieces_cover_the_text_in_order(text: str) -> None:
    found = list(pieces(text))
    covered = "".join(text[piece.start : piece.end] for piece in found)
    assert "".join(covered.split()) == "".join(text.split())
    assert all(left.end <= right.start for left, right in itertools.pairwise(found))
    assert all(piece.key == " ".join(text[piece.start : piece.end].split()) != "" for piece in found)
