"""Test items inside of train rows."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from yibu.core.errors import DataError
from yibu.prepare.contamination import ContaminationSettings, Hit, Probe, read_items

NOTE = (
    "A 54-year-old woman came with pain in her left knee after a long walk. She denies fever. The joint was warm, with "
    "37.5 C in the room and 120/80 mmHg on the cuff; 5 mg of prednisone were given, and a visit was planned for May."
)
RECORD = (
    "患者，女，54岁，因左膝疼痛3天就诊。无发热，体温37.5℃，血压120/80mmHg。给予泼尼松5mg口服，嘱其休息，两周后复诊。"
)
QUESTION = "Why was my card payment declined at the shop?"  # nine words
TERM = "type 2 diabetes"


def _probe(*items: str, **options: object) -> Probe:
    named = [(f"item {number}", text) for number, text in enumerate(items)]
    return Probe.of(named, ContaminationSettings.model_validate(options))


def _wide(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def _traditional(text: str) -> str:
    opencc = pytest.importorskip("opencc")
    converted: str = opencc.OpenCC("s2t").convert(text)
    return converted


def _other_marks(text: str) -> str:
    for one, other in ((", ", " "), ("; ", " – "), (". ", "! "), ("，", " "), ("。", "；"), ("、", "，")):
        text = text.replace(one, other)
    return text


def _inside(text: str) -> str:
    return (
        f"Worked through in the seminar of 12 March, group 4.\n{text}\nWhat follows? 请回答下列问题，并说明理由。" * 2
    )


@pytest.mark.parametrize("item", [NOTE, RECORD])
@pytest.mark.parametrize(
    ("change", "how"),
    [
        (str, "whole"),
        (str.upper, "whole"),
        (_wide, "whole"),
        (_traditional, "whole"),
        (_other_marks, "whole"),
        (lambda text: text.replace("her", "the").replace("复诊", "复查"), "whole"),
        (_inside, "embedded"),
        (lambda text: _inside(_wide(_traditional(_other_marks(text)))), "embedded"),
    ],
)
def test_a_changed_copy_is_found(item: str, change: Callable[[str], str], how: str) -> None:
    hit = _probe("something else entirely, of no interest", item).find(change(item))
    assert hit is not None
    assert (hit.name, hit.how) == ("item 1", how)
    assert 0.8 <= hit.share <= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("54", "45"),
        ("left", "right"),
        ("左", "右"),
        ("无发热", "有发热"),
        ("denies", "reports"),
        ("5 mg", "50 mg"),
        ("5mg", "50mg"),
    ],
)
@pytest.mark.parametrize("place", [str, _inside])
def test_the_same_template_with_other_values_is_no_leak(one: str, other: str, place: Callable[[str], str]) -> None:
    item = NOTE if one in NOTE else RECORD
    assert _probe(item).find(place(item.replace(one, other))) is None


def test_a_value_elsewhere_in_the_row_is_not_that_of_the_item() -> None:
    other = NOTE.replace("54-year-old", "45-year-old").replace("left", "right").replace("120/80", "80/120")
    row = f"Worked through in group 4 of seminar 54, which is the left one. {other} " + "What follows from this? " * 3
    assert _probe(NOTE).find(row) is None
    assert _probe(other).find(row) is not None
    mirrored = (
        "Pain was felt in the left knee on waking, and then in the right knee after the walk to the shop at noon."
    )
    turned = mirrored.replace("left", "x").replace("right", "left").replace("x", "right")
    assert _probe(mirrored).find(_inside(turned)) is None
    assert _probe(mirrored).find(_inside(mirrored)) is not None
    edge = "was given at noon, as the nurse who was on duty wrote down in the list of the ward, 5"
    assert (
        _probe(f"{edge} mg").find(f"Then 7 mg {edge[:-1]}6 mg. 5 mg more were asked for by a man in the next bed.")
        is None
    )


def test_what_is_alike_in_all_items_counts_for_nothing() -> None:
    ask = "Read the following message of a customer of our bank with care and name the one class out of all that fits. "
    chance = random.Random(0)
    words = [f"word{number}" for number in range(400)]
    items = [ask + " ".join(chance.sample(words, 8)) for _ in range(50)]
    probe = _probe(*items)
    assert probe.find(ask + " ".join(chance.sample(words, 8))) is None
    for number, item in enumerate(items):
        assert probe.find(item + " please") == Hit(f"item {number}", "whole", pytest.approx(0.9, abs=0.1))


def test_items_with_nothing_of_their_own_are_still_protected() -> None:
    probe = _probe(
        *[NOTE] * 10, *(f"{NOTE} {ending}" for ending in ("Bye.", "So long.", "Regards.", "Thanks.", "Best."))
    )
    assert len(probe) == 6
    assert probe.find(NOTE + " Yours.") == Hit("item 0", "whole", pytest.approx(0.95, abs=0.05))


def test_short_items_inside_of_long_rows() -> None:
    probe = _probe(QUESTION, TERM)
    assert probe.find(f"He asked me: {QUESTION.upper()} And I did not know what to say.") == Hit(
        "item 0", "embedded", 1
    )
    assert probe.find("He asked me: Why was my card payment declined at the store? And I did not know.") is None
    assert probe.find(f"She has {TERM} and takes metformin for it.") is None
    assert probe.find("Type 2, diabetes.") == Hit("item 1", "whole", 1)
    assert probe.find(f"{TERM} NO") == Hit("item 1", "embedded", 1)
    assert probe.find(f"{TERM}s") is None


def test_short_chinese_items() -> None:
    probe = _probe("二型糖尿病", "我的银行卡为什么在商店里不能付款")
    assert probe.find("患者有二型糖尿病史十年，长期服用二甲双胍。") is None
    assert probe.find("他问：我的銀行卡，為什麼在商店裡不能付款？我也不知道该怎么回答他。") == Hit(
        "item 1", "embedded", 1
    )
    assert probe.find("二型糖尿病。") == Hit("item 0", "whole", 1)


def test_the_best_of_several_items_is_named() -> None:
    probe = _probe(NOTE + " She was sent home in a cab.", NOTE, NOTE)
    assert probe.find(NOTE) == Hit("item 1", "whole", 1)


def test_thresholds_are_the_settings() -> None:
    half = NOTE[: len(NOTE) * 6 // 10]
    row = (
        half + " Then quite another story began, which nobody in the ward had heard before, of a ship and its captain."
    )
    item = half.replace(" She denies fever.", "") + " mere words from here on to the very end of it all"
    assert _probe(item).find(row) is None
    assert _probe(item, embedded=0.5, whole=0.5).find(row) is not None
    assert _probe(QUESTION, words=30).find(f"He asked me: {QUESTION} And I did not know what to say.") is None


def test_batches_and_copies_find_the_same() -> None:
    texts = [NOTE, RECORD, _inside(NOTE), "", "nothing of the kind, as far as one can see", QUESTION]
    probe = _probe(RECORD, NOTE)
    found = [probe.find(text) for text in texts]
    assert [None if hit is None else hit.name for hit in found] == ["item 1", "item 0", "item 1", None, None, None]
    assert probe.find_all(texts) == copy.deepcopy(probe).find_all(texts) == found


@pytest.mark.parametrize("items", [(), ("", " ", "。，")])
def test_nothing_to_protect(items: tuple[str, ...]) -> None:
    probe = _probe(*items)
    assert len(probe) == 0
    assert probe.find(NOTE) is None
    assert probe.find_all(["", "a"]) == [None, None]


def _file(folder: Path, rows: list[dict[str, object]]) -> str:
    path = folder / "benchmark.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_texts_of_a_benchmark_are_read_but_its_instruction_is_not(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"instruction": "Answer the question.", "question": f"What is {number}?", "level": 3, "note": None}
        for number in range(6)
    ]
    rows.append({"instruction": "Answer the question.", "messages": [{"role": "user", "content": "Hello?"}, "Hi"]})
    items = list(read_items(_file(tmp_path, rows), ContaminationSettings()))
    assert items == [
        *((f"{number + 1}:question", f"What is {number}?") for number in range(6)),
        *(("7:messages", text) for text in ("Hello?", "Hi")),
    ]
    chosen = ContaminationSettings(columns=["messages"])
    assert [name for name, _ in read_items(_file(tmp_path, rows), chosen)] == ["7:messages"] * 2


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    address = _file(tmp_path, [{"question": "Why?"}])
    with pytest.raises(DataError) as caught:
        list(read_items(address, ContaminationSettings(columns=["qestion"])))
    assert "question" in caught.value.render()
    assert "Why?" not in caught.value.render()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        list(read_items(str(tmp_path / "none.jsonl"), ContaminationSettings()))


@pytest.mark.parametrize("options", [{"whole": 0.1}, {"words": 1}, {"agianst": []}, {"embedded": 2}])
def test_settings_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ContaminationSettings.model_validate(options)
