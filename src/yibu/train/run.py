"""From artifacts to an adapter: render, prove, train, save."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from yibu import adapters, tasks
from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.recipe import Settings
from yibu.core.record import Split, read_rows
from yibu.core.store import Artifact, Work
from yibu.model.assemble import Assembled, choose_device, choose_dtype, for_answers, for_training
from yibu.model.lower import LOWER, Lower
from yibu.model.packing import common_prefix, context_length, hidden_states, make_pack, split_by_tokens
from yibu.model.render import Example, Renderer
from yibu.train import TRACKERS, TRIAL, Config, TrainSettings, TrialConfig, sweep
from yibu.train.balance import Balance, balance_of, check_labels, draw_weights, label_span, weigh
from yibu.train.batches import Fitted, fit_lengths
from yibu.train.batchlog import BATCHES, SALT, RowNames
from yibu.train.checkpoint import newest_step
from yibu.train.fingerprint import FINGERPRINT, digest_examples, digest_tensors, machine, sample_files
from yibu.train.layout import Cut, Layout
from yibu.train.loop import Progress, Setting, fit
from yibu.train.proof import (
    PROOF,
    Check,
    Proof,
    check_accumulation,
    check_ends,
    check_packing,
    check_rows,
    probe_memory,
    timed,
)
from yibu.train.shard import refuse_unshardable, replace_by_whole, shard
from yibu.train.sweep import FILE, Sweep
from yibu.train.team import ALONE, Team

log = get("train")
PREVIEW = 5
SWEEP = "lr_sweep"
_OF_THE_RANK = ("device", "device_name", "cpu", "threads")  # may differ between machines: only the last bits follow
INITIAL_ROWS = 64  # that an adapter's first values are taken from, where its kind has such


@dataclass(frozen=True)
class Ready:
    """All that training needs, the same for a run and for its replay.

    Attributes:
        base: model with a fresh adapter.
        adapter: settings of the adapter, completed by what was measured on the rows.
        train: rows that are trained on, as they fit; weights of classes stand in `train_examples`.
        train_examples, valid: rows with their weights.
        balance: what is done about rare classes; None: nothing.
        packing: what was found about packing, see `yibu.train.proof`.
        trainable: name -> fp32 parameter.
        classes: name -> module class of the plan.
        valid_left_out: validation rows that are too long.
        start: SHA-256 of the trained weights before the first step.
    """

    base: Assembled
    adapter: Settings
    labels: list[str] | None
    train: Fitted
    train_examples: list[Example]
    valid: list[Example]
    balance: Balance | None
    setting: Setting
    packing: Check
    trainable: dict[str, nn.Parameter]
    classes: dict[str, str]
    valid_left_out: int
    start: str


def run(config: Config, work: Work, data: Artifact, trials: Sequence[Artifact] = ()) -> None:
    """The body of the stage `yibu.train.train`: here, or in as many processes as are wanted."""
    from yibu.train import launch

    found = [one.read_json(TRIAL) for one in trials]
    if found and not (work.scratch / SWEEP / FILE).is_file():
        sweep.keep(work.scratch / SWEEP, {one["lr"]: one["valid_loss"] for one in found})
    if not launch.elsewhere(config, work, data):
        train_on(config, work, data, ALONE)


def try_rate(config: TrialConfig, work: Work, data: Artifact) -> None:
    """The body of the stage `yibu.train.trial`."""
    ready = make_ready(config, data)
    layout = Layout(first_rows(config.train, ALONE), config.train.pack_tokens, work.scratch / "layout.json")
    tried = find_rate(config, ready, fingerprint(config, ready, data), layout, work, only=config.rate)
    assert tried is not None
    (trial,) = tried.trials
    work.write_json(TRIAL, {"lr": trial.lr, "valid_loss": trial.valid_loss, "steps": tried.steps})


def train_on(config: Config, work: Work, data: Artifact, team: Team) -> None:
    """What each process does; where there are several, all but the first write into a folder that is thrown away."""
    settings = config.train
    if settings.shard == "full" and team.size == 1:
        log.warning("train.shard: full cuts nothing, for there is one process (train.processes, or torchrun)")
    ready = make_ready(config, data, team=team)
    base, setting, trainable = ready.base, ready.setting, ready.trainable
    assert base.plan is not None
    work.write_json("plan.json", base.plan.table())
    work.write_json("preview.json", [base.renderer.pieces(example) for example in ready.train.examples[:PREVIEW]])
    log.info(
        "training %s of %s parameters (%.2f %%) on %d rows, %s on %s",
        f"{trained_parameters(base.model):,}",
        f"{total_parameters(base.model):,}",
        100 * trainable_ratio(base.model),
        len(ready.train_examples),
        str(base.dtype).removeprefix("torch."),
        base.device,
    )
    facts = fingerprint(config, ready, data, team)
    same = {key: value for key, value in facts.items() if key not in _OF_THE_RANK}
    team.agree({**same, "base_files": sample_files(Path(config.base.path))}, "before the first step")
    layout = Layout(first_rows(settings, team), settings.pack_tokens, work.scratch / "layout.json")
    checkpoints = work.scratch / "checkpoints"
    begin, cuts = team.hear_first([newest_step(checkpoints), layout.as_list()], "before the first step")
    layout.agree([cuts])
    prove(ready, settings, layout, work, begin, team)
    rates = find_rate(config, ready, facts, layout, work, team)
    settings = settings if rates is None else settings.model_copy(update={"lr": rates.lr})
    trackers = [
        TRACKERS.load(name).Tracker(work.path.name, config.as_config(), work.path.parent.parent)
        for name in (settings.trackers if team.first else ())
    ]

    def listen(step: int, values: Any) -> None:
        for tracker in trackers:
            tracker.log(values, step)

    best, progress = fit(
        base.model,
        trainable,
        ready.train_examples,
        ready.valid,
        settings,
        setting,
        work.path / "history.jsonl",
        checkpoints,
        ready.classes,
        facts,
        listen,
        draw_weights(ready.balance, ready.train_examples),
        adapter=ready.adapter,
        layout=layout,
        batch_log=(work.path / BATCHES, RowNames.make(work.path / SALT)),
        team=team,
    )
    for tracker in trackers:
        tracker.close()
    if not team.first:
        return
    save_adapter(config, ready, best, work.file("adapter/adapter_config.json").parent)
    work.write_json(FINGERPRINT, {**facts, "cuts": layout.as_list()})
    work.write_json("summary.json", summary(config, ready, progress, layout, rates, team))


def first_rows(settings: TrainSettings, team: Team) -> int:
    """Rows of a pass at first: ``train.batch``, less where a step would not have a pass for each process."""
    return min(settings.batch, math.ceil(settings.batch * settings.accumulate / team.size))


def make_ready(config: Config, data: Artifact, without: Set[str] = frozenset(), team: Team = ALONE) -> Ready:
    """The model and the rows, up to the first step.

    Args:
        without: ids of rows that are left out of training, validation and all that is measured on rows.
        team: the processes that will share the work.

    Raises:
        YibuError: as `yibu.train.train`.
    """
    settings = config.train
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    labels = data.read_json("summary.json")["labels"]
    task = tasks.build(config.task, labels)
    check_labels(settings, task)
    marks = settings.class_weights != "none"

    def rows(renderer: Renderer, split: Split) -> list[Example]:
        return [row for row in render(task, renderer, data, split, marks) if row.name not in without]

    adapter = config.adapter
    path = Path(config.base.path)
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    if hasattr(plug, "needs_scores") and plug.needs_scores(adapter):
        adapter = _scored(config, rows)
    torch.manual_seed(settings.seed)
    base = _assemble(path, adapter, settings, team)
    assert base.plan is not None

    wanted = None if settings.max_length == "auto" else settings.max_length
    context = context_length(base.model)
    train = fit_lengths(rows(base.renderer, "train"), wanted, context, settings.too_long)
    given = rows(base.renderer, "valid")
    valid = fitting(given, train.max_length)
    valid_left_out = len(given) - len(valid)
    balance = balance_of(settings, train.examples)
    train_examples, valid = weigh(balance, train.examples), weigh(balance, valid, validation=True)
    check_stops(train.examples, base.renderer)
    prefix = common_prefix([*train.examples, *valid]) if base.packed else 0
    packed, packing = check_packing(base, train.examples, prefix)
    setting = Setting(base.device, base.dtype, packed, prefix if packed else 0, _is_sharded(settings, team))
    _initialise(base, adapter, train.examples, settings, setting)
    if settings.lower_cache:
        lower = _kept_lower(config, base, [*train_examples, *valid], setting, data)
        setting = replace(setting, lower=lower)
    trainable = {name: p for name, p in base.model.named_parameters() if p.requires_grad}
    team.copy_from_first(list(trainable.values()))  # processors of other kinds round other first values
    return Ready(
        base=base,
        adapter=adapter,
        labels=labels,
        train=train,
        train_examples=train_examples,
        valid=valid,
        balance=balance,
        setting=setting,
        packing=packing,
        trainable=trainable,
        classes={name: base.plan.role_of(name) for name in trainable},
        valid_left_out=valid_left_out,
        start=digest_tensors(trainable),
    )


def _is_sharded(settings: TrainSettings, team: Team) -> bool:
    return settings.shard == "full" and team.size > 1


def _assemble(path: Path, adapter: Settings, settings: TrainSettings, team: Team) -> Assembled:
    """Base and fresh adapter, on the device; where it is sharded, read into main memory first."""
    if not _is_sharded(settings, team):
        return for_training(path, adapter, settings.device, settings.dtype, settings.recompute)
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    refuse_unshardable(adapter, dtype)
    name = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    base = for_training(path, adapter, "cpu", name, settings.recompute)
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    shard(base.model, team, device, getattr(plug, "MASTERS", False))
    return replace(base, device=device)


def _scored(config: Config, rows: Callable[[Renderer, Split], list[Example]]) -> Settings:
    """Settings of an adapter that has to see the rows pass through the base before it can be planned."""
    from yibu.model.experts import completed

    settings = config.train
    plain = for_answers(Path(config.base.path), None, config.adapter.kind, settings.device, settings.dtype)  # type: ignore[attr-defined]
    return completed(
        config.adapter,
        plain.model,
        plain.facts,
        rows(plain.renderer, "train"),
        packed=plain.packed,
        pack_tokens=settings.pack_tokens,
        seed=settings.seed,
        device=plain.device,
    )


def _initialise(
    base: Assembled, adapter: Settings, examples: Sequence[Example], settings: TrainSettings, setting: Setting
) -> None:
    """Values of an adapter that begin from the rows (EVA), where its kind has such."""
    plug = adapters.FAMILY.load(adapter.kind)  # type: ignore[attr-defined]
    if not hasattr(plug, "initialise"):
        return
    few = examples[:: math.ceil(len(examples) / INITIAL_ROWS)]

    @torch.no_grad()
    def run_sample() -> None:
        for few_rows in split_by_tokens(few, settings.pack_tokens, setting.packed):
            hidden_states(base.model, make_pack(few_rows, setting.prefix).to(setting.device))

    plug.initialise(base.model, adapter, run_sample)


def _kept_lower(config: Config, base: Assembled, rows: Sequence[Example], setting: Setting, data: Artifact) -> Lower:
    """What the frozen lower layers make of all rows, computed where it is missing, and proven on some of them."""
    lower = Lower(base.model, data.path.parent.parent / LOWER, config.base.digest)
    lower.fill(rows, setting.prefix)
    difference = lower.check(rows, setting.prefix, setting.packed)
    log.info("training starts at layer %d; losses differ by %.1e at most", lower.first, difference)
    return lower


def prove(ready: Ready, settings: TrainSettings, layout: Layout, work: Work, step: int, team: Team = ALONE) -> None:
    """All that `yibu.train.proof` has, into ``proof.json``.

    Args:
        step: index of the step that the run begins or goes on with.

    Raises:
        TrainingError: something is not as it must be.
    """
    proof = Proof()
    with timed(proof):
        proof.add(ready.packing)
        most = min(1024, settings.pack_tokens)
        proof.add(check_accumulation(ready.base.model, ready.trainable, ready.train_examples, ready.setting, most))
        proof.add(check_ends(ready.train.examples, ready.base.renderer))
        context = context_length(ready.base.model)
        proof.add(check_rows(ready.train, ready.valid, ready.valid_left_out, context))
        draws = draw_weights(ready.balance, ready.train_examples)
        proof.add(
            probe_memory(
                ready.base.model,
                ready.trainable,
                ready.train_examples,
                ready.valid,
                settings,
                ready.setting,
                layout,
                work.scratch,
                step,
                draws,
                team,
            )
        )
    work.write_json(PROOF, proof.as_dict())
    proof.require()


def find_rate(
    config: Config,
    ready: Ready,
    facts: Mapping[str, Any],
    layout: Layout,
    work: Work,
    team: Team = ALONE,
    only: float | None = None,
) -> Sweep | None:
    """The learning rate where the recipe says ``auto``, into ``lr_sweep.json``; None where it names one.

    Args:
        only: try this one alone.
    """
    settings = config.train
    if settings.lr != "auto":
        return None
    found = sweep.choose_lr(
        ready.base.model,
        ready.trainable,
        ready.train_examples,
        ready.valid,
        settings,
        ready.setting,
        ready.classes,
        facts,
        work.scratch / SWEEP,
        centre=sweep.centre_of(config.adapter),
        only=only,
        draw_weights=draw_weights(ready.balance, ready.train_examples),
        adapter=ready.adapter,
        layout=Layout(layout.at(0).rows, layout.at(0).tokens, work.scratch / SWEEP / "layout.json"),
        team=team,
    )
    if only is None:
        work.write_json(FILE, found.as_dict())
    return found


def save_adapter(config: Config, ready: Ready, weights: Mapping[str, Tensor], folder: Path) -> None:
    """The adapter with these weights, and the base's tokenizer."""
    with torch.no_grad():
        for name, parameter in ready.trainable.items():
            if isinstance(parameter, DTensor):
                replace_by_whole(ready.base.model, name, weights[name])
            else:
                parameter.copy_(weights[name])
    adapters.FAMILY.load(config.adapter.kind).save(  # type: ignore[attr-defined]
        ready.base.model, folder, config.base.name
    )
    ready.base.renderer.tokenizer.save_pretrained(folder)


