"""A run again, from its own log: to the same bits, or without some of its rows.

``batches.jsonl`` says which rows passed through the model in which pass, at which rate, with which random numbers. From
the same start under the same conditions (``fingerprint.json``) that gives the same adapter, byte for byte. Order, rates
and random numbers are taken from the log, never drawn again.

``without`` leaves rows out, as if they had been deleted before training. Steps stay where they were: a step that has
lost rows is the mean over those that are left, a step that has lost all of them changes nothing. What was measured on
the rows (class weights, an adapter's first values, validation) is measured on those that are left, and the best step is
chosen again. Which rows were drawn into which step by a weighted sampler stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yibu.core.disk import digest_file
from yibu.core.errors import DataError, InputError, TrainingError
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.record import read_rows
from yibu.core.store import Artifact, Store
from yibu.model.packing import make_pack
from yibu.model.render import Example
from yibu.train import BaseSettings, Config
from yibu.train.batchlog import BATCHES, SALT, Pass, RowNames, read_batches
from yibu.train.fingerprint import FINGERPRINT, require_same
from yibu.train.layout import Layout, PassTooLarge, read_cuts
from yibu.train.loop import TrainPass, copies, make_optimizer, take_step, validation_loss
from yibu.train.run import Ready, fingerprint, make_ready, save_adapter

log = get("replay")
# What may differ when rows are left out: what depends on them, and what only orders a sum, as no bits are compared.
_OF_THE_ROWS = ("rows", "start", "processes", "sharded")


@dataclass(frozen=True)
class Replayed:
    """What came out of a replay.

    Attributes:
        same: every file of the adapter has the SHA-256 of the run's own; None where rows were left out, as they differ
            by intention.
        recorded, found: SHA-256 of each file of the adapter, as it was made and as it was made again.
        steps: optimizer steps that were taken again.
        best_step: the step whose weights were kept.
        left_out: rows of the data that were left out; ids that the data does not have are no error, but not counted.
        touched: steps whose gradient is another than it was; all, where a weight of every row has changed.
        emptied: those among them that lost all their rows, and changed nothing.
        first_other_loss: the first step whose loss is not the one in ``history.jsonl`` (only without left-out rows).
        folder: holds the adapter that was made again.
    """

    same: bool | None
    recorded: dict[str, str]
    found: dict[str, str]
    steps: int
    best_step: int
    left_out: int
    touched: tuple[int, ...]
    emptied: tuple[int, ...]
    first_other_loss: int | None
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "folder": str(self.folder)}


def replay(
    model: Artifact,
    data: Artifact,
    base: BaseSettings,
    folder: Path,
    without: Set[str] = frozenset(),
) -> Replayed:
    """Train again from the log of a model artifact, and compare.

    Args:
        model: what `yibu.train.train` made.
        data: the rows that it was made from.
        base: the base as it is found now, see `base_of`.
        folder: where the adapter is written; must be empty or not there.
        without: ids of rows to leave out.

    Raises:
        InputError: no run that can be replayed, other data, or a fingerprint that differs; names every difference.
        DataError: the log names rows that the data does not have.
        Damaged: a log that cannot be read.
        TrainingError: memory does not suffice for a pass that it once sufficed for.
    """
    config = _config_of(model, data, base)
    if folder.exists() and any(folder.iterdir()):
        raise InputError("The folder for the replayed adapter is not empty.", got=folder)
    recorded = model.read_json(FINGERPRINT)
    cuts = recorded.pop("cuts")
    steps = read_batches(model.file(BATCHES))
    names = RowNames.read(model.file(SALT))
    left_out = _present(data, without)
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    log.info("replaying %d steps, %d rows left out", len(steps), len(left_out))
    ready = make_ready(config, data, left_out)
    if left_out:  # a pass keeps the common beginning that it had: the same numbers, in the same order
        ready = _as_it_was(ready, recorded)
    _require_conditions(recorded, fingerprint(config, ready, data), bool(left_out))
    rows = {names.of(example.name): example for example in ready.train_examples}
    if len(rows) != len(ready.train_examples):
        raise InputError("Two rows of the data have the same id, so the log does not say which one was meant.")
    gone = {names.hash(id) for id in left_out} | {names.of(id) for id in left_out}
    _check_rows(steps, rows, gone)

    weights, best_step, done = _train(config, ready, model, steps, rows, Layout.of(read_cuts(cuts)), bool(left_out))
    save_adapter(config, ready, weights, folder)
    before = {name: file.sha256 for name, file in model.manifest.files.items() if name.startswith("adapter/")}
    after = {f"adapter/{p.relative_to(folder).as_posix()}": digest_file(p) for p in _files(folder)}
    touched, emptied = _touched(steps, rows, gone)
    if left_out and ready.balance is not None and ready.balance.remedy == "class_weights":
        touched = tuple(range(1, len(steps) + 1))  # a class of fewer rows weighs more a row
    return Replayed(
        same=None if left_out else before == after,
        recorded=before,
        found=after,
        steps=len(done),
        best_step=best_step,
        left_out=len(left_out),
        touched=touched,
        emptied=emptied,
        first_other_loss=None if left_out else _first_other_loss(model, done),
        folder=folder,
    )


def base_of(model: Artifact, store: Store) -> BaseSettings:
    """The base of a run as it is found now: by its name, else where the run had it.

    Raises:
        InputError: the artifact is no trained model, or its base is gone.
    """
    from yibu.model.resolve import resolve

    if model.manifest.stage != "train":
        raise InputError("This artifact is no run that can be replayed.", got=model.id, allowed="a trained model")
    then = Config.model_validate(model.manifest.config).base
    try:
        found = resolve(then.name, store)
    except InputError:  # a path that was relative to another folder
        found = resolve(then.path, store)
    return BaseSettings(name=then.name, path=str(found.path), digest=found.digest)


def _config_of(model: Artifact, data: Artifact, base: BaseSettings) -> Config:
    missing = [name for name in (BATCHES, SALT, FINGERPRINT) if name not in model.manifest.files]
    if model.manifest.stage != "train" or missing:
        raise InputError(
            "This artifact is no run that can be replayed.",
            got=f"{model.id}, without {', '.join(missing)}" if missing else model.id,
            allowed="a model that this version of yibu trained",
            do="train it again: `yibu train` writes the log by itself",
        )
    if model.manifest.inputs.get("data") != data.id:
        raise InputError("This run was trained on other rows.", got=data.id, allowed=model.manifest.inputs.get("data"))
    config = Config.model_validate(model.manifest.config)
    # The name stands in the adapter's files, so it stays what it was; place and content are those of now.
    now = config.base.model_copy(update={"path": base.path, "digest": base.digest})
    return config.model_copy(update={"base": now})


def _present(data: Artifact, without: Set[str]) -> set[str]:
    """Ids to leave out that are rows of train or of validation."""
    if not without:
        return set()
    ids = {row.id for split in ("train", "valid") for row in read_rows(data.file(f"{split}.jsonl"))}
    unknown = len(without - ids)
    if unknown:
        log.warning("%d of %d rows to leave out are in neither train nor validation", unknown, len(without))
    return set(without) & ids


def _as_it_was(ready: Ready, recorded: Mapping[str, Any]) -> Ready:
    """With the common beginning of the run's own rows, which those that are left share too."""
    setting = replace(ready.setting, packed=recorded["packed"], prefix=recorded["prefix"])
    if setting.lower is not None:  # what is kept of a row begins behind the common beginning
        setting.lower.fill([*ready.train_examples, *ready.valid], setting.prefix)
    return replace(ready, setting=setting)


