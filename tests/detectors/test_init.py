"""What the family does over all detectors: aliases, width of characters, overlaps, placeholders."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import InputError
from yibu.detectors import Found, expand, find_all, kinds, placeholder, settle


def test_all_leaves_out_what_needs_a_package() -> None:
    assert "crypto_wallet" in kinds()
    assert "crypto_wallet" not in expand(["all"])
    assert set(expand(["hipaa"])) <= set(expand(["all"]))


def test_a_mistyped_kind_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'bank_card'"):
        expand(["bankcard"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("身份证号１１０１０５１９４９１２３１００２Ｘ已登记", "１１０１０５１９４９１２３１００２Ｘ"),
        ("电话138‐1234‐5678联系", "138‐1234‐5678"),
        ("手机138\u00a01234\u00a05678联系", "138\u00a01234\u00a05678"),
    ],
)
def test_full_width_and_odd_signs_are_read_and_offsets_are_of_the_given_text(text: str, value: str) -> None:
    (found,) = find_all(text, expand(["all"]))
    assert text[found.start : found.end] == value


def test_the_certain_span_wins_then_the_longer() -> None:
    sure, long, short = Found(2, 8, "b", True), Found(0, 10, "a", False), Found(3, 5, "c", False)
    assert settle([short, sure]) == [sure]
    assert settle([short, long]) == [long]


def test_a_longer_span_keeps_what_a_certain_one_in_it_leaves() -> None:
    text = "12 Main Street, 13812345678, Springfield"
    address, phone = Found(0, 40, "address", False), Found(16, 27, "phone", True)
    assert settle([address, phone], text) == [address._replace(end=14), phone, address._replace(start=29)]


def test_a_certain_span_that_loses_is_not_uncovered() -> None:
    assert settle([Found(0, 10, "a", True), Found(6, 14, "b", True)]) == [
        Found(0, 10, "a", True),
        Found(10, 14, "b", True),
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12), st.sampled_from("abc"), st.booleans()), max_size=12))
def test_settled_spans_never_overlap_and_cover_all_that_is_certain(drawn: list[tuple[int, int, str, bool]]) -> None:
    found = [Found(start, start + size, kind, certain) for start, size, kind, certain in drawn]
    kept = settle(found)
    assert kept == settle(reversed(found))
    assert all(one.end <= other.start for one, other in itertools.pairwise(kept))
    covered = {place for one in kept for place in range(one.start, one.end)}
    for one in kept:
        assert one.start < one.end
    for one in found:
        if one.certain and not any(
            other.certain and other != one and other.start < one.end and one.start < other.end for other in found
        ):
            assert set(range(one.start, one.end)) <= covered


@pytest.mark.parametrize("kind", expand(["all"]))
@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("token", ["", "5f1c0a9b3e77"])
def test_placeholders_are_not_looked_into(kind: str, chinese: bool, token: str) -> None:
    mask = placeholder(kind, chinese, token)
    for text in (f"患者{mask}，电话{mask}于{mask}", f"Mr. {mask} called {mask} on {mask}", f"MRN: {mask}"):
        assert find_all(text, expand(["all"])) == []


def test_brackets_alone_hide_nothing() -> None:
    assert [one.kind for one in find_all("[E12345678] [13812345678 的电话]", expand(["all"]))] == ["passport", "phone"]


def test_only_the_kinds_asked_for_are_found() -> None:
    text = "张伟，电话13812345678，1949年12月31日出生，2016年3月28日入院"
    assert [one.kind for one in find_all(text, ["date"])] == ["date"]
    assert [one.kind for one in find_all(text, ["birth_date", "phone"])] == ["phone", "birth_date"]


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys; from yibu.detectors import expand, find_all;"
        "find_all('患者张伟 13812345678 Mr. Smith', expand(['all']));"
        "print(sorted({'numpy', 'torch', 'spacy', 'presidio_analyzer', 'jieba', 'phonenumbers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
