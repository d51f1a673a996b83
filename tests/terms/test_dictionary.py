"""Terms are found at the borders of their script, replaced once, and leave everything else as it was."""

import copy
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.edits import apply, edit_field
from yibu.core.errors import MissingExtra, RecipeError
from yibu.core.recipe import parse
from yibu.terms import Dictionary, TermsSettings, digest

TABLE = """同义词,标准词,编码,类型,语言
高血压|高血压症,高血压病,I10,disease,zh
T2DM|2型DM|II型糖尿病|T2D,2型糖尿病,E11,disease,zh
,糖尿病,E14,disease,zh
糖尿病肾病,糖尿病性肾病,E14.2,disease,zh
甲亢,甲状腺功能亢进症,E05,disease,zh
心梗|MI,急性心肌梗死,I21,disease,zh
HTN,essential hypertension,I10.0,disease,en
heart attack,myocardial infarction,I21.9,disease,en
acute MI,acute myocardial infarction,I21.8,disease,en
AS,aortic stenosis,I35,disease,en
COPD,慢性阻塞性肺疾病,J44,disease,zh
阿司匹林|ASA,aspirin,B01,drug,en
糖化血红蛋白,HbA1c,,lab,en
B12,维生素B12,,drug,zh
CA,癌,C80,disease,zh
慢阻肺(AECOPD),慢性阻塞性肺疾病急性加重,J44.1,disease,zh
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("terms") / "terms.csv"
    file.write_text(TABLE, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def terms(path: str) -> Dictionary:
    return Dictionary.load(path)


def changed(dictionary: Dictionary, text: str) -> str:
    return apply(text, dictionary.edits(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("高血压3级", "高血压病3级"),
        ("3级高血压伴糖尿病A型", "3级高血压病伴糖尿病A型"),
        ("T2DM患者", "2型糖尿病患者"),
        ("诊断T2DM，", "诊断2型糖尿病，"),
        ("COPD急性加重", "慢性阻塞性肺疾病急性加重"),
        ("确诊ＣＯＰＤ５年", "确诊慢性阻塞性肺疾病５年"),
        (
            "COPD3级，COPDⅢ级，COPD 10余年，MI2次",
            "慢性阻塞性肺疾病3级，慢性阻塞性肺疾病Ⅲ级，慢性阻塞性肺疾病 10余年，急性心肌梗死2次",
        ),
        ("HTN3级", "essential hypertension 3级"),
        ("COPD3a期，ASA100mg", "慢性阻塞性肺疾病3a期，aspirin 100mg"),
        ("确诊ＣＯＰＤ 伴ｈｔｎ", "确诊慢性阻塞性肺疾病 伴essential hypertension"),
        ("慢阻肺（AECOPD）", "慢性阻塞性肺疾病急性加重"),
        ("Ⅱ型糖尿病", "2型糖尿病"),
        ("1.T2DM 2.高血压", "1.2型糖尿病 2.高血压病"),
        ("1.2型DM", "1.2型糖尿病"),
        ("糖尿病肾病", "糖尿病性肾病"),
        ("a heart\nattack", "a myocardial infarction"),
        ("Heart attack in 2019", "Myocardial infarction in 2019"),
        ("HEART ATTACK", "myocardial infarction"),
        ("acute mi", "acute myocardial infarction"),
        ("服用阿司匹林100mg", "服用aspirin 100mg"),
        ("Bayer阿司匹林", "Bayer aspirin"),
        ("HBA1C及ｈｂａ１ｃ", "HbA1c及HbA1c"),
        ("severe AS, as was", "severe aortic stenosis, as was"),
    ],
)
def test_variants_become_the_preferred_term(terms: Dictionary, text: str, expected: str) -> None:
    assert changed(terms, text) == expected
    assert changed(terms, expected) == expected, "and stay so"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "患者无特殊不适。",
        "MILD, SMIRK, anMI, MIß, MÍ, MI5, 5MI",
        "AB123, AB12, B123, B12.5, xB12",
        "CA125升高，CA19-9，PCA，CA125 3次",
        "as well As if; ASAP",
        "heart\n\nattack",
        "高血压病，高血压病人，2型糖尿病",
        "12型糖尿病",
        "Essential hypertension. ESSENTIAL HYPERTENSION. Myocardial\n  infarction",
        "2型糖尿病（T2DM）",
        "T2DM（即2型糖尿病）",
        "高血压/高血压病",
        "myocardial infarction (“heart attack”)",
    ],
)
def test_what_stays_to_the_byte(terms: Dictionary, text: str) -> None:
    assert terms.edits(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("甲亢症", "甲状腺功能亢进症"),
        ("甲亢症状", "甲状腺功能亢进症症状"),
        ("甲亢病人", "甲状腺功能亢进症病人"),
        ("essential HTN", "essential hypertension"),
        ("nonessential HTN", "nonessential essential hypertension"),
        ("急性MI", "急性心肌梗死"),
        ("2型T2D", "2型糖尿病"),
        ("维生素 B12", "维生素 B12"),
        ("T2DM糖尿病", "2型糖尿病"),
        ("ASA aspirin", "aspirin aspirin"),  # two mentions
    ],
)
def test_nothing_is_said_twice(terms: Dictionary, text: str, expected: str) -> None:
    assert changed(terms, text) == expected


def test_what_is_annotated_beside_a_term_is_another_mention(terms: Dictionary) -> None:
    text = "T2DM糖尿病足"
    assert apply(text, terms.edits(text)) == "2型糖尿病足"
    assert apply(text, terms.edits(text, [(0, 4), (4, 8)])) == "2型糖尿病糖尿病足"


def test_matches_tell_place_entry_and_variant(terms: Dictionary) -> None:
    first, second = terms.find("既往ｈｔｎ、糖尿病肾病")
    assert (first.start, first.end, first.variant, first.entry.code) == (2, 5, "HTN", "I10.0")
    assert (second.start, second.end, second.variant) == (6, 11, "糖尿病肾病"), "not 糖尿病 inside of it"
    assert second.entry.source.endswith("line 5")


def test_counts_are_of_what_is_meant(terms: Dictionary) -> None:
    edits, counts = terms.normalise("高血压、高血压病、HTN")
    assert counts == {"高血压病": 2, "essential hypertension": 1}
    assert len(edits) == 2
    missing = [entry.preferred for entry in terms.unmentioned(counts)]
    assert "高血压病" not in missing
    assert missing[0] == "2型糖尿病"
    assert len(missing) == len(terms.entries) - 2
    assert terms.unmentioned([entry.preferred for entry in terms.entries]) == []
    assert len(terms.unmentioned({"高血压病": 0})) == len(terms.entries)


def test_report_only(path: str) -> None:
    dictionary = Dictionary.load(TermsSettings(dictionary=path, normalise=False))
    edits, counts = dictionary.normalise("高血压")
    assert edits == []
    assert counts == {"高血压病": 1}


def test_synonyms(terms: Dictionary) -> None:
    assert terms.synonyms("2型糖尿病") == ("T2DM", "2型DM", "II型糖尿病", "T2D")
    assert terms.synonyms("t2dm") == ("2型糖尿病", "2型DM", "II型糖尿病", "T2D")
    assert terms.synonyms("糖尿病") == ()
    assert terms.synonyms("unknown") == ()


def test_entities_follow(terms: Dictionary) -> None:
    text = "患者高血压3级，服阿司匹林100mg，acute MI。"
    marked = ["高血压", "3级", "阿司匹林", "100mg", "MI"]
    spans = [{"start": text.index(word), "end": text.index(word) + len(word), "text": word} for word in marked]
    places = [(text.index(word), text.index(word) + len(word)) for word in marked]
    moved = edit_field({"text": text, "entities": spans}, "text", terms.edits(text, places))
    assert moved["text"] == "患者高血压病3级，服aspirin 100mg，acute myocardial infarction。"
    assert [moved["text"][span["start"] : span["end"]] for span in moved["entities"]] == [
        *("高血压病", "3级", "aspirin", "100mg", "myocardial infarction")
    ]


def test_an_edit_that_would_cut_a_span_is_left_out(terms: Dictionary) -> None:
    text = "a heart attack, T2DM"
    places = [(0, 7)]  # "a heart"
    assert [text[edit.start : edit.end] for edit in terms.edits(text, places)] == ["T2DM"]


_PIECES = st.sampled_from(
    [
        *[
            "高血压",
            "病",
            "症",
            "T2DM",
            "2型",
            "糖尿病",
            "MI",
            "AS",
            "as",
            "heart",
            "attack",
            "acute",
            "CA",
            "B12",
            "ASA",
        ],
        *["阿司匹林", "HTN", "essential", "甲亢", "Ⅱ", "（", "）", "/", "\n", "3", "x", "Ｍ", "Ｉ", " "],
    ]
)


@given(st.lists(_PIECES, max_size=12), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=4))
def test_any_spans_survive(terms: Dictionary, pieces: list[str], drawn: list[tuple[int, int]]) -> None:
    text = "".join(pieces)
    places = [(start, start + size) for start, size in drawn if start + size <= len(text)]
    spans = [{"start": start, "end": end, "text": text[start:end]} for start, end in places]
    moved = edit_field({"text": text, "entities": spans}, "text", terms.edits(text, places))
    for span in moved["entities"]:
        assert 0 <= span["start"] <= span["end"] <= len(moved["text"])
        assert moved["text"][span["start"] : span["end"]] == span["text"]


@given(st.lists(_PIECES, max_size=12))
def test_edits_touch_nothing_but_matches(terms: Dictionary, pieces: list[str]) -> None:
    text = "".join(pieces)
    matches = terms.find(text)
    edits = terms.edits(text)
    apply(text, edits)  # sorted, none overlapping
    for one, two in pairwise(matches):
        assert one.end <= two.start
    borders = {(match.start, match.end) for match in matches}
    assert all((edit.start, edit.end) in borders or edit == (edit.start, edit.start, " ") for edit in edits)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_text_without_terms_is_untouched(terms: Dictionary, text: str) -> None:
    if not terms.find(text):
        assert terms.edits(text) == []


def test_kinds_and_languages(path: str) -> None:
    dictionary = Dictionary.load(TermsSettings(dictionary=path, kinds=["drug"], languages=["en"]))
    assert [entry.preferred for entry in dictionary.entries] == ["aspirin"]
    assert changed(dictionary, "高血压，阿司匹林，B12") == "高血压，aspirin，B12"
    assert dictionary.synonyms("HTN") == ()
    for wrong in ({"kinds": ["drugs"]}, {"languages": ["fr"]}):
        with pytest.raises(RecipeError) as caught:
            Dictionary.load(TermsSettings(dictionary=path, **wrong))
        assert caught.value.exit_code == 2
    assert "did you mean" not in str(caught.value)
    assert "en" in str(caught.value)


def test_case(path: str) -> None:
    ignoring = Dictionary.load(TermsSettings(dictionary=path, case="ignore"))
    assert changed(ignoring, "such as htn") == "such aortic stenosis essential hypertension"
    exact = Dictionary.load(TermsSettings(dictionary=path, case="exact"))
    assert changed(exact, "such as htn, HTN, ＨＴＮ") == ("such as htn, essential hypertension, essential hypertension")


def test_digits_as_borders(path: str) -> None:
    dictionary = Dictionary.load(TermsSettings(dictionary=path, digits_are_borders=True))
    assert changed(dictionary, "COPD3，AB123，MILD，B123") == "慢性阻塞性肺疾病3，AB123，MILD，B123"
    assert changed(dictionary, "CA125") == "癌125"


def test_kept_words_and_short_variants(path: str) -> None:
    dictionary = Dictionary.load(TermsSettings(dictionary=path, keep=["高血压科"], min_length=3))
    assert changed(dictionary, "高血压科，高血压，MI，甲亢") == "高血压科，高血压病，MI，甲亢"


def test_case_of_the_preferred_term_is_set_where_it_carries_meaning(terms: Dictionary) -> None:
    assert changed(terms, "hba1c") == "HbA1c"
    assert changed(terms, "ｈｂＡ１Ｃ") == "HbA1c"
    assert changed(terms, "ESSENTIAL HYPERTENSION") == "ESSENTIAL HYPERTENSION"
    assert changed(terms, "Ａｓｐｉｒｉｎ") == "Aspirin"


def test_one_object_for_one_content(path: str, tmp_path: Path) -> None:
    assert Dictionary.load(path) is Dictionary.load([path])
    other = tmp_path / "terms.csv"
    other.write_text("同义词,标准词\na1,b1\n", encoding="utf-8")
    before = digest([str(other)])
    assert [entry.preferred for entry in Dictionary.load(str(other)).entries] == ["b1"]
    other.write_text("同义词,标准词\na1,c1\n", encoding="utf-8")
    assert [entry.preferred for entry in Dictionary.load(str(other)).entries] == ["c1"]
    assert digest([str(other)]) != before
    assert list(before) == [str(other)]
    assert len(before[str(other)]) == 64


def test_a_copy_builds_its_own_automaton(terms: Dictionary) -> None:
    """What a pickle holds is what `__getstate__` gives: entries and settings."""
    terms.find("x")
    state = terms.__getstate__()
    assert state["_automaton"] is None
    assert state["_terms"] == []
    assert changed(copy.copy(terms), "HTN") == changed(terms, "HTN")


def test_sources_join(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("同义词,标准词\n心梗,心肌梗死\n", encoding="gb18030")
    (tmp_path / "b.json").write_text(json.dumps({"急性心肌梗死": {"variants": ["心肌梗死"], "code": "I21"}}))
    dictionary = Dictionary.load([str(tmp_path / "a.csv"), str(tmp_path / "b.json")])
    assert [(entry.preferred, entry.code) for entry in dictionary.entries] == [("急性心肌梗死", "I21")]
    assert changed(dictionary, "心梗") == "急性心肌梗死"


@pytest.mark.parametrize("value", ["", " ", [], ["a.csv", ""]])
def test_a_dictionary_must_be_named(value: object) -> None:
    with pytest.raises(RecipeError, match="at least one"):
        parse(TermsSettings, {"dictionary": value})


def test_settings_are_closed(path: str) -> None:
    with pytest.raises(RecipeError, match="did you mean 'normalise'"):
        parse(TermsSettings, {"dictionary": path, "normalize": True})
    with pytest.raises(RecipeError):
        parse(TermsSettings, {"dictionary": path, "columns": {"synonym": "x"}})


def test_paths_with_spaces(tmp_path: Path) -> None:
    file = tmp_path / "my terms.csv"
    file.write_text("preferred\nb1\n", encoding="utf-8")
    assert parse(TermsSettings, {"dictionary": str(file)}).sources() == [str(file)]
    assert Dictionary.load(str(file)).find("b1")


def test_a_missing_package_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = copy.copy(Dictionary.load(path))
    monkeypatch.setitem(sys.modules, "ahocorasick", None)
    with pytest.raises(MissingExtra, match=r"yibu\[data\]"):
        fresh.find("x")


def test_nothing_heavy_is_imported() -> None:
    heavy = ("ahocorasick", "pint", "numpy", "simple_icd_10_cm")
    code = f"import yibu.terms, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_same_in_every_process(path: str) -> None:
    code = (
        "import sys; from yibu.terms import Dictionary\n"
        "d = Dictionary.load(sys.argv[1]); print(d.entries, d.find('T2DM、高血压3级 acute MI'), d.synonyms('T2DM'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, path],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONUTF8": "1"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
