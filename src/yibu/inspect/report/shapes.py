"""What the data report is made from. Nothing here reads files: the stage hands over what the artifacts hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from yibu.pages.lineage import Lineage

Table = Mapping[str, Any]
Unit = Literal["tokens", "characters"]


@dataclass(frozen=True)
class Lengths:
    """How long rows are, prompt and target together, split by split.

    Attributes:
        unit: what is counted.
        counts: split -> length -> number of rows.
        sampled: True where only some rows of a split were measured, chosen by the hash of their id.
    """

    unit: Unit
    counts: Mapping[str, Mapping[int, int]]
    sampled: bool = False


@dataclass(frozen=True)
class Loss:
    """Rows that are not there any more: why, how many, and where some of them are.

    Attributes:
        step: name of the step that took them out.
        reason: what the step says; empty where the step is reason enough.
        n: rows.
        places: ``file:line`` of a few; an id where the row came from no file.
        others: ids of the rows that they repeat, one for each place; empty where they repeat none.
    """

    step: str
    reason: str
    n: int
    places: Sequence[str] = ()
    others: Sequence[str] = ()


@dataclass(frozen=True)
class DataFigures:
    """Everything on the page. What a run did not make is left empty, and its section is left out.

    Attributes:
        recipe: name of the recipe.
        task: kind of the task, e.g. ``"classify"``.
        language: language of the rows, ``"en"`` or ``"zh"`` (that of the page is an argument of `render`).
        summary: ``summary.json`` of the data artifact.
        losses: rows that were taken out, by step and reason, with places; never their text.
        lengths: None where nothing was measured.
        examples: a few rows before and after a step, each ``{"id", "step", "field", "before", "after"}``. Rows that
            held personal data come with an empty ``before``.
        consistency: see `yibu.inspect.consistency.find`.
        suspects: see `yibu.inspect.labels.suspects`.
        coverage: see `yibu.inspect.coverage.table`.
        review: lines of ``review.csv`` by problem, see `yibu.inspect.review.write`.
        lineage: artifact ids, versions, seconds per stage, date, command.
    """

    recipe: str
    task: str
    language: str
    summary: Table
    losses: Sequence[Loss] = ()
    lengths: Lengths | None = None
    examples: Sequence[Table] = ()
    consistency: Table = field(default_factory=dict)
    suspects: Table = field(default_factory=dict)
    coverage: Table = field(default_factory=dict)
    review: Mapping[str, int] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=Lineage)

    @property
    def sizes(self) -> dict[str, int]:
        """Kept rows by split, without those that augmentation added to train."""
        sizes = {split: int(n) for split, n in self.summary.get("splits", {}).items()}
        return {**sizes, "train": sizes["train"] - self.num_added} if "train" in sizes else sizes

    @property
    def num_added(self) -> int:
        """Train rows that augmentation added."""
        found: Table = self.summary.get("augmented") or {}
        return sum(int(kind.get("rows", 0)) for kind in found.values())

    @property
    def num_kept(self) -> int:
        """Kept rows of all splits."""
        return sum(self.sizes.values())

    @property
    def privacy(self) -> Table:
        """Personal data found, by kind; empty where nobody looked or nothing was found."""
        found: Table = self.summary.get("privacy") or {}
        return found

    @property
    def funnel(self) -> list[dict[str, Any]]:
        """See `funnel_of`."""
        return funnel_of(self.summary)

    @property
    def unaccounted(self) -> int:
        """Rows that were read and are neither kept nor among those taken out; 0 where all is well."""
        steps = self.funnel
        if len(steps) < 2:
            return 0
        taken = sum(int(step["n"]) for step in steps[1:-1])
        return int(steps[0]["n"]) - taken - int(steps[-1]["n"])


def funnel_of(summary: Table) -> list[dict[str, Any]]:
    """From read to kept, ``{"step", "n", "reasons"}`` each; made of older figures where the summary has no funnel."""
    if summary.get("funnel"):
        return [dict(step) for step in summary["funnel"]]
    if summary.get("rows_read") is None:
        return []
    steps: list[dict[str, Any]] = [
        {"step": "read", "n": summary["rows_read"]},
        {"step": "rejected", "n": summary.get("rejected", 0), "reasons": summary.get("reject_reasons", {})},
    ]
    steps += [{"step": step, "n": n} for step, n in (summary.get("dropped") or {}).items()]
    return [*steps, {"step": "kept", "n": sum(int(n) for n in summary.get("splits", {}).values())}]
