"""One fold of a cross-validation, as a data artifact like any other: what follows need not know that it is a fold.

The rows of train and validation take part, by the fold that `yibu.prepare.prepare` gave them, so that neither a group
nor a cluster of near duplicates is torn apart. Test rows do not: folds may be looked at while a recipe is worked on,
and test stays untouched. The rows of a fold are the test rows of its artifact; of the others, those of train are
trained on, and those of validation choose the best step and fit the calibration.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from pydantic import Field

from yibu import tasks
from yibu.core.errors import RecipeError
from yibu.core.recipe import Settings
from yibu.core.record import SPLITS, Row, Split, read_rows
from yibu.core.store import Artifact, Work, stage
from yibu.prepare.leaks import TARGET_IN_TRAIN
from yibu.prepare.same import key
from yibu.tasks import Task


class FoldConfig(Settings):
    """Which fold."""

    number: int = Field(ge=0, description="from 0")


@stage(version=1)
def fold(config: FoldConfig, work: Work, *, data: Artifact) -> None:
    """The rows of one fold as test, the others as train and validation.

    Writes ``train.jsonl``, ``valid.jsonl``, ``test.jsonl`` and ``summary.json`` (``labels``, ``language``, ``task``,
    ``splits``, ``target_in_train``, ``fold``).

    Raises:
        RecipeError: the rows have no such fold.
    """
    summary = data.read_json("summary.json")
    folds = summary.get("folds")
    if folds is None or config.number >= folds["k"]:
        raise RecipeError(
            "The rows have no such fold.",
            got=config.number,
            allowed="rows that were prepared without folds" if folds is None else f"0 to {folds['k'] - 1}",
            do="set data.split.folds or evaluate.folds, and prepare the rows again",
        )
    task = tasks.build(tasks.settings_of(summary["task"]), summary["labels"])
    trained = {_answer(task, row) for row in read_rows(data.file("train.jsonl")) if row.fold != config.number}
    counts = dict.fromkeys(SPLITS, 0)
    known = 0
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(work.file(f"{split}.jsonl").open("w", encoding="utf-8")) for split in SPLITS
        }
        for source in ("train", "valid"):
            for row in read_rows(data.file(f"{source}.jsonl")):
                split: Split = "test" if row.fold == config.number else source
                if split == "test" and (answer := _answer(task, row)) is not None and answer in trained:
                    row, known = replace(row, flags=(*row.flags, TARGET_IN_TRAIN)), known + 1
                files[split].write(replace(row, split=split).to_json() + "\n")
                counts[split] += 1
    work.write_json(
        "summary.json",
        {
            **{name: summary[name] for name in ("labels", "language", "task")},
            "splits": counts,
            "target_in_train": known,
            "fold": {"number": config.number, "k": folds["k"]},
        },
    )
    work.notes["rows"] = counts


def _answer(task: Task, row: Row) -> int | None:
    """What stands for the free text of a target; None where it is labels alone."""
    truth = task.truth(row)
    text = "\n".join(truth[measure.field] for measure in task.measures if measure.kind != "label")
    return key(text) if text.strip() else None
