"""Class weights: what a row weighs, which tokens carry it, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tiny import tiny_tokenizer
from yibu import tasks
from yibu.core.errors import DataError, RecipeError
from yibu.core.recipe import parse
from yibu.core.record import Row
from yibu.model.render import Example, Renderer
from yibu.train import TrainSettings
from yibu.train.balance import Balance, balance_of, check_labels, draw_weights, label_span, remedy_of, weigh

SAMPLER = TrainSettings(sampler="weighted")
WEIGHTS = TrainSettings(class_weights="balanced")
CLASSIFY = {"kind": "classify", "prompt": "{text}", "label": "{label}", "names": {"a": "yes", "b": "no"}}
NOTE = {
    "kind": "generate",
    "prompt": "{text}",
    "target": "Section: {label}\n{note}",
    "score": {"label": "label"},
}


def task(table: dict[str, Any]) -> Any:
    return tasks.build(tasks.settings_of(table), ["a", "b"])


def examples(**counts: int) -> list[Example]:
    return [
        Example((1, 2), (False, True), f"{label}{n}", label=label) for label, num in counts.items() for n in range(num)
    ]


class TestSettings:
    def test_both_remedies_are_refused_and_the_way_out_is_said(self) -> None:
        with pytest.raises(RecipeError, match="count rare classes twice") as error:
            parse(TrainSettings, {"sampler": "weighted", "class_weights": "balanced"})
        assert "keep one of them" in str(error.value)
        assert error.value.exit_code == 2

    def test_one_of_them_or_none_is_taken(self) -> None:
        assert [remedy_of(s) for s in (TrainSettings(), SAMPLER, WEIGHTS)] == [None, "sampler", "class_weights"]

    @pytest.mark.parametrize("strength", [0.0, 1.5, -1.0])
    def test_a_strength_beyond_its_range(self, strength: float) -> None:
        with pytest.raises(ValidationError):
            TrainSettings(sampler="weighted", balance_strength=strength)

    @pytest.mark.parametrize("settings", [SAMPLER, WEIGHTS])
    def test_a_task_without_labels_is_refused(self, settings: TrainSettings) -> None:
        plain = task({"kind": "generate", "prompt": "{text}", "target": "{note}"})
        with pytest.raises(RecipeError, match="this task has no label"):
            check_labels(settings, plain)
        check_labels(TrainSettings(), plain)
        check_labels(settings, task(CLASSIFY))
        check_labels(settings, task(NOTE))


class TestWeights:
    def test_by_hand(self) -> None:
        balance = balance_of(WEIGHTS, examples(a=50, b=1))
        assert balance is not None
        assert balance.counts == {"a": 50, "b": 1}
        assert balance.weights == pytest.approx({"a": 51 / 100, "b": 51 / 2})
        assert balance.natural_prior == pytest.approx({"a": 50 / 51, "b": 1 / 51})
        assert balance.training_prior == pytest.approx({"a": 0.5, "b": 0.5})

    def test_a_milder_strength(self) -> None:
        balance = Balance("sampler", 0.5, {"a": 400, "b": 4})
        assert balance.weights["b"] / balance.weights["a"] == pytest.approx(10)
        assert balance.training_prior == pytest.approx({"a": 20 / 22, "b": 2 / 22})

    @given(st.dictionaries(st.text(min_size=1), st.integers(1, 10_000), min_size=2), st.floats(0.01, 1.0))
    def test_the_mean_weight_is_1_and_priors_add_up(self, counts: dict[str, int], strength: float) -> None:
        balance = Balance("class_weights", strength, counts)
        mean = sum(balance.weights[label] * count for label, count in counts.items()) / sum(counts.values())
        assert mean == pytest.approx(1.0)
        assert sum(balance.natural_prior.values()) == pytest.approx(1.0)
        assert sum(balance.training_prior.values()) == pytest.approx(1.0)
        # A rarer class never weighs less, and is never made more frequent than a larger one.
        by_size = sorted(counts, key=counts.__getitem__)
        for rare, large in itertools.pairwise(by_size):
            assert balance.weights[rare] >= balance.weights[large] * (1 - 1e-9)
            assert balance.training_prior[rare] <= balance.training_prior[large] * (1 + 1e-9)

    def test_nothing_to_balance(self) -> None:
        assert balance_of(TrainSettings(), examples(a=3)) is None
        with pytest.raises(DataError, match="nothing to balance"):
            balance_of(SAMPLER, examples(a=3))

    def test_a_row_that_would_come_too_often_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("WARNING", logger="yibu"):
            balance_of(SAMPLER, examples(a=50, b=1))
            assert "about 26 times an epoch" in caplog.text
            caplog.clear()
            balance_of(SAMPLER, examples(a=10, b=1))
            balance_of(WEIGHTS, examples(a=50, b=1))
            assert not caplog.records

    def test_the_sampler_draws_and_leaves_the_loss_alone(self) -> None:
        rows = examples(a=3, b=1)
        balance = balance_of(SAMPLER, rows)
        assert draw_weights(balance, rows) == pytest.approx([2 / 3] * 3 + [2.0])
        assert weigh(balance, rows) == rows
        assert [row.weight for row in weigh(balance, rows, validation=True)] == pytest.approx([2 / 3] * 3 + [2.0])

    def test_class_weights_are_put_on_the_loss_and_draw_nothing(self) -> None:
        rows = examples(a=3, b=1)
        balance = balance_of(WEIGHTS, rows)
        assert draw_weights(balance, rows) is None
        assert [row.weight for row in weigh(balance, rows)] == pytest.approx([2 / 3] * 3 + [2.0])

    def test_a_validation_row_of_an_unknown_class_weighs_1(self) -> None:
        balance = balance_of(WEIGHTS, examples(a=3, b=1))
        assert weigh(balance, examples(c=1), validation=True)[0].weight == 1.0

    def test_without_a_remedy_nothing_is_touched(self) -> None:
        rows = examples(a=3, b=1)
        assert draw_weights(None, rows) is None
        assert weigh(None, rows, validation=True) == rows


class TestLabelTokens:
    def row(self, label: str, note: str = "All well.") -> Row:
        return Row("r", {"text": "x", "label": label, "note": note})

    def test_a_closed_sets_answer_is_the_label_and_its_end_of_turn(self) -> None:
        assert label_span(task(CLASSIFY), self.row("a")) is None

    @pytest.mark.parametrize("label", ["ALLERGY", "高血压3级", "Section", "a", " 过敏 "])
    def test_the_span_is_the_label_wherever_its_words_stand_too(self, label: str) -> None:
        made, row = task(NOTE), self.row(label, note=f"{label} is noted")
        begin, end = label_span(made, row) or (0, 0)
        assert made.target(row)[begin:end].strip() == label.strip()
        assert begin == len("Section: ")

    @pytest.mark.parametrize("target", ["{label}\n{note}", "{note}\n{label}", "<{label}>{note}"])
    def test_at_either_end_of_the_target(self, target: str) -> None:
        made, row = task({**NOTE, "target": target}), self.row("心内科")
        begin, end = label_span(made, row) or (0, 0)
        assert made.target(row)[begin:end] == "心内科"

    def test_a_target_without_the_label_is_an_error(self) -> None:
        class Odd:
            closed_set = False
            label_fields = ("label",)

            def target(self, row: Row) -> str:
                return "always the same"

        with pytest.raises(DataError, match="does not hold the field"):
            label_span(Odd(), self.row("a"))

    @pytest.mark.parametrize("label", ["ALLERGY", "高血压3级"])
    def test_marked_tokens_say_the_label_and_the_others_do_not(self, label: str) -> None:
        renderer, made = Renderer(tiny_tokenizer()), task(NOTE)
        row = self.row(label)
        messages, target = made.messages(row), made.target(row)
        ids = renderer.answer(target, messages)
        marks = renderer.answer_marks(target, messages, label_span(made, row) or (0, 0))
        assert len(marks) == len(ids)
        said = renderer.tokenizer.decode([i for i, mark in zip(ids, marks, strict=True) if mark])
        assert label in said
        assert "Section" not in said
        assert "well" not in said
        assert not marks[-1]

    def test_a_thought_that_the_template_opens_shifts_the_marks(self) -> None:
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = tokenizer.chat_template.replace(
            "assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif"
        )
        assert "<think>" in tokenizer.chat_template
        renderer, made, row = Renderer(tokenizer), task(NOTE), self.row("ALLERGY")
        messages, target = made.messages(row), made.target(row)
        ids = renderer.answer(target, messages)
        marks = renderer.answer_marks(target, messages, label_span(made, row) or (0, 0))
        said = tokenizer.decode([i for i, mark in zip(ids, marks, strict=True) if mark])
        assert "ALLERGY" in said
        assert "think" not in said
