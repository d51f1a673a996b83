"""Label errors: what is found, that no row is judged by a model that knew it, and what cannot be judged."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu import tasks
from yibu.core.errors import DataError
from yibu.core.record import Row, Split
from yibu.inspect import labels
from yibu.inspect.labels import FoldProbabilities, LabelSettings, check_out_of_fold, suspects

TASK = tasks.build(tasks.settings_of({"kind": "classify", "prompt": "{text}", "label": "{label}"}))
WORDS = {
    "en": {"card": "card lost stolen plastic chip pin atm", "loan": "loan rate interest mortgage monthly repay credit",
           "tax": "tax return income deduct annual form office"},
    "zh": {"card": "银行卡丢失补办密码芯片磁条", "loan": "贷款利率还款按揭月供额度", "tax": "税务申报个税扣除年度汇算"},
}  # fmt: skip
Rows = Callable[[], Iterator[tuple[Split, Row]]]


def make(num: int, lang: str = "en", split: Split = "train", seed: int = 0) -> list[tuple[Split, Row]]:
    """Rows whose words give their class away, no two alike."""
    chance = random.Random(seed)
    made = []
    for number in range(num):
        label = list(WORDS[lang])[number % 3]
        pool: Any = WORDS[lang][label].split() if lang == "en" else WORDS[lang][label]
        text = (" " if lang == "en" else "").join(chance.choices(pool, k=8)) + f" {split}{number}"
        made.append((split, Row(f"{split}-{number:04d}", {"text": text, "label": label}, label=label)))
    return made


def flipped(rows: list[tuple[Split, Row]], places: list[int], to: str = "tax") -> list[tuple[Split, Row]]:
    changed = list(rows)
    for place in places:
        split, row = rows[place]
        changed[place] = split, row.with_fields({**row.fields, "label": to})
    return changed


def source(rows: list[tuple[Split, Row]]) -> Rows:
    return lambda: iter(rows)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_flipped_labels_are_found_with_the_right_suggestion(lang: str) -> None:
    places = [0, 9, 33, 61]  # cards and loans
    rows = flipped(make(120, lang), places)
    result = suspects(source(rows), TASK, lang, LabelSettings())
    assert result["n"] == 120
    found = {one["id"] for one in result["suspects"]}
    assert found <= {rows[place][1].id for place in places}  # no false alarm
    assert len(found) >= 3  # cleanlab's count is a cautious estimate
    assert all(one["given"] == "tax" and one["suggested"] != "tax" for one in result["suspects"])
    assert [one["score"] for one in result["suspects"]] == sorted(one["score"] for one in result["suspects"])
    assert result["found"] == len(found)
    assert result["noise_rate"] == round(len(found) / 120, 4)


def test_the_order_of_the_source_plays_no_part() -> None:
    rows = flipped(make(90), [0, 3, 30])
    shuffled = list(rows)
    random.Random(5).shuffle(shuffled)
    assert suspects(source(rows), TASK, "en", LabelSettings()) == suspects(
        source(shuffled), TASK, "en", LabelSettings()
    )


def test_test_rows_are_not_looked_at_unless_asked() -> None:
    rows = make(90) + flipped(make(30, split="test", seed=1), [0, 3])
    result = suspects(source(rows), TASK, "en", LabelSettings())
    assert result["n"] == 90
    assert "test" not in result
    result = suspects(source(rows), TASK, "en", LabelSettings(test=True))
    assert result["n"] == 90
    listed = {one["id"] for one in result["test"]["suspects"]}
    assert listed
    assert listed <= {"test-0000", "test-0003"}
    assert result["test"]["n"] == 30
    assert not [one for one in result["suspects"] if one["split"] == "test"]


def test_a_test_row_whose_text_is_in_train_is_not_judged() -> None:
    rows = make(90)
    twin = Row("twin", {"text": rows[0][1].fields["text"].upper() + ".", "label": "tax"})
    stranger = Row("stranger", {"text": "garden", "label": "never seen"})
    result = suspects(source([*rows, ("test", twin), ("test", stranger)]), TASK, "en", LabelSettings(test=True))
    assert result["test"]["n"] == 0
    assert result["test"]["skipped"] == {"class_not_judged": 1, "text_or_group_in_train": 1}


def test_models_never_see_the_rows_they_judge_nor_their_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        (split, Row(row.id, row.fields, group=f"patient {number // 6}"))
        for number, (split, row) in enumerate(make(120))
    ]
    twin = Row("twin", {"text": rows[0][1].fields["text"], "label": "loan"}, group="patient 19")
    seen: list[tuple[set[int], set[int]]] = []
    picked: list[Any] = []
    predict, units_of = labels._predict, labels._units

    def watch(counts: Any, labels_I: Any, inside: Any, outside: Any, settings: LabelSettings) -> Any:
        seen.append((set(inside.tolist()), set(outside.tolist())))
        return predict(counts, labels_I, inside, outside, settings)

    def keep(found: Any) -> list[int]:
        picked[:] = found
        return units_of(found)

    monkeypatch.setattr(labels, "_predict", watch)
    monkeypatch.setattr(labels, "_units", keep)
    assert suspects(source([*rows, ("valid", twin)]), TASK, "en", LabelSettings())["n"] == 121
    assert len(seen) == 5
    assert sorted(row for _, outside in seen for row in outside) == list(range(121))
    for inside, outside in seen:
        assert not {picked[row].group for row in inside} & {picked[row].group for row in outside}
        assert not {picked[row].text for row in inside} & {picked[row].text for row in outside}


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.data())
def test_the_assertion_notices_every_row_that_was_known(units: list[int], data: st.DataObject) -> None:
    fold_of_unit = {unit: data.draw(st.integers(0, 2)) for unit in set(units)}
    folds = [fold_of_unit[unit] for unit in units]
    trained_on = {fold: [row for row, other in enumerate(folds) if other != fold] for fold in range(3)}
    check_out_of_fold(folds, trained_on, units)
    row = data.draw(st.integers(0, len(units) - 1))
    leaky = {**trained_on, folds[row]: [*trained_on[folds[row]], row]}
    with pytest.raises(AssertionError):
        check_out_of_fold(folds, leaky, units)


def test_classes_too_rare_for_the_folds_are_named_and_left_out() -> None:
    rare = [("train", Row(f"r{number}", {"text": f"garden {number}", "label": "plants"})) for number in range(4)]
    one_patient = [
        ("train", Row(f"p{number}", {"text": f"music {number}", "label": "songs"}, group="one")) for number in range(20)
    ]
    same_text = [("train", Row(f"s{number}", {"text": "the same", "label": "echo"})) for number in range(20)]
    rows: list[Any] = [*flipped(make(90), [0]), *rare, *one_patient, *same_text]
    result = suspects(source(rows), TASK, "en", LabelSettings())
    assert result["skipped"]["rare_classes"] == {"echo": 20, "plants": 4, "songs": 20}
    assert result["n"] == 90
    assert [one["id"] for one in result["suspects"]] == ["train-0000"]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_nothing_to_judge_is_no_error(keep: int) -> None:
    rows = [(split, row) for split, row in make(60) if row.label == "card"][:keep]
    result = suspects(source(rows), TASK, "en", LabelSettings())
    assert result["n"] == result["found"] == 0
    assert result["suspects"] == []
    assert result["noise_rate"] is None


def test_one_class_only_is_said() -> None:
    rows = [(split, row) for split, row in make(60) if row.label == "card"]
    assert suspects(source(rows), TASK, "en", LabelSettings())["skipped"]["too_few_classes"] == 20


def test_a_task_without_classes_has_no_label_errors() -> None:
    task = tasks.build(tasks.settings_of({"kind": "generate", "prompt": "{text}", "target": "{label}"}))
    result = suspects(source(make(30)), task, "en", LabelSettings())
    assert result["n"] == 0
    assert result["skipped"]["no_label"] == 30


def test_texts_without_a_letter_are_judged_without_an_error() -> None:
    rows = [("train", Row(f"{n}", {"text": "?" * (n + 1), "label": "ab"[n % 2]})) for n in range(40)]
    assert suspects(source(rows), TASK, "en", LabelSettings())["n"] == 40  # type: ignore[arg-type]


def test_rows_beyond_the_limit_are_drawn_by_hash_and_rare_classes_keep_theirs() -> None:
    few = [("train", Row(f"few-{n}", {"text": f"garden soil {n}", "label": "plants"})) for n in range(12)]
    rows: list[Any] = [*make(600), *few]
    settings = LabelSettings(max_rows=100, folds=3)
    result = suspects(source(rows), TASK, "en", settings)
    assert 90 <= result["n"] <= 100
    assert result["skipped"]["beyond_limit"] == 612 - result["n"]
    picked, _ = labels._pick(source(rows), TASK, settings)
    assert sum(one.label == "plants" for one in picked) == 12
    more, _ = labels._pick(source([*rows, *make(30, split="valid")]), TASK, settings)
    assert len({one.id for one in picked} & {one.id for one in more}) >= 85


def test_only_the_most_frequent_classes_are_looked_at() -> None:
    rows = [(split, row) for split, row in make(90) if not (row.label == "tax" and int(row.id[-4:]) > 60)]
    result = suspects(source(rows), TASK, "en", LabelSettings(max_classes=2))
    assert list(result["skipped"]["classes_beyond_limit"]) == ["tax"]
    assert result["n"] == 60


def given_probabilities(rows: list[tuple[Split, Row]], num_folds: int = 3) -> FoldProbabilities:
    """What models of ours might say: the class by its words, with some doubt."""
    names = ["card", "loan", "tax"]
    told = {}
    for number, (_, row) in enumerate(rows):
        likely = next(n for n in names if row.fields["text"].split()[0] in WORDS["en"][n].split())
        told[row.id] = (number % num_folds, [0.9 if name == likely else 0.05 for name in names])
    return FoldProbabilities(names, told)


def test_probabilities_of_our_own_folds_are_used() -> None:
    rows = flipped(make(60), [0, 3])
    result = suspects(source(rows), TASK, "en", LabelSettings(), given_probabilities(rows))
    assert result["model"] == "tuned_folds"
    assert result["folds"] == 3
    assert {one["id"] for one in result["suspects"]} == {"train-0000", "train-0003"}


def test_rows_without_a_probability_are_counted() -> None:
    rows = make(60)
    told = given_probabilities(rows[:50])
    result = suspects(source(rows), TASK, "en", LabelSettings(), told)
    assert result["n"] == 50
    assert result["skipped"]["no_probability"] == 10


def test_folds_that_share_a_group_are_refused() -> None:
    rows = [(split, Row(row.id, row.fields, group=f"patient {n // 2}")) for n, (split, row) in enumerate(make(60))]
    with pytest.raises(DataError, match="one group lie in two folds"):
        suspects(source(rows), TASK, "en", LabelSettings(), given_probabilities(rows))


def test_a_text_that_stands_in_two_folds_is_not_judged() -> None:
    rows = make(60)
    twin = Row("twin", {**rows[0][1].fields})
    rows.append(("train", twin))
    told = given_probabilities(rows)
    told = FoldProbabilities(told.labels, {**told.rows, "twin": (1, told.rows["twin"][1])})
    result = suspects(source(rows), TASK, "en", LabelSettings(), told)
    assert result["n"] == 59
    assert result["skipped"]["text_in_another_fold"] == 2


@pytest.mark.parametrize("bad", [[0.5, float("nan"), 0.5], [0.0, 0.0, 0.0], [-0.1, 0.6, 0.5], [0.5, 0.5]])
def test_numbers_that_are_no_probabilities_are_refused(bad: list[float]) -> None:
    rows = make(30)
    told = given_probabilities(rows)
    broken = {
        id: (fold, bad if len(bad) == 2 or id == "train-0004" else each) for id, (fold, each) in told.rows.items()
    }
    with pytest.raises(DataError, match="one number from 0 to 1 per class"):
        suspects(source(rows), TASK, "en", LabelSettings(), FoldProbabilities(told.labels, broken))


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(DataError, match="no TF-IDF features"):
        suspects(source(make(30)), TASK, "fr", LabelSettings())


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 500), min_size=1, max_size=20),
    st.integers(20, 400),
    st.integers(1, 40),
)
def test_quotas_keep_the_limit_and_the_rare(sizes: dict[str, int], limit: int, floor: int) -> None:
    quotas = labels._quotas(sizes, limit, floor)
    assert sum(quotas.values()) <= max(limit, 0) or sum(sizes.values()) <= limit
    kept = max(1, min(floor, limit // len(sizes)))
    assert all(min(size, kept) <= quotas[label] <= size for label, size in sizes.items())


def test_equal_texts_and_groups_are_one_unit_through_others() -> None:
    def one(id: str, group: str | None, text: str) -> Any:
        return labels._Picked(0.0, id, "train", "x", group, text)

    rows = [one("a", "g", "first"), one("b", "g", "Second."), one("c", None, "ｓｅｃｏｎｄ"), one("d", None, "other")]
    units = labels._units(rows)
    assert units[0] == units[1] == units[2] != units[3]


def test_values_are_not_folded_away() -> None:
    assert labels.same_text("37.5 ℃") != labels.same_text("375 ℃")
    assert labels.same_text("10⁹/L") != labels.same_text("109/L")
    assert labels.same_text("-0.3") != labels.same_text("0.3")
    assert labels.same_text("ＣＴ 检查。") == labels.same_text("ct  检查")


def test_scores_are_plain_numbers() -> None:
    result = suspects(source(flipped(make(60), [0])), TASK, "en", LabelSettings())
    assert type(result["suspects"][0]["score"]) is float
    assert not isinstance(result["n"], np.integer)
