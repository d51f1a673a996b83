"""One contract for every augmenter: seeded, offsets that survive, protected text that stays, honest edits."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu import augmenters
from yibu.augmenters import FAMILY, CopySettings, NoiseSettings, same_meaning
from yibu.core.edits import apply, edit_field

TERMS = [
    {"variants": ["高血压病", "原发性高血压"], "preferred": "高血压"},
    {"variants": ["heart attack", "MI"], "preferred": "myocardial infarction"},
]
NOISES = ("glyphs", "homophones", "keyboard", "ocr")
EDITING = (*NOISES, "synonyms", "templates")

PIECES = (
    *(
        "患者否认",
        "高血压病",
        "胸痛",
        "，",
        "血压 150/95 mmHg",
        "银行贷款",
        "未见明显异常",
        "。",
        "第1165条",
        "¥1,234.50",
    ),
    *(
        "被告人应当承担违约责任",
        "37.5 ℃",
        "-0.3",
        "1:64",
        "≥10^9/L",
        "Patient denies ",
        "heart attack",
        " due to ",
        "\n",
    ),
    *(
        "no fever",
        "take 5 mg",
        " HbA1c 7.2%",
        "how do I ",
        "cancel my card",
        ". ",
        " don't ",
        "三级",
        "😀",
        "Ünder",
        "阴性",
    ),
)
texts = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=60))


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("terms") / "terms.json"
    path.write_text(json.dumps(TERMS, ensure_ascii=False), encoding="utf-8")
    return str(path)


def augmenter(name: str, terms: str, /, **table: Any) -> Any:
    needs = {"synonyms": {"dictionary": terms}, "rewrite": {"endpoint": "http://localhost:1/v1", "model": "m"}}
    return augmenters.build(augmenters.settings_of({"kind": name, **needs.get(name, {}), **table}))


def test_the_augmenters_are_these() -> None:
    assert FAMILY.names() == sorted([*EDITING, "mix", "rewrite"])


@pytest.mark.parametrize("name", FAMILY.names())
def test_the_table_is_closed_and_has_the_shared_keys(name: str, dictionary: str) -> None:
    made = augmenter(name, dictionary)
    assert made.level == ("pairs" if name == "mix" else "texts" if name == "rewrite" else "edits")
    plug = FAMILY.load(name)
    assert issubclass(plug.Settings, CopySettings)
    assert issubclass(plug.Settings, NoiseSettings) == (name in NOISES)
    assert plug.Settings.model_fields["kind"].default == name
    with pytest.raises(ValueError, match="extra"):
        augmenters.settings_of({"kind": name, "no_such_key": 1})


@pytest.mark.parametrize("name", EDITING)
@given(text=texts, seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_edits_apply_and_are_the_same_each_time(name: str, dictionary: str, text: str, seed: int) -> None:
    made = augmenter(name, dictionary, rate=0.3)
    edits = made.edits(text, random.Random(seed))
    assert edits == augmenter(name, dictionary, rate=0.3).edits(text, random.Random(seed))
    changed = apply(text, edits)  # raises where they overlap or are not sorted
    assert (changed == text) == (not edits)
    if name != "synonyms":
        assert same_meaning(text, changed, ("numbers", "negations")) or name == "templates"


@pytest.mark.parametrize("name", EDITING)
@given(data=st.data(), text=texts, seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_entities_survive(name: str, dictionary: str, data: st.DataObject, text: str, seed: int) -> None:
    """Offsets point at the same words after any draw; with synonyms an entity may become another word as a whole."""
    spans = []
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        if start < end:
            spans.append((start, end))
    fields = {"text": text, "entities": [{"start": a, "end": b, "type": "X", "text": text[a:b]} for a, b in spans]}
    table = {"entities": False} if name == "synonyms" else {}
    edits = augmenter(name, dictionary, rate=0.5, **table).edits(text, random.Random(seed), spans)
    made = edit_field(fields, "text", edits)  # raises SpanLost where an edit cuts an entity in two
    for (start, end), entity in zip(spans, made["entities"], strict=True):
        assert entity["text"] == text[start:end] == made["text"][entity["start"] : entity["end"]]


@pytest.mark.parametrize("name", EDITING)
@given(text=texts)
@settings(max_examples=30, deadline=None)
def test_every_option_alone_is_allowed(name: str, dictionary: str, text: str) -> None:
    made = augmenter(name, dictionary)
    options = made.options(text)
    assert options == sorted(options, key=lambda edit: edit.start)
    for edit in options:
        assert text[edit.start : edit.end] != edit.new
        changed = apply(text, [edit])
        assert changed != text
        if name in NOISES and text.isascii():
            assert same_meaning(text, changed, ("numbers", "negations"))


@pytest.mark.parametrize("name", NOISES)
def test_noise_leaves_numbers_units_negations_and_terms_alone(name: str, dictionary: str) -> None:
    text = "患者否认高血压病，体温37.5 ℃，口服阿司匹林 100 mg，无heart attack，denies pain, pH 7.35, T2DM, 三级医院"
    kept = ("否认", "高血压病", "37.5 ℃", "100 mg", "无heart attack", "denies", "7.35", "T2DM", "三级")
    made = augmenter(name, dictionary, rate=1.0, dictionary=dictionary)
    seen = set()
    for seed in range(20):
        changed = apply(text, made.edits(text, random.Random(seed)))
        assert all(words in changed for words in kept), changed
        seen.add(changed)
    assert len(seen) > 1


@pytest.mark.parametrize("name", NOISES)
def test_the_rate_is_that_of_the_characters(name: str, dictionary: str) -> None:
    text = "我昨天在银行办理贷款业务 the customer would really like another payment option " * 5
    size = sum(not character.isspace() for character in text)
    counts = [len(augmenter(name, dictionary, rate=0.05).edits(text, random.Random(seed))) for seed in range(30)]
    assert abs(sum(counts) / 30 / size - 0.05) < 0.005
    assert len(augmenter(name, dictionary, rate=0.05).edits("银行卡 card", random.Random(0))) == 1


@pytest.mark.parametrize("name", EDITING)
def test_nothing_to_change_is_no_edit(name: str, dictionary: str) -> None:
    for text in ("", " \n", "12.5", "，。！", "😀"):
        assert augmenter(name, dictionary).edits(text, random.Random(0)) == []
        assert augmenter(name, dictionary).options(text) == []


@pytest.mark.parametrize("name", FAMILY.names())
@pytest.mark.parametrize("table", [{"share": -0.1}, {"share": 1.1}, {"copies": 0}])
def test_impossible_shares_are_refused(name: str, dictionary: str, table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(table))):
        augmenter(name, dictionary, **table)
