"""Each kind of measure: its metrics, their directions, and that they come out of comparing with n and tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from yibu.core.errors import DataError
from yibu.core.record import Row
from yibu.evaluate.compare import Answers, compare, metric_names
from yibu.evaluate.report.text import TEXTS
from yibu.evaluate.scoring import METRICS, WHOLE, Context, score
from yibu.evaluate.systems import prediction_lines
from yibu.tasks import JSON_KINDS, Measure, MeasureKind
from yibu.terms import Dictionary

ENTITIES = [{"start": 0, "end": 9, "type": "drug", "text": "metformin", "id": "T1"}]
BOTH = {"entities": ENTITIES, "relations": [{"type": "is", "head": "T1", "tail": "T1"}]}
RIGHT = {
    "label": "a",
    "exact": "a",
    "text": "two words",
    "number": "5 mg",
    "json": '{"dose": 5}',
    "spans": json.dumps(ENTITIES),
    "relations": json.dumps(BOTH),
    "concepts": "asthma",
    "note": "No asthma. Left knee, 5 mg.",
}


@pytest.fixture(scope="module")
def terms(tmp_path_factory: pytest.TempPathFactory) -> Dictionary:
    path: Path = tmp_path_factory.mktemp("terms") / "terms.json"
    path.write_text(json.dumps([{"preferred": "asthma", "variants": ["哮喘"]}]), encoding="utf-8")
    return Dictionary.load(str(path))


def test_every_kind_of_a_task_is_scored_and_told_of() -> None:
    assert set(METRICS) == set(get_args(MeasureKind)) == set(RIGHT)
    assert set(METRICS) >= JSON_KINDS
    names = {name for metrics in METRICS.values() for name in metrics} | set(WHOLE)
    assert not [name for name in names if f"metric.{name}" not in TEXTS]


@pytest.mark.parametrize("kind", METRICS)
def test_the_truth_is_right_in_all_and_an_empty_answer_in_none(kind: MeasureKind, terms: Dictionary) -> None:
    measure, right = Measure("x", kind), RIGHT[kind]
    context = Context("en", [right, right], terms)
    best = score(measure, [right, right], [right, right], context)
    assert [found.metric for found in best] == list(METRICS[kind])
    for found, figure in best.items():
        # The correlation of labels needs two labels.
        assert figure.measure.value == (0 if found.metric == "mcc" else 1 if found.higher_is_better else 0), found
    worst = score(measure, [right, right], ["", ""], context)
    for found, figure in worst.items():
        if figure.applies.any() and found.metric != "unsupported":  # who says nothing makes nothing up
            assert figure.measure.take(figure.applies).value == (0 if found.higher_is_better else 1), found


def test_the_names_are_those_that_comparing_finds(terms: Dictionary) -> None:
    measures = [Measure(kind, kind) for kind in get_args(MeasureKind)]
    rows = [RIGHT] * 6
    loop = ["no no no no no no no"] * 6
    judged = {"unsupported": [1.0] * 5 + [None], "omitted": [0.5] * 6}
    systems = [
        Answers("tuned", rows, stopped=[True] * 6, loss=[1.0] * 6, written=["x"] * 6, judged=judged),
        Answers("base", [{}] * 6, stopped=[True] * 6, loss=[2.0] * 6, written=loop, judged=judged),
    ]
    found = compare(
        rows,
        systems,
        measures,
        language="en",
        sources=["s"] * 6,
        dictionary=terms,
        num_resamples=200,
        num_permutations=99,
    )
    assert [(table["metric"], table["field"]) for table in found.metrics] == metric_names(measures)
    by_name: dict[Any, Any] = {(table["metric"], table["field"]): table for table in found.metrics}
    repeated = by_name["repetition", None]
    assert (repeated["values"]["base"]["value"], repeated["tests"][0]["favours"]) == (0.75, "tuned")
    assert by_name["unsupported", "note"]["tests"][0]["favours"] == "base"
    assert by_name["judge_unsupported", None]["values"]["tuned"]["n"] == 5
    json.dumps(found.metrics, allow_nan=False)


def test_concepts_without_a_dictionary_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="dictionary"):
        score(Measure("x", "concepts"), ["a"], ["a"], Context("en"))
    with pytest.raises(DataError, match="kind"):
        score(Measure("x", "poetry"), ["a"], ["a"], Context("en"))  # type: ignore[arg-type]


def test_a_note_without_its_source_says_nothing_of_support() -> None:
    names = {found.metric for found in score(Measure("x", "note"), ["5 mg"], ["5 mg"], Context("en"))}
    assert "omitted" in names
    assert not names & {"unsupported", "concept_f1", "polarity_kept"}


def test_the_correlation_of_labels_may_be_negative() -> None:
    truth = [{"x": "a"}, {"x": "b"}] * 20
    systems = [Answers("tuned", [{"x": "b"}, {"x": "a"}] * 20)]
    [table] = [
        t for t in compare(truth, systems, [Measure("x", "label")], language="en").metrics if t["metric"] == "mcc"
    ]
    assert table["values"]["tuned"]["value"] == table["values"]["tuned"]["low"] == -1


def test_json_is_right_in_any_order_of_names() -> None:
    rows = [Row(id="1", split="test", fields={})]
    [line] = prediction_lines(rows, [{"x": '{"a": 1, "b": 2}'}], {"tuned": [{"fields": {"x": '{"b": 2,"a": 1}'}}]}, [])
    assert line["correct"]
    [line] = prediction_lines(rows, [{"x": '{"a": 1}'}], {"tuned": [{"fields": {"x": '{"a": 1'}}]}, [])
    assert not line["correct"]


def test_one_source_a_row() -> None:
    with pytest.raises(DataError, match="sources"):
        compare([{"x": "a"}], [Answers("tuned", [{"x": "a"}])], [Measure("x", "note")], language="en", sources=[])
