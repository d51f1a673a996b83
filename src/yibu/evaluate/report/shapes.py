"""What a report is made from. Nothing here reads files: the stage hands over what the artifacts hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yibu.pages.lineage import Lineage

Table = Mapping[str, Any]


@dataclass(frozen=True)
class TestRow:
    """One test row as a person is to see it; predictions refer to it by its id.

    Attributes:
        prompt: the variable part of the prompt.
        truth: what would have been right, by field (``Task.truth``).
    """

    __test__ = False  # its name makes pytest think that it is a class of tests

    prompt: str
    truth: Mapping[str, str]


@dataclass(frozen=True)
class ReportData:
    """Everything on the page. Parts that a run did not make are left empty, and their sections are left out.

    Attributes:
        recipe: name of the recipe.
        base: name of the base, as the recipe has it.
        task: kind of the task, ``"classify"`` or ``"generate"``.
        language: language of the rows, ``"en"`` or ``"zh"`` (that of the page is an argument of `render`).
        data: ``summary.json`` of the data artifact.
        model: ``summary.json`` of the model artifact; ``lengths["histogram"]`` lists the tokens of every train row.
        plan: ``plan.json``: one table per class of trained modules.
        history: lines of ``history.jsonl``.
        metrics: ``metrics.json``.
        folds: ``folds.json`` of a cross-validation.
        predictions: lines of ``predictions.jsonl``.
        rows: test row id -> what it asked and what would have been right.
        lineage: artifact ids, versions, seconds per stage, date, command.
    """

    recipe: str
    base: str
    task: str
    language: str
    metrics: Table
    data: Table = field(default_factory=dict)
    model: Table = field(default_factory=dict)
    plan: Sequence[Table] = ()
    history: Sequence[Table] = ()
    folds: Table | None = None
    predictions: Sequence[Table] = ()
    rows: Mapping[str, TestRow] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=Lineage)
