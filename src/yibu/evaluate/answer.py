"""Let one system answer every row of a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from yibu import tasks
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact, Work
from yibu.evaluate import AnswerConfig
from yibu.model.assemble import Assembled, for_answers, use_generating_attention
from yibu.model.generate import generate
from yibu.model.packing import context_length, example_losses, make_pack, split_by_tokens
from yibu.model.score import score_answers, tree_is_exact

log = get("answer")

Prompts = list[list[int]]


def run(config: AnswerConfig, work: Work, data: Artifact, model: Artifact | None) -> None:
    """The body of the stage `yibu.evaluate.answer`."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    rows = list(read_rows(data.file(f"{config.split}.jsonl")))
    task = tasks.build(config.task, data.read_json("summary.json")["labels"])
    kind = "lora" if model is None else model.read_json("summary.json")["adapter"]["kind"]
    adapter = None if model is None else model.path / "adapter"
    system = for_answers(Path(config.base_path), adapter, kind, config.device, config.dtype)
    log.info("%s answers %d rows of %s", "base" if model is None else "tuned", len(rows), config.split)
    if not rows:  # a data set may have no validation rows
        work.write_text("answers.jsonl", "")
        return
    prompts = [system.renderer.prompt(task.messages(row)) for row in rows]
    work.notes["rows_beyond_context"] = _count_beyond_context(system, task, rows, prompts)
    if task.closed_set:
        answers = _choose(system, task, rows, prompts)
    else:
        answers = _write(system, task, rows, prompts, config.batch_size)
    with work.file("answers.jsonl").open("w", encoding="utf-8") as lines:
        for answer in answers:
            lines.write(json.dumps(answer, ensure_ascii=False) + "\n")
    work.notes["device"] = str(system.device)
    work.notes["dtype"] = str(system.dtype)


def _count_beyond_context(system: Assembled, task: Any, rows: list[Row], prompts: Prompts) -> int:
    """Rows whose prompt and target are longer than the base was made for: answered whole, but not to be trusted."""
    context = context_length(system.model)
    beyond = [
        row.id for row, prompt in zip(rows, prompts, strict=True) if len(prompt) + max(task.max_new_tokens, 1) > context
    ]
    if beyond:
        log.warning(
            "%d rows with their answers go beyond the base's context of %d tokens: %s", len(beyond), context, beyond[:5]
        )
    return len(beyond)


def _choose(system: Assembled, task: Any, rows: list[Row], prompts: Prompts) -> list[dict[str, Any]]:
    """The most likely label of the closed set; loss is that of the true label's tokens."""
    labels: list[str] = task.labels
    # The answers stand behind the same kind of prompt, so any row's messages give their ids.
    words = [system.renderer.answer(task.answer_text(label), task.messages(rows[0])) for label in labels]
    tree = system.packed and tree_is_exact(system.model, prompts[0], words)
    scores = score_answers(system.model, prompts, words, tree=tree, title="choosing labels")
    answers = []
    for row, row_scores in zip(rows, scores, strict=True):
        best = int(row_scores.argmax())
        truth = task.label(row)
        place = labels.index(truth) if truth in labels else None
        answers.append(
            {
                "id": row.id,
                "answer": labels[best],
                "fields": task.parse(task.answer_text(labels[best])),
                "stopped": True,
                "loss": None if place is None else -float(row_scores[place]),
                "num_targets": None if place is None else len(words[place]),
                "log_probs": [round(float(score), 4) for score in row_scores],
            }
        )
    return answers


def _write(system: Assembled, task: Any, rows: list[Row], prompts: Prompts, batch_size: int) -> list[dict[str, Any]]:
    """Free answers, and the loss of the true target."""
    examples = [system.renderer.example(task.messages(row), task.target(row), row.id) for row in rows]
    losses: list[float] = []
    with track("target loss", total=len(rows)) as bar:
        for part in split_by_tokens(examples, 2048, system.packed):
            losses += example_losses(system.model, make_pack(part).to(system.device)).tolist()
            bar.advance(len(part))
    use_generating_attention(system.model, system.facts)
    written = generate(system.model, system.renderer, prompts, task.max_new_tokens, batch_size)
    return [
        {
            "id": row.id,
            "answer": answer.text,
            "fields": task.parse(answer.text),
            "stopped": answer.stopped,
            "loss": loss,
            "num_targets": example.num_targets,
            "num_tokens": len(answer.ids),
        }
        for row, answer, loss, example in zip(rows, written, losses, examples, strict=True)
    ]
