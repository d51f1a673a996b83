"""Looking at the first rows of a source."""

from __future__ import annotations

from pathlib import Path

from yibu.core.recipe import parse
from yibu.prepare import PrepareConfig
from yibu.prepare.gather import open_items


def test_first_and_rest_are_all_rows_in_order(tmp_path: Path) -> None:
    for name, size in (("train", 1500), ("test", 5)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"text": "{name} {i}"}}\n' for i in range(size)))
    source = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "test")}
    first, rest = open_items(parse(PrepareConfig, {"data": {"source": source}}))
    assert len(first) == 1000
    items = [*first, *rest]
    assert [split for split, _ in items] == ["train"] * 1500 + ["test"] * 5
    assert [item.line for _, item in items] == [*range(1, 1501), *range(1, 6)]


def test_bad_rows_at_the_start_do_not_hide_the_good(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("broken\n" * 300 + '{"text": "a"}\n' * 5)
    first, rest = open_items(parse(PrepareConfig, {"data": {"source": str(path)}}))
    assert len(first) == 305
    assert list(rest) == []
