"""The stage `prepare` from files to an artifact, and every way in which it must stop."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import DataError, RecipeError
from yibu.core.recipe import parse
from yibu.core.record import SPLITS, Row, read_rows
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig, prepare

Record = dict[str, Any]
Prepare = Callable[..., Artifact]

LABELS = ("cardiac", "renal", "neuro")


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> Prepare:
    """Prepare a data section (its source relative to tmp_path, or rows to be written there)."""
    store = Store(tmp_path / "store")

    def run(source: Any, task: Record | None = None, **data: Any) -> Artifact:
        if isinstance(source, list):
            source = write(tmp_path / "rows.jsonl", source)
        return store.run(prepare, parse(PrepareConfig, {"data": {"source": source, **data}, "task": task}))

    return run


def write(path: Path, records: list[Record | str]) -> str:
    lines = (record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def labelled(size: int, labels: tuple[str, ...] = LABELS) -> list[Record | str]:
    return [{"text": f"Patient {i} has a complaint.", "label": labels[i % len(labels)]} for i in range(size)]


def rows(artifact: Artifact) -> dict[str, list[Row]]:
    return {split: list(read_rows(artifact.file(f"{split}.jsonl"))) for split in SPLITS}


def lines(artifact: Artifact, name: str) -> list[Record]:
    return [json.loads(line) for line in artifact.file(name).read_text(encoding="utf-8").splitlines()]


def test_near_copies_are_left_out_where_they_teach_the_same(run: Prepare) -> None:
    chance = random.Random(0)
    words = ("seen", "today", "for", "chest", "pain", "with", "no", "fever")
    texts = [" ".join(chance.choices(words, k=40)) for _ in range(30)]
    copies = [f"{text} again" for text in texts[:8]]
    raw = run([{"text": text} for text in texts + copies], duplicates={"near": "drop"})
    assert raw.read_json("summary.json")["near"]["dropped"] == 8
    label = ["yes"] * 30 + ["yes", "no"] * 4
    both = [{"text": text, "label": one} for text, one in zip(texts + copies, label, strict=True)]
    assert run(both, duplicates={"near": "drop"}).read_json("summary.json")["near"]["dropped"] == 4


def test_every_row_ends_in_one_place(run: Prepare) -> None:
    given = labelled(400)
    given[10] = '{"text": "Patient 10'
    given[20] = {"text": "", "label": "renal"}
    given[30] = given[31]
    artifact = run(given)
    summary, made = artifact.read_json("summary.json"), rows(artifact)
    assert summary["rows_read"] == 400
    assert summary["rejected"] == len(lines(artifact, "rejected.jsonl")) == 2
    assert [record["line"] for record in lines(artifact, "rejected.jsonl")] == [11, 21]
    assert {step: n for step, n in summary["dropped"].items() if n} == {"duplicate": 1}
    assert summary["splits"] == {split: len(made[split]) for split in SPLITS}
    assert sum(summary["splits"].values()) == 397
    assert len({row.id for split in SPLITS for row in made[split]}) == 397
    assert all(row.split == split for split in SPLITS for row in made[split])
    dropped = lines(artifact, "dropped.jsonl")
    assert [(record["line"], record["reason"]) for record in dropped] == [(32, "duplicate")]
    assert dropped[0]["other"] == dropped[0]["id"]  # equal rows have equal ids


def test_the_summary_says_what_was_done(run: Prepare) -> None:
    summary = run(labelled(300)).read_json("summary.json")
    assert summary["shape"] == "text_label"
    assert summary["readers"] == ["jsonl"]
    assert summary["language"] == "en"
    assert summary["labels"] == sorted(LABELS)
    assert summary["task"] == {
        "kind": "classify", "prompt": "{text}", "label": "{label}", "system": None, "names": {}, "labels": None,
    }  # fmt: skip
    assert sum(sum(counts.values()) for counts in summary["classes"].values()) == 300
    assert summary["missing_labels"] == {"train": [], "valid": [], "test": []}
    assert set(summary["balance"]["shares"]) == set(LABELS)
    assert summary["lengths"]["target_characters"]["max"] == len("cardiac")
    assert summary["target_in_train"] == 0
    assert summary["groups"] == 0


def test_cleaning_spares_labels_and_is_counted(run: Prepare) -> None:
    given = [{"text": f"Temp  ３７．{i}℃ \u200b", "label": "A-1  x" if i % 2 else "B"} for i in range(200)]
    artifact = run(given, clean={"profile": "clinical"})
    made = [row for split in SPLITS for row in rows(artifact)[split]]
    assert {row.fields["label"] for row in made} <= {"A-1  x", "B"}
    assert all(row.fields["text"].startswith("Temp 37.") and row.fields["text"].endswith("℃") for row in made)
    summary = artifact.read_json("summary.json")
    assert summary["clean"] == {"profile": "clinical", "rows_changed": 200}
    assert summary["changes"]["clean"]["rows"] == 200
    assert summary["changes"]["clean"]["what"]["width"] >= 200
    changed = lines(artifact, "changes.jsonl")
    assert {record["id"] for record in changed} == {row.id for row in made}
    assert all(record["step"] == "clean" for record in changed)
    assert "Temp" not in artifact.file("changes.jsonl").read_text(encoding="utf-8")
    shown = artifact.read_json("examples.json")
    assert 0 < len(shown) <= 5
    assert all("３７" in example["before"] and "37." in example["after"] for example in shown)


def test_a_target_that_cleaning_empties_is_rejected(run: Prepare) -> None:
    given = [{"prompt": f"q {i}", "completion": f"a {i}"} for i in range(200)]
    given[5]["completion"] = "-?-"
    artifact = run(given, clean={"profile": "strict"})
    assert lines(artifact, "rejected.jsonl")[0]["reason"] == ("empty target (field 'completion') after clean")


def test_conflicts_are_kept_and_counted_and_stay_together(run: Prepare) -> None:
    given = [{"prompt": f"question {i // 2}", "completion": f"answer {i}"} for i in range(400)]
    artifact = run(given)
    summary = artifact.read_json("summary.json")
    assert summary["conflicts"] == 200
    assert not any(summary["dropped"].values())
    assert sum(summary["splits"].values()) == 400


def test_fixed_splits_leak_only_out_of_train(run: Prepare, tmp_path: Path) -> None:
    def pairs(name: str, size: int) -> list[Record | str]:
        return [{"prompt": f"{name} question {i}", "completion": f"{name} answer {i}"} for i in range(size)]

    train, valid, test = pairs("train", 50), pairs("valid", 10), pairs("test", 10)
    train += [
        {"prompt": "TEST  question 3!", "completion": "another"},
        {"prompt": "ｖａｌｉｄ question 4", "completion": "x"},
    ]
    valid.append({"prompt": "test question, 5", "completion": "y"})
    test.append({"prompt": "test question 11", "completion": "Train answer 7."})
    source = {
        name: write(tmp_path / f"{name}.jsonl", given)
        for name, given in (("train", train), ("valid", valid), ("test", test))
    }
    artifact = run(source)
    summary, made = artifact.read_json("summary.json"), rows(artifact)
    assert summary["splits"] == {"train": 50, "valid": 10, "test": 11}
    assert summary["dropped"]["leak"] == 3
    found = {(Path(record["source"]).stem, record["line"]): record for record in lines(artifact, "dropped.jsonl")}
    assert set(found) == {("train", 51), ("train", 52), ("valid", 11)}
    assert found["train", 51]["other"] == made["test"][3].id
    assert [row.flags for row in made["test"]] == [()] * 10 + [("target_in_train",)]
    assert summary["target_in_train"] == 1


def test_labels_do_not_count_as_targets_in_train(run: Prepare) -> None:
    given = [{"note": f"Text {i // 2}" if i < 150 else f"Only {i}", "part": "CC", "said": f"s {i}"} for i in range(300)]
    task = {"prompt": "{said}", "target": "{part}\n{note}", "score": {"part": "label"}}
    artifact = run(given, {"kind": "generate", **task})
    made = rows(artifact)
    trained = {row.fields["note"] for row in made["train"]}
    flagged = [row for row in made["test"] if "target_in_train" in row.flags]
    assert [row.id for row in flagged] == [row.id for row in made["test"] if row.fields["note"] in trained]
    assert 0 < artifact.read_json("summary.json")["target_in_train"] == len(flagged) < len(made["test"])


@pytest.mark.parametrize("given", [("train", "test"), ("train", "valid")])
def test_a_missing_split_is_carved_from_train(run: Prepare, tmp_path: Path, given: tuple[str, str]) -> None:
    source = {name: write(tmp_path / f"{name}.jsonl", [{"text": f"{name} {i}"} for i in range(180)]) for name in given}
    sizes = run(source).read_json("summary.json")["splits"]
    carved = ({"valid", "test"} - {given[1]}).pop()
    assert sizes[given[1]] == 180
    assert sizes["train"] + sizes[carved] == 180
    assert 8 <= sizes[carved] <= 34


def test_a_fixed_train_only_is_split_as_usual(run: Prepare, tmp_path: Path) -> None:
    path = write(tmp_path / "all.jsonl", labelled(300))
    assert rows(run({"train": path})) == rows(run(path))


def test_groups_never_cross_also_where_the_source_fixes_splits(run: Prepare, tmp_path: Path) -> None:
    def visits(start: int, size: int) -> list[Record | str]:
        return [{"text": f"visit {i}", "patient": i % 40} for i in range(start, start + size)]

    artifact = run(visits(0, 400), group="patient")
    assert lines(artifact, "dropped.jsonl") == []  # kept together, not torn apart and then dropped
    made = rows(artifact)
    by_split = [{row.group for row in made[split]} for split in SPLITS]
    assert by_split[0].isdisjoint(by_split[2])
    assert by_split[0].isdisjoint(by_split[1])

    source = {"train": write(tmp_path / "train.jsonl", visits(0, 80)), "test": write(tmp_path / "t", visits(1000, 5))}
    Path(source["test"]).rename(tmp_path / "test.jsonl")
    source["test"] = str(tmp_path / "test.jsonl")
    artifact = run(source, split={"group": "patient"})
    made = rows(artifact)
    assert {row.group for row in made["train"]}.isdisjoint({row.group for row in made["test"]})
    assert len(made["test"]) == 5
    assert {record["reason"] for record in lines(artifact, "dropped.jsonl")} == {"group_leak"}
    assert artifact.read_json("summary.json")["groups"] == 40


def test_adding_rows_moves_no_old_row(run: Prepare) -> None:
    given = labelled(500)
    before = {row.id: split for split, found in rows(run(given)).items() for row in found}
    mixed = given + [{"text": f"A new case {i}", "label": LABELS[i % 3]} for i in range(50)]
    random.Random(0).shuffle(mixed)
    after = {row.id: split for split, found in rows(run(mixed)).items() for row in found}
    assert len(after) == 550
    assert all(after[id] == split for id, split in before.items())


def test_the_cleaning_profile_renames_and_moves_no_row(run: Prepare) -> None:
    given = [{"text": f"Patient, {i}: fine.", "label": LABELS[i % 3]} for i in range(200)]
    one, other = (rows(run(given, clean={"profile": profile})) for profile in ("plain", "strict"))
    for split in SPLITS:
        assert [row.id for row in one[split]] == [row.id for row in other[split]]


def test_limits_keep_the_splits(run: Prepare) -> None:
    every, some = run(labelled(400)), run(labelled(400), limit={"train": 100, "test": 10})
    assert some.read_json("summary.json")["splits"] == {
        "train": 100,
        "valid": len(rows(every)["valid"]),
        "test": 10,
    }
    assert {row.id for row in rows(some)["train"]} <= {row.id for row in rows(every)["train"]}
    assert some.read_json("summary.json")["dropped"]["limit"] == 400 - sum(map(len, rows(some).values()))
    assert lines(some, "dropped.jsonl") == []


def test_own_ids_are_kept_and_must_be_unique(run: Prepare) -> None:
    given = [{"text": f"text {i}", "key": f"k{i}"} for i in range(300)]
    given[7]["key"] = "k6"
    artifact = run(given, id="key")
    assert lines(artifact, "rejected.jsonl")[0] | {"source": ""} == {
        "source": "",
        "line": 8,
        "reason": "the id is that of an earlier row",
    }
    assert {row.id for split in SPLITS for row in rows(artifact)[split]} == {f"k{i}" for i in range(300)} - {"k7"}


def test_a_changed_source_makes_another_artifact(run: Prepare) -> None:
    given = labelled(200)
    first = run(given)
    assert run(given).id == first.id
    assert run([*given, {"text": "one more", "label": "renal"}]).id != first.id
    assert first.manifest.external


def test_the_same_rows_make_the_same_bytes(run: Prepare, tmp_path: Path) -> None:
    given = labelled(200)
    first = {name: digest.sha256 for name, digest in run(given).manifest.files.items()}
    config = parse(PrepareConfig, {"data": {"source": str(tmp_path / "rows.jsonl")}})
    again = Store(tmp_path / "other").run(prepare, config)
    assert {name: digest.sha256 for name, digest in again.manifest.files.items()} == first


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([], "empty"),
        (labelled(100, ("same",)), "same label"),
        (labelled(8), "too few rows"),
        (["broken"] * 30, "30 of 30 rows"),
        ([*labelled(100), "broken", "broken"], "2 of 102 rows"),
        ([*labelled(100), {"text": "x"}, {"text": "y"}], "missing field: label"),
    ],
)
def test_what_must_stop_stops_and_leaves_nothing(run: Prepare, tmp_path: Path, given: Any, word: str) -> None:
    with pytest.raises(DataError) as caught:
        run(given)
    assert word in caught.value.render()
    assert caught.value.exit_code == 2
    assert not list((tmp_path / "store" / "artifacts").glob("*"))


def test_the_list_of_rejected_rows_stays_where_the_error_says(run: Prepare, tmp_path: Path) -> None:
    given = [*labelled(100), "broken", "broken"]
    with pytest.raises(DataError) as caught:
        run(given)
    (path,) = (tmp_path / "store" / "work").glob("*.rejected.jsonl")
    assert str(path) in caught.value.render()
    assert "rows.jsonl:101" in caught.value.render()
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [101, 102]


def test_no_text_of_a_row_is_in_errors_lists_or_logs(
    run: Prepare, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"text": f"SECRET {i}", "label": ""} for i in range(50)]
    with pytest.raises(DataError) as caught:
        run(given)
    said = caught.value.render() + caplog.text + "".join(capsys.readouterr())
    said += "".join(path.read_text() for path in (tmp_path / "store").rglob("*.jsonl"))
    assert "SECRET" not in said


@pytest.fixture(name="uneven")
def _uneven(tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """Sources in which train and test hold the labels given as letters."""

    def uneven(train: str, test: str) -> dict[str, str]:
        return {
            name: write(
                tmp_path / f"{name}.jsonl",
                [{"text": f"{name} {i}", "label": letters[i % len(letters)]} for i in range(60)],
            )
            for name, letters in (("train", train), ("test", test))
        }

    return uneven


@pytest.mark.parametrize(("train", "test", "lacking"), [("abc", "ab", "test"), ("ab", "abc", "train")])
def test_a_missing_label_is_refused_or_reported(
    run: Prepare, uneven: Callable[[str, str], dict[str, str]], train: str, test: str, lacking: str
) -> None:
    source = uneven(train, test)
    with pytest.raises(DataError) as caught:
        run(source)
    assert f"{lacking} has no row of 1 of 3 labels: c" in caught.value.render()
    summary = run(source, split={"on_missing_label": "warn"}).read_json("summary.json")
    assert summary["missing_labels"][lacking] == ["c"]
    assert summary["labels"] == list(train)


def test_a_closed_set_rejects_other_labels_and_needs_rows_of_each(run: Prepare) -> None:
    task = {"kind": "classify", "labels": list(LABELS)}
    given = labelled(300)
    given[4] = {"text": "x", "label": "dental"}
    artifact = run(given, task)
    assert lines(artifact, "rejected.jsonl")[0]["reason"] == "label outside the closed set"
    assert artifact.read_json("summary.json")["labels"] == list(LABELS)
    with pytest.raises(DataError, match="no row of 1 of 4 labels: dental"):
        run(labelled(300), {**task, "labels": [*LABELS, "dental"]})


def test_names_must_cover_the_labels_of_the_data(run: Prepare) -> None:
    with pytest.raises(RecipeError) as caught:
        run(labelled(300), {"kind": "classify", "names": {"cardiac": "heart", "renal": "kidney"}})
    assert "neuro" in caught.value.render()


def test_an_unknown_column_stops_before_the_source_is_read(run: Prepare) -> None:
    with pytest.raises(RecipeError) as caught:
        run(labelled(50), {"kind": "classify", "prompt": "{txt}"})
    assert "did you mean 'text'?" in caught.value.render()


def test_chinese_rows(run: Prepare) -> None:
    given = [
        {"instruction": f"患者第{i}天体温37.{i % 10}℃，如何处理？", "output": f"观察{i}小时。"} for i in range(150)
    ]
    artifact = run(given, clean={"profile": "clinical"})
    assert artifact.read_json("summary.json")["language"] == "zh"
    texts = [row.fields["messages"][0]["content"] for split in SPLITS for row in rows(artifact)[split]]
    assert sorted(texts) == sorted(record["instruction"] for record in given)


def test_memory_does_not_grow_with_the_length_of_rows(run: Prepare, tmp_path: Path) -> None:
    def peak(size: int) -> int:
        path = write(tmp_path / f"{size}.jsonl", [{"text": f"{i} " + "x" * 5000} for i in range(size)])
        tracemalloc.start()
        try:
            run(path, contamination={"enabled": False})  # which holds the texts of test
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # What is imported and compiled on first use is not counted; the first 1,000 rows are looked at together.
    peak(150)
    few, many = peak(1700), peak(2300)
    assert many - few < 1_000_000  # of 3 MB more


def test_personal_data_is_counted_or_stops_the_run(run: Prepare) -> None:
    given = labelled(200)
    given[4] = {"text": "Call back on 13812345678 please, patient four.", "label": "renal"}
    masked = run(given, privacy={"mask": ["phone"]})
    assert masked.read_json("summary.json")["privacy"] == {"phone": {"found": 1, "rows": 1, "mode": "mask"}}
    assert not any("13812345678" in masked.file(name).read_text("utf-8") for name in masked.manifest.files)
    with pytest.raises(DataError, match="1 phone") as error:
        run(given, privacy={"refuse": ["phone"]})
    assert error.value.exit_code == 2
    assert "13812345678" not in str(error.value)


def test_a_review_drops_and_relabels_and_what_it_names_must_exist(run: Prepare, tmp_path: Path) -> None:
    given = labelled(200)
    before = {row.fields["text"]: row for made in rows(run(given)).values() for row in made}
    one, two = before["Patient 3 has a complaint."], before["Patient 4 has a complaint."]
    review = tmp_path / "review.csv"
    review.write_text(f"id,action,new_label\n{one.id},drop,\n{two.id},relabel,neuro\n", encoding="utf-8")
    artifact = run(given, review=str(review))
    after = {row.id: row for made in rows(artifact).values() for row in made}
    assert one.id not in after
    assert (two.label, after[two.id].label, after[two.id].fields["label"]) == ("renal", "neuro", "neuro")
    assert artifact.read_json("summary.json")["dropped"]["reviewed"] == 1
    assert [record["id"] for record in lines(artifact, "dropped.jsonl")] == [one.id]
    review.write_text(f"id,action,new_label\n{two.id},relabel,nuero\n", encoding="utf-8")
    with pytest.raises(DataError, match="nuero"):
        run(given, review=str(review))
