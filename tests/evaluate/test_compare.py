"""From answers to the tables of metrics.json: who is measured on what, tested against whom, and without which rows."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from yibu.core.errors import DataError
from yibu.evaluate.compare import Answers, Comparison, compare
from yibu.tasks import Measure

LABEL = Measure("section", "label")
TEXT = Measure("note", "text")

N = 40
TRUTH = [{"section": "history" if row % 2 else "plan", "note": f"the patient took {row} tablets"} for row in range(N)]


def said(num_right: int) -> list[dict[str, str]]:
    """Answers of which the first `num_right` are right."""
    return [row if place < num_right else {"section": "?", "note": "no idea"} for place, row in enumerate(TRUTH)]


def compared(*systems: Answers, measures: Sequence[Measure] = (LABEL, TEXT), **more: Any) -> Comparison:
    settings = {"language": "en", "num_resamples": 300, "num_permutations": 999} | more
    return compare(TRUTH, systems, measures, **settings)


def metric(found: Comparison | list[dict[str, Any]], name: str) -> dict[str, Any]:
    tables = found.metrics if isinstance(found, Comparison) else found
    [table] = [table for table in tables if table["metric"] == name]
    return table


@pytest.fixture(scope="module")
def three() -> Comparison:
    return compared(
        Answers("base", said(10)),
        Answers("tuned", said(30)),
        Answers("svm", [{"section": row["section"]} for row in said(28)], gives=("section",)),
    )


class TestMetrics:
    def test_each_kind_of_measure_has_its_metrics_in_order(self, three: Comparison) -> None:
        assert [(table["metric"], table["field"]) for table in three.metrics] == [
            ("accuracy", "section"),
            ("macro_f1", "section"),
            ("micro_f1", "section"),
            ("mcc", "section"),
            ("rouge1", "note"),
            ("rouge2", "note"),
            ("rougeL", "note"),
        ]

    def test_values_carry_n_and_interval(self, three: Comparison) -> None:
        value = metric(three, "accuracy")["values"]["tuned"]
        assert value == {
            "value": 0.75,
            "low": pytest.approx(0.5981, abs=1e-4),
            "high": pytest.approx(0.8581, abs=1e-4),
            "n": N,
            "interval": "Wilson 95 %",
        }
        assert metric(three, "macro_f1")["values"]["tuned"]["interval"] == "jackknife 95 %"
        assert metric(three, "rouge1")["values"]["tuned"]["interval"] == "BCa bootstrap 95 %"
        assert metric(three, "rouge1")["values"]["tuned"]["value"] == pytest.approx(0.75)

    def test_a_system_is_absent_where_it_gives_no_answer(self, three: Comparison) -> None:
        assert list(metric(three, "accuracy")["values"]) == ["base", "tuned", "svm"]
        assert list(metric(three, "rouge1")["values"]) == ["base", "tuned"]

    def test_an_answer_that_lacks_its_field_is_wrong_and_not_absent(self) -> None:
        found = compared(Answers("tuned", [{"note": "x"}, *said(N)[1:]]), measures=[LABEL])
        assert metric(found, "accuracy")["values"]["tuned"]["value"] == (N - 1) / N
        assert metric(found, "accuracy")["values"]["tuned"]["n"] == N

    def test_exact_and_number(self) -> None:
        found = compared(Answers("tuned", said(30)), measures=[Measure("note", "exact"), Measure("note", "number")])
        assert metric(found, "exact_match")["values"]["tuned"]["value"] == 0.75
        assert metric(found, "numbers_kept")["values"]["tuned"]["value"] == 0.75

    def test_numbers_are_counted_over_the_rows_that_have_some(self) -> None:
        truth = [{"note": "no number"}, {"note": "5 mg"}, {"note": "7 mg"}]
        systems = [Answers("tuned", [{"note": "5"}] * 3), Answers("base", [{"note": "?"}] * 3)]
        table = metric(compare(truth, systems, [Measure("note", "number")], language="en"), "numbers_kept")
        assert (table["values"]["tuned"]["value"], table["values"]["tuned"]["n"]) == (0.5, 2)
        assert table["tests"][0]["n"] == 2

    def test_chinese_texts_are_scored_by_character(self) -> None:
        truth = [{"note": "患者头晕3天"}] * 3
        found = compare(truth, [Answers("tuned", [{"note": "患者头痛3天"}] * 3)], [TEXT], language="zh")
        assert metric(found, "rouge1")["values"]["tuned"]["value"] == pytest.approx(5 / 6)

    def test_intervals_of_shares_stay_between_0_and_1(self) -> None:
        found = compared(Answers("tuned", said(N - 1)), measures=[LABEL])
        assert metric(found, "macro_f1")["values"]["tuned"]["high"] == 1

    def test_one_row_gives_plain_json_without_nan(self) -> None:
        found = compare(TRUTH[:1], [Answers("tuned", TRUTH[:1]), Answers("base", [{}])], [LABEL, TEXT], language="en")
        text = json.dumps([found.metrics, found.notes], allow_nan=False)
        assert '"low": null' in text


class TestTests:
    def test_tuned_is_tested_against_each_other_system(self, three: Comparison) -> None:
        tests = metric(three, "accuracy")["tests"]
        assert [(test["a"], test["b"], test["test"]) for test in tests] == [
            ("tuned", "base", "exact McNemar"),
            ("tuned", "svm", "exact McNemar"),
        ]
        against_base, against_svm = tests
        assert against_base["difference"] == 0.5
        assert 0 < against_base["low"] < 0.5 < against_base["high"]
        assert against_base["p"] == pytest.approx(2 / 2**20)
        assert (against_svm["p"], against_svm["favours"]) == (0.5, "tuned")

    def test_p_is_adjusted_for_all_metrics_and_systems(self, three: Comparison) -> None:
        against_base, against_svm = metric(three, "accuracy")["tests"]
        assert against_base["p"] < against_base["p_adjusted"] <= 0.01
        assert against_svm["p"] <= against_svm["p_adjusted"] <= 1
        # Against the base seven metrics, of which all are sums over the same 20 rows, and one other system.
        [alone] = metric(three, "rouge1")["tests"]
        assert alone["p"] <= alone["p_adjusted"] < 0.01

    def test_noise_in_one_of_many_metrics_is_no_finding(self) -> None:
        chance = random.Random(2)
        fields = [f"f{number}" for number in range(20)]
        truth = [dict.fromkeys(fields, "a") for _ in range(60)]
        one, other = ([{name: chance.choice("ab") for name in fields} for _ in truth] for _ in range(2))
        found = compare(
            truth,
            [Answers("tuned", one), Answers("base", other)],
            [Measure(name, "exact") for name in fields],
            language="en",
            num_permutations=999,
        )
        tests = [table["tests"][0] for table in found.metrics]
        assert min(test["p"] for test in tests) < 0.05 < min(test["p_adjusted"] for test in tests)

    def test_without_a_tuned_system_there_are_no_tests(self) -> None:
        assert all(not table["tests"] for table in compared(Answers("base", said(3))).metrics)

    def test_a_system_against_its_copy_is_not_significant(self) -> None:
        for table in compared(Answers("tuned", said(20)), Answers("base", said(20))).metrics:
            [test] = table["tests"]
            assert (test["p"], test["favours"]) == (1, None), table["metric"]

    def test_groups_make_it_less_sure(self) -> None:
        systems = [Answers("tuned", said(20)), Answers("base", said(10))]
        groups = [f"patient {row // 10}" for row in range(N)]
        grouped, alone = (compared(*systems, measures=[LABEL], groups=some) for some in (groups, None))
        by_group, by_row = (metric(found, "accuracy")["tests"][0] for found in (grouped, alone))
        assert by_row["p"] < 0.01 < 0.5 < by_group["p"]
        assert by_group["high"] - by_group["low"] > by_row["high"] - by_row["low"]
        assert metric(grouped, "accuracy")["values"]["tuned"]["interval"] == "Wilson 95 % over 4 groups"


class TestWholeAnswers:
    def test_stop_rate_of_the_systems_that_generate(self) -> None:
        found = compared(
            Answers("base", said(1), stopped=[False] * N),
            Answers("tuned", said(1), stopped=[True] * (N - 1) + [False]),
            Answers("copy_input", said(1)),
        )
        table = metric(found, "stop_rate")
        assert (table["field"], table["unit"]) == (None, "share")
        assert {system: entry["value"] for system, entry in table["values"].items()} == {"base": 0, "tuned": 39 / 40}
        assert table["tests"][0]["p"] < 1e-6

    def test_loss_is_per_target_token_and_less_is_better(self) -> None:
        tokens = [10] * (N - 1) + [100]
        found = compared(
            Answers("base", said(1), loss=[20.0 + row % 3 for row in range(N)], num_targets=tokens),
            Answers("tuned", said(1), loss=[10.0 + row % 3 for row in range(N)], num_targets=tokens),
        )
        table = metric(found, "target_loss")
        assert (table["unit"], table["higher_is_better"]) == ("nats", False)
        assert table["values"]["tuned"]["value"] == pytest.approx(sum(10.0 + row % 3 for row in range(N)) / sum(tokens))
        [test] = table["tests"]
        assert test["difference"] < 0
        assert test["high"] < 0
        assert test["favours"] == "tuned"

    def test_rows_without_loss_are_left_out_of_it(self) -> None:
        table = metric(
            compared(
                Answers("tuned", said(1), loss=[None, 2.0, 4.0, *[3.0] * (N - 3)]),
                Answers("base", said(1), loss=[5.0, None, 5.0, *[5.0] * (N - 3)]),
            ),
            "target_loss",
        )
        assert table["values"]["tuned"]["n"] == table["values"]["base"]["n"] == N - 1
        assert table["values"]["tuned"]["value"] == pytest.approx(3.0, abs=0.03)
        assert table["tests"][0]["n"] == N - 2

    def test_loss_that_nobody_has_is_no_metric(self) -> None:
        found = compared(Answers("tuned", said(1), loss=[None] * N))
        assert "target_loss" not in {table["metric"] for table in found.metrics}


class TestNotes:
    def test_the_same_tables_without_the_flagged_rows(self) -> None:
        flags = [("target_in_train",) if row < 10 else () for row in range(N)]
        found = compared(Answers("tuned", said(25)), Answers("base", said(10)), flags=flags)
        [note] = found.notes
        assert (note["kind"], note["without"], note["left_out"], note["n"]) == ("subset", "target_in_train", 10, 30)
        accuracy = metric(note["metrics"], "accuracy")
        assert accuracy["values"]["tuned"]["value"] == 15 / 30
        assert accuracy["values"]["base"]["value"] == 0
        assert accuracy["tests"][0]["n"] == 30
        assert "10 of 40 rows have a target that occurs word for word in train. Without them (n = 30): " in note["text"]
        assert "accuracy of section: tuned 0.500, base 0.000" in note["text"]
        assert metric(found, "accuracy")["values"]["tuned"]["value"] == 25 / 40

    def test_equals_comparing_the_rest_alone(self) -> None:
        flags = [("short",) if row % 3 == 0 else () for row in range(N)]
        groups = [f"patient {row // 4}" for row in range(N)]
        rest = [row for row in range(N) if row % 3]
        [note] = compared(Answers("tuned", said(25)), Answers("base", said(9)), flags=flags, groups=groups).notes
        alone = compare(
            [TRUTH[row] for row in rest],
            [Answers(name, [said(right)[row] for row in rest]) for name, right in (("tuned", 25), ("base", 9))],
            [LABEL, TEXT],
            language="en",
            groups=[groups[row] for row in rest],
            num_resamples=300,
            num_permutations=999,
        )
        assert note["metrics"] == alone.metrics

    def test_one_note_for_each_flag_and_none_without(self) -> None:
        assert compared(Answers("tuned", said(1)), flags=[()] * N).notes == []
        flags = [("long", "noisy"), ("noisy",), *[()] * (N - 2)]
        notes = compared(Answers("tuned", said(1)), flags=flags).notes
        assert [(note["without"], note["left_out"]) for note in notes] == [("long", 1), ("noisy", 2)]

    def test_all_rows_flagged(self) -> None:
        [note] = compared(Answers("tuned", said(1)), flags=[("target_in_train",)] * N).notes
        assert (note["n"], note["metrics"]) == (0, [])
        assert note["text"].endswith("Nothing is left without them.")


class TestBadInput:
    def test_no_rows(self) -> None:
        with pytest.raises(DataError, match="no rows"):
            compare([], [], [LABEL], language="en")

    def test_two_systems_of_one_name(self) -> None:
        with pytest.raises(DataError, match="same name"):
            compared(Answers("base", said(1)), Answers("base", said(2)))

    @pytest.mark.parametrize("part", ["fields", "stopped", "loss", "num_targets"])
    def test_not_one_value_per_row(self, part: str) -> None:
        with pytest.raises(DataError, match=f"{part} of tuned: 1"):
            compared(Answers("tuned", **({"fields": said(1)} | {part: [{}]})))  # type: ignore[arg-type]

    @pytest.mark.parametrize("part", ["groups", "flags"])
    def test_not_one_group_or_flag_per_row(self, part: str) -> None:
        with pytest.raises(DataError, match=f"{part}: 1"):
            compared(Answers("tuned", said(1)), **{part: [()]})

    def test_a_field_that_the_truth_lacks(self) -> None:
        with pytest.raises(DataError, match="lacks a field"):
            compared(Answers("tuned", said(1)), measures=[Measure("dose", "number")])

    def test_an_unknown_kind_of_measure(self) -> None:
        with pytest.raises(DataError, match="measure of that kind"):
            compared(Answers("tuned", said(1)), measures=[Measure("note", "bleu")])  # type: ignore[arg-type]
