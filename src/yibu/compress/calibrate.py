"""What compressors may look at: rows of train, and the tokens that must stay."""

from __future__ import annotations

from typing import Any

from yibu import tasks
from yibu.compressors import Calibration
from yibu.core.architecture import Facts
from yibu.core.log import get
from yibu.core.record import read_rows
from yibu.core.store import Artifact
from yibu.model.experts import score_experts
from yibu.model.render import Example, Renderer

log = get("calibrate")
_LONGEST = 1024  # tokens of a calibration row; the answer stands at its end
_PACK = 2048


def calibration_of(
    model: Any,
    facts: Any,
    renderer: Renderer,
    task: tasks.Task,
    data: Artifact,
    count: int,
    expert_tokens: int = 0,
) -> Calibration:
    """Rows, tokenizer, tokens and routed shares for a compressor; no row but those of train is read.

    Args:
        count: rows that the model is shown. The tokens that must stay are those of all rows.
        expert_tokens: of a mixture, as many rows more as it takes until each routed expert was sent so many tokens.
    """
    rows = list(read_rows(data.file("train.jsonl")))
    examples = [renderer.example(task.messages(row), task.target(row), row.id) for row in rows]
    kept = {token for example in examples for token in example.ids}
    for label in (task.labels or ()) if task.closed_set and rows else ():
        kept.update(renderer.answer(task.answer_text(label), task.messages(rows[0])))
    cut = [Example(one.ids[-_LONGEST:], one.trained[-_LONGEST:], one.name) for one in examples]
    shares: dict[int, tuple[float, ...]] = {}
    shown = cut[:count]
    if has_routers(model, facts):
        shares, shown = _routed(model, facts, cut, count, expert_tokens)
    return Calibration(
        rows=[list(example.ids) for example in shown],
        tokenizer=renderer.tokenizer,
        kept=frozenset(kept),
        stops=renderer.stop_ids,
        shares=shares,
    )


def _routed(
    model: Any, facts: Any, rows: list[Example], count: int, wanted: int
) -> tuple[dict[int, tuple[float, ...]], list[Example]]:
    """Share of each routed expert in the choices of its router, and the rows that were looked at."""
    each = int(model.config.get_text_config().num_experts_per_tok)
    chosen: dict[int, list[float]] = {}
    for begin in range(0, len(rows), count):
        scores = score_experts(model, facts, rows[begin : begin + count], packed=False, pack_tokens=_PACK)
        for layer, parts in scores.token.items():
            before = chosen.setdefault(layer, [0.0] * len(parts))
            chosen[layer] = [old + part * scores.num_tokens * each for old, part in zip(before, parts, strict=True)]
        shown = min(begin + count, len(rows))
        least = min(round(number) for layer in chosen.values() for number in layer)
        if least >= wanted:
            break
    log.info("experts: the least used of them was sent %d tokens of %d rows", least, shown)
    shares = {layer: tuple(number / sum(numbers) for number in numbers) for layer, numbers in chosen.items()}
    return shares, rows[:shown]


def has_routers(model: Any, facts: Facts) -> bool:
    """Whether the model is a mixture of experts whose routers yibu knows."""
    roles = (facts.role_of(name) for name, _ in model.named_modules())
    return any(role is not None and role.kind == "router" for role in roles)
