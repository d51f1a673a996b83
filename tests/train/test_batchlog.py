"""The log of batches: it survives a kill, and names rows only to those who hold the salt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import Damaged
from yibu.train.batchlog import LineLog, Pass, RowNames, as_lines, pass_seed, read_batches

NAMES = RowNames("00" * 16)
PASSES = [
    [Pass(1, 0, 1e-4, 7, (NAMES.of("a"), NAMES.of("b#2"))), Pass(1, 1, 1e-4, 8, (NAMES.of("c"),))],
    [Pass(2, 0, 0.1 + 0.2, 9, (NAMES.of("患者-1"),))],
]


def written(path: Path) -> Path:
    log = LineLog(path, 0)
    for step in PASSES:
        log.add(as_lines(step))
    log.close()
    return path


def test_what_was_written_is_read_to_the_bit(tmp_path: Path) -> None:
    assert read_batches(written(tmp_path / "batches.jsonl")) == PASSES


def test_lines_behind_the_checkpoint_and_half_a_line_are_taken_back(tmp_path: Path) -> None:
    path = written(tmp_path / "batches.jsonl")
    whole = path.read_bytes()
    with path.open("a") as file:
        file.write('{"step": 3, "pa')
    log = LineLog(path, 1)
    log.add(as_lines(PASSES[1]))
    log.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", ["gap", "order", "text", "key"])
def test_a_damaged_log_is_refused_by_its_line(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path / "batches.jsonl")
    lines = path.read_text().splitlines()
    changed = {
        "gap": [lines[0], lines[2]],
        "order": [lines[1], lines[0], lines[2]],
        "text": [lines[0], lines[1][:-3], lines[2]],
        "key": [lines[0], lines[1].replace("seed", "sead"), lines[2]],
    }[damage]
    path.write_text("".join(line + "\n" for line in changed))
    if damage == "gap":  # a pass that is missing at the end of a step cannot be seen, a step can
        path.write_text("".join(line + "\n" for line in lines[2:]))
    with pytest.raises(Damaged):
        read_batches(path)


def test_names_depend_on_the_salt_and_parts_stay_readable() -> None:
    other = RowNames("01" * 16)
    assert NAMES.of("row") != other.of("row")
    assert NAMES.of("row#3") == NAMES.hash("row") + "#3"
    assert NAMES.of("row#x") == NAMES.hash("row#x")
    assert "row" not in NAMES.of("row")


def test_the_salt_is_made_once_and_is_not_the_same_twice(tmp_path: Path) -> None:
    first = RowNames.make(tmp_path / "a")
    assert RowNames.make(tmp_path / "a").of("x") == first.of("x") == RowNames.read(tmp_path / "a").of("x")
    assert RowNames.make(tmp_path / "b").of("x") != first.of("x")
    (tmp_path / "a").write_text("no salt")
    with pytest.raises(Damaged):
        RowNames.read(tmp_path / "a")


@given(st.lists(st.text(min_size=1), unique=True, max_size=50))
def test_different_rows_have_different_names(ids: list[str]) -> None:
    assert len({NAMES.of(id) for id in ids}) == len(ids)


def test_every_pass_has_a_seed_of_its_own() -> None:
    seeds = {pass_seed(seed, step, index) for seed in (0, 1) for step in range(1, 50) for index in range(4)}
    assert len(seeds) == 2 * 49 * 4
    assert all(0 <= seed < 2**32 for seed in seeds)
