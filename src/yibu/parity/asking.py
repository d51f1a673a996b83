"""What a system answers to rows, and what each answer is worth: the scores that `yibu.parity.gain` compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yibu.core.errors import DataError
from yibu.core.record import Row
from yibu.metrics import scores, structured
from yibu.metrics.calibration import Correction
from yibu.metrics.resample import Additive, FloatArray
from yibu.model.assemble import Assembled, use_generating_attention
from yibu.model.generate import generate
from yibu.model.packing import common_prefix, example_losses, make_pack, split_by_tokens
from yibu.model.score import score_answers, tree_is_exact
from yibu.tasks import Task


def answers_of(
    system: Assembled,
    task: Task,
    rows: Sequence[Row],
    batch_size: int = 16,
    correction: Correction | None = None,
) -> list[str]:
    """The answer to each row: the most likely label of a closed set, else greedy text.

    The same as `yibu.evaluate.answer` gives, for a model that has no artifact of its own yet.

    Args:
        correction: of the labels' scores, as a report found it.

    Raises:
        DataError: no rows.
    """
    if not rows:
        raise DataError("There are no rows to ask a model about.", do="let data.split keep some rows for validation")
    prompts = [system.renderer.prompt(task.messages(row)) for row in rows]
    if task.closed_set and task.labels:
        words = [system.renderer.answer(task.answer_text(label), task.messages(rows[0])) for label in task.labels]
        tree = system.packed and tree_is_exact(system.model, prompts[0], words)
        found = score_answers(system.model, prompts, words, tree=tree, title="choosing labels")
        scores_NL = found.double().numpy() if correction is None else correction.apply(found.double().numpy())
        return [task.labels[int(best)] for best in scores_NL.argmax(-1)]
    use_generating_attention(system.model, system.facts)
    written = generate(system.model, system.renderer, prompts, task.max_new_tokens, batch_size)
    return [answer.text for answer in written]


def losses_of(system: Assembled, task: Task, rows: Sequence[Row], pack_tokens: int = 2048) -> FloatArray:
    """Loss of each row's right answer, summed over its tokens, in nats ``[N]``."""
    examples = [system.renderer.example(task.messages(row), task.target(row), row.id) for row in rows]
    prefix = common_prefix(examples) if system.packed else 0
    losses: list[float] = []
    for few in split_by_tokens(examples, pack_tokens, system.packed):
        losses += example_losses(system.model, make_pack(few, prefix).to(system.device)).tolist()
    return np.asarray(losses, dtype=float)


def fields_of(task: Task, answers: Sequence[str]) -> list[dict[str, str]]:
    """Answers taken apart into the fields that are measured; a label of a closed set is first put into its words."""
    labels = set(task.labels or ()) if task.closed_set else set[str]()
    return [task.parse(task.answer_text(answer) if answer in labels else answer) for answer in answers]


def row_scores(task: Task, rows: Sequence[Row], said: Sequence[Mapping[str, str]], language: str) -> FloatArray:
    """What each answer is worth, 0 to 1 ``[N]``: the mean over the task's fields of the headline metric of each.

    Right or wrong for labels and exact fields, ROUGE-1 for texts, notes and concepts, the share of numbers kept, F1 of
    entities and relations, the share of right JSON fields. A field that a row has no truth for is left out of its mean;
    a row without any counts as right.

    Args:
        said: fields of each answer, see `fields_of`.
        language: ``"en"`` or ``"zh"``, of tokens.
    """
    columns = []
    for measure in task.measures:
        right = [task.truth(row)[measure.field] for row in rows]
        answered = [fields.get(measure.field, "") for fields in said]
        columns.append(_scores(measure.kind, right, answered, language))
    values = np.stack(columns, axis=1)
    known = np.isfinite(values)
    totals, counts = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), 1.0)


def _scores(kind: str, right: list[str], said: list[str], language: str) -> FloatArray:
    if kind in ("label", "exact"):
        return scores.exact_match(right, said)
    if kind == "number":
        return scores.numbers_kept(right, said)
    if kind == "json":
        return _by_row(structured.json_fields(right, said).fields)
    if kind == "spans":
        return _by_row(next(iter(structured.entities(right, said).f1.values())))
    if kind == "relations":
        return _by_row(next(iter(structured.relations(right, said).f1.values())))
    return scores.rouge(right, said, language)[scores.ROUGE_KINDS[0]]


def _by_row(measure: Any) -> FloatArray:
    """A measure that is made of sums, for each row alone."""
    found: Additive = measure
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(found.of(found.parts), dtype=float)
