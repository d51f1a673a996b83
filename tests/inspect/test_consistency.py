"""Conflicts, spellings and mistyped labels: what is found, and what must not be taken for a mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu import tasks
from yibu.core.record import Row, Split
from yibu.inspect.alike import Near, edits
from yibu.inspect.consistency import ConsistencySettings, bare_label, find, label_typos

TASK = tasks.build(tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": "{label}"}))
WRITE = tasks.build(tasks.settings_of({"kind": "generate", "prompt": "{text}", "target": "{answer}"}))
SETTINGS = ConsistencySettings()
Rows = Callable[[], Iterator[tuple[Split, Row]]]


def source(*fields: tuple[str, str], name: str = "label") -> Rows:
    rows = [Row(f"r{n}", {"text": text, name: label}) for n, (text, label) in enumerate(fields)]
    return lambda: (("train", row) for row in rows)


@dataclass(frozen=True)
class Entry:
    preferred: str
    code: str | None = None
    kind: str | None = None
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    start: int
    end: int
    entry: Entry
    variant: str


class Dictionary:
    """Stands in for `yibu.terms.Dictionary`."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries

    def find(self, text: str) -> list[Match]:
        found = []
        for entry in self.entries:
            for form in (entry.preferred, *entry.variants):
                start = text.casefold().find(form.casefold())
                if start >= 0:
                    found.append(Match(start, start + len(form), entry, form))
        return found


# --- conflicts


def test_one_input_with_two_labels_is_a_conflict_however_it_is_written() -> None:
    rows = source(("Chest pain.", "A"), ("chest  ｐａｉｎ", "B"), ("CHEST PAIN", "B"), ("cough", "A"), ("cough.", "A"))
    found = find(rows, TASK, None, SETTINGS)
    assert found["conflicts"] == [{"ids": ["r0", "r1", "r2"], "labels": ["B", "A"], "n": 3, "targets": 2}]
    assert found["counts"]["conflicts"] == 1
    assert found["counts"]["conflict_rows"] == 3


@pytest.mark.parametrize(
    ("one", "other"), [("37.5 ℃", "375 ℃"), ("-0.3", "0.3"), ("1:64", "1/64"), ("10⁹/L", "109/L"), ("Rh-", "Rh+")]
)
def test_other_values_are_other_inputs(one: str, other: str) -> None:
    assert find(source((one, "A"), (other, "B")), TASK, None, SETTINGS)["conflicts"] == []


def test_different_answers_to_one_question_are_counted_without_labels() -> None:
    rows = source(("why", "because"), ("why", "no reason"), ("how", "so"), ("how", "So."), name="answer")
    assert find(rows, WRITE, None, SETTINGS)["conflicts"] == [{"ids": ["r0", "r1"], "labels": [], "n": 2, "targets": 2}]


def test_raw_text_has_no_input_that_could_conflict() -> None:
    raw = tasks.build(tasks.settings_of({"kind": "generate", "target": "{text}"}))
    assert find(source(("a", ""), ("b", ""), ("b", "")), raw, None, SETTINGS)["conflicts"] == []


def test_lists_are_cut_and_the_totals_true() -> None:
    rows = source(*((f"text {n // 2}", str(n % 2)) for n in range(20)), ("text 7", "2"))
    found = find(rows, TASK, None, ConsistencySettings(max_conflicts=3))
    assert len(found["conflicts"]) == 3
    assert found["counts"]["conflicts"] == 10
    assert found["conflicts"][0]["n"] == 3  # the largest comes first


def test_ids_of_a_conflict_are_bounded() -> None:
    found = find(source(*(("same", str(n % 2)) for n in range(500))), TASK, None, SETTINGS)["conflicts"][0]
    assert len(found["ids"]) == 50
    assert found["n"] == 500


def test_no_rows_is_no_error() -> None:
    found = find(source(), TASK, None, SETTINGS)
    assert found["conflicts"] == found["spellings"] == found["label_typos"] == []
    assert found["counts"]["rows"] == 0


# --- spellings


def test_terms_of_the_dictionary_in_several_forms() -> None:
    dictionary = Dictionary(Entry("高血压", "I10", "disease", ("原发性血压高",)), Entry("cough", "R05"))
    rows = source(
        ("有高血压史", "A"), ("原发性血压高", "A"), ("高血压3级", "A"), ("Cough and pain", "A"), ("a cough", "A")
    )
    found = find(rows, TASK, dictionary, SETTINGS)
    assert found["spellings"] == [
        {"preferred": "高血压", "code": "I10", "kind": "term", "forms": {"高血压": 2, "原发性血压高": 1}}
    ]  # the capital of a sentence is no other spelling


def forms_of(*texts: str) -> dict[str, dict[str, int]]:
    rows = source(*((text, "A") for text in texts))
    return {one["preferred"]: one["forms"] for one in find(rows, TASK, None, SETTINGS)["spellings"]}


def test_hyphen_space_and_joined_are_one_word() -> None:
    found = forms_of("a follow-up", "the follow-up", "Follow-up", "a followup", "to follow up", "nothing else")
    assert found == {"follow-up": {"follow-up": 3, "follow up": 1, "followup": 1}}


def test_width_and_case_of_abbreviations() -> None:
    assert forms_of("CT检查", "行CT", "复查ＣＴ", "ct平扫") == {"CT": {"CT": 2, "ct": 1, "ＣＴ": 1}}
    assert forms_of("5 mmHg", "7 mmHg", "8 mmhg") == {"mmHg": {"mmHg": 2, "mmhg": 1}}


def test_capitals_of_sentences_and_headings_are_no_other_spelling() -> None:
    assert forms_of("Allergy: none", "an allergy", "ALLERGY", "allergy") == {}


