"""Lengths of rows, in characters and in tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from yibu import tasks
from yibu.core.errors import BaseModelError
from yibu.core.record import Row, Split
from yibu.inspect.measure import lengths

CLASSIFY = tasks.build(tasks.settings_of({"kind": "classify"}))
RAW = tasks.build(tasks.settings_of({"kind": "generate", "target": "{text}"}))


def _rows(num: int = 700) -> Iterator[tuple[Split, Row]]:
    for place in range(num):
        split: Split = "test" if place % 10 == 0 else "train"
        yield split, Row(f"r{place}", {"text": "心" * (place % 7 + 1), "label": "ab"})


def test_prompt_and_target_are_counted_together() -> None:
    found = lengths(_rows, CLASSIFY, None, 20_000)
    assert found.unit == "characters"
    assert not found.sampled
    assert sum(found.counts["train"].values()) == 630, "also what does not fill a batch"
    assert sum(found.counts["test"].values()) == 70
    assert found.counts["valid"] == {}
    assert set(found.counts["train"]) == {n + 1 + 2 for n in range(1, 8)}


def test_raw_text_is_counted_once() -> None:
    assert set(lengths(_rows, RAW, None, 20_000).counts["train"]) == set(range(1, 8))


def test_of_many_rows_a_fixed_sample_is_measured() -> None:
    first, again = (lengths(_rows, CLASSIFY, None, 200) for _ in range(2))
    assert first == again
    assert first.sampled
    assert 150 < sum(first.counts["train"].values()) < 250
    assert sum(first.counts["test"].values()) == 70, "a split that is small enough is measured whole"


def test_the_order_of_the_rows_plays_no_part() -> None:
    one = lengths(lambda: reversed(list(_rows())), CLASSIFY, None, 200)  # type: ignore[arg-type,return-value]
    assert one == lengths(_rows, CLASSIFY, None, 200)


def test_tokens_of_a_real_tokenizer(tmp_path: Path) -> None:
    from tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    found = lengths(_rows, CLASSIFY, str(tmp_path), 20_000)
    assert found.unit == "tokens"
    expected = {len(tokenizer("心" * n + "\nab", add_special_tokens=False)["input_ids"]) for n in range(1, 8)}
    assert set(found.counts["train"]) == expected


def test_a_folder_that_holds_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="tokenizer"):
        lengths(_rows, CLASSIFY, str(tmp_path), 100)
