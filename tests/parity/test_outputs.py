"""A merge is proven, a lost adapter is caught whatever its size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import tiny_ids, tiny_model
from yibu import bases
from yibu.adapters import lora
from yibu.core.errors import DataError, GateRefused
from yibu.parity import gate
from yibu.parity.outputs import answers_in, logits_of, same_answers, same_logits

TEXTS = [row.tolist() for row in tiny_ids(3, 20)]
LARGEST, FIRST, MISSING = range(3)


def tuned(architecture: str = "llama", size: float = 0.05) -> Any:
    """A model with an adapter that does something, without training."""
    model = tiny_model(architecture)
    settings = lora.Settings()
    made = lora.attach(model, lora.plan(model, bases.facts_for(model.config), settings), settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if ".lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return made.eval()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "deepseek_v3"])
def test_a_merge_is_the_adapter(architecture: str) -> None:
    base = logits_of(tiny_model(architecture))
    merged = logits_of(lora.merge(tuned(architecture)))
    checks = same_logits("adapter = merged", logits_of(tuned(architecture)), merged, TEXTS, bound=1e-4, base=base)
    assert [check.ok for check in checks] == [True, True, True]
    assert checks[FIRST].n == 60
    gate(checks)


def test_a_merge_that_lost_the_adapter_is_caught() -> None:
    base = logits_of(tiny_model())
    checks = same_logits("adapter = merged", logits_of(tuned()), base, TEXTS, bound=1e-4, base=base)
    assert [check.ok for check in checks] == [False, False, False]
    assert checks[MISSING].measured == pytest.approx(1)
    with pytest.raises(GateRefused, match="adapter's effect that is missing"):
        gate(checks)


def test_a_small_adapter_that_was_lost_is_caught_although_little_changes() -> None:
    base, small = logits_of(tiny_model()), logits_of(tuned(size=0.002))
    checks = same_logits("adapter = merged", small, base, TEXTS, bound=1e-2, base=base)
    assert [check.ok for check in checks] == [True, True, False]


def test_an_adapter_that_changes_nothing_cannot_be_judged() -> None:
    base = logits_of(tiny_model())
    checks = same_logits("adapter = merged", base, base, TEXTS, bound=1e-4, base=base)
    assert [check.ok for check in checks] == [True, True, None]
    gate(checks)


def test_logits_that_are_no_numbers_fail() -> None:
    def broken(ids: Any) -> torch.Tensor:
        return torch.full((len(ids), 512), torch.nan)

    checks = same_logits("merged = int4", logits_of(tiny_model()), broken, TEXTS, bound=1.0)
    assert checks[LARGEST].ok is False


def test_other_vocabularies_and_no_texts_are_errors() -> None:
    one = logits_of(tiny_model())
    with pytest.raises(DataError, match="cannot be compared"):
        same_logits("x", one, lambda ids: one(ids)[:, :-1], TEXTS, bound=1)
    with pytest.raises(DataError, match="need texts"):
        same_logits("x", one, one, [], bound=1)


def test_answers_are_compared_question_by_question(tmp_path: Path) -> None:
    check = same_answers("merged = served", ["a", "b ", "c", "d"], ["a", "b", "x", "d"], bound=0.9)
    assert (check.ok, check.measured, check.detail) == (False, 0.75, "questions 2")
    assert same_answers("x", ["a"], ["a"]).ok
    with pytest.raises(DataError, match="2 and 1 answers"):
        same_answers("x", ["a", "b"], ["a"])


def test_answers_come_from_artifacts(tmp_path: Path) -> None:
    from yibu.core.recipe import Settings
    from yibu.core.store import Store, Work, stage

    @stage(name="said")
    def said(settings: Settings, work: Work) -> None:
        work.write_text("answers.jsonl", json.dumps({"id": "1", "answer": "lung"}) + "\n")

    assert answers_in(Store(tmp_path).run(said, Settings())) == ["lung"]
