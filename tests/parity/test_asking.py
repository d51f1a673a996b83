"""Losses of answers do not depend on which rows share a forward pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tiny import tiny_base
from yibu import tasks
from yibu.core.record import Row
from yibu.model.assemble import for_answers
from yibu.parity.asking import losses_of
from yibu.tasks import classify


@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3"])
def test_losses_in_packs_are_those_of_rows_alone(tmp_path: Path, architecture: str) -> None:
    system = for_answers(tiny_base(tmp_path, architecture), None, "lora", "cpu", "fp32")
    task = tasks.build(classify.Settings(prompt="{text}", label="{label}"), ["heart", "lung"])
    texts = ["chest pain", "cough and fever", "palpitations at night"]
    rows = [Row(id=str(n), fields={"text": text, "label": "lung"}) for n, text in enumerate(texts)]
    together = losses_of(system, task, rows)
    alone = losses_of(dataclasses.replace(system, packed=False), task, rows)
    assert together == pytest.approx(alone, rel=1e-4)
    ids = system.renderer.example(task.messages(rows[0]), task.target(rows[0])).ids
    with torch.no_grad():
        scores = system.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    answer = len(system.renderer.answer(task.target(rows[0]), task.messages(rows[0])))
    own = -sum(float(scores[place - 1, ids[place]]) for place in range(len(ids) - answer, len(ids)))
    assert alone[0] == pytest.approx(own, rel=1e-4)
