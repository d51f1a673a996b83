"""Decisions of people: how they are read back from spreadsheets, applied to rows, and what is refused."""

from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yibu import tasks
from yibu.core.errors import DataError
from yibu.core.record import Row
from yibu.inspect.review import COLUMNS, write
from yibu.prepare.review import DROPPED, REVIEWED, Review, digest

TASK = tasks.build(tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": "{label}"}))
CLOSED = tasks.build(tasks.settings_of({"kind": "classify", "labels": ["x", "y"]}))


def row(id: str = "a", label: str = "x", **fields: Any) -> Row:
    return Row(id, {"text": "words", "label": label, **fields}, label=label)


def made(tmp_path: Path, *lines: tuple[str, str, str], encoding: str = "utf-8-sig", delimiter: str = ",") -> Path:
    """A file with (id, action, new_label), as a spreadsheet saves it."""
    path = tmp_path / "review.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(COLUMNS)
        for id, action, new_label in lines:
            writer.writerow(
                [id, "train", "label_error", "x", "y", "0.1", "有逗号，文本\n两行", action, new_label, "备注"]
            )
    return path


def test_keep_drop_relabel_and_silence(tmp_path: Path) -> None:
    lines = (("a", "keep", ""), ("b", "drop", ""), ("c", " Relabel ", " y "), ("d", "", ""))
    review = Review.read(made(tmp_path, *lines))
    review.check(TASK)
    assert review.counts == {"keep": 1, "drop": 1, "relabel": 1}
    assert "a" in review
    assert "d" not in review
    assert review.apply(row("a"), TASK) == replace(row("a"), flags=(REVIEWED,))
    assert review.apply(row("b"), TASK) == DROPPED
    changed = review.apply(row("c"), TASK)
    assert isinstance(changed, Row)
    assert (changed.id, changed.label, changed.flags) == ("c", "y", (REVIEWED,))
    assert changed.fields == {"text": "words", "label": "y"}
    assert review.apply(row("d"), TASK) == row("d")
    assert [id for id in "abcd" if review.relabels(id)] == ["c"]
    assert review.apply(row("not in the file"), TASK) == row("not in the file")


def test_an_untouched_list_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    suspect = {"id": "a", "suggested": "y", "score": 0.0}
    write(path, [suspect], [], [], lambda: iter([("train", row("a"))]), TASK)
    review = Review.read(path)
    assert len(review) == 0
    assert review.apply(row("a"), TASK) == row("a")
    assert review.finish([]) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    id=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(lambda i: i[0] != "'")
)
def test_every_id_comes_back_through_the_guards(tmp_path: Path, id: str) -> None:
    path = tmp_path / "review.csv"
    write(path, [{"id": id, "suggested": "y", "score": 0.0}], [], [], lambda: iter([("train", row(id))]), TASK)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    lines[0] |= {"action": "drop"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    assert list(Review.read(path).decisions) == [id]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_files_as_spreadsheets_save_them(tmp_path: Path, encoding: str, delimiter: str) -> None:
    review = Review.read(made(tmp_path, ("病例1", "relabel", "肺炎"), encoding=encoding, delimiter=delimiter))
    assert review.decisions["病例1"].new_label == "肺炎"
    assert review.decisions["病例1"].line == 2


def test_columns_may_be_moved_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("Comment,new_label, ACTION ,id\n,,,\nyes,,drop,a\n,,\n", encoding="utf-8")
    review = Review.read(path)
    assert review.decisions["a"].action == "drop"
    assert review.decisions["a"].line == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("a", "delete", ""), "line 2: action 'delete' is unknown"),
        (("a", "dorp", ""), "did you mean 'drop'"),
        (("", "drop", ""), "line 2: has an action but no id"),
        (("a", "relabel", ""), "line 2: relabel needs a new_label"),
        (("a", "", "y"), "line 2: has new_label 'y' but no action"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, line: tuple[str, str, str], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        Review.read(made(tmp_path, line))
    assert error.value.exit_code == 2
    assert "文本" not in str(error.value)  # no text of a row


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    # The text of each record has a line break in it.
    with pytest.raises(DataError, match="line 6: action 'x' is unknown"):
        Review.read(made(tmp_path, ("a", "keep", ""), ("b", "", ""), ("c", "x", "")))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 30 mistakes") as error:
        Review.read(made(tmp_path, *((f"r{n}", "?", "") for n in range(30))))
    assert "and 20 more" in str(error.value)


def test_two_decisions_about_one_row(tmp_path: Path) -> None:
    assert len(Review.read(made(tmp_path, ("a", "drop", ""), ("a", "drop", ""), ("a", "", "")))) == 1
    with pytest.raises(DataError, match="line 4: decides otherwise about the row of line 2"):
        Review.read(made(tmp_path, ("a", "drop", ""), ("a", "keep", "")))
    with pytest.raises(DataError, match="decides otherwise"):
        Review.read(made(tmp_path, ("a", "relabel", "x"), ("a", "relabel", "y")))


def test_new_labels_outside_the_closed_set(tmp_path: Path) -> None:
    review = Review.read(made(tmp_path, ("a", "relabel", "Y"), ("b", "relabel", "y")))
    with pytest.raises(DataError, match="line 2: new_label 'Y' is not one of the labels; did you mean 'y'"):
        review.check(CLOSED)
    review.check(TASK)  # its labels are not known yet
    with pytest.raises(DataError, match="line 2: no row has the label 'Y'; did you mean 'y'"):
        review.check_labels(["x", "y"])
    review.check_labels(["x", "y", "Y"])


def test_a_class_of_several_columns_cannot_be_set(tmp_path: Path) -> None:
    task = tasks.build(tasks.settings_of({"kind": "classify", "label": "{part}/{side}"}))
    with pytest.raises(DataError, match="made of several columns \\(part, side\\)"):
        Review.read(made(tmp_path, ("a", "relabel", "arm/left"))).check(task)
    Review.read(made(tmp_path, ("a", "drop", ""))).check(task)  # dropping needs no label


def test_a_task_without_a_class_cannot_be_relabelled(tmp_path: Path) -> None:
    task = tasks.build(tasks.settings_of({"kind": "generate", "prompt": "{text}", "target": "{label}"}))
    with pytest.raises(DataError, match="line 2: relabel, but the task has no class"):
        Review.read(made(tmp_path, ("a", "relabel", "y"))).check(task)


@pytest.mark.parametrize("new", ["class y", "y"])
def test_a_label_with_words_around_its_column(tmp_path: Path, new: str) -> None:
    task = tasks.build(tasks.settings_of({"kind": "classify", "label": "class {label}"}))
    changed = Review.read(made(tmp_path, ("a", "relabel", new))).apply(row(), task)
    assert isinstance(changed, Row)
    assert changed.fields["label"] == "y"
    assert changed.label == task.label(changed) == "class y"


def test_the_class_of_a_written_answer(tmp_path: Path) -> None:
    table = {"kind": "generate", "prompt": "{text}", "target": "{label}\n{note}", "score": {"label": "label"}}
    task = tasks.build(tasks.settings_of(table))
    review = Review.read(made(tmp_path, ("a", "relabel", "y")))
    review.check(task)
    changed = review.apply(row(note="free text"), task)
    assert isinstance(changed, Row)
    assert (changed.label, changed.fields["note"]) == ("y", "free text")


def test_a_number_as_label_is_set_as_text(tmp_path: Path) -> None:
    before = Row("a", {"text": "words", "label": 1}, label="1")
    changed = Review.read(made(tmp_path, ("a", "relabel", "2"))).apply(before, TASK)
    assert isinstance(changed, Row)
    assert TASK.label(changed) == changed.label == "2"
    assert before.fields["label"] == 1


@pytest.mark.parametrize("label", ["-1", "+", "=x", "@home"])
def test_labels_that_look_like_formulas(tmp_path: Path, label: str) -> None:
    for typed in (label, "'" + label):
        changed = Review.read(made(tmp_path, ("a", "relabel", typed))).apply(row(), TASK)
        assert isinstance(changed, Row)
        assert changed.label == label


def test_rows_that_were_not_met_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    review = Review.read(made(tmp_path, ("a", "drop", ""), ("b", "drop", ""), ("c", "keep", "")))
    logging.getLogger("yibu").propagate = True
    with caplog.at_level(logging.WARNING):
        assert review.finish(["a", "c", "other"]) == 1
    assert "1 of 3 rows with an action" in caplog.text
    assert review.finish(["a", "b", "c"]) == 0
    with pytest.raises(DataError, match="Not one row of the review file is in the data"):
        review.finish(["other"])


def test_files_that_are_no_review(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Review.read(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        Review.read(tmp_path)
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "other.csv").write_text("name,value\n1,2\n")
    for name in ("empty.csv", "other.csv"):
        with pytest.raises(DataError, match="lacks columns"):
            Review.read(tmp_path / name)
    (tmp_path / "quote.csv").write_text('id,action,new_label\na,"drop,\n')
    with pytest.raises(DataError, match="not a table that can be read"):
        Review.read(tmp_path / "quote.csv")
    (tmp_path / "bytes.csv").write_bytes(b"id,action,new_label\n\xff\xff,drop,\n")
    with pytest.raises(DataError, match="cannot be read"):
        Review.read(tmp_path / "bytes.csv")


def test_another_decision_has_another_digest(tmp_path: Path) -> None:
    first = digest(made(tmp_path, ("a", "drop", "")))
    assert first == digest(made(tmp_path, ("a", "drop", "")))
    assert first != digest(made(tmp_path, ("a", "keep", "")))
    with pytest.raises(DataError, match="cannot be read"):
        digest(tmp_path / "nothing.csv")


def test_no_file_means_no_decisions() -> None:
    assert Review().apply(row(), TASK) == row()
    assert Review().finish([]) == 0