def test_mistyped_words_beside_a_frequent_one() -> None:
    found = forms_of(*["the diagnosis of pneumonia"] * 60, "diagnosis of penumonia", "diagnosiss", "pneumonias")
    assert found == {"pneumonia": {"pneumonia": 60, "penumonia": 1}}  # endings are inflection


@pytest.mark.parametrize(
    ("often", "seldom"),
    [
        ("typical", "atypical"),
        ("hyperthyroid", "hypothyroid"),
        ("stage1", "stage2"),
        ("fevered", "levered"),
        ("taking", "talking"),
    ],
)
def test_other_words_are_no_mistakes(often: str, seldom: str) -> None:
    assert forms_of(*[f"the {often}"] * 100, f"the {seldom}") == {}


def test_masks_are_no_spellings() -> None:
    assert forms_of("XXXX", "xxxx", "ＸＸＸＸ", "xx-xx", "xx-xx") == {}


def test_a_variant_needs_a_much_more_frequent_word() -> None:
    assert forms_of(*["pneumonia"] * 30, "penumonia", "penumonia") == {}
    assert forms_of(*["pneumonia"] * 10, "penumonia") == {}


def test_chinese_words_that_sound_alike() -> None:
    found = forms_of(*["口服阿司匹林治疗。"] * 60, "口服阿斯匹林治疗。")
    assert {"阿司匹林": 60, "阿斯匹林": 1} in found.values()


def test_chinese_words_one_character_apart_are_no_variants() -> None:
    assert forms_of(*["患者有高血压病史。"] * 60, "患者有低血压病史。") == {}


# --- labels


@pytest.mark.parametrize(
    ("label", "like", "kind"),
    [
        ("Diabetes", "diabetes", "form"),
        ("ｄiabetes", "diabetes", "form"),
        ("heart  failure", "heart failure", "form"),
        ("heart_failure", "heart failure", "form"),
        ("pneumona", "pneumonia", "edit"),
        ("pnuemonia", "pneumonia", "edit"),
        ("cardiac arest", "cardiac arrest", "edit"),
        ("cardiac_arrrrest", "cardiac arrest", None),
        ("呼吸内刻", "呼吸内科", "edit"),
        ("外科", "内科", None),
        ("I11", "I10", None),
        ("GYNHX", "GENHX", None),
        ("stage 2", "stage 1", None),
        ("hypothyroidism", "hyperthyroidism", None),
        ("incomplete", "complete", None),
        ("female", "male", None),
        ("Rh-", "Rh+", None),
        ("Rh-", "Rh", None),
        ("A+", "A", None),
        ("1.5", "15", None),
        ("非小细胞癌", "小细胞癌", None),
    ],
)
def test_label_typos(label: str, like: str, kind: str | None) -> None:
    found = label_typos({like: 400, label: 2, "something else": 50}, ratio=10)
    expected = [{"label": label, "n": 2, "like": like, "of": 400, "kind": kind}]
    assert found == ([] if kind is None else expected)


def test_a_frequent_label_is_no_typo_unless_only_its_form_differs() -> None:
    assert label_typos({"pneumonia": 100, "pneumona": 20}, ratio=10) == []
    assert label_typos({"Yes": 100, "yes": 90}, ratio=10)[0]["label"] == "yes"


def test_the_report_holds_the_typos_with_the_most_rows_first() -> None:
    fields = [("t", "pneumonia")] * 60 + [("t", "pneumona")] * 2 + [("t", "Pneumonia")] * 3
    found = find(source(*fields), TASK, None, ConsistencySettings(max_typos=1))
    assert [typo["label"] for typo in found["label_typos"]] == ["Pneumonia"]
    assert found["counts"]["label_typos"] == 2


def test_thousands_of_codes_do_not_take_long() -> None:
    counts = {f"{letter}{n:02d}.{m}": 1 + 30 * (m == 0) for letter in "ABCDEFG" for n in range(100) for m in range(10)}
    assert label_typos(counts, ratio=10) == []


WORD = st.text("abc", max_size=8)


@given(WORD, WORD)
def test_edits_are_those_of_the_definition(one: str, other: str) -> None:
    expected = reference(one, other)
    for limit in (0, 1, 2):
        assert edits(one, other, limit) == min(expected, limit + 1)


def reference(one: str, other: str) -> int:
    """Optimal string alignment, by the textbook."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            cost = one[i - 1] != other[j - 1]
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + cost)
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(one), len(other)]


@given(
    st.lists(st.text("abc", min_size=5, max_size=9), max_size=12, unique=True), st.text("abc", min_size=5, max_size=9)
)
def test_the_index_misses_no_neighbour(words: list[str], word: str) -> None:
    for limit in (1, 2):
        expected = [(other, reference(word, other)) for other in sorted(set(words) - {word})]
        assert Near(words, limit).of(word) == [pair for pair in expected if pair[1] <= limit]


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=4), st.data())
def test_bare_labels_fold_case_and_what_joins_words(words: list[str], data: st.DataObject) -> None:
    joints = [data.draw(st.sampled_from([" ", "_", "-", "  ", " / ", "、", ""])) for _ in words[1:]]
    label = words[0] + "".join(joint + word for joint, word in zip(joints, words[1:], strict=True))
    assert bare_label(label.upper()) == bare_label(label) == "".join(words)


def test_the_report_is_the_same_for_the_same_rows() -> None:
    rows: list[Any] = [("a follow-up of pneumonia", "A")] * 40 + [
        ("follow up of penumonia", "a"),
        ("same", "A"),
        ("same", "B"),
    ]
    assert find(source(*rows), TASK, None, SETTINGS) == find(source(*rows), TASK, None, SETTINGS)
    assert Counter(find(source(*rows), TASK, None, SETTINGS)["counts"])["labels"] == 3
