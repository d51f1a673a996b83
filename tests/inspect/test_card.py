"""The data card: front matter that the hub reads, every figure of the report, and questions only where people know."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sample_data import artifact, bare, binary, chinese, english
from yibu.core.errors import InputError
from yibu.core.store import Store
from yibu.inspect.card import Facts, facts, plain, write
from yibu.inspect.card_text import CARD
from yibu.inspect.report import DataFigures, Loss

ABOUT = Facts(
    id="prepare-00aa11bb22cc33dd",
    made="2026-11-24",
    files={"train.jsonl": (1234, "ab" * 32)},
    sources={"/home/someone/private/notes.csv": "cd" * 32},
    versions={"python": "3.11.2"},
)
SAMPLES = {"chinese": chinese, "english": english, "binary": binary, "bare": bare}


def _matter(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def _tables(card: str) -> list[list[list[str]]]:
    """The cells of every table; bars that are escaped part no cells."""
    blocks = re.findall(r"(?:^\|.*\n?)+", card, re.M)
    return [[re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in block.strip().splitlines()] for block in blocks]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_table_has_as_many_cells_in_each_line(name: str, lang: str) -> None:
    card = write(SAMPLES[name](), ABOUT, lang)  # type: ignore[arg-type]
    tables = _tables(card)
    assert tables
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
        assert all(cell.strip() == "---" for cell in table[1])


@pytest.mark.parametrize(
    ("kept", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (2_000_000, "1M<n<10M")]
)
def test_front_matter_is_what_the_hub_reads(kept: int, size: str) -> None:
    data = binary()
    data = replace(data, recipe='re: "views"', summary={**data.summary, "splits": {"train": kept}})
    assert _matter(write(data, ABOUT, "en")) == {
        "pretty_name": 're: "views"',
        "language": ["en"],
        "size_categories": [size],
        "task_categories": ["text-classification"],
        "tags": ["yibu"],
    }


def test_a_task_that_the_hub_has_no_name_for_is_left_out() -> None:
    assert "task_categories" not in _matter(write(replace(binary(), task="my_own"), ABOUT, "en"))
    assert _matter(write(chinese(), ABOUT, "zh"))["language"] == ["zh"]


def test_the_questions_of_the_datasheet_are_asked_and_marked() -> None:
    card = write(chinese(), ABOUT, "en")
    titles = re.findall(r"^## (.*)$", card, re.M)
    assert titles == [
        "Motivation", "Composition", "Collection", "Preprocessing", "Known problems", "Personal data", "Uses",
        "Distribution", "Maintenance", "Identity",
    ]  # fmt: skip
    asked = [key for key in CARD if key.startswith("ask.")]
    assert len(re.findall(r"^- \*\*TO FILL IN:\*\* .+\?$", card, re.M)) == len(asked) == 12
    assert len(re.findall(r"^- \*\*待填写：\*\* .+？$", write(chinese(), ABOUT, "zh"), re.M)) == 12


def test_each_step_stands_there_with_its_count_and_reasons() -> None:
    card = write(chinese(), ABOUT, "en")
    assert "| read | 4,022 |  |" in card
    assert "| unusable | 61 | empty prompt (40), the id is that of an earlier row (21) |" in card
    assert "| leaks between splits | 38 | equal prompt (30), equal group (8) |" in card
    assert "| kept | 3,381 |  |" in card
    assert "| cleaning | 1,804 | full width to half (3,120), white space (911)," in card
    assert "214 rows in 88 clusters (Jaccard similarity from 0.8; kept in one split)" in card
    assert "Benchmark `cmb_exam.jsonl`: 7 of 811 items stood in train" in card
    assert "| telephone | 266 | 244 | masked |" in card
    assert "Labels in doubt: 141 of 3,056 judged (4.6%)" in card


def test_known_problems_are_those_of_the_report() -> None:
    assert "- Inputs that stand with different labels: 9. A model cannot learn both." in write(chinese(), ABOUT, "en")
    assert "None of the checks found one." in write(binary(), ABOUT, "en")


def test_personal_data_unknown_none_and_found_differ() -> None:
    assert "Nobody looked for personal data." in write(bare(), ABOUT, "en")
    assert "Detectors looked and found none." in write(binary(), ABOUT, "en")
    assert "身份证号" in write(chinese(), ABOUT, "zh")


def test_many_classes_are_cut_and_it_says_so() -> None:
    card = write(english(), ABOUT, "en")
    assert "… and 111 more, see `summary.json`." in card


def test_identity_has_hashes_and_no_folders_of_the_machine() -> None:
    card = write(binary(), ABOUT, "en")
    assert "| `train.jsonl` | 1,234 | `" + "ab" * 32 + "` |" in card
    assert "| notes.csv | `" + "cd" * 32 + "` |" in card
    assert "someone" not in card


def test_facts_of_an_artifact(tmp_path: Path) -> None:
    made = artifact(Store(tmp_path), 60)
    external = {"a.csv": "1", "secret": "2"}
    about = facts(type(made)(made.id, made.path, made.manifest.model_copy(update={"external": external})))
    assert about.id == made.id
    assert about.sources == {"a.csv": "1"}, "the fingerprint of a secret is nobody's business"
    assert list(about.files) == sorted(made.manifest.files)
    assert all(len(sha) == 64 for _, sha in about.files.values())


@given(st.text(max_size=40))
def test_text_from_outside_stays_text_on_one_line(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`<*\[]", shown)


def test_hostile_names_cannot_break_a_table_or_the_front_matter() -> None:
    evil = "x | y\n---\n<script>`[a](b)"
    data = binary()
    summary = {**data.summary, "classes": {evil: {"train": 1, "valid": 1, "test": 1}}, "shape": evil}
    card = write(DataFigures(evil, "classify", "en", summary, losses=[Loss("rejected", evil, 2)]), ABOUT, "en")
    assert _matter(card)["pretty_name"] == evil
    for table in _tables(card):
        assert {len(row) for row in table} == {len(table[0])}
    assert "<script>" not in card.partition("\n---\n")[2]


def test_half_a_surrogate_pair_does_not_cost_the_card() -> None:
    write(replace(binary(), recipe="a\ud83db"), ABOUT, "en").encode()


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="fr"):
        write(binary(), ABOUT, "fr")  # type: ignore[arg-type]


@pytest.mark.parametrize("key", CARD)
def test_both_languages_have_the_same_placeholders(key: str) -> None:
    english_text, chinese_text = CARD[key]
    names = [
        {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english_text, chinese_text)
    ]
    assert names[0] == names[1]
    assert english_text.count("|") == chinese_text.count("|")