def render(task: Any, renderer: Renderer, data: Artifact, split: Split, mark_labels: bool = False) -> list[Example]:
    """Every row of a split as token ids and loss mask, with its class.

    Args:
        mark_labels: also find the tokens that say the class, where a target says more.
    """
    examples = []
    with track(f"{split} rows to tokens", total=data.read_json("summary.json")["splits"][split]) as bar:
        for row in read_rows(data.file(f"{split}.jsonl")):
            messages, target = task.messages(row), task.target(row)
            example = renderer.example(messages, target, row.id)
            example = replace(example, label=task.label(row))
            if mark_labels and (span := label_span(task, row)) is not None:
                marks = renderer.answer_marks(target, messages, span)
                marks = [False] * (len(example.ids) - len(marks)) + marks
                example = replace(example, label_tokens=tuple(marks))
            examples.append(example)
            bar.advance()
    return examples


def fitting(examples: Sequence[Example], max_length: int) -> list[Example]:
    """Validation rows that fit; the others are left out, whole and by name, since half a row has another loss."""
    long = [example.name for example in examples if len(example.ids) > max_length]
    if long:
        log.warning("%d validation rows are longer than %d tokens and left out: %s", len(long), max_length, long[:5])
    return [example for example in examples if len(example.ids) <= max_length]


