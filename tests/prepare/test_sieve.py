"""What the sieve holds back holds no protected item; what holds one always gets through."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import numpy as np
import pytest

from yibu.prepare import sieve
from yibu.prepare.contamination import ContaminationSettings, Probe
from yibu.prepare.shingles import shingles
from yibu.prepare.sieve import Heads, heads_by_text

ENGLISH = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in ("rm", "lk", "nt", "st")]
CHINESE = "患者因反复咳嗽伴低热三周入院既往有糖尿病史十年否认药物过敏无胸痛心悸乏力双肺呼吸音粗未闻及干湿啰音"


def _texts(number: int, seed: int) -> list[str]:
    """Texts of both scripts, long and short, some of them without a single shingle."""
    draw = random.Random(seed)
    made = []
    for _ in range(number):
        length = draw.choice((1, 3, 9, 20, 60))
        english = " ".join(draw.choice(ENGLISH) for _ in range(length))
        chinese = "".join(draw.choice(CHINESE) for _ in range(2 * length))
        made.append(draw.choice((english, chinese, f"{english} {chinese}")))
    return made


def _passed(probe: Probe, rows: list[str], folder: Path) -> list[bool]:
    heads = Heads(folder / "heads")
    for one in heads_by_text(shingles(rows)):
        heads.append(one)
    heads.close()
    found = probe.sieve()
    return [bool(passed) for batch in heads.batches() for passed in found.passed(*batch)]


@pytest.mark.parametrize(("whole", "embedded"), [(0.8, 0.8), (1.0, 0.3), (0.5, 1.0)])
def test_every_row_that_holds_an_item_gets_through(tmp_path: Path, whole: float, embedded: float) -> None:
    items = _texts(60, seed=1)
    probe = Probe.of(
        ((str(place), text) for place, text in enumerate(items)), ContaminationSettings(whole=whole, embedded=embedded)
    )
    draw = random.Random(2)
    rows = _texts(700, seed=3)  # more than one batch
    for place in range(0, len(rows), 3):  # whole, embedded, and in part
        item = draw.choice(items)
        rows[place] = draw.choice((item, f"{rows[place]} {item} {rows[place]}", item[draw.randrange(len(item)) :]))
    passed = _passed(probe, rows, tmp_path)
    found = probe.find_all(rows)
    assert any(found)
    assert all(through for through, hit in zip(passed, found, strict=True) if hit is not None)
    assert not all(passed)


def test_few_other_rows_get_through(tmp_path: Path) -> None:
    draw = random.Random(4)
    words = [f"{draw.choice(ENGLISH)}{draw.choice(ENGLISH)}" for _ in range(2000)]
    items, rows = ([" ".join(draw.sample(words, 60)) for _ in range(200)] for _ in range(2))
    # Half of each row is of an item: anchors alone would let it through.
    rows = [f"{' '.join(item.split()[:30])} {row}" for item, row in zip(items, rows, strict=True)]
    probe = Probe.of(((str(place), text) for place, text in enumerate(items)), ContaminationSettings())
    assert sum(_passed(probe, rows, tmp_path)) <= 2


def test_a_row_without_shingles_gets_through_since_nothing_is_known_of_it(tmp_path: Path) -> None:
    probe = Probe.of([("a", "type 2 diabetes mellitus of the adult")], ContaminationSettings())
    assert _passed(probe, ["flu", "a row of quite other words"], tmp_path) == [True, False]


def test_many_pairs_are_looked_at_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = _texts(60, seed=5)
    probe = Probe.of(((str(place), text) for place, text in enumerate(items)), ContaminationSettings())
    rows = [f"{items[place % 60]} and {items[(7 * place) % 60]}" for place in range(300)]
    passed = _passed(probe, rows, tmp_path)
    monkeypatch.setattr(sieve, "_MOST_PAIRS", 5)
    assert _passed(probe, rows, tmp_path) == passed


def test_heads_are_the_upper_halves_in_order(tmp_path: Path) -> None:
    rows = _texts(1100, seed=6)
    made = shingles(rows)
    heads = Heads(tmp_path / "heads")
    for one in heads_by_text(made):
        heads.append(one)
    heads.close()
    sizes, values = array("Q"), []
    for batch, starts in heads.batches():
        sizes.extend(np.diff(starts).tolist())
        values.append(batch)
    assert list(sizes) == np.diff(made.starts).tolist()
    assert (np.concatenate(values) == made.hashes >> np.uint64(32)).all()
