"""From artifacts to an adapter: render, prove, train, save."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from yibu import adapters, tasks
from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.record import Split, read_rows
from yibu.core.store import Artifact, Work
from yibu.model.assemble import Assembled, for_training, packing_is_exact
from yibu.model.packing import common_prefix, context_length
from yibu.model.render import Example, Renderer
from yibu.train import TRACKERS, Config
from yibu.train.balance import Balance, balance_of, check_labels, draw_weights, label_span, weigh
from yibu.train.batches import Fitted, fit_lengths
from yibu.train.loop import Progress, Setting, fit

log = get("train")
PREVIEW = 5


def run(config: Config, work: Work, data: Artifact) -> None:
    """The body of the stage `yibu.train.train`."""
    settings = config.train
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    labels = data.read_json("summary.json")["labels"]
    task = tasks.build(config.task, labels)
    check_labels(settings, task)
    base = for_training(Path(config.base.path), config.adapter, settings.device, settings.dtype, settings.recompute)
    assert base.plan is not None
    work.write_json("plan.json", base.plan.table())

    wanted = None if settings.max_length == "auto" else settings.max_length
    context = context_length(base.model)
    marks = settings.class_weights != "none"
    train = fit_lengths(render(task, base.renderer, data, "train", marks), wanted, context, settings.too_long)
    valid = fitting(render(task, base.renderer, data, "valid", marks), train.max_length)
    balance = balance_of(settings, train.examples)
    train_examples, valid = weigh(balance, train.examples), weigh(balance, valid, validation=True)
    check_stops(train.examples, base.renderer)
    work.write_json("preview.json", [base.renderer.pieces(example) for example in train.examples[:PREVIEW]])
    prefix = common_prefix([*train.examples, *valid]) if base.packed else 0
    packed = packing_is_exact(base, sorted(train.examples, key=lambda e: len(e.ids))[:4], prefix)
    setting = Setting(base.device, base.dtype, packed, prefix if packed else 0)

    trainable = {name: p for name, p in base.model.named_parameters() if p.requires_grad}
    classes = {name: base.plan.role_of(name) for name in trainable}
    log.info(
        "training %s of %s parameters (%.2f %%) on %d rows, %s on %s",
        f"{trained_parameters(base.model):,}",
        f"{total_parameters(base.model):,}",
        100 * trainable_ratio(base.model),
        len(train.examples),
        str(base.dtype).removeprefix("torch."),
        base.device,
    )
    trackers = [
        TRACKERS.load(name).Tracker(work.path.name, config.as_config(), work.path.parent.parent)
        for name in settings.trackers
    ]

    def listen(step: int, values: Any) -> None:
        for tracker in trackers:
            tracker.log(values, step)

    best, progress = fit(
        base.model,
        trainable,
        train_examples,
        valid,
        settings,
        setting,
        work.path / "history.jsonl",
        work.scratch / "checkpoints",
        classes,
        fingerprint(base, settings.pack_tokens, setting),
        listen,
        draw_weights(balance, train_examples),
    )
    for tracker in trackers:
        tracker.close()
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(best[name])
    adapters.FAMILY.load(config.adapter.kind).save(  # type: ignore[attr-defined]
        base.model, work.file("adapter/adapter_config.json").parent, config.base.name
    )
    base.renderer.tokenizer.save_pretrained(work.path / "adapter")
    work.write_json("summary.json", summary(config, base, train, progress, setting, labels, balance))


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


def fingerprint(base: Assembled, pack_tokens: int, setting: Setting) -> dict[str, Any]:
    """What must be equal for a resumed run to end in the same bits, besides what the artifact's id already covers."""
    return {
        "threads": torch.get_num_threads(),
        "device": str(base.device),
        "device_name": torch.cuda.get_device_name(base.device) if base.device.type == "cuda" else platform.machine(),
        **{package: metadata.version(package) for package in ("torch", "transformers", "peft")},
        "pack_tokens": pack_tokens,
        "packed": setting.packed,
        "prefix": setting.prefix,
    }


def summary(
    config: Config,
    base: Assembled,
    train: Fitted,
    progress: Progress,
    setting: Setting,
    labels: list[str] | None,
    balance: Balance | None,
) -> dict[str, Any]:
    """``summary.json`` of the model artifact.

    ``class_balance`` is None where classes were left as they are; where not, ``best_valid_loss`` is weighted by class.
    """
    lengths = torch.tensor(train.lengths, dtype=torch.float32)
    return {
        "base": config.base.name,
        "base_digest": config.base.digest,
        "architecture": base.facts.name,
        "task": config.task.as_config(),
        "adapter": config.adapter.as_config(),
        "labels": labels,
        "class_balance": None if balance is None else balance.as_dict(),
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
        "packed": setting.packed,
        "shared_prefix_tokens": setting.prefix,
        "device": str(base.device),
        "dtype": str(base.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }
