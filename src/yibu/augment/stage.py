"""The stage: a data artifact in, a data artifact of the same form out.

Only train grows, and only behind its original rows, whose bytes do not change. Valid, test and everything else are
copied byte for byte. What depends on a row depends on its id and the seed alone, so that the copies of old rows stay
when rows are added.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from yibu import tasks
from yibu.augment.copies import Growing, Prompts, Rows, grow
from yibu.augment.rewrites import Finished
from yibu.augment.robustness import Attacking, adversarial, adversarial_train, noisy
from yibu.augment.rows import fields_to_change
from yibu.augment.settings import AugmentSettings, digests
from yibu.core import log
from yibu.core.progress import track
from yibu.core.record import SPLITS, Row, read_rows
from yibu.core.store import Artifact, Work, stage
from yibu.tasks import Task

_logger = log.get("augment")

TRAIN, CHANGES, SUMMARY, ROBUSTNESS = "train.jsonl", "changes.jsonl", "summary.json", "robustness.jsonl"


@stage(version=1, resumable=True, external=digests, neutral=("calls",))
def augment(config: AugmentSettings, work: Work, *, data: Artifact) -> None:
    """A larger train split, and rows to try the model on.

    Writes ``train.jsonl`` (the original rows, then copies with ids such as ``<id>~homophones1`` and the flag
    ``augmented``), ``robustness.jsonl`` (versions of test rows, for evaluation only), ``changes.jsonl`` (what
    `prepare` wrote, then one line per copy and field: id, step, field, what, ids that it comes from; no text),
    ``summary.json`` (with ``augmented`` and ``robustness``, and the new size of train) and every other file of the
    data as it is.

    A run that stops half-way (an endpoint that dies, a killed process) keeps its finished rewrites and is resumed.

    Raises:
        RecipeError: a step that the task cannot have; a field that it does not have.
        DataError: an attack where there are no classes.
        YibuError: an endpoint does not answer.
    """
    summary = data.read_json(SUMMARY)
    task = tasks.build(tasks.settings_of(summary["task"]), summary.get("labels"))
    fields = fields_to_change(task, config.fields)
    for name in data.manifest.files:
        if name not in (SUMMARY, ROBUSTNESS):
            shutil.copyfile(data.file(name), work.file(name))

    def train() -> Iterable[Row]:
        return read_rows(data.file(TRAIN))

    attacking = None if config.attack is None else Attacking(config, fields, train)
    growing = _grow(config, work, data, task, fields, train, attacking)
    robust = _robustness(config, work, data, fields, attacking)
    summary["splits"] = {**summary["splits"], "train": summary["splits"]["train"] + growing.num_rows}
    summary["augmented"] = {kind: tally.as_json() for kind, tally in growing.tallies.items()}
    summary["robustness"] = robust
    work.write_json(SUMMARY, summary)
    work.notes["rows"] = summary["splits"]
    made = ", ".join(f"{kind} {tally.rows}" for kind, tally in growing.tallies.items())
    _logger.info("copies: %s; train has %d rows", made or "none", summary["splits"]["train"])


def _grow(
    config: AugmentSettings,
    work: Work,
    data: Artifact,
    task: Task,
    fields: tuple[str, ...],
    rows: Rows,
    attacking: Attacking | None,
) -> Growing:
    """Append copies to train, and to the list of changes."""
    prompts = Prompts(task)
    for split in SPLITS:
        for row in read_rows(data.file(f"{split}.jsonl")):
            prompts.add(row)
    with ExitStack() as stack:
        train = stack.enter_context(_append(work.file(TRAIN)))
        changes = stack.enter_context(_append(work.file(CHANGES)))
        finished = stack.enter_context(closing(Finished(work.scratch / "rewrites.jsonl")))
        if len(finished):
            _logger.info("%d rewrites were finished by an earlier run", len(finished))
        growing = Growing(prompts, train, changes)
        with track("augmenting", total=len(config.steps) + config.add_attacks_to_train) as progress:
            grow(config, task, fields, rows, growing, finished, progress.advance)
            if attacking is not None and config.add_attacks_to_train:
                adversarial_train(attacking, growing)
                progress.advance()
    return growing


def _robustness(
    config: AugmentSettings, work: Work, data: Artifact, fields: tuple[str, ...], attacking: Attacking | None
) -> dict[str, Any]:
    """Write ``robustness.jsonl``; empty where nothing was asked for."""
    how = config.robustness
    found: dict[str, Any] = {"split": how.split if how else "test", "noise": {}, "attack": {}}
    source = data.file(f"{found['split']}.jsonl")
    with work.file(ROBUSTNESS).open("w", encoding="utf-8") as out:
        if how is not None:
            found["noise"] = noisy(how, config.seed, fields, lambda: read_rows(source), out)
        if attacking is not None:
            found["attack"] = {attacking.kind: adversarial(attacking, lambda: read_rows(source), out)}
    return found


def _append(path: Path) -> Any:
    """A text file at its end; a last line without an end gets one."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            file.seek(-1, 2)
            ended = file.read(1) == b"\n"
        file_out = path.open("a", encoding="utf-8")
        if not ended:
            file_out.write("\n")
        return file_out
    return path.open("a", encoding="utf-8")
