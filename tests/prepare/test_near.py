"""Near copies: signatures, clusters, and which of a cluster say the same."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from yibu.prepare import near
from yibu.prepare.near import SIGNATURE_BYTES, Clusters, DuplicateSettings, find_clusters, signature, signatures

ENGLISH = [
    *(
        "patient",
        "seen",
        "clinic",
        "knee",
        "pain",
        "swelling",
        "long",
        "walk",
        "weekend",
        "examination",
        "shows",
        "warm",
    ),
    *("joint", "firm", "ligaments", "plan", "rest", "ice", "elevation", "follow", "visit", "imaging", "reviewed"),
    *("together", "family", "questions", "answered", "care", "team", "agrees", "discharge", "home", "support", "nurse"),
    *("calls", "tomorrow", "morning", "medication", "list", "updated", "pharmacy", "informed", "letter", "sent"),
]
CHINESE = (
    "患者因膝关节疼痛就诊查体见局部肿胀皮温略热活动影像学检查提示积液予以休息冰敷嘱其定期复诊并告知家属注意观察病情"
)


def _note(seed: int, length: int = 90) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(ENGLISH) for _ in range(length))


def _record(seed: int, length: int = 150) -> str:
    chance = random.Random(seed)
    return "".join(chance.choice(CHINESE) for _ in range(length))


def _clusters(texts: list[str], **options: object) -> Clusters:
    return find_clusters(signatures(texts), texts.__getitem__, DuplicateSettings.model_validate(options))


def _similarity(one: str, other: str, width: int) -> float:
    """Jaccard similarity of word or character shingles, told from the text as it stands."""
    words = [text.split() if " " in text else list(text) for text in (one, other)]
    sets = [{tuple(text[place : place + width]) for place in range(len(text) - width + 1)} for text in words]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_a_signature_has_a_fixed_length_and_does_not_hang_on_its_company() -> None:
    texts = [_note(1), _record(2), "", "two words", "three short words", "Ｔｈｒｅｅ  short, words"]
    made = signatures(texts)
    assert made == [signature(text) for text in texts]
    assert [len(one) for one in made] == [SIGNATURE_BYTES, SIGNATURE_BYTES, 0, 0, SIGNATURE_BYTES, SIGNATURE_BYTES]
    assert made[4] == made[5]
    assert SIGNATURE_BYTES <= 160


@pytest.mark.parametrize(("make", "width"), [(_note, 3), (_record, 5)])
def test_copies_just_above_the_threshold_are_found_and_others_are_not(make: object, width: int) -> None:
    chance = random.Random(width)
    texts, above = [], 0
    for seed in range(200):
        text = make(seed)  # type: ignore[operator]
        parts = text.split(" ") if " " in text else list(text)
        copy = list(parts)
        for _ in range(chance.randint(1, 4)):
            copy[chance.randrange(len(copy))] = "瘤" if width == 5 else "tumour"
        texts += [text, ("" if width == 5 else " ").join(copy)]
    found = _clusters(texts)
    for place in range(0, len(texts), 2):
        is_near = _similarity(texts[place], texts[place + 1], width) >= 0.85
        above += is_near
        assert (found.first[place + 1] == place) == is_near
        assert found.first[place] == place
        assert (place + 1 in found.duplicates) == is_near
    assert 50 < above < 200


def test_a_duplicate_is_told_with_its_exact_similarity() -> None:
    text = _note(1)
    copy = text + " tumour"
    found = _clusters([_note(2), text, copy])
    assert list(found.first) == [0, 1, 1]
    assert found.duplicates == {2: (1, _similarity(text, copy, 3))}


def test_other_values_make_a_cluster_but_no_duplicates() -> None:
    texts = [f"{_note(1)} dose {number} mg {_note(2)}" for number in range(40)]
    found = _clusters(texts)
    assert set(found.first) == {0}
    assert found.duplicates == {}


def test_words_of_the_operator_are_values() -> None:
    texts = [f"{_note(1)} {word} {_note(2)}" for word in ("fever", "cough")]
    assert _clusters(texts).duplicates.keys() == {1}
    found = _clusters(texts, values=["Fever", "COUGH"])
    assert found.duplicates == {}
    assert list(found.first) == [0, 0]


def test_traditional_copies_are_duplicates() -> None:
    texts = ["患者因發熱三天就診，體溫37.5℃，無頭痛。", "患者因发热三天就诊,体温37.5℃,无头痛"]
    assert _clusters(texts).duplicates == {1: (0, 1.0)}


def test_a_row_that_is_left_out_vouches_for_none() -> None:
    # Each text is near the one before it; the third is too far from the first.
    words = _note(1, 120).split()
    texts = []
    for step in range(3):
        copy = list(words)
        for place in range(0, step * 20, 10):
            copy[40 + place] = "tumour"
        texts.append(" ".join(copy))
    assert _similarity(texts[0], texts[1], 3) >= 0.85 > _similarity(texts[0], texts[2], 3)
    assert _similarity(texts[1], texts[2], 3) >= 0.85
    found = _clusters(texts)
    assert list(found.first) == [0, 0, 0]
    assert found.duplicates.keys() == {1}


def test_a_copy_of_a_copy_repeats_the_row_that_stays() -> None:
    text = _note(1)
    found = _clusters([text, text + " tumour", text + " tumour tumour"])
    assert {place: other for place, (other, _) in found.duplicates.items()} == {1: 0, 2: 0}


def test_short_texts_and_off() -> None:
    texts = ["yes it is so", "yes it is so"]
    assert list(_clusters(texts).first) == [0, 1]
    assert list(_clusters(texts, min_characters=5).first) == [0, 0]
    assert list(_clusters(texts, min_characters=5, near="off").first) == [0, 1]
    assert list(_clusters([]).first) == []
    assert list(_clusters(["", "", "x"]).first) == [0, 1, 2]


def _family(seed: int) -> list[str]:
    """Texts of several families, near and less near, with other values and without."""
    chance = random.Random(seed)
    texts = []
    for _ in range(30):
        number = chance.randrange(6)
        parts = (_note(number, 60) if number % 2 else _record(number, 60)).split(" ")
        parts = parts if len(parts) > 1 else list(parts[0])
        for _ in range(chance.randrange(3)):
            parts[chance.randrange(len(parts))] = chance.choice(["7", "x", "left"] if number % 2 else ["7", "瘤", "左"])
        texts.append((" " if number % 2 else "").join(parts))
    return texts


@given(st.integers(0, 10_000), st.integers(1, 29))
@settings(max_examples=30, deadline=None)
def test_rows_added_at_the_end_change_no_old_cluster_unless_they_join_two(seed: int, size: int) -> None:
    texts = _family(seed)
    before, after = _clusters(texts[:size]), _clusters(texts)
    assert {place: one for place, one in after.duplicates.items() if place < size} == before.duplicates
    for place in range(size):
        if after.first[place] != before.first[place]:
            joined = {before.first[other] for other in range(size) if after.first[other] == after.first[place]}
            assert len(joined) > 1
            assert place not in before.duplicates or after.first[place] < before.first[place]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_clusters_are_chains_of_near_texts_and_duplicates_point_at_rows_that_stay(seed: int) -> None:
    texts = _family(seed)
    found = _clusters(texts)
    near_pairs = {
        (one, other)
        for one, other in itertools.combinations(range(len(texts)), 2)
        if " " in texts[one] and " " in texts[other] and _similarity(texts[one], texts[other], 3) >= 0.86
    }
    for one, other in near_pairs:
        assert found.first[one] == found.first[other]
    for place, (other, share) in found.duplicates.items():
        assert other < place
        assert other not in found.duplicates
        assert found.first[place] == found.first[other]
        assert 0.85 <= share <= 1
    assert all(found.first[found.first[place]] == found.first[place] <= place for place in range(len(texts)))


def test_a_large_family_is_not_compared_pair_by_pair() -> None:
    texts = [f"{_note(1)} dose {number} mg {_note(2)}" for number in range(1_500)]
    asked = []

    def text_of(place: int) -> str:
        asked.append(place)
        return texts[place]

    found = find_clusters(signatures(texts), text_of, DuplicateSettings())
    assert set(found.first) == {0}
    assert len(asked) < 6 * len(texts)


@pytest.mark.parametrize(("threshold", "width"), [(0.5, 2), (0.85, 7), (1.0, 8)])
def test_bands_are_as_narrow_as_the_threshold_asks(threshold: float, width: int) -> None:
    assert near.band_width(threshold) == width


def test_texts_of_less_similarity_are_found_with_a_lower_threshold() -> None:
    texts = []
    for seed in range(100):
        words = _note(seed).split()
        for place in range(0, 70, 15):
            words[place + 5] = "tumour"
        texts += [_note(seed), " ".join(words)]
    assert 0.65 < _similarity(texts[0], texts[1], 3) < 0.75
    assert all(_clusters(texts, threshold=0.65).first[place + 1] == place for place in range(0, 200, 2))
    assert set(_clusters(texts).first) == set(range(200))


@pytest.mark.parametrize("options", [{"near": "maybe"}, {"threshold": 0.2}, {"min_characters": 0}, {"treshold": 0.9}])
def test_settings_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DuplicateSettings.model_validate(options)
