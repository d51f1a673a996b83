"""What compressors may look at: rows of train, and the tokens that must stay."""

from __future__ import annotations

from typing import Any

from yibu import tasks
from yibu.compressors import Calibration
from yibu.core.architecture import Facts
from yibu.core.record import read_rows
from yibu.core.store import Artifact
from yibu.model.experts import score_experts
from yibu.model.render import Example, Renderer

_LONGEST = 1024  # tokens of a calibration row; the answer stands at its end
_PACK = 2048


def calibration_of(
    model: Any, facts: Any, renderer: Renderer, task: tasks.Task, data: Artifact, count: int
) -> Calibration:
    """Rows, tokenizer, tokens and routed shares for a compressor; no row but those of train is read.

    Args:
        count: rows that the model is shown. The tokens that must stay are those of all rows.
    """
    rows = list(read_rows(data.file("train.jsonl")))
    examples = [renderer.example(task.messages(row), task.target(row), row.id) for row in rows]
    kept = {token for example in examples for token in example.ids}
    for label in task.labels if task.closed_set and rows else ():
        kept.update(renderer.answer(task.answer_text(label), task.messages(rows[0])))
    shown = [Example(example.ids[-_LONGEST:], example.trained[-_LONGEST:], example.name) for example in examples[:count]]
    shares = {}
    if has_routers(model, facts):
        shares = score_experts(model, facts, shown, packed=False, pack_tokens=_PACK).token
    return Calibration(
        rows=[list(example.ids) for example in shown],
        tokenizer=renderer.tokenizer,
        kept=frozenset(kept),
        stops=renderer.stop_ids,
        shares=shares,
    )


def has_routers(model: Any, facts: Facts) -> bool:
    """Whether the model is a mixture of experts whose routers yibu knows."""
    roles = (facts.role_of(name) for name, _ in model.named_modules())
    return any(role is not None and role.kind == "router" for role in roles)
