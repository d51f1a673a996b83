"""Cleaning: what must go goes, what carries a value stays, and entities follow whatever is done to their text."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from collections import Counter
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from yibu.core.edits import Edit
from yibu.prepare import clean
from yibu.prepare.clean import PROFILES, Cleaner, CleanSettings, Profile

plain, clinical, strict = PROFILES["plain"], PROFILES["clinical"], PROFILES["strict"]
KEEPING: list[Profile] = ["plain", "clinical", "financial", "legal"]

COMMON = [
    "37.5", "-0.3", "≥5", "≤0.01", "<5", ">100", "℃", "1:64", "10^9/L", "≥10^9/L", "10⁹/L", "×10^12", "5%", "3.5-4.2",
    "120/80", "±2", "µg", "μg/mL", "mmol/L", "p<0.05", "(+)", "(-)", "2+", "++", "C-reactive", "HbA1c", "0.9‰", "№3",
    "½", "T4N1M0", "3～5", "¥1,200.50", "T(max)=38.2", "q8h", "#3", "*", "→", "γ-GT", "CD4+", "0,5", "A/G", "1.5×",
    "Rh-", "±", "+", "²", "m³", "a<b", "x&y", "AT&T", "<0.5", "℉", "Ⅲ", "①", "10⁻⁹", "¼", "“quoted”", "it’s", "é",
    "no", "not", "未见", "无", "否认", "阴性", "without", "can't",
]  # fmt: skip
OWN: dict[str, list[str]] = {
    "plain": ["３７．５", "￥１，２３４", "−0.3", "____", "`a&lt;b`"],
    "clinical": ["Rh(-)", "HBsAg(-)", "37.5℃", "＋＋", "5×10⁹/L", "1:1280"],
    "financial": [
        "¥1,234.50", "(1,234.00)", "（1,234.00）", "5‰", "25bp", "3.25%", "-$5.00", "€1.234,56", "£9", "1.2亿", "3万元",
        "2024-03-01", "2024年3月1日", "6222****1234", "6222020200112233445", "￠", "+0.5%", "US$1,000", "HK$8",
    ],
    "legal": [
        "《民法典》第1165条", "〔2020〕12号", "（2020）京01民初12号", "第三条第二款", "§12", "§§3-5", "（一）", "①",
        "1.2.3", "(a)(ii)", "【裁判要旨】", "张**", "“本合同”", "第1165条之一", "42 U.S.C. § 1983", "[2019]", "×××",
    ],
}  # fmt: skip
OWN["financial"].remove("￠")
OWN["clinical"].remove("＋＋")
WORDS = [
    "fever",
    "体温",
    "血红蛋白",
    "was",
    "，",
    "。",
    "：",
    "；",
    "（",
    "）",
    "and",
    "、",
    "!",
    "?",
    '"',
    "判决",
    "amount",
]
GAPS = [" ", "  ", "\t", "\n", "\u3000", "\u200b ", " \ufeff", "\u00a0", " \r\n"]
HTML_GAPS = ["<br>", "&nbsp;", "</p><p>", "<b> </b>", " <span style='x'>&#32;</span>", "<!-- no -->\n"]
TRICKY = st.text(alphabet=st.characters(codec=None) | st.sampled_from(" \n\t-－−．５\u200d\u3000=_"))
FRAGMENTS = [
    "<p>", "</p>", "<b>", "</b>", "<br/>", "<td>", "</td>", "<tr>", "<table>", "</table>", "<li>", "<ol>", "</ol>",
    "<sup>", "</sup>", "<sub>", "9", "-", "&lt;", "&gt;", "&amp;", "&nbsp;", "&#8451;", "&#0;", "<", ">", "&", "<pre>",
    "</pre>", "<script>", "</script>", "<!--", "-->", " ", "\n", "  ", "a", "Ã©", "â‰¥", "\x92", "\x85", "é", "\u0301",
    "５", "．", "：", "￥", "，", "−", "－", "＜", "ｌｔ；", "乾燥", "後來", "____", "....", "\u200b", "\r\n", "\ufeff",
    "\ud800", "```", "This page is confidential.\n", "This page is confidential. ", "\U000f0000", "\u0344", "각",
    "\u1100", "\u1161",
]  # fmt: skip
MESSY = st.lists(st.sampled_from(FRAGMENTS) | TRICKY, max_size=14).map("".join)
EVERYTHING: dict[str, Any] = {"html": True, "chinese": "simplified", "mojibake": True}
BOILERPLATE = frozenset({"This page is confidential."})


def cleaner(profile: Profile, everything: bool = False) -> Cleaner:
    return Cleaner(CleanSettings(profile=profile, **(EVERYTHING if everything else {})), BOILERPLATE)


# --- what stays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", KEEPING)
@given(data=st.data())
def test_every_value_of_a_field_stays(profile: Profile, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from(COMMON + OWN[profile]), min_size=1, max_size=8))
    gaps = [data.draw(st.sampled_from(GAPS)) for _ in values]
    words = [data.draw(st.sampled_from(WORDS)) for _ in values]
    text = "".join(f"{word} {value}{gap}" for word, value, gap in zip(words, values, gaps, strict=True))
    parts = [part for pair in zip(words, values, strict=True) for part in pair]
    assert Cleaner(CleanSettings(profile=profile)).text(text).split() == " ".join(parts).split()


@pytest.mark.parametrize("profile", KEEPING)
@given(data=st.data())
def test_every_value_stays_in_html_and_beside_mojibake(profile: Profile, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from([*COMMON, "《民法典》第1165条", "(1,234.00)"]), min_size=1, max_size=8))
    gaps = [data.draw(st.sampled_from(HTML_GAPS)) for _ in values]
    pieces = [
        f"{value.replace('&', '&amp;').replace('<', '&lt;')}{gap}" for value, gap in zip(values, gaps, strict=True)
    ]
    text = f"<div>cafÃ© {''.join(pieces)}</div>"
    settings = CleanSettings(profile=profile, html="auto", mojibake=True)
    assert Cleaner(settings).text(text).split() == ["café", *" ".join(values).split()]


@pytest.mark.parametrize("profile", KEEPING)
@given(text=st.text(alphabet="0123456789.,:/^%ab ≥−+()¥\n"))
def test_no_number_is_changed(profile: Profile, text: str) -> None:
    number = re.compile(r"\d+(?:[.,:/^]\d+)*%?")
    assert number.findall(PROFILES[profile](text)) == number.findall(re.sub(r"\.{4,}", "...", text))


@given(st.decimals(min_value=-10000, max_value=10000, places=2), st.sampled_from(["℃", "%", " mmol/L", "元", "×10⁹/L"]))
def test_full_width_numbers_become_the_same_numbers(number: Any, unit: str) -> None:
    text = str(number)
    wide = text.translate({ord(narrow): ord(narrow) + 0xFEE0 for narrow in "0123456789.-"})
    for profile in ("clinical", "financial", "legal"):
        assert PROFILES[profile](f"为{wide}{unit}。") == f"为{text}{unit}。"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("体温３７．５℃，心率１００次／分。", "体温37.5℃，心率100次／分。"),
        ("血压１２０／８０", "血压120/80"),
        ("滴度１：６４", "滴度1:64"),
        ("主诉：发热3天", "主诉：发热3天"),
        ("饱和度９８％", "饱和度98%"),
        ("＞１００，－0.3", ">100，-0.3"),
        ("base excess −0.3", "base excess -0.3"),
        ("ＷＢＣ　10^9/L", "WBC 10^9/L"),
        ("a − b", "a − b"),
        ("Name: ______\n=========\nPlan", "Name: ___\n===\nPlan"),
        ("a\n\n\n\n  b", "a\n\nb"),
        ("Rh- 2+ ++", "Rh- 2+ ++"),
    ],
)
def test_clinical_examples(text: str, expected: str) -> None:
    assert clinical(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("金额￥１，２３４．５０元", "金额¥1,234.50元"),
        ("￥１，２３４，５６７", "¥1,234,567"),
        ("第100，200号", "第100，200号"),
        ("¥1，2345 ¥1，234，5", "¥1，2345 ¥1，234，5"),
        ("−¥5 －＄３ −0.5%", "-¥5 -$3 -0.5%"),
        ("（１，234）(1,234)", "（1，234）(1,234)"),
        ("卡号６２２２ **** **** 1234", "卡号6222 **** **** 1234"),
        ("合计........1,234", "合计...1,234"),
    ],
)
def test_financial_examples(text: str, expected: str) -> None:
    assert PROFILES["financial"](text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("《民法典》第１１６５条第一款", "《民法典》第1165条第一款"),
        ("　　（２０２０）京０１民初１２号", "（2020）京01民初12号"),
        ("〔２０２０〕１２号", "〔2020〕12号"),
        ("张*****  甲方：________", "张***** 甲方：___"),
    ],
)
def test_legal_examples(text: str, expected: str) -> None:
    assert PROFILES["legal"](text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \t b\u00a0\u3000c ", "a b c"),
        ("a \r\nb\rc\u2028d\n", "a\nb\nc\nd"),
        ("if x:\n    return  1", "if x:\n    return 1"),
        ("a\x00\x07\x1b[0mb", "a[0mb"),
        ("a\u200bb\u200dc\ufeffd\u00ade\u202ef\u2066g", "abcdefg"),
        ("half \ud83d emoji", "half emoji"),
        ("e\u0301te\u0301", "été"),
        ("37.5℃ ≥ -0.3，10⁹", "37.5℃ ≥ -0.3，10⁹"),
        ("👩\u200d⚕\ufe0f می\u200cخواهم", "👩\u200d⚕\ufe0f می\u200cخواهم"),
        ("a\n \t \n\tb\t\tc", "a\n\n\tb c"),
    ],
)
def test_plain_examples(text: str, expected: str) -> None:
    assert plain(text) == expected


# --- properties -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", KEEPING)
@given(text=TRICKY)
def test_cleaning_twice_is_cleaning_once(profile: Profile, text: str) -> None:
    once = PROFILES[profile](text)
    assert PROFILES[profile](once) == once
    assert unicodedata.is_normalized("NFC", once)
    once.encode()  # no half of a surrogate pair is left


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("profile", KEEPING)
@settings(max_examples=150)
@given(text=MESSY)
@example(text="&amp;amp;lt;b&amp;amp;gt;x")
@example(text="&ｌｔ;b&ｇｔ;")
def test_cleaning_twice_is_cleaning_once_with_every_conversion(profile: Profile, everything: bool, text: str) -> None:
    clean = cleaner(profile, everything)
    once = clean.text(text)
    assert clean.text(once) == once
    assert clean.fields({"text": once}, ("text",)) == ({"text": once}, Counter())


@given(st.lists(st.text(alphabet="ab ", min_size=1).filter(str.strip), min_size=1))
def test_plain_keeps_lines(lines: list[str]) -> None:
    assert plain("\n".join(lines)).count("\n") == len(lines) - 1


@given(st.text())
def test_strict_is_the_function_of_the_guide(text: str) -> None:
    guide = re.sub(r"[^\w\s\u4e00-\u9fff]", "", re.sub(r"\s+", " ", text)).strip()
    assert strict(text) == Cleaner(CleanSettings(profile="strict")).text(text) == guide


def test_strict_loses_the_decimal_point() -> None:
    assert strict("体温 37.5℃，\n正常。") == "体温 375 正常"


@pytest.mark.parametrize(
    "text", [" " * 200_000 + "x", "a" + "\t " * 100_000 + "b", "\n " * 100_000, "<" * 100_000, "<!--" * 20_000]
)
def test_long_runs_cost_their_length_once(text: str) -> None:
    """Would take hours if a run were scanned from each of its characters."""
    for profile in KEEPING:
        assert len(Cleaner(CleanSettings(profile=profile, html=True)).text(text)) <= 100_000


# --- encodings, HTML, traditional characters --------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@given(data=st.data())
def test_mojibake_is_repaired(encoding: str, data: st.DataObject) -> None:
    words = data.draw(
        st.lists(st.sampled_from(["患者体温", "café", "≥", "℃", "½", "5²", "–", "37.5", "-0.3", "¥1,234"]))
    )
    broken = []
    for word in words:
        try:
            broken.append(word.encode().decode(encoding))
        except UnicodeDecodeError:  # five bytes mean nothing in Windows-1252
            broken.append(word)
    assert Cleaner(CleanSettings()).text("; ".join(broken)) == "; ".join(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it\x92s \x93quoted\x94", "it’s “quoted”"),
        ("a\x85b", "a\nb"),
        ("3×² “é” naïve Ångström ÷ ° µ", None),
        ("‘curly’ “quotes” ﬁ ﬂ … — ５％ ＡＢ", None),
        ("ÃÂ NÃO São Ñandú ĐẠI Œuvre", None),
        ("Ð¼Ð¸Ñ\x80", "мир"),
    ],
)
def test_encodings(text: str, expected: str | None) -> None:
    assert Cleaner(CleanSettings()).text(text) == (text if expected is None else expected)
    assert "mojibake" not in Cleaner(CleanSettings(mojibake=False)).fields({"text": text}, ("text",))[1]


AUTO = [
    ("<p>WBC &lt;0.5 mg, a < b > c</p><p>next</p>", "WBC <0.5 mg, a < b > c\nnext"),
    ("10<sup>9</sup>/L, 10<sup>-9</sup>, x<sup>2a</sup>, 1<sup>st</sup>", "10⁹/L, 10⁻⁹, x^2a, 1st"),
    ("H<sub>2</sub>O HbA<sub>1c</sub>", "H₂O HbA1c"),
    ("<table><tr><th>Na</th><th>140</th></tr><tr><td>K<td>4.1</table>after", "Na | 140\nK | 4.1\nafter"),
    ("<td>1</td><td>2</td>", "1 | 2"),
    ("<table><tr><td><p>one</p><p>two</p></td></tr></table>", "one\ntwo"),
    ("<tr><td>a<br>b</td><td><p>c</p></td></tr>", "a b | c"),
    ("line1\nline2 <b>bold</b>\nline3", "line1\nline2 bold\nline3"),
    ("a<br>\nb<br/>c<BR >d", "a\nb\nc\nd"),
    ("<div>a\n   b</div>", "a b"),
    ('<ol start="3"><li>x<li>y</ol><ul><li>0.3</li></ul>', "3. x\n4. y\n• 0.3"),
    ("<script>if (1<2) x()</script><style>p{}</style><p>text</p><!-- <p>no</p> -->", "text"),
    ("<think>x</think> <p>y</p>", "<think>x</think>\ny"),
    ('<a href="x?a=1&copy=2" title="a > b">link</a> AT&T &copy=1', "link AT&T &copy=1"),
    ("<!DOCTYPE html><html><head><title>t</title></head><body>b</body></html>", "b"),
    ("&ldquo;帝景&rdquo; &#8451; &#x2103; &amp;amp; &bogus; &", "“帝景” ℃ ℃ & &bogus; &"),
    ("<o:p></o:p><p class=MsoNormal style='margin:0'>word</p>", "word"),
    ("&lt;p&gt;escaped &amp;lt;5&lt;/p&gt;", "escaped <5"),
]


@pytest.mark.parametrize(("text", "expected"), AUTO)
def test_html(text: str, expected: str) -> None:
    assert Cleaner(CleanSettings(profile="clinical")).text(text) == expected
    assert Cleaner(CleanSettings(html="auto")).text(text) == expected
    assert Cleaner(CleanSettings(html=True)).text(text) == expected
    assert "html" not in Cleaner(CleanSettings()).fields({"text": text}, ("text",))[1]


@pytest.mark.parametrize(
    "text",
    [
        "a < b > c", "<0.5 mg", "p<0.05", "if a<b then c>d", "<b> alone", "use <p> here", "</p>", "<think>x</think>",
        "x <y@example.com>", "List<String> a;", "<|im_start|>", "a&b; c&lt d", "```html\n<p>x</p>\n```",
    ],
)  # fmt: skip
def test_what_is_no_html_stays(text: str) -> None:
    assert Cleaner(CleanSettings(html="auto")).text(text) == text


def test_html_true_takes_single_tags() -> None:
    assert Cleaner(CleanSettings(html=True)).text("<b> alone, a < b, <x>") == "alone, a < b, <x>"


@given(st.lists(st.sampled_from(FRAGMENTS[:34]) | st.from_regex("[a-m0-9]{1,4}", fullmatch=True), max_size=20))
def test_html_loses_no_word(pieces: list[str]) -> None:
    text = "".join(piece for piece in pieces if piece not in ("<script>", "</script>", "<!--", "-->"))
    source = text
    while (
        bare := re.sub(r"</?(?:p|b|br/|td|tr|table|li|ol|sup|sub|pre)/?>|&(?:amp|lt|gt|nbsp|#8451|#0);", _bare, source)
    ) != source:
        source = bare
    words = "".join(re.findall("[a-z]", source))
    found = Cleaner(CleanSettings(html=True)).text(text)
    assert "".join(re.findall("[a-z]", found)) == words


def _bare(match: re.Match[str]) -> str:
    return {"&amp;": "&", "&lt;": "<", "&gt;": ">"}.get(match[0], "")


def test_traditional_characters() -> None:
    text = "乾隆年間，頭髮乾燥，後來皇后服 aspirin ５ mg，10⁹ ℃"
    expected = "乾隆年间，头发干燥，后来皇后服 aspirin ５ mg，10⁹ ℃"
    assert Cleaner(CleanSettings(chinese="simplified")).text(text) == expected
    assert plain(text) == text


# --- rows -------------------------------------------------------------------------------------------------------------


def test_only_named_fields_are_cleaned_and_changes_are_counted() -> None:
    clean = Cleaner(CleanSettings(profile="strict"))
    row = {"text": "a-b  c", "label": "A-1", "n": 3}
    fields, counts = clean.fields(row, ("text", "n", "absent"))
    assert fields == {"text": "ab c", "label": "A-1", "n": 3}
    assert counts == {"punctuation": 1, "whitespace": 1}
    assert row["text"] == "a-b  c"
    same = {"text": "clean", "label": "B-2"}
    assert clean.fields(same, ("text",))[0] is same


def test_each_kind_of_change_is_counted() -> None:
    text = "\u200bcafÃ©  ５ ５ −3 e\u0301\r\n____ 後來 <br>&amp;\nThis page is confidential.\nx"
    chosen = CleanSettings(profile="clinical", chinese="simplified")
    entities = [{"start": text.index("e\u0301"), "end": text.index("e\u0301") + 2}]
    counts = {
        "invisible": 1, "mojibake": 1, "whitespace": 2, "width": 2, "minus": 1, "composed": 1, "line_breaks": 1,
        "rules": 1, "simplified": 2, "html": 1, "boilerplate": 1,
    }  # fmt: skip
    clean = Cleaner(chosen, BOILERPLATE)
    fields, found = clean.fields({"text": text, "entities": entities}, ("text",))
    assert fields["text"] == "café 5 5 -3 é\n___ 后来\n&\nx"
    assert found == clean.fields({"text": text}, ("text",))[1]
    assert {kind: found[kind] for kind in counts if kind != "whitespace"} == {
        kind: number for kind, number in counts.items() if kind != "whitespace"
    }


def test_turns_of_a_conversation_are_cleaned() -> None:
    turns = [{"role": "user", "content": " a  b "}, {"role": "assistant", "content": "c", "name": " x "}, 5]
    fields, counts = Cleaner(CleanSettings()).fields({"messages": turns}, ("messages",))
    assert fields["messages"] == [
        {"role": "user", "content": "a b"},
        {"role": "assistant", "content": "c", "name": " x "},
        5,
    ]
    assert counts == {"whitespace": 3}


PIECES = [
    "aspirin", "fever", "患者头痛", " ", "  ", "\n", "\r\n", "\u200b", "５mg", "，", "e\u0301", "Ã©", "æ‚£è€…", "乾燥",
    "後來", "____", "−5", "&amp;", "&nbsp;", "<br>", "<p>", "</p>", "<b>", "</b>", "<td>", "</td>", "<tr>",
    "<table>", "</table>", "<sup>", "</sup>", "9", "<5", "<!-- aspirin -->", "<script>fever</script>",
    '<a title="aspirin">', "</a>", "This page is confidential.\n", "\U000f0000", "\t", "＜", "￥１，２３４",
]  # fmt: skip


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("profile", get_args(Profile))
@settings(max_examples=150)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=16))
@example(pieces=["<table>", "<tr>", "<td>", "aspirin", "</td>", "<td>", "fever", "</table>", "aspirin"])
@example(pieces=["<sup>", "aspirin", "</sup>", "<b>", "fever"])
def test_offsets_of_entities_follow_their_text(profile: Profile, everything: bool, pieces: list[str]) -> None:
    entities, words, start = [], [], 0
    for piece in pieces:
        if piece in ("aspirin", "fever", "患者头痛"):
            entities.append({"start": start, "end": start + len(piece), "type": "x", "text": piece})
            words.append(piece)
        start += len(piece)
    text = "".join(pieces)
    clean = cleaner(profile, everything)
    fields, counts = clean.fields({"text": text, "entities": entities}, ("text", "entities"))
    spans = [fields["text"][span["start"] : span["end"]] for span in fields["entities"]]
    assert spans == words == [span["text"] for span in fields["entities"]]
    if not counts["boilerplate"] and not BOILERPLATE & set(pieces):
        assert fields["text"] == clean.text(text)
    # Each is the right one of several: what stands before it is what is left of what stood before it.
    found = re.findall("aspirin|fever|患者头痛", fields["text"])
    if len(found) == len(words):
        assert [span["start"] for span in fields["entities"]] == [
            match.start() for match in re.finditer("aspirin|fever|患者头痛", fields["text"])
        ]


@settings(max_examples=300)
@given(text=MESSY.filter(bool), everything=st.booleans(), data=st.data())
def test_following_entities_changes_no_text(text: str, everything: bool, data: st.DataObject) -> None:
    """Edits and plain replacement are two ways to one text, and counts are the same."""
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    clean = Cleaner(CleanSettings(profile=data.draw(st.sampled_from(KEEPING)), **(EVERYTHING if everything else {})))
    try:
        fields, counts = clean.fields({"text": text, "entities": [{"start": start, "end": end}]}, ("text",))
    except ValueError:
        return  # what borders on nothing that is left is lost, and said to be
    assert (fields["text"], counts) == (clean.text(text), clean.fields({"text": text}, ("text",))[1])
    span = fields["entities"][0]
    assert 0 <= span["start"] < span["end"] <= len(fields["text"])


@given(
    st.text(
        alphabet=st.characters(codec="utf-8") | st.sampled_from("e\u0301\u0323\u1100\u1161\u11a8각\u0344Å\u09c7\u09be")
    )
)
def test_composition_as_edits_is_nfc(text: str) -> None:
    edits: list[Edit] = list(clean._compositions(text))
    assert clean.apply(text, edits) == unicodedata.normalize("NFC", text)


def test_an_entity_that_cleaning_removes_loses_the_row() -> None:
    fields = {"text": "a (+) b", "entities": [{"start": 2, "end": 5, "type": "sign", "text": "(+)"}]}
    with pytest.raises(ValueError, match="lost by cleaning"):
        Cleaner(CleanSettings(profile="strict")).fields(fields, ("text", "entities"))
    fields = {"text": "<p>a</p><p>b</p>", "entities": [{"start": 4, "end": 6}]}
    with pytest.raises(ValueError, match="lost by cleaning"):
        Cleaner(CleanSettings(html=True)).fields(fields, ("text",))


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 99), (2, 2), ("0", 1), (True, 2)])
def test_an_entity_outside_its_text_is_refused(start: Any, end: Any) -> None:
    with pytest.raises(ValueError, match="offsets"):
        Cleaner(CleanSettings()).fields({"text": "a  b", "entities": [{"start": start, "end": end}]}, ("text",))


def test_the_stated_text_of_an_entity_is_cleaned_with_it() -> None:
    fields = {"text": "on  ５ mg ", "entities": [{"start": 3, "end": 9, "type": "dose", "text": " ５ mg "}]}
    cleaned = Cleaner(CleanSettings(profile="clinical")).fields(fields, ("text", "entities"))[0]
    assert cleaned["entities"] == [{"start": 3, "end": 7, "type": "dose", "text": "5 mg"}]


def test_boilerplate_goes_but_where_an_entity_lies() -> None:
    text = "First.\nThis page is confidential.\nLast."
    clean = Cleaner(CleanSettings(profile="clinical"), BOILERPLATE)
    assert clean.text(text) == "First.\nLast."
    entities = [{"start": text.index("page"), "end": text.index("page") + 4}]
    assert clean.fields({"text": text, "entities": entities}, ("text",))[0]["text"] == text


# --- settings ---------------------------------------------------------------------------------------------------------


def test_defaults_depend_on_the_profile() -> None:
    assert [CleanSettings(profile=profile).html for profile in get_args(Profile)] == [
        False,
        "auto",
        "auto",
        "auto",
        False,
    ]
    assert not CleanSettings(profile="strict").mojibake
    assert CleanSettings(profile="strict", mojibake=True).mojibake
    assert CleanSettings().as_config() == {
        "profile": "plain",
        "html": False,
        "mojibake": True,
        "chinese": "keep",
        "boilerplate": False,
        "min_characters": 0,
        "max_characters": None,
        "languages": [],
    }
    assert CleanSettings.model_validate(CleanSettings(profile="legal").as_config()) == CleanSettings(profile="legal")


@pytest.mark.parametrize(
    ("given_settings", "match"),
    [
        ({"profile": "clinic"}, "plain"),
        ({"html": "always"}, "auto"),
        ({"chinese": "traditional"}, "simplified"),
        ({"min_characters": 10, "max_characters": 5}, "less than min_characters"),
        ({"max_characters": 0}, "greater than"),
        ({"languages": ["zh-CN"]}, "did you mean 'zh'"),
        ({"languages": ["xx"]}, "no language code"),
        ({"boilerplates": True}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(given_settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        CleanSettings(**given_settings)


@pytest.mark.parametrize(
    ("chosen", "package"),
    [({}, "ftfy"), ({"html": "auto"}, "selectolax"), ({"chinese": "simplified"}, "opencc")],
)
def test_a_missing_library_is_said_before_the_first_row(
    chosen: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(clean.MissingExtra, match=package):
        Cleaner(CleanSettings(**chosen))


def test_clean_text_loads_no_library() -> None:
    code = (
        "import sys; from yibu.prepare.clean import Cleaner, CleanSettings as S;"
        "Cleaner(S(profile='clinical', languages=('zh',))).text('体温 37.5 ℃，a < b & c');"
        "print(sorted({'ftfy', 'selectolax', 'opencc', 'lingua', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
