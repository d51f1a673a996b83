"""What makes two texts of one template say different things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.prepare.same import fold
from yibu.prepare.shingles import simplified
from yibu.prepare.values import held_values, same_values, value_key, values


def _of(text: str) -> list[str]:
    return [value for *_, value in values(simplified(fold(text)))]


def _same(one: str, other: str, words: tuple[str, ...] = ()) -> bool:
    return same_values(simplified(fold(one)), simplified(fold(other)), words)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 mg of aspirin", "50 mg of aspirin"),
        ("5 mg of aspirin", "5 g of aspirin"),
        ("temperature -0.3 today", "temperature 0.3 today"),
        ("titre 1:64 today", "titre 1/64 today"),
        ("platelets ≥10⁹/L", "platelets ≤10⁹/L"),
        ("the left knee hurts", "the right knee hurts"),
        ("she denies any pain", "she reports any pain"),
        ("there is a fracture", "there is no fracture"),
        ("there isn't a fracture", "there is a fracture"),
        ("the culture was positive", "the culture was negative"),
        ("HBsAg(-) was found", "HBsAg(+) was found"),
        ("was given lisinopril", "was given losartan"),
        ("three times a day", "four times a day"),
        ("code E11.9 was given", "code I11.9 was given"),
        ("bought 100 shares", "sold 100 shares"),
        ("on Monday he came", "on Friday he came"),
        ("左膝关节疼痛", "右膝关节疼痛"),
        ("未见明显异常", "可见明显异常"),
        ("乙肝表面抗原阳性", "乙肝表面抗原阴性"),
        ("高血压三级", "高血压二级"),
        ("《民法典》第1165条", "《民法典》第1166条"),
        ("第一千一百六十五条", "第一千一百六十六条"),
        ("人民币1,490元", "人民币1,940元"),
        ("每次服用3片", "每次服用3粒"),
        ("被告人李某某到案", "被告人王某某到案"),
        ("口服阿莫西林", "口服氨苄西林"),
        ("甲方应当赔偿", "乙方应当赔偿"),
        ("左侧3毫米，右侧5毫米", "左侧5毫米，右侧3毫米"),
        ("left 3 mm, right 5 mm", "left 5 mm, right 3 mm"),
        (
            "on day one his blood pressure was 120/80 mmHg, on day two his blood pressure was 110/70 mmHg",
            "on day one his blood pressure was 110/70 mmHg, on day two his blood pressure was 120/80 mmHg",
        ),
        ("患者60岁以下", "患者60岁以上"),
    ],
)
def test_values_tell_texts_apart(one: str, other: str) -> None:
    assert not _same(one, other)
    assert not _same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5mg of aspirin", "5 mg of Aspirin."),
        ("1,490 USD were paid", "1490 USD were paid"),
        ("He can't walk", "he cannot walk"),
        ("She denied pain", "she denies pain"),
        ("the patient was seen in clinic", "teh patient was seen at the clinic"),
        ("体温37.5℃，无发热", "體溫37.5℃,無發熱"),
        ("病情不断好转", "病情持续好转"),
        ("非常痛", "很痛"),
        ("共计1490元。", "共计1490元，以上属实。"),
        ("He was given 5 mg then. We saw no fracture here.", "We saw no fracture here. He was given 5 mg then."),
        ("", ""),
    ],
)
def test_what_is_no_value_does_not_count(one: str, other: str) -> None:
    assert _same(one, other)
    assert value_key(simplified(fold(one))) == value_key(simplified(fold(other)))


def test_words_of_the_operator_count() -> None:
    assert _same("complains of fever", "complains of cough")
    assert not _same("complains of fever", "complains of cough", ("fever", "cough"))
    assert _same("feverish and well", "feverish, well", ("fever",))
    assert not _same("主诉发热三天", "主诉咳嗽三天", ("发热", "咳嗽"))


def test_they_come_in_order_with_their_places() -> None:
    text = "left knee 5mg 左侧第3条"
    found = values(text)
    assert [text[start:end] for start, end, _ in found] == ["left", "5", "mg", "左", "3", "条"]


@given(st.lists(st.sampled_from(["5 mg", "left", "no", "37.5", "左", "12片", "pain", "疼痛", "-0.3"]), max_size=8))
def test_the_key_does_not_hang_on_the_order(parts: list[str]) -> None:
    assert value_key(" ; ".join(parts)) == value_key(" ; ".join(reversed(parts)))


@given(st.floats(0.1, 999).map(lambda number: f"{number:.1f}"), st.floats(0.1, 999).map(lambda number: f"{number:.1f}"))
def test_any_two_numbers_tell_texts_apart(one: str, other: str) -> None:
    assert _same(f"体温{one}℃", f"体温{other}℃") == (one == other)
    assert _same(f"dose {one} mg daily", f"dose {other} mg daily") == (one == other)


def test_a_text_holds_the_values_of_its_part() -> None:
    assert held_values("left knee 5 mg", "on day 3 the left knee 5 mg was given")
    assert not held_values("left knee 5 mg", "on day 5 the right knee 5 mg was given")
    assert held_values("某及其亲属2人", "李某及其亲属2人")
