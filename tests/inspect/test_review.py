"""The list for people: what stands in it, and that a spreadsheet can do no harm with it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu import tasks
from yibu.core.record import Row, Split
from yibu.inspect import review
from yibu.inspect.review import COLUMNS, guard, guard_id, shorten, write

TASK = tasks.build(tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": "{label}"}))
Rows = Callable[[], Iterator[tuple[Split, Row]]]


def source(*rows: tuple[str, str, str]) -> Rows:
    return lambda: (("train", Row(id, {"text": text, "label": label}, label=label)) for id, text, label in rows)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def suspect(id: str, given: str, suggested: str, score: float = 0.1) -> dict[str, Any]:
    return {"id": id, "split": "train", "given": given, "suggested": suggested, "score": score, "confidence": 0.9}


ROWS = source(("a", "one", "x"), ("b", "two", "y"), ("c", "two", "x"), ("d", "three", "yy"), ("e", "four", "x"))
CONFLICT = {"ids": ["b", "c"], "labels": ["x", "y"], "n": 2, "targets": 2}
TYPO = {"label": "yy", "n": 1, "like": "y", "of": 50, "kind": "edit"}


def test_one_line_for_each_row_and_problem(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    suspects = [suspect("a", "x", "y", 0.25), suspect("b", "y", "x", 0.0123)]
    counts = write(path, suspects, [CONFLICT], [TYPO], ROWS, TASK)
    assert counts == {"label_typo": 1, "conflict": 2, "label_error": 2, "rows": 4, "reviewed": 0}
    lines = read(path)
    assert list(lines[0]) == list(COLUMNS)
    shown = [(line["problem"], line["id"], line["given"], line["suggested"], line["score"]) for line in lines]
    assert shown == [
        ("label_typo", "d", "yy", "y", ""),
        ("conflict", "c", "x", "", ""),
        ("conflict", "b", "y", "x", ""),
        ("label_error", "b", "y", "x", "0.0123"),
        ("label_error", "a", "x", "y", "0.2500"),
    ]
    assert {line["text"] for line in lines} == {"one", "two", "three"}
    assert not any(line[column] for line in lines for column in ("action", "new_label", "comment"))


def test_excel_reads_chinese(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write(path, [suspect("a", "感冒", "肺炎")], [], [], source(("a", "咳嗽三天", "感冒")), TASK)
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == 2
    assert read(path)[0]["given"] == "感冒"


def test_nothing_to_review_is_a_header(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    assert write(path, [], [], [], ROWS, TASK)["rows"] == 0
    assert path.read_bytes().decode("utf-8-sig") == ",".join(COLUMNS) + "\r\n"


def test_nobody_is_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    rows = [
        Row(id, {"text": id, "label": "yy"}, label="yy", flags=flags) for id, flags in (("a", ("reviewed",)), ("b", ()))
    ]
    counts = write(path, [suspect("a", "yy", "y")], [], [TYPO], lambda: (("train", row) for row in rows), TASK)
    assert counts == {"label_typo": 1, "conflict": 0, "label_error": 0, "rows": 1, "reviewed": 1}
    assert [line["id"] for line in read(path)] == ["b"]


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =HYPERLINK(1)", "\r=1", "＝1+1", "＠x", "'quoted", "|calc", "%0A"],
)
def test_formulas_are_guarded(tmp_path: Path, cell: str) -> None:
    assert guard(cell) == "'" + cell
    path = tmp_path / "review.csv"
    write(path, [suspect(cell.strip(), "x", cell)], [], [], source((cell.strip(), cell, cell + "!")), TASK)
    (line,) = read(path)
    for column in ("id", "given", "suggested", "text"):
        assert not line[column] or line[column][0] not in "=+-@＝＠|%\t\r "


@pytest.mark.parametrize("cell", ["", "x", "37.5 ℃", "a=b", "高血压", "2-1", "患者-3"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert guard(cell) == cell


@pytest.mark.parametrize("id", ["1234567890123456", "12345e6789012345", "007", "2024-01-05", "1/2", "1.5"])
def test_ids_do_not_become_numbers(id: str) -> None:
    assert guard_id(id) == "'" + id
    assert guard_id("a" + id) == "a" + id


@given(st.text())
def test_a_guarded_cell_never_begins_as_a_formula_does(cell: str) -> None:
    assert guard(cell).removeprefix("'") in (cell, cell.removeprefix("'"))
    assert not guard(cell).lstrip(" \t\r\n\x00").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


def test_long_texts_keep_beginning_and_end() -> None:
    short = shorten("begin " + "x" * 1000 + "\n\n end")
    assert len(short) <= review.TEXT_CHARACTERS
    assert short.startswith("begin")
    assert short.endswith("end")


@given(st.text(), st.integers(10, 60))
def test_a_shortened_text_is_one_line(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert "\n" not in short
    assert "\r" not in short


def test_a_label_with_very_many_rows_is_cut(tmp_path: Path) -> None:
    rows = source(*((f"r{n}", "text", "yy") for n in range(500)))
    assert write(tmp_path / "review.csv", [], [], [TYPO], rows, TASK)["label_typo"] == review.MAX_TYPO_ROWS


def test_without_a_task_the_texts_of_the_row_are_shown_but_its_label(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    rows: Rows = lambda: iter([("valid", Row("a", {"q": "why", "n": 3, "r": "so", "label": "x"}, label="x"))])  # noqa: E731
    write(path, [suspect("a", "x", "y")], [], [], rows)
    assert (read(path)[0]["text"], read(path)[0]["split"]) == ("why so", "valid")


def test_conflicts_without_classes_have_no_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write(path, [], [{"ids": ["a"], "labels": [], "n": 2, "targets": 2}], [], ROWS, TASK)
    assert read(path)[0]["suggested"] == ""


def test_the_file_is_the_same_for_the_same_findings(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        write(tmp_path / name, [suspect("a", "x", "y"), suspect("c", "x", "y")], [CONFLICT], [TYPO], ROWS, TASK)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
