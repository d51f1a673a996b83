"""The stage: what it reads of an artifact, what it writes, and what never gets into a page."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sample_data import artifact, sample_rows
from sample_report import Page
from yibu import tasks
from yibu.core.artifact import Artifact
from yibu.core.errors import BaseModelError
from yibu.core.recipe import Settings
from yibu.core.record import read_rows
from yibu.core.store import Store, Work, stage
from yibu.inspect import InspectConfig, InspectSettings, can_judge_labels, inspect
from yibu.inspect.labels import LabelSettings
from yibu.inspect.run import examples, lineage, losses

TASK = tasks.settings_of({"kind": "classify"})
FAST = InspectSettings(labels=LabelSettings(folds=3, dimensions=20))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def data(store: Store) -> Artifact:
    return artifact(store)


@pytest.fixture(scope="module")
def made(store: Store, data: Artifact) -> Artifact:
    return store.run(inspect, InspectConfig(recipe="notes", task=TASK, inspect=FAST), data=data)


def _page(made: Artifact, name: str = "data.html") -> Page:
    return Page(made.file(name).read_text(encoding="utf-8"))


def test_everything_is_written(made: Artifact) -> None:
    assert set(made.manifest.files) == {
        "consistency.json", "labels.json", "coverage.json", "summary.json", "review.csv", "data.html", "data.en.html",
        "data.zh.html", "DATACARD.md", "DATACARD.zh.md",
    }  # fmt: skip
    assert made.file("data.html").read_bytes() == made.file("data.en.html").read_bytes(), "the rows are English"


def test_long_work_in_a_process_of_its_own_finds_the_same(
    made: Artifact, data: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yibu.inspect.run._ASIDE", 0)
    aside = Store(tmp_path).run(inspect, InspectConfig(recipe="notes", task=TASK, inspect=FAST), data=data)
    for name in ("consistency.json", "review.csv"):
        assert aside.file(name).read_bytes() == made.file(name).read_bytes()


def test_planted_mistakes_are_found_and_queued(made: Artifact) -> None:
    wrong = {row.id for place, (_, row) in enumerate(sample_rows()) if place % 30 == 7 and place < 240}
    found = {item["id"] for item in made.read_json("labels.json")["suspects"]}
    assert len(found & wrong) >= 6
    (conflict,) = made.read_json("consistency.json")["conflicts"]
    assert set(conflict["ids"]) == {"row-0000", "row-twice"}
    with made.file("review.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["id"] for line in lines} == found | {"row-0000", "row-twice"}
    assert {line["action"] for line in lines} == {""}, "nothing is decided beforehand"
    assert made.read_json("summary.json")["review"]["rows"] == len(found | {"row-0000", "row-twice"})


def test_the_page_says_what_was_found(made: Artifact) -> None:
    page = _page(made)
    text = page.root.all("main")[0].text
    assert "241 of 247 rows are kept, in 3 classes" in page.root.by_class("sentence")[0].text
    assert "Inputs that stand with different labels: 1." in text
    assert "in characters: no tokenizer was given" in text
    rows = [[cell.text for cell in row.children] for table in page.root.all("table") if table.has_class("losses")
            for row in table.all("tbody")[0].all("tr")]  # fmt: skip
    assert rows == [
        ["unusable", "empty label", "3", "notes.csv:300 notes.csv:301 notes.csv:302"],
        ["exact duplicates", "", "2", "notes.csv:310 repeats row-0001 notes.csv:311 repeats row-0002"],
        ["leaks between splits", "", "1", "notes.csv:312 repeats row-0009"],
    ]


def test_personal_data_is_nowhere(made: Artifact) -> None:
    """Not even the raw text before cleaning, in full-width digits that no detector had seen at that time."""
    for name in made.manifest.files:
        text = made.file(name).read_text(encoding="utf-8-sig")
        assert "１３８００１３８０００" not in text
    assert "３８．５" in made.file("data.html").read_text(encoding="utf-8"), "rows without personal data are shown"
    assert "call [PHONE]" in made.file("data.html").read_text(encoding="utf-8")


def test_the_data_artifact_is_not_changed(store: Store, data: Artifact, made: Artifact) -> None:
    assert store.verify(data.id) == []
    assert made.manifest.inputs == {"data": data.id}


@pytest.mark.parametrize("most", [0, 1, 2, 50])
def test_examples_are_taken_by_turns_and_are_at_most_so_many(data: Artifact, most: int) -> None:
    shown = examples(data, most)
    assert len(shown) == min(most, 3)
    assert most < 2 or {item["step"] for item in shown} == {"clean", "privacy"}
    assert all(item["before"] == "" for item in shown if item["id"] == "row-0005")


def test_losses_keep_the_order_of_the_funnel_and_places_are_few(data: Artifact) -> None:
    summary = data.read_json("summary.json")
    found = losses(data, summary, most=1)
    assert [(loss.step, loss.reason, loss.n) for loss in found] == [
        ("rejected", "empty label", 3), ("duplicate", "", 2), ("leak", "", 1),
    ]  # fmt: skip
    assert [len(loss.places) for loss in found] == [1, 1, 1]
    assert all(not loss.places for loss in losses(data, summary, most=0))


def test_losses_of_a_summary_that_knows_the_reasons_of_leaks(data: Artifact) -> None:
    taken = {"step": "leak", "n": 1, "reasons": {"equal prompt": 1}}
    steps = [{"step": "read", "n": 9}, taken, {"step": "kept", "n": 8}]
    (leak,) = losses(data, {"funnel": steps}, most=3)
    assert (leak.reason, list(leak.places), list(leak.others)) == ("equal prompt", ["notes.csv:312"], ["row-0009"])


def test_what_is_not_in_an_older_artifact_is_not_missed(data: Artifact) -> None:
    summary = {"rows_read": 12, "rejected": 1, "dropped": {"duplicate": 1}, "splits": {"train": 10}}
    files = {name: record for name, record in data.manifest.files.items() if name.endswith("train.jsonl")}
    bare = Artifact(data.id, data.path, data.manifest.model_copy(update={"files": files}))
    assert [(loss.step, loss.n, list(loss.places)) for loss in losses(bare, summary, 3)] == [
        ("rejected", 1, []), ("duplicate", 1, []),
    ]  # fmt: skip
    assert examples(bare, 5) == []


def test_lineage_names_what_the_rows_were_made_from(data: Artifact) -> None:
    augmented = Artifact(
        "augment-0123456789abcdef",
        data.path,
        data.manifest.model_copy(update={"stage": "augment", "inputs": {"data": data.id}}),
    )
    assert list(lineage("notes", augmented).artifacts.items()) == [
        ("prepare", data.id), ("augment", "augment-0123456789abcdef"),
    ]  # fmt: skip


def test_nobody_looks_for_wrong_labels_where_the_packages_are_missing(store: Store, data: Artifact) -> None:
    made = store.run(inspect, InspectConfig(recipe="notes", task=TASK, judge_labels=False), data=data)
    assert made.read_json("labels.json") == {}
    assert "Nobody looked for wrong labels" in made.file("data.html").read_text(encoding="utf-8")
    assert isinstance(can_judge_labels(), bool)


def test_lengths_in_tokens_where_a_tokenizer_is_at_hand(store: Store, data: Artifact, tmp_path: Path) -> None:
    from tiny import tiny_tokenizer

    tiny_tokenizer().save_pretrained(tmp_path)
    config = InspectConfig(
        recipe="notes", task=TASK, judge_labels=False, tokenizer=str(tmp_path), tokenizer_digest="a1"
    )
    made = store.run(inspect, config, data=data)
    assert "in tokens of the base" in _page(made).root.all("main")[0].text
    again = store.run(inspect, config.model_copy(update={"tokenizer": "/moved"}), data=data)
    assert again.id == made.id, "where the base lies is not what it is"


def test_a_folder_without_a_tokenizer_is_refused(store: Store, data: Artifact, tmp_path: Path) -> None:
    config = InspectConfig(
        recipe="notes", task=TASK, judge_labels=False, tokenizer=str(tmp_path), tokenizer_digest="b2"
    )
    with pytest.raises(BaseModelError, match="tokenizer"):
        store.run(inspect, config, data=data)


def test_free_text_without_classes(store: Store, data: Artifact) -> None:
    task = tasks.settings_of({"kind": "generate", "prompt": "{text}", "target": "{label}"})
    made = store.run(inspect, InspectConfig(recipe="notes", task=task), data=data)
    assert made.read_json("labels.json")["n"] == 0
    assert "text-generation" in made.file("DATACARD.md").read_text(encoding="utf-8")


def test_copies_are_not_looked_at(store: Store, data: Artifact, made: Artifact) -> None:
    """A copy of a wrong row would look wrong as well, and nobody could mend it: prepare never reads it."""

    @stage(version=1, name="augment")
    def grow(config: Settings, work: Work, *, data: Artifact) -> None:
        for name in data.manifest.files:
            shutil.copyfile(data.file(name), work.file(name))
        copies = [replace(row, id=f"{row.id}~1", flags=("augmented",)) for row in read_rows(data.file("train.jsonl"))]
        with work.file("train.jsonl").open("a", encoding="utf-8") as lines:
            lines.writelines(row.to_json() + "\n" for row in copies)
        summary = data.read_json("summary.json")
        summary["augmented"] = {"glyphs": {"rows": len(copies), "refused": 0, "reasons": {}}}
        summary["splits"]["train"] += len(copies)
        work.file("summary.json").unlink()
        work.write_json("summary.json", summary)

    grown = store.run(grow, Settings(), data=data)
    again = store.run(inspect, InspectConfig(recipe="notes", task=TASK, inspect=FAST), data=grown)
    for name in ("labels.json", "consistency.json", "coverage.json", "review.csv"):
        assert again.file(name).read_bytes() == made.file(name).read_bytes(), name
    assert "241 of 247 rows are kept" in _page(again).root.by_class("sentence")[0].text


def test_the_page_may_be_asked_for_in_the_other_language(store: Store, data: Artifact) -> None:
    settings = InspectSettings(labels=None, lang="zh", max_examples=0)
    made = store.run(inspect, InspectConfig(recipe="notes", task=TASK, inspect=settings), data=data)
    assert made.file("data.html").read_bytes() == made.file("data.zh.html").read_bytes()
    assert not _page(made).root.all("article"), "no text of a row was wanted"


def test_another_process_with_another_hash_seed_makes_the_same_bytes(data: Artifact, made: Artifact) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from yibu import tasks\n"
        "from yibu.core.artifact import open_artifact\n"
        "from yibu.core.stage import Work\n"
        "from yibu.inspect import InspectConfig, InspectSettings\n"
        "from yibu.inspect.labels import LabelSettings\n"
        "from yibu.inspect.run import run\n"
        "settings = InspectSettings(labels=LabelSettings(folds=3, dimensions=20))\n"
        "config = InspectConfig(recipe='notes', task=tasks.settings_of({'kind': 'classify'}), inspect=settings)\n"
        "out = Path(sys.argv[2]); out.mkdir()\n"
        "run(config, Work(out, True), open_artifact(Path(sys.argv[1])))\n"
    )
    folder = data.path.parent.parent / "again"
    done = subprocess.run(
        [sys.executable, "-c", script, str(data.path), str(folder)],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in made.manifest.files:
        assert (folder / name).read_bytes() == made.file(name).read_bytes(), name
