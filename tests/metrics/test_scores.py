"""Scores against sklearn and rouge-score where those are right, and worked by hand where they are not."""

from __future__ import annotations

import math
import random
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.metrics.scores import (
    exact_match,
    macro_f1,
    matthews,
    micro_f1,
    numbers,
    numbers_kept,
    repetition,
    rouge,
    token_ends,
    tokens,
)

NOTE_ZH = "患者男，62岁，高血压3级，血压150/90 mmHg，体温37.5℃。"


class TestExactMatch:
    def test_width_and_white_space_do_not_count(self) -> None:
        truth = ["血压 120/80", "Type 2\ndiabetes", "ＡＢＣ"]
        answers = ["血压　１２０／８０ ", " Type  2 diabetes", "ABC"]
        assert exact_match(truth, answers).tolist() == [1, 1, 1]

    def test_case_decimals_and_words_count(self) -> None:
        assert exact_match(["Fever", "37.5", "no pain"], ["fever", "375", "pain"]).tolist() == [0, 0, 0]

    def test_unequal_lengths_are_refused(self) -> None:
        with pytest.raises(DataError, match="equally long"):
            exact_match(["a"], [])


class TestMacroF1:
    def test_by_hand(self) -> None:
        # a: 2 hits of 3 in truth, 2 answered -> F1 4/5; b: 1 hit of 1, 2 answered -> 2/3
        assert macro_f1(["a", "a", "a", "b"], ["a", "a", "b", "b"]).value == pytest.approx((4 / 5 + 2 / 3) / 2)

    def test_an_answer_outside_the_truths_labels_opens_no_class(self) -> None:
        assert macro_f1(["a", "b"], ["a", "something else"]).value == pytest.approx(0.5)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=40))
    def test_equals_sklearn_over_labels_of_the_truth(self, pairs: list[tuple[str, str]]) -> None:
        from sklearn.metrics import f1_score

        truth, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        expected = f1_score(truth, answers, labels=sorted(set(truth)), average="macro", zero_division=0)
        assert macro_f1(truth, answers).value == pytest.approx(expected)

    def test_of_no_items_is_refused(self) -> None:
        with pytest.raises(DataError, match="at least one"):
            macro_f1([], [])


PAIRS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcdef")), min_size=1, max_size=40)


class TestMicroF1:
    def test_by_hand(self) -> None:
        # 2 hits, 4 in truth, 3 answers that are labels: 4/7. "?" is no answer.
        assert micro_f1(["a", "a", "b", "b"], ["a", "b", "b", "?"]).value == pytest.approx(4 / 7)

    @settings(deadline=None)
    @given(PAIRS)
    def test_equals_sklearn_over_labels_of_the_truth(self, pairs: list[tuple[str, str]]) -> None:
        from sklearn.metrics import f1_score

        truth, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        expected = f1_score(truth, answers, labels=sorted(set(truth)), average="micro", zero_division=0)
        assert micro_f1(truth, answers).value == pytest.approx(expected)

    def test_is_the_accuracy_where_every_answer_is_a_label(self) -> None:
        truth, answers = ["a", "b", "c", "a"], ["a", "c", "c", "b"]
        assert micro_f1(truth, answers).value == exact_match(truth, answers).mean()

    def test_of_no_items_is_refused(self) -> None:
        with pytest.raises(DataError, match="at least one"):
            micro_f1([], [])


class TestMatthews:
    def test_by_hand(self) -> None:
        # 6 true positives, 1 false positive, 2 false negatives, 3 true negatives: (6*3 - 1*2) / sqrt(7*8*4*5)
        truth = ["+"] * 8 + ["-"] * 4
        answers = ["+"] * 6 + ["-"] * 2 + ["+"] + ["-"] * 3
        assert matthews(truth, answers).value == pytest.approx(16 / math.sqrt(7 * 8 * 4 * 5))

    @settings(deadline=None)
    @given(PAIRS)
    def test_equals_sklearn_with_one_label_for_all_answers_outside(self, pairs: list[tuple[str, str]]) -> None:
        from sklearn.metrics import matthews_corrcoef

        truth, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        pooled = [answer if answer in truth else "none of them" for answer in answers]
        found = matthews(truth, answers).value
        assert found == pytest.approx(matthews_corrcoef(truth, pooled), abs=1e-12)
        assert -1 - 1e-12 <= found <= 1 + 1e-12

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=1, max_size=20))
    def test_is_symmetric(self, pairs: list[tuple[str, str]]) -> None:
        truth, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if set(truth) == set(answers):
            assert matthews(truth, answers).value == pytest.approx(matthews(answers, truth).value)

    def test_right_throughout_is_one_and_always_the_same_answer_nothing(self) -> None:
        assert matthews(["a", "b", "c"], ["a", "b", "c"]).value == pytest.approx(1)
        assert matthews(["a", "b", "c"], ["a", "a", "a"]).value == 0
        assert matthews(["a", "a"], ["a", "a"]).value == 0


class TestRepetition:
    def test_by_hand(self) -> None:
        # Runs of four: "a b c d" twice, "b c d a", "c d a b", "d a b c": one of five stood before.
        assert repetition(["one two three four one two three four"], "en").tolist() == [1 / 5]

    def test_a_loop_is_near_one_and_short_or_empty_answers_zero(self) -> None:
        found = repetition(["no " * 100, "no no no", ""], "en")
        assert found[0] > 0.98
        assert found[1:].tolist() == [0, 0]

    def test_chinese_runs_are_of_eight_characters(self) -> None:
        assert repetition([NOTE_ZH, "高血压病，糖尿病，高血压病。"], "zh").tolist() == [0, 0]
        assert repetition(["患者血压控制良好，" * 20], "zh")[0] > 0.9

    @settings(deadline=None)
    @given(st.text("ab \u75c5", max_size=60), st.sampled_from(["en", "zh"]))
    def test_bounds(self, answer: str, language: str) -> None:
        assert 0 <= repetition([answer], language)[0] < 1


