"""The list of rejected rows and the error that ends a run with too many."""

from __future__ import annotations

import json
from pathlib import Path

from yibu.prepare.rejects import Rejects


def test_each_row_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    with Rejects.writing(path) as rejects:
        rejects.add("data/a.csv", 3, "empty prompt")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"source": "data/a.csv", "line": 3, "reason": "empty prompt"}
    ]


def test_the_error_counts_reasons_and_shows_lines(tmp_path: Path) -> None:
    with Rejects.writing(tmp_path / "rejected.jsonl") as rejects:
        for line in range(1, 8):
            rejects.add("data/a.csv", line, "empty prompt")
        for reason in "abcdef":
            rejects.add("data/b.csv", 1, reason)
    error = rejects.error(100, 0.01, Path("/kept/here.jsonl"))
    message = error.render()
    assert "13 of 100 rows" in message
    assert "1.00%" in message
    assert "7 x empty prompt, e.g. a.csv:1, a.csv:2, a.csv:3" in message
    assert "a.csv:4" not in message
    assert "and 2 more reasons" in message
    assert "/kept/here.jsonl" in message
    assert error.exit_code == 2
