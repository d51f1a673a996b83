"""What notes keep, leave out and make up: by hand, in both languages, with and without a dictionary."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.metrics import notes
from yibu.metrics.stats import interval, permutation
from yibu.terms import Dictionary

DIALOGUE = """Doctor: What brings you in?
Patient: My left knee has hurt for three days. I take 500 milligrams of metformin, twice a day.
Doctor: Any fever or chills?
Patient: No.
Doctor: Do you have diabetes?
Patient: Yes, since nineteen ninety eight. I never had asthma."""
NOTE = (
    "Left knee pain for 3 days. Denies fever and chills. Diabetes since 1998. No asthma. Metformin 500 mg twice daily."
)


@pytest.fixture(scope="module")
def terms(tmp_path_factory: pytest.TempPathFactory) -> Dictionary:
    path: Path = tmp_path_factory.mktemp("terms") / "terms.json"
    entries = [
        {"preferred": "diabetes", "code": "E11", "variants": ["糖尿病", "DM"]},
        {"preferred": "asthma", "code": "J45", "variants": ["哮喘"]},
        {"preferred": "fever", "code": "R50", "variants": ["发热", "pyrexia"]},
        {"preferred": "hypertension", "code": "I10", "variants": ["高血压", "high blood pressure"]},
    ]
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return Dictionary.load(str(path))


class TestKept:
    def test_doses(self) -> None:
        truth = ["Aspirin 100 mg and metformin 0.5 g, age 62"] * 4
        answers = ["阿司匹林100毫克，二甲双胍0.50g", "aspirin 100 mg, metformin 5 g", "100, 0.5", ""]
        assert notes.doses_kept(truth, answers).tolist() == [1, 0.5, 0, 0]
        assert math.isnan(notes.doses_kept(["age 62"], ["age 62"])[0])

    def test_negations(self) -> None:
        truth = ["Denies fever and chest pain.", "无发热、咳嗽。", "Fever."]
        answers = ["No fever. Has chest pain.", "发热，无咳嗽。", "No fever."]
        found = notes.negations_kept(truth, answers)
        assert found[:2].tolist() == pytest.approx([1 / 3, 1 / 2])
        assert math.isnan(found[2])

    def test_laterality(self) -> None:
        truth = ["Pain in the left knee and right hip", "左膝疼痛", "knee"]
        answers = ["Pain in the right knee and right hip", "左膝关节疼痛3天", "left knee"]
        found = notes.laterality_kept(truth, answers)
        assert found[:2].tolist() == [0.5, 1]
        assert math.isnan(found[2])

    def test_unequal_lengths_are_refused(self) -> None:
        for measure in (
            notes.doses_kept,
            notes.negations_kept,
            notes.laterality_kept,
            notes.unsupported,
            notes.omitted,
        ):
            with pytest.raises(DataError, match="equally many"):
                measure(["a"], [])


class TestConcepts:
    def test_f1_over_spellings_and_languages(self, terms: Dictionary) -> None:
        truth = ["Diabetes, asthma and fever", "糖尿病、高血压", "nothing"]
        answers = ["DM with pyrexia and hypertension", "diabetes; high blood pressure", "none"]
        found = notes.concept_f1(truth, answers, terms)
        assert found[:2].tolist() == pytest.approx([2 * 2 / 6, 1])
        assert math.isnan(found[2])
        assert notes.concept_f1(["asthma"], [""], terms).tolist() == [0]

    def test_polarity(self, terms: Dictionary) -> None:
        truth = ["Diabetes. Denies fever.", "无发热，有哮喘", "asthma"]
        answers = ["No diabetes, denies fever.", "哮喘，无发热", "fever"]
        found = notes.polarity_kept(truth, answers, terms)
        assert found[:2].tolist() == [0.5, 1]
        assert math.isnan(found[2])


class TestUnsupported:
    def test_a_faithful_note_holds(self, terms: Dictionary) -> None:
        for dictionary in (None, terms):
            found = notes.unsupported([NOTE], [DIALOGUE], dictionary)
            assert found.value == 0
            assert found.parts[0, 1] > 5

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("3 days", "5 days"),
            ("500 mg", "500 g"),
            ("Left knee", "Right knee"),
            ("1998", "1989"),
        ],
    )
    def test_one_wrong_fact_is_one(self, right: str, wrong: str) -> None:
        assert notes.unsupported([NOTE.replace(right, wrong)], [DIALOGUE]).parts[0, 0] == 1

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("Diabetes", "No diabetes"),
            ("No asthma", "Asthma"),
            ("Denies fever", "Has fever"),
            ("No asthma", "Hypertension"),
        ],
    )
    def test_flipped_and_invented_concepts(self, right: str, wrong: str, terms: Dictionary) -> None:
        assert notes.unsupported([NOTE.replace(right, wrong)], [DIALOGUE], terms).parts[0, 0] >= 1

    def test_a_denial_of_what_was_affirmed_without_a_dictionary(self) -> None:
        assert notes.unsupported(["No diabetes."], [DIALOGUE]).value == 1
        assert notes.unsupported(["Denies fever."], [DIALOGUE]).value == 0

    def test_chinese(self, terms: Dictionary) -> None:
        source = "医生：有没有发热？\n患者：没有。左腿疼了三天，有糖尿病。"
        assert notes.unsupported(["左腿疼痛3天，无发热。糖尿病。"], [source], terms).value == 0
        assert notes.unsupported(["右腿疼痛3天，无发热。"], [source], terms).parts[0, 0] == 1
        assert notes.unsupported(["发热5天，无糖尿病。"], [source], terms).parts[0, 0] >= 3

    def test_an_empty_answer_makes_nothing_up_and_leaves_all_out(self) -> None:
        assert notes.unsupported([""], [DIALOGUE]).value == 0
        assert notes.omitted([NOTE], [""]).value == 1


class TestOmitted:
    def test_by_hand(self) -> None:
        # Of 500 mg, a denial of fever and the left knee, the denial is gone and the side is wrong.
        found = notes.omitted(["500 mg. No fever. Left knee."], ["500 mg. Right knee."])
        assert found.parts[0].tolist() == [2, 3]

    @settings(deadline=None)
    @given(st.text("ab 无左双,.，。1mg二no膝", max_size=30), st.text("ab 无左,.1mg", max_size=30))
    def test_bounds_and_itself(self, one: str, other: str) -> None:
        assert notes.omitted([one], [one]).value == 0
        assert 0 <= notes.omitted([one], [other]).value <= 1
        assert 0 <= notes.unsupported([one], [other]).value <= 1


def test_can_be_resampled_and_paired() -> None:
    sources = [f"It hurts for {row} days." for row in range(2, 42)]
    good = [f"Pain for {row} days." for row in range(2, 42)]
    bad = [f"Pain for {row + 100 * (row % 2)} days." for row in range(2, 42)]
    better, worse = notes.unsupported(good, sources), notes.unsupported(bad, sources)
    assert (better.value, worse.value) == (0, 0.5)
    assert permutation(better, worse, permutations=499, resamples=200).p < 0.01
    assert 0 < interval(worse, resamples=300).low < 0.5
    assert np.isfinite(interval(better, resamples=300).high)