def rouge_score_f1(truth: str, answer: str) -> list[float]:
    from rouge_score.rouge_scorer import RougeScorer

    scored = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(truth, answer)
    return [scored[kind].fmeasure for kind in ("rouge1", "rouge2", "rougeL")]


def ours(truth: str, answer: str, language: str) -> list[float]:
    return [float(values[0]) for values in rouge([truth], [answer], language).values()]


class TestRouge:
    def test_equals_rouge_score_on_english(self) -> None:
        chance = random.Random(0)
        words = [
            "patient",
            "patients",
            "denied",
            "denies",
            "fever",
            "fevers",
            "running",
            "37.5",
            "q.d.",
            "it's",
            "of",
            "()",
        ]
        for _ in range(200):
            truth, answer = (" ".join(chance.choices(words, k=chance.randint(2, 30))) for _ in range(2))
            if tokens(truth, "en") != tokens(answer, "en"):
                assert ours(truth, answer, "en") == pytest.approx(rouge_score_f1(truth, answer)), (truth, answer)

    @settings(max_examples=200, deadline=None)
    @given(*[st.text(alphabet=string.printable + "°’–", max_size=60)] * 2)
    def test_english_tokens_are_those_of_rouge_score(self, one: str, other: str) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        assert tokens(one + " " + other, "en") == DefaultTokenizer(use_stemmer=True).tokenize(one + " " + other)

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_a_chinese_text_scores_one_against_itself(self, language: str) -> None:
        assert rouge_score_f1("高血压，头晕。", "高血压，头晕。") == [0, 0, 0]  # the trap
        assert ours("高血压，头晕。", "高血压，头晕。", language) == [1, 1, 1]

    @settings(deadline=None)
    @given(st.text(), st.sampled_from(["en", "zh"]))
    def test_any_text_scores_one_against_itself(self, text: str, language: str) -> None:
        assert ours(text, text, language) == [1, 1, 1]

    @settings(deadline=None)
    @given(st.text(), st.text(), st.sampled_from(["en", "zh"]))
    def test_scores_are_symmetric_shares(self, one: str, other: str, language: str) -> None:
        scored = ours(one, other, language)
        assert all(0 <= value <= 1 for value in scored)
        assert scored == ours(other, one, language)

    def test_chinese_by_hand(self) -> None:
        # 患者|头|晕|3|天 against 患者|头|痛|3|天: six tokens each, five shared; bigrams 患者 者头 3天 of five shared
        assert ours("患者头晕3天", "患者头痛3天", "zh") == pytest.approx([5 / 6, 3 / 5, 5 / 6])

    def test_order_counts_for_rouge_l(self) -> None:
        # shared tokens a b c d, longest common subsequence two
        assert ours("a b c d", "c d a b", "en") == pytest.approx([1, 2 / 3, 1 / 2])

    def test_chinese_tokens_are_characters_words_and_numbers(self) -> None:
        assert tokens("血糖７.8mmol/L，CT示ＯＫ", "zh") == ["血", "糖", "7.8", "mmol", "l", "ct", "示", "ok"]

    def test_accents_are_letters_in_english(self) -> None:
        assert tokens("Ménière's", "en") == ["ménière", "s"]
        assert tokens("Me\u0301nie\u0300re", "en") == ["ménière"]

    def test_nothing_shared_and_nothing_said_score_zero(self) -> None:
        assert ours("no fever", "", "en") == [0, 0, 0]
        assert ours("头晕", "发热", "zh") == [0, 0, 0]
        assert ours("。", "！", "zh") == [0, 0, 0]

    def test_long_texts_agree_with_the_table_method(self) -> None:
        chance = random.Random(1)
        truth, answer = ("".join(chance.choices("血压头晕发热咳嗽", k=300)) for _ in range(2))
        table = np.zeros((301, 301), dtype=int)
        for row, one in enumerate(truth, start=1):
            for column, other in enumerate(answer, start=1):
                longest = max(table[row - 1, column], table[row, column - 1])
                table[row, column] = table[row - 1, column - 1] + 1 if one == other else longest
        assert ours(truth, answer, "zh")[2] == pytest.approx(table[-1, -1] / 300)

    def test_unknown_language_is_refused(self) -> None:
        with pytest.raises(DataError, match="language"):
            rouge(["a"], ["b"], "fr")


class TestTokenEnds:
    def test_offsets_end_words_and_characters(self) -> None:
        text = "BP ok, 头晕"
        assert [text[:end] for end in token_ends(text)] == ["BP", "BP ok", "BP ok, 头", "BP ok, 头晕"]


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("37.50 and 37,5", ["37.5", "37", "5"]),
            ("1,200 mg, 007, .5 ml", ["1200", "7", "0.5"]),
            ("体温３７．５℃，10⁹/L", ["37.5", "10"]),
            ("No.5 of 1,2345", ["5", "1", "2345"]),
            ("three 三", []),
        ],
    )
    def test_found_and_spelled_in_one_way(self, text: str, expected: list[str]) -> None:
        assert list(numbers(text)) == expected

    def test_share_kept_by_hand(self) -> None:
        kept = numbers_kept([NOTE_ZH, "BP 120/80, 120 again", "37.5"], ["62 岁，150/90，37.50", "80", "375"])
        assert kept.tolist() == [4 / 5, 1 / 2, 0]

    def test_nan_where_the_truth_has_no_number(self) -> None:
        assert math.isnan(numbers_kept(["no number"], ["5"])[0])