def check_stops(examples: Sequence[Example], renderer: Renderer) -> None:
    """Every whole target must end in a trained stop token; parts of a split target but the last have none.

    Raises:
        DataError: rows that would teach the model not to stop.
    """
    stops = set(renderer.stop_ids)
    whole = [example for example in examples if "#" not in example.name]
    without = [example.name for example in whole if not (example.trained[-1] and example.ids[-1] in stops)]
    if without:
        raise DataError(
            f"{len(without)} of {len(whole)} rows do not end in a trained stop token.",
            got=without[:5],
            do="report the chat template of this base",
        )


def total_parameters(model: Any) -> int:
    """Parameters of base and adapter together."""
    return sum(p.numel() for p in model.parameters())


def trained_parameters(model: Any) -> int:
    """Parameters that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def trainable_ratio(model: Any) -> float:
    """Share of trained parameters in all parameters, the adapter included."""
    return trained_parameters(model) / total_parameters(model)


def fingerprint(config: Config, ready: Ready, data: Artifact, team: Team = ALONE) -> dict[str, Any]:
    """What must be equal for a resumed or replayed run to end in the same bits, besides the log of its batches."""
    settings, setting = config.train, ready.setting
    return {
        **machine(ready.base.device),
        "dtype": str(setting.dtype).removeprefix("torch."),
        "recompute": settings.recompute,
        "packed": setting.packed,
        "prefix": setting.prefix,
        "lower_cache": setting.lower is not None,
        "rows_per_step": settings.batch * settings.accumulate,
        "base": config.base.digest,
        "data": data.id,
        "rows": digest_examples([*ready.train_examples, *ready.valid]),
        "start": ready.start,
        "processes": team.size,
        "sharded": setting.sharded,
    }


def summary(
    config: Config, ready: Ready, progress: Progress, layout: Layout, rates: Sweep | None, team: Team = ALONE
) -> dict[str, Any]:
    """``summary.json`` of the model artifact.

    ``class_balance`` is None where classes were left as they are; where not, ``best_valid_loss`` is weighted by class.
    """
    base, train, setting, balance = ready.base, ready.train, ready.setting, ready.balance
    lengths = torch.tensor(train.lengths, dtype=torch.float32)
    return {
        "base": config.base.name,
        "base_digest": config.base.digest,
        "architecture": base.facts.name,
        "task": config.task.as_config(),
        "adapter": config.adapter.as_config(),
        "labels": ready.labels,
        "class_balance": None if balance is None else balance.as_dict(),
        "lr": config.train.lr if rates is None else rates.lr,
        "lr_sweep": None if rates is None else rates.as_dict(),
        "steps": progress.step,
        "epochs": config.train.epochs,
        "best_step": progress.best_step,
        "best_valid_loss": progress.best_loss if progress.best_loss < float("inf") else None,
        "stopped_early": progress.stopped_early,
        "trainable_parameters": trained_parameters(base.model),
        "total_parameters": total_parameters(base.model),
        "trainable_ratio": trainable_ratio(base.model),
        "gradient_check": progress.gradients,
        "seconds": round(progress.seconds, 2),
        "tokens": progress.tokens,
        "target_tokens": progress.target_tokens,
        "tokens_per_second": round(progress.tokens / max(progress.seconds, 1e-9), 1),
        "lengths": {
            **{f"p{q}": int(torch.quantile(lengths, q / 100)) for q in (50, 90, 99)},
            "max": int(lengths.max()),
            "max_length": train.max_length,
            "dropped": len(train.dropped),
            "split": len(train.split),
            "histogram": [int(length) for length in train.lengths],
        },
        "stop_token": base.renderer.stop_token,
        "rows_per_step": config.train.batch * config.train.accumulate,
        "cuts": layout.as_list(),
        "out_of_memory": len(layout.cuts) > 1
        or layout.cuts[0] != Cut(0, first_rows(config.train, team), config.train.pack_tokens),
        "packed": setting.packed,
        "shared_prefix_tokens": setting.prefix,
        "first_layer_run": 0 if setting.lower is None else setting.lower.first,
        "device": str(base.device),
        "dtype": str(base.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "processes": team.size,
        "sharded": setting.sharded,
    }