def _require_conditions(recorded: Mapping[str, Any], found: Mapping[str, Any], left_out: bool) -> None:
    apart = _OF_THE_ROWS if left_out else ()
    require_same(
        {key: value for key, value in recorded.items() if key not in apart},
        {key: value for key, value in found.items() if key not in apart},
    )


def _check_rows(steps: Sequence[Sequence[Pass]], rows: Mapping[str, Example], gone: Set[str]) -> None:
    named = {row for step in steps for one in step for row in one.rows}
    unknown = [row for row in named if row not in rows and not _is_gone(row, gone)]
    if unknown:
        raise DataError(
            "The batch log names rows that are not in the data.",
            got=f"{len(unknown)} of {len(named)} rows",
            do="hand over the data artifact that the run was trained on, and its own salt",
        )


def _is_gone(row: str, gone: Set[str]) -> bool:
    return row in gone or row.partition("#")[0] in gone  # a row, or a part of one


def _train(
    config: Config,
    ready: Ready,
    model: Artifact,
    steps: Sequence[Sequence[Pass]],
    rows: Mapping[str, Example],
    layout: Layout,
    left_out: bool,
) -> tuple[dict[str, Tensor], int, dict[int, float]]:
    """The weights that are kept, their step, and the loss of each step that was taken.

    With all rows the best step is known, so nothing behind it is trained and nothing is validated again.
    """
    setting, trainable = ready.setting, ready.trainable
    summary = model.read_json("summary.json")
    optimizer = make_optimizer(trainable, config.train, ready.adapter)
    scaler = torch.amp.GradScaler(setting.device.type, enabled=setting.dtype == torch.float16)
    last = len(steps) if left_out else int(summary["best_step"])
    validated = _validated(model) if left_out and ready.valid else []
    best: dict[str, Tensor] = {}
    best_loss, best_step = float("inf"), last
    losses: dict[int, float] = {}
    with track("replaying", total=last) as bar:
        for step, logged in enumerate(steps[:last], start=1):
            passes = []
            for one in logged:
                run = [rows[row] for row in one.rows if row in rows]
                if run:
                    passes.append(TrainPass(run, make_pack(run, setting.prefix), one.seed))
            try:
                if passes:
                    losses[step], _ = take_step(
                        ready.base.model,
                        trainable,
                        passes,
                        logged[0].lr,
                        optimizer,
                        scaler,
                        config.train.max_grad_norm,
                        setting,
                    )
                    optimizer.zero_grad(set_to_none=True)
                if step in validated:
                    loss = validation_loss(ready.base.model, ready.valid, layout.at(step).tokens, setting)
                    if loss < best_loss:
                        best_loss, best_step, best = loss, step, copies(trainable)
            except PassTooLarge as error:
                raise TrainingError(
                    "Memory does not suffice for a pass of the run; cut smaller, it would end in other bits.",
                    got=f"step {step}: {error}",
                    do="free memory, or use a machine like the one it was trained on",
                ) from error
            bar.advance()
    return best or copies(trainable), best_step, losses


def _history(model: Artifact) -> list[dict[str, Any]]:
    return [json.loads(line) for line in model.file("history.jsonl").read_text(encoding="utf-8").splitlines()]


def _validated(model: Artifact) -> list[int]:
    return [int(entry["step"]) for entry in _history(model) if "valid_loss" in entry]


def _first_other_loss(model: Artifact, found: Mapping[int, float]) -> int | None:
    recorded = {int(entry["step"]): entry["loss"] for entry in _history(model) if "loss" in entry}
    return next((step for step in sorted(found) if found[step] != recorded.get(step)), None)


def _touched(
    steps: Sequence[Sequence[Pass]], rows: Mapping[str, Example], gone: Set[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Steps that had a row that is gone, and those that had no other."""
    touched, emptied = [], []
    for number, step in enumerate(steps, start=1):
        names = [row for one in step for row in one.rows]
        if any(row not in rows and _is_gone(row, gone) for row in names):
            touched.append(number)
            if not any(row in rows for row in names):
                emptied.append(number)
    return tuple(touched), tuple(emptied)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
