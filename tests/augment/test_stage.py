"""The stage `augment`: train grows behind its own bytes, nothing else moves, and every copy can be found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from augment.artifacts import consultations, data, lines_of, rows_of
from yibu.augment import AugmentSettings, augment, version_of
from yibu.core.errors import DataError, InputError, RecipeError
from yibu.core.recipe import json_schema, parse
from yibu.core.record import Row
from yibu.core.store import Artifact, Store

QUIET = {"robustness": None}


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def run(store: Store, given: Artifact, **table: Any) -> Artifact:
    return store.run(augment, parse(AugmentSettings, table), data=given)


def test_train_grows_behind_its_own_bytes_and_nothing_else_moves(store: Store) -> None:
    given = data(store, consultations())
    made = run(store, given, steps=[{"kind": "homophones", "share": 1, "copies": 2}, {"kind": "glyphs"}])
    old, new = given.file("train.jsonl").read_bytes(), made.file("train.jsonl").read_bytes()
    assert new.startswith(old)
    assert len(new) > len(old)
    for name in ("valid.jsonl", "test.jsonl", "dropped.jsonl"):
        assert made.file(name).read_bytes() == given.file(name).read_bytes()
    assert made.file("changes.jsonl").read_bytes().startswith(given.file("changes.jsonl").read_bytes())
    assert set(given.manifest.files) | {"robustness.jsonl"} == set(made.manifest.files)
    summary = made.read_json("summary.json")
    rows = rows_of(made, "train")
    assert summary["splits"]["train"] == len(rows)
    assert summary["splits"]["test"] == given.read_json("summary.json")["splits"]["test"]
    assert summary["rows_read"] == 60
    added = sum(counts["rows"] for counts in summary["augmented"].values())
    assert added == len(rows) - given.read_json("summary.json")["splits"]["train"]
    assert summary["augmented"]["homophones"]["rows"] > summary["augmented"]["glyphs"]["rows"] > 0


def test_a_copy_is_its_original_but_for_the_text(store: Store) -> None:
    given = data(store, consultations())
    made = run(store, given, steps=[{"kind": "homophones", "share": 1, "copies": 2}], **QUIET)
    originals = {row.id: row for row in rows_of(given, "train")}
    copies = rows_of(made, "train")[len(originals) :]
    assert [copy.id for copy in copies[:2]] == ["r0~homophones1", "r0~homophones2"]
    for copy in copies:
        version = version_of(copy)
        assert version is not None
        original = originals[version.of]
        assert (copy.label, copy.group, copy.split, copy.line) == (
            original.label,
            original.group,
            "train",
            original.line,
        )
        assert copy.fields["label"] == original.fields["label"]
        assert copy.fields["text"] != original.fields["text"]
        assert copy.flags[0] == "augmented"
    assert all(version_of(row) is None for row in originals.values())


def test_what_was_done_is_written_down_without_text(store: Store) -> None:
    made = run(store, data(store, consultations()), steps=[{"kind": "homophones", "share": 1}], **QUIET)
    added = lines_of(made, "changes.jsonl")[1:]
    copies = [row for row in rows_of(made, "train") if version_of(row)]
    assert [line["id"] for line in added] == [copy.id for copy in copies]
    assert set(added[0]) == {"id", "step", "field", "what", "of"}
    assert added[0]["step"] == "augment"
    assert added[0]["what"].keys() == {"homophones"}
    assert added[0]["of"] == ["r0"]


def test_no_copy_repeats_a_row_of_any_split(store: Store) -> None:
    rows = consultations(12)
    groups = [["{x}应该怎么办", "{x}该如何是好"]]
    twin = Row("twin", {**rows[0].fields}, label=rows[0].label, split="test")
    twin.fields["text"] = twin.fields["text"].replace("应该怎么办", "该如何是好")
    steps = [{"kind": "templates", "share": 1, "copies": 3, "rate": 1, "fields": [], "groups": groups}]
    made = run(store, data(store, [*rows, twin]), steps=steps, **QUIET)
    texts = [row.fields["text"] for split in ("train", "valid", "test") for row in rows_of(made, split)]
    assert len(texts) == len(set(texts))
    reasons = made.read_json("summary.json")["augmented"]["templates"]["reasons"]
    assert reasons["repeats_a_row"] >= 3  # those that say the twin, and the second and third alike


def test_the_same_settings_give_the_same_bytes_and_old_copies_stay(store: Store, tmp_path: Path) -> None:
    table: dict[str, Any] = {"steps": [{"kind": "keyboard", "share": 0.5}], **QUIET}
    first = run(store, data(store, consultations(60)), **table)
    again = run(other := Store(tmp_path / "other"), data(other, consultations(60)), **table)
    assert first.file("train.jsonl").read_bytes() == again.file("train.jsonl").read_bytes()
    more = run(store, data(store, consultations(90)), **table)
    copies = {row.id: row for row in rows_of(first, "train") if version_of(row)}
    later = {row.id: row for row in rows_of(more, "train")}
    assert copies.items() <= later.items()
    seeded = run(store, data(store, consultations(60)), seed=1, **table)
    assert seeded.file("train.jsonl").read_bytes() != first.file("train.jsonl").read_bytes()


def test_two_steps_of_one_kind_go_on_counting(store: Store) -> None:
    steps = [{"kind": "homophones", "share": 1}, {"kind": "homophones", "share": 1, "rate": 0.2}]
    made = run(store, data(store, consultations()), steps=steps, **QUIET)
    ids = [row.id for row in rows_of(made, "train")]
    assert len(ids) == len(set(ids))
    assert {"r0~homophones1", "r0~homophones2"} <= set(ids)


def test_a_limit_takes_the_same_rows_and_no_more(store: Store) -> None:
    given = data(store, consultations(90))
    steps = [{"kind": "homophones", "share": 1}]
    few, more = (
        {row.id for row in rows_of(run(store, given, steps=steps, limit=limit, **QUIET), "train") if version_of(row)}
        for limit in (5, 12)
    )
    assert (len(few), len(more)) == (5, 12)
    assert few < more


def test_mixing_names_both_rows(store: Store) -> None:
    given = data(store, consultations())
    made = run(store, given, steps=[{"kind": "mix", "share": 1}], **QUIET)
    labels = {row.id: row.label for row in rows_of(given, "train")}
    copies = [row for row in rows_of(made, "train") if version_of(row)]
    assert copies
    for copy in copies:
        version = version_of(copy)
        assert version is not None
        assert version.other in labels
        assert labels[version.other] == copy.label == labels[version.of]
    assert lines_of(made, "changes.jsonl")[1]["of"][1] == version_of(copies[0]).other  # type: ignore[union-attr]


def test_mixing_is_refused_where_more_than_a_label_is_asked(store: Store) -> None:
    task = {"kind": "generate", "prompt": "{text}", "target": "{label}"}
    with pytest.raises(RecipeError, match="more than a label"):
        run(store, data(store, consultations(), task), steps=[{"kind": "mix"}], **QUIET)


def test_entities_follow_into_the_copies(store: Store) -> None:
    text = "患者王建国因为反复咳嗽来到医院就诊检查"
    entities = [
        {"start": 2, "end": 5, "type": "姓名", "text": "王建国"},
        {"start": 9, "end": 11, "type": "症状", "text": "咳嗽"},
    ]
    rows = [
        Row(f"r{i}", {"text": f"{text}{i}", "entities": entities}, split="train" if i < 8 else "test")
        for i in range(10)
    ]
    task = {"kind": "generate", "prompt": "{text}", "target": "{entities}"}
    steps = [{"kind": kind, "share": 1, "rate": 0.3} for kind in ("homophones", "ocr", "keyboard")]
    made = run(store, data(store, rows, task), steps=steps)
    versions = [*rows_of(made, "train"), *rows_of(made, "robustness")]
    assert sum(version_of(row) is not None for row in versions) > 20
    for row in versions:
        assert [entity["text"] for entity in row.fields["entities"]] == ["王建国", "咳嗽"]
        for entity in row.fields["entities"]:
            assert row.fields["text"][entity["start"] : entity["end"]] == entity["text"]


def test_of_a_conversation_only_what_the_user_says_changes(store: Store) -> None:
    turns = [
        ("system", "你是银行客服"),
        ("user", "我的银行卡丢失了应该怎么办"),
        ("assistant", "请先挂失银行卡"),
        ("user", "挂失需要什么材料"),
        ("assistant", "需要身份证"),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    rows = [Row(f"r{i}", {"messages": messages}, split=split) for i, split in enumerate(("train", "test"))]  # type: ignore[arg-type]
    made = run(store, data(store, rows, {"kind": "generate"}), steps=[{"kind": "homophones", "share": 1}], **QUIET)
    (copy,) = [row for row in rows_of(made, "train") if version_of(row)]
    for old, new in zip(messages, copy.fields["messages"], strict=True):
        assert (old != new) == (old["role"] == "user")
        assert old["role"] == new["role"]


def test_raw_text_is_not_changed_unless_it_is_said(store: Store) -> None:
    rows = [Row(f"r{i}", {"text": f"第{i}段文字，讲的是银行贷款"}, split="train" if i else "test") for i in range(4)]
    given = data(store, rows, {"kind": "generate", "target": "{text}"})
    with pytest.raises(RecipeError, match=r"augment\.fields"):
        run(store, given, steps=[{"kind": "homophones"}])
    made = run(store, given, steps=[{"kind": "homophones", "share": 1}], fields=["text"], **QUIET)
    assert len(rows_of(made, "train")) == 6
    with pytest.raises(RecipeError, match="texts"):
        run(store, given, fields=["texts"])


def test_robustness_rows_are_versions_of_test_rows_and_never_in_train(store: Store) -> None:
    given = data(store, consultations())
    made = run(store, given, robustness={"rates": [0.05, 0.2], "noise": [{"kind": "homophones"}, {"kind": "ocr"}]})
    tests = {row.id: row for row in rows_of(given, "test")}
    found = rows_of(made, "robustness")
    assert {(v.kind, v.rate) for row in found if (v := version_of(row))} == {
        (kind, rate) for kind in ("homophones", "ocr") for rate in (0.05, 0.2)
    }
    for row in found:
        version = version_of(row)
        assert version is not None
        assert row.id == f"{version.of}~{version.kind}@{version.rate:g}"
        assert row.fields["text"] != tests[version.of].fields["text"]
        assert row.label == tests[version.of].label
    trained = {row.fields["text"] for row in rows_of(made, "train")}
    assert not trained & {row.fields["text"] for row in found}
    counts = made.read_json("summary.json")["robustness"]["noise"]
    assert counts["homophones"]["0.2"] == len(tests)
    changed = [
        sum(a != b for a, b in zip(tests[v.of].fields["text"], row.fields["text"], strict=False))
        for row in found
        if (v := version_of(row)) and v.kind == "homophones" and v.rate == 0.2
    ]
    assert sum(changed) / len(changed) / 27 == pytest.approx(0.2, abs=0.05)


def test_valid_may_be_taken_instead_and_a_limit_holds(store: Store) -> None:
    given = data(store, consultations())
    made = run(store, given, robustness={"split": "valid", "limit": 3, "rates": [0.1], "noise": [{"kind": "glyphs"}]})
    assert {row.split for row in rows_of(made, "robustness")} == {"valid"}
    assert len(rows_of(made, "robustness")) == 3


def test_attacks_make_a_test_set_and_train_rows_if_asked(store: Store) -> None:
    given = data(store, consultations(120))
    table = {"robustness": None, "attack": {"kind": "characters", "most": 4}, "attack_limit": 12}
    made = run(store, given, **table)
    figures = made.read_json("summary.json")["robustness"]["attack"]["characters"]
    assert figures["attacked"] == 12 == figures["wrong"] + figures["held"] + figures["flipped"]
    assert figures["rows"] == len(rows_of(made, "robustness"))
    assert rows_of(made, "train") == rows_of(given, "train")
    added = run(store, given, add_attacks_to_train=True, **table)
    extra = [row for row in rows_of(added, "train") if version_of(row)]
    tally = added.read_json("summary.json")["augmented"]["characters"]
    assert tally["rows"] == len(extra)
    assert tally["rows"] + tally["refused"] == 12
    originals = {row.id: row for row in rows_of(given, "train")}
    assert all(row.label == originals[row.id.rpartition("~")[0]].label for row in extra)


def test_an_attack_that_is_not_installed_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YIBU_TEXTATTACK_PYTHON", "/no/such/python")
    with pytest.raises(InputError, match="YIBU_TEXTATTACK_PYTHON"):
        run(store, data(store, consultations()), attack={"kind": "textattack"}, **QUIET)


def test_an_attack_needs_classes(store: Store) -> None:
    rows = [
        Row(f"r{i}", {"text": f"贷款问题{i}", "label": "a"}, label="a", split="train" if i else "test")
        for i in range(5)
    ]
    with pytest.raises(DataError, match="class"):
        run(store, data(store, rows), attack={"kind": "characters"})


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"steps": [{"kind": "homophone"}]}, "homophones"),
        ({"steps": [{"kind": "homophones", "rat": 0.1}]}, "rate"),
        ({"add_attacks_to_train": True}, "needs an attack"),
        ({"robustness": {"noise": [{"kind": "mix"}]}}, "no noise"),
        ({"robustness": {"rates": [0.1, 0.1]}}, "different"),
        ({"robustness": {"noise": [{"kind": "ocr"}, {"kind": "ocr"}]}}, "twice"),
        ({"attack": {"kind": "characters", "noise": ["typos"]}}, "noise"),
        ({"limit": 0}, "limit"),
    ],
)
def test_wrong_settings_are_told(table: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        parse(AugmentSettings, table)


def test_defaults_and_the_schema() -> None:
    config = parse(AugmentSettings, {})
    assert config.attack is None
    assert config.steps == ()
    schema = json.dumps(json_schema(AugmentSettings))
    assert "rewrite" in schema
    assert "characters" in schema


def test_how_an_endpoint_is_called_is_not_in_the_id(store: Store) -> None:
    given = data(store, consultations())
    ids = {
        store.artifact_id(augment, parse(AugmentSettings, {"calls": {"timeout": seconds}}), data=given)
        for seconds in (1, 2)
    }
    assert len(ids) == 1


def test_a_changed_dictionary_makes_another_artifact(store: Store, tmp_path: Path) -> None:
    given = data(store, consultations())
    path = tmp_path / "terms.csv"
    path.write_text("term,variants\n贷款,借款\n", encoding="utf-8")
    table = {"steps": [{"kind": "synonyms", "dictionary": str(path), "share": 1}], **QUIET}
    first = run(store, given, **table)
    assert any("借款" in row.fields["text"] for row in rows_of(first, "train"))
    path.write_text("term,variants\n贷款,放款\n", encoding="utf-8")
    second = run(store, given, **table)
    assert first.id != second.id
    assert any("放款" in row.fields["text"] for row in rows_of(second, "train"))
