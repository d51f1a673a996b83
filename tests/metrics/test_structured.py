"""JSON, entities and relations: by hand, against nervaluate, and what must hold of any score."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.metrics import structured
from yibu.metrics.stats import interval, permutation

SPANS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 4), st.sampled_from(["drug", "dose"])),
    max_size=5,
    unique_by=lambda span: span[0],
)

# In nervaluate 1.2 an answer that overlaps a truth takes it away from a later answer that is exactly it.
APART = SPANS.map(
    lambda spans: [
        (start, min(size, min((other for other, *_ in spans if other > start), default=99) - start), kind)
        for start, size, kind in spans
    ]
)


def dumps(*values: Any) -> list[str]:
    return [json.dumps(value, ensure_ascii=False) for value in values]


def spans(found: list[tuple[int, int, str]]) -> list[dict[str, Any]]:
    return [
        {"start": start, "end": start + size, "type": kind, "text": "x" * (start + 1)} for start, size, kind in found
    ]


class TestJson:
    def test_by_hand(self) -> None:
        truth = {"drug": "metformin", "dose": {"value": 500, "unit": "mg"}, "times": ["am", "pm"]}
        said = {"drug": "Metformin", "dose": {"unit": "mg", "value": 500.0}, "times": ["am"], "note": "x"}
        found = structured.json_fields(dumps(truth, truth, truth), [*dumps(truth, said), '{"drug": "metformin"'])
        assert found.valid.tolist() == [1, 1, 0]
        assert found.exact.tolist() == [1, 0, 0]
        assert found.fields.parts.tolist() == [[5, 5], [3, 5], [0, 5]]  # drug, value, unit, two times
        assert found.fields.value == pytest.approx(8 / 15)

    def test_order_of_names_and_width_do_not_count_order_of_a_list_does(self) -> None:
        truth = dumps({"a": 1, "b": "１２ mg"}, [1, 2])
        said = ['{"b": "12  mg", "a": 1}', "[2, 1]"]
        assert structured.json_fields(truth, said).exact.tolist() == [1, 0]

    def test_true_is_not_one_and_null_not_missing(self) -> None:
        assert structured.json_fields(['{"a": 1}', '{"a": null}'], ['{"a": true}', "{}"]).exact.tolist() == [0, 0]

    def test_an_empty_answer_is_wrong_everywhere(self) -> None:
        found = structured.json_fields(dumps({"a": 1}, {}), ["", ""])
        assert (found.valid.sum(), found.exact.sum(), found.fields.value) == (0, 0, 0)

    def test_a_fence_is_no_json(self) -> None:
        assert structured.json_fields(['{"a": 1}'], ['```json\n{"a": 1}\n```']).valid.tolist() == [0]

    def test_a_truth_that_is_no_json_is_refused_without_its_text(self) -> None:
        with pytest.raises(DataError, match="row 2") as caught:
            structured.json_fields(["{}", "secret"], ["{}", "{}"])
        assert "secret" not in str(caught.value)

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3) | st.lists(st.booleans())))
    def test_itself_is_right(self, value: dict[str, Any]) -> None:
        found = structured.json_fields(dumps(value), dumps(value))
        assert (found.exact.tolist(), found.fields.value) == ([1], 1)


class TestEntities:
    def test_by_hand(self) -> None:
        truth = spans([(0, 3, "drug"), (5, 2, "dose"), (9, 1, "dose")])
        said = spans([(0, 3, "drug"), (5, 3, "dose"), (9, 1, "drug"), (20, 1, "drug")])
        found = structured.entities(dumps(truth, []), dumps(said, []))
        assert found.f1["span"].parts.tolist() == [[1, 3, 4], [0, 0, 0]]  # one border, one type wrong, one invented
        assert found.f1["span"].value == pytest.approx(2 / 7)
        assert found.f1["mention"].value == pytest.approx(4 / 7)  # the wrong border stands beside the right text here

    def test_forms_and_names(self) -> None:
        usual = [{"start": 0, "end": 2, "type": "drug"}]
        others: list[Any] = [
            {"entities": usual},
            [[0, 2, "drug"]],
            [{"start_offset": 0, "end_offset": 2, "label": "drug", "id": "T1"}],
        ]
        for other in others:
            assert structured.entities(dumps(usual), dumps(other)).f1["span"].value == 1

    def test_texts_by_type_count_as_often_as_they_are_there(self) -> None:
        found = structured.entities(
            dumps({"药物": ["阿司匹林", "阿司匹林"], "剂量": []}), dumps({"药物": ["阿司匹林"]})
        )
        assert list(found.f1) == ["mention"]
        assert found.f1["mention"].value == pytest.approx(2 / 3)

    def test_one_span_said_twice_counts_once(self) -> None:
        one = spans([(0, 3, "drug")])
        assert structured.entities(dumps(one), dumps(one * 2)).f1["span"].value == 1
        assert structured.entities(dumps(one), dumps(one * 2)).f1["mention"].value == pytest.approx(2 / 3)

    def test_malformed_entities_count_as_said_and_wrong(self) -> None:
        one = spans([(0, 3, "drug")])
        found = structured.entities(dumps(one), dumps([*one, "drug", {"type": "drug"}, [0, True, "drug"]]))
        assert found.f1["span"].parts.tolist() == [[1, 1, 4]]

    @pytest.mark.parametrize("answer", ["", "none", "3", '{"drug": "aspirin"}'])
    def test_what_cannot_be_read_finds_nothing(self, answer: str) -> None:
        found = structured.entities(dumps(spans([(0, 3, "drug")])), [answer])
        assert (found.valid.tolist(), found.f1["span"].value) == ([0], 0)

    def test_nothing_to_find_and_nothing_said_is_right(self) -> None:
        assert structured.entities(["[]"], ["[]"]).f1["span"].value == 1

    def test_a_truth_without_places_and_texts_is_refused(self) -> None:
        with pytest.raises(DataError, match="neither its place nor its text"):
            structured.entities(['[{"type": "drug"}]'], ["[]"])
        with pytest.raises(DataError, match="form"):
            structured.entities(["3"], ["[]"])

    @settings(deadline=None)
    @given(st.lists(st.tuples(APART, APART), min_size=1, max_size=4))
    def test_equals_nervaluate_where_spans_do_not_overlap(self, items: list[tuple[Any, Any]]) -> None:
        from nervaluate import Evaluator

        def theirs(found: list[tuple[int, int, str]]) -> list[dict[str, Any]]:
            return [{"start": start, "end": start + size - 1, "label": kind} for start, size, kind in found]

        truth, said = [theirs(one) for one, _ in items], [theirs(other) for _, other in items]
        expected = Evaluator(truth, said, tags=["drug", "dose"], loader="dict").evaluate()["overall"]["strict"]
        found = structured.entities(
            dumps(*(spans(one) for one, _ in items)), dumps(*(spans(other) for _, other in items))
        ).f1["span"]
        hits, in_truth, answered = found.parts.sum(axis=0)
        assert (hits, in_truth, answered) == (expected.correct, expected.possible, expected.actual)
        assert found.value == pytest.approx(expected.f1 if in_truth + answered else 1.0)

    @settings(deadline=None)
    @given(SPANS, SPANS)
    def test_bounds_symmetry_and_itself(self, one: Any, other: Any) -> None:
        there = structured.entities(dumps(spans(one)), dumps(spans(other))).f1
        back = structured.entities(dumps(spans(other)), dumps(spans(one))).f1
        itself = structured.entities(dumps(spans(one)), dumps(spans(one))).f1
        for kind in ("span", "mention"):
            assert 0 <= there[kind].value == back[kind].value <= 1
            assert itself[kind].value == 1

    def test_can_be_resampled_and_paired(self) -> None:
        truth = dumps(*([spans([(0, 3, "drug")])] * 30))
        better = structured.entities(truth, dumps(*([spans([(0, 3, "drug")])] * 28 + [[]] * 2))).f1["span"]
        worse = structured.entities(truth, dumps(*([spans([(0, 3, "drug")])] * 10 + [[]] * 20))).f1["span"]
        found = interval(better, resamples=300)
        assert found.low < found.value <= found.high
        assert permutation(better, worse, permutations=499, resamples=200).p < 0.01


class TestRelations:
    TRUTH: dict[str, Any] = {  # noqa: RUF012
        "entities": [
            {"id": "T1", "type": "drug", "start": 0, "end": 9, "text": "metformin"},
            {"id": "T2", "type": "dose", "start": 10, "end": 16, "text": "500 mg"},
            {"id": "T3", "type": "disease", "start": 21, "end": 29, "text": "diabetes"},
        ],
        "relations": [
            {"type": "dose_of", "head": "T2", "tail": "T1"},
            {"type": "treats", "head": "T1", "tail": "T3"},
        ],
    }

    def test_by_hand(self) -> None:
        said = json.loads(json.dumps(self.TRUTH))
        said["entities"][2]["end"] = 30  # a border is wrong, and with it the relation
        said["relations"].append({"type": "treats", "head": "T3", "tail": "T1"})
        found = structured.relations(dumps(self.TRUTH), dumps(said))
        assert found.f1["relation"].parts.tolist() == [[1, 2, 3]]
        assert found.f1["span"].value == pytest.approx(2 / 3)
        assert found.f1["mention"].value == 1

    def test_names_of_entities_are_the_answers_own(self) -> None:
        said: dict[str, Any] = {
            "entities": [{**entity, "id": number} for number, entity in enumerate(reversed(self.TRUTH["entities"]))],
            "relations": [{"relation": "dose_of", "subject": 1, "object": 2}, {"type": "treats", "from": 2, "to": 0}],
        }
        assert structured.relations(dumps(self.TRUTH), dumps(said)).f1["relation"].value == 1

    def test_places_in_the_list_name_entities_without_id(self) -> None:
        said: dict[str, Any] = {
            "entities": [{k: v for k, v in entity.items() if k != "id"} for entity in self.TRUTH["entities"]],
            "relations": [{"type": "dose_of", "head": 1, "tail": 0}, {"type": "treats", "head": 0, "tail": 2}],
        }
        assert structured.relations(dumps(self.TRUTH), dumps(said)).f1["relation"].value == 1

    def test_relations_of_concepts_and_of_texts(self) -> None:
        concepts = [{"type": "CID", "head": "D008687", "tail": "D003920"}]
        found = structured.relations(dumps(concepts, concepts), dumps(concepts, [{**concepts[0], "tail": "D1"}]))
        assert (list(found.f1), found.f1["relation"].value) == (["relation"], 0.5)
        inner = [{"type": "x", "head": {"type": "drug", "text": "a"}, "tail": {"type": "dose", "text": "b"}}]
        other = [{"type": "x", "head": {"type": "gene", "text": "a"}, "tail": {"type": "dose", "text": "b"}}]
        assert structured.relations(dumps(inner), dumps(other)).f1["relation"].value == 0

    def test_what_cannot_be_read_finds_nothing(self) -> None:
        for answer in ("", "[]]", '{"entities": []}', '[{"type": "treats"}]'):
            assert structured.relations(dumps(self.TRUTH), [answer]).f1["relation"].value == 0
