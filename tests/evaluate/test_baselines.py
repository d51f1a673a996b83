"""Baselines: they learn what there is to learn, from train alone, and survive what real sets hold."""

from __future__ import annotations

import logging
import random
import warnings

import pytest

from yibu.core.errors import DataError
from yibu.evaluate.baselines import copy_input, lead_length, majority, nearest_target, tfidf_svm

EN = {
    "cardiology": ["chest pain on exertion", "palpitations and chest tightness", "heart failure with oedema"],
    "dermatology": ["itchy rash on both arms", "scaly skin lesion", "rash after new soap"],
    "neurology": ["headache with aura", "seizure last night", "numb left hand and headache"],
}
ZH = {"心内科": ["胸痛三天", "心悸胸闷", "胸痛伴气促"], "皮肤科": ["皮疹瘙痒", "皮肤红斑", "手臂皮疹"]}


def rows(texts: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    pairs = [(text, label) for label, of_label in texts.items() for text in of_label]
    return [text for text, _ in pairs], [label for _, label in pairs]


class TestMajority:
    def test_most_frequent_and_first_among_equals(self) -> None:
        assert majority(["b", "c", "c"]) == "c"
        assert majority(["c", "b", "c", "b"]) == "b"

    def test_empty_train_is_refused(self) -> None:
        with pytest.raises(DataError, match="empty"):
            majority([])


class TestTfidfSvm:
    def test_learns_english(self) -> None:
        texts, labels = rows(EN)
        assert tfidf_svm(texts, labels, ["severe chest pain", "a rash", "bad headache"], "en") == list(EN)

    def test_learns_chinese_without_spaces(self) -> None:
        texts, labels = rows(ZH)
        assert tfidf_svm(texts, labels, ["患者胸痛", "背部皮疹"], "zh") == ["心内科", "皮肤科"]

    def test_a_single_digit_can_decide(self) -> None:
        texts = [f"grade {digit}" for digit in "1212121212"]
        assert tfidf_svm(texts, ["low", "high"] * 5, ["grade 2", "grade 1"], "en") == ["high", "low"]

    def test_classes_of_one_row_give_no_warning(self) -> None:
        texts, labels = rows(EN)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answers = tfidf_svm([*texts, "broken arm"], [*labels, "orthopaedics"], ["broken arm"], "en")
        assert answers == ["orthopaedics"]

    @pytest.mark.parametrize("groups", [None, ["p1", "p1", "p2"], ["p1"] * 3])
    def test_nothing_but_classes_of_one_row(self, groups: list[str] | None) -> None:
        texts = ["broken arm", "itchy rash", "chest pain"]
        assert tfidf_svm(texts, ["ortho", "skin", "heart"], ["rash", "arm"], "en", groups) == ["skin", "ortho"]

    def test_one_class_and_wordless_texts_give_the_majority(self) -> None:
        assert tfidf_svm(["a fall", "a burn"], ["injury", "injury"], ["flu"], "en") == ["injury"]
        assert tfidf_svm(["...", "?"], ["b", "a"], ["flu"], "en") == ["a"]

    def test_a_test_text_without_known_words_gets_a_label_of_train(self) -> None:
        texts, labels = rows(EN)
        assert tfidf_svm(texts, labels, ["", "发热"], "en")[0] in EN

    def test_no_test_rows(self) -> None:
        assert tfidf_svm(*rows(EN), [], "en") == []

    def test_does_not_depend_on_the_other_test_rows(self) -> None:
        texts, labels = rows(EN)
        alone = tfidf_svm(texts, labels, ["numb rash"], "en")
        assert tfidf_svm(texts, labels, ["numb rash", *["chest pain heart"] * 50], "en")[0] == alone[0]

    def test_groups_keep_sister_rows_out_of_the_choice(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Three copies of each text of random label: without groups, cross-validation believes that it knows them."""
        monkeypatch.setattr(logging.getLogger("yibu"), "propagate", True)  # the command line turns it off
        chance = random.Random(0)
        texts = [" ".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(40)]
        labels = [chance.choice(["yes", "no"]) for _ in texts]
        accuracies = []
        for groups in (None, [f"g{row}" for row in range(40)] * 3):
            with caplog.at_level(logging.INFO, "yibu.evaluate.baselines"):
                caplog.clear()
                tfidf_svm(texts * 3, labels * 3, ["a b"], "en", groups)
            accuracies.append(float(caplog.messages[0].rpartition(" ")[2]))
        assert accuracies[0] > 0.85
        assert accuracies[1] < 0.75

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(DataError, match="one of the labels"):
            tfidf_svm(["a"], ["x", "y"], ["b"], "en")
        with pytest.raises(DataError, match="language"):
            tfidf_svm(["a fall", "a burn"], ["x", "y"], ["b"], "fr")
        with pytest.raises(DataError, match="its group"):
            tfidf_svm(["a fall", "a burn"], ["x", "y"], ["b"], "en", ["g"])


class TestCopyInput:
    def test_whole(self) -> None:
        assert copy_input(["  Doctor: how are you?\nPatient: fine. "]) == ["Doctor: how are you?\nPatient: fine."]

    def test_lead_counts_words_and_characters(self) -> None:
        assert copy_input(["Doctor: how are you?", "患者头晕3天。", "hi"], lead=3) == [
            "Doctor: how are",
            "患者头",
            "hi",
        ]

    def test_lead_length_is_the_median_of_the_targets(self) -> None:
        assert lead_length(["one", "one two three", "one two three four, five"]) == 3
        assert lead_length(["头晕", "头晕三天"]) == 3
        assert lead_length(["..."]) == 1


class TestNearestTarget:
    def test_answers_with_the_target_of_the_most_similar_row(self) -> None:
        texts, _ = rows(EN)
        targets = [f"target {row}" for row in range(len(texts))]
        assert nearest_target(texts, targets, ["a seizure at night", *texts], "en") == ["target 7", *targets]

    def test_chinese(self) -> None:
        texts, labels = rows(ZH)
        assert nearest_target(texts, labels, ["皮疹"], "zh") == ["皮肤科"]

    def test_more_test_rows_than_a_block(self) -> None:
        texts, labels = rows(EN)
        assert nearest_target(texts, labels, texts * 60, "en") == labels * 60

    def test_wordless_train_gives_the_most_frequent_target(self) -> None:
        assert nearest_target(["?", "!", "..."], ["a", "b", "b"], ["flu"], "en") == ["b"]

    def test_no_test_rows(self) -> None:
        assert nearest_target(["a"], ["b"], [], "en") == []
