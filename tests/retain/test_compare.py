"""Two systems on the same items: what is lost is found, what is not is not claimed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tiny import tiny_base
from yibu.core.errors import DataError
from yibu.core.store import Store
from yibu.retain import RetainConfig, retain
from yibu.retain.compare import compare, compare_items


def records(values: Any, weight: int = 1, groups: Any = None) -> list[dict[str, Any]]:
    return [
        {"id": str(n), "group": None if groups is None else groups[n], "value": float(value), "weight": weight}
        for n, value in enumerate(values)
    ]


def test_a_loss_of_accuracy_is_found_with_its_ratio() -> None:
    before = np.arange(200) < 160
    after = np.arange(200) < 120
    found = compare_items("arc", records(before), records(after))
    assert found.verdict == "lost"
    assert found.change.difference == pytest.approx(-0.2)
    assert found.change.test == "exact McNemar"
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(0.75)
    assert found.ratio.low < 0.75 < found.ratio.high < 1


def test_noise_is_no_loss() -> None:
    draw = np.random.default_rng(0)
    before = draw.random(200) < 0.6
    after = before.copy()
    after[:6] = ~after[:6]
    assert compare_items("arc", records(before), records(after)).verdict == "kept"


def test_a_higher_loss_per_token_is_a_loss() -> None:
    draw = np.random.default_rng(0)
    before = draw.normal(3, 0.5, 60)
    found = compare_items("text", records(before, 100), records(before * 1.05, 100), better="lower", kind="corpus")
    assert found.verdict == "lost"
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.05)
    assert found.ratio.low == pytest.approx(1.05, abs=0.01)
    assert compare_items("t", records(before, 9), records(before * 0.95, 9), better="lower").verdict == "gained"


def test_items_of_a_group_are_no_independent_evidence() -> None:
    draw = np.random.default_rng(1)
    groups = [n // 10 for n in range(300)]
    lost = np.repeat(draw.random(30) < 0.2, 10)
    before, after = np.ones(300), 1.0 - lost
    grouped = compare_items("blimp", records(before, groups=groups), records(after, groups=groups))
    alone = compare_items("blimp", records(before), records(after))
    assert grouped.change.high - grouped.change.low > 1.5 * (alone.change.high - alone.change.low)
    few = [n // 100 for n in range(300)]
    assert compare_items("blimp", records(before, groups=few), records(after, groups=few)).change == alone.change


def test_a_base_that_has_nothing_right_has_no_ratio() -> None:
    found = compare_items("gsm8k", records([0, 0, 0]), records([0, 1, 0]))
    assert found.ratio is None
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["ratio"] is None


def test_one_item_gives_a_figure_without_interval() -> None:
    table = compare_items("text", records([2.5], 10), records([2.6], 10), better="lower").as_dict()
    assert table["change"]["low"] is None
    assert table["verdict"] == "kept"


def test_only_the_same_items_can_be_compared() -> None:
    with pytest.raises(DataError, match="different items"):
        compare_items("arc", records([1, 0]), records([1]))


def test_artifacts_are_compared_set_by_set(tmp_path: Any) -> None:
    (tmp_path / "text.jsonl").write_text('{"text": "The patient has had a cough."}\n' * 3)
    store, made = Store(tmp_path / "store"), []
    for seed in (0, 1):
        base = tiny_base(tmp_path / f"base{seed}", seed=seed)
        sets = [{"kind": "corpus", "path": str(tmp_path / "text.jsonl"), "name": "text"}]
        config = {"base_path": str(base), "base_digest": str(seed), "retain": {"sets": sets, "dtype": "fp32"}}
        made.append(store.run(retain, RetainConfig.model_validate(config)))
    (found,) = compare(*made)
    assert found.name == "text"
    assert found.before.value != found.after.value
    config["retain"]["sets"] = [{**sets[0], "name": "other"}]
    with pytest.raises(DataError, match="same sets"):
        compare(made[0], store.run(retain, RetainConfig.model_validate(config)))
