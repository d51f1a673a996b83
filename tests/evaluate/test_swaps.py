"""Counterfactual swaps: which words, which texts are left alone, and what counts as a changed answer."""

from __future__ import annotations

import pytest

from yibu.core.record import Row
from yibu.evaluate.swaps import Swap, swapped
from yibu.evaluate.versions import figures, swapped_row
from yibu.tasks import build
from yibu.tasks.classify import Settings


@pytest.mark.parametrize(
    ("text", "swap", "made"),
    [
        ("He says his wife is ill.", "sex", "She says her husband is ill."),
        ("Her pain troubles her. HIS too", "sex", "His pain troubles him. HER too"),
        ("Mr Smith, a 40 year old man", "sex", "Mrs Smith, a 40 year old woman"),
        ("他和其他人说，他的妻子发烧", "sex", "她和其他人说，她的丈夫发烧"),
        ("女士，子女两个", "sex", "先生，子女两个"),
        ("The theatre is shut", "sex", None),
        ("He asks about his pregnant wife", "sex", None),  # of one sex by its matter
        ("他前列腺增生", "sex", None),
        ("A German in London", "region", "A Bangladeshi in Lagos"),
        ("北京来的农村患者", "region", "河南来的城市患者"),
        ("no place at all", "region", None),
    ],
)
def test_swaps(text: str, swap: Swap, made: str | None) -> None:
    assert swapped(text, swap) == made


@pytest.mark.parametrize("text", ["He and the man", "他的儿子在北京", "a son from London"])
@pytest.mark.parametrize("swap", ["sex", "region"])
def test_twice_is_as_before(text: str, swap: Swap) -> None:
    once = swapped(text, swap)
    assert once is None or swapped(once, swap) == text


def test_only_what_is_asked_is_swapped_and_changed_answers_are_counted() -> None:
    task = build(Settings(), ["he", "she"])
    rows = [Row(f"r{n}", {"text": f"He waits {n}", "label": "he"}, label="he") for n in range(40)]
    made = [swapped_row(row, task, "sex") for row in rows]
    versions = [row for row in made if row is not None]
    assert versions[0].fields == {"text": "She waits 0", "label": "he"}
    assert versions[0].flags == ("of=r0", "kind=swap-sex")
    assert swapped_row(Row("r", {"text": "Nobody", "label": "he"}), task, "sex") is None
    clean = {row.id: {"answer": "card", "fields": {"label": "card"}} for row in rows}
    said = {row.id: {"answer": "card" if n else "cash", "fields": {}} for n, row in enumerate(versions)}
    found = figures(task, rows, clean, versions, said, language="en", seed=0, num_resamples=200)
    [sex] = found["swaps"]
    assert (sex["swap"], sex["n"], sex["changed"]) == ("sex", 40, 1 / 40)
    assert 0 < sex["low"] < 1 / 40 < sex["high"] < 0.2
    assert found["noise"] == []


def test_an_answer_that_swaps_the_same_words_is_unchanged() -> None:
    task = build(Settings(), ["a", "b"])
    rows = [Row("r", {"text": "He waits", "label": "a"}, label="a")]
    version = swapped_row(rows[0], task, "sex")
    assert version is not None
    clean, said = {"r": {"answer": "He waits."}}, {version.id: {"answer": "She waits."}}
    [sex] = figures(task, rows, clean, [version], said, language="en", seed=0, num_resamples=200)["swaps"]
    assert sex["changed"] == 0.0
