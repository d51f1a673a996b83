"""Keys of transformers' Trainer, which LLaMA-Factory, TRL and ms-swift pass on, and Axolotl under names of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from yibu.importers._adapter import as_list
from yibu.importers._draft import Draft

_SHARE = (
    "a share of all steps, whose number is known once the rows are read: `yibu check` prints it, then set "
    "train.warmup_steps (6 % unless set)"
)
_TRACKERS = ("tensorboard", "mlflow", "wandb")
NO_CLIPPING = 1e9


@dataclass(frozen=True)
class Defaults:
    """What a tool does where the file says nothing.

    Attributes:
        warmup: steps; None where it is a share.
    """

    lr: float
    epochs: float
    batch: int
    accumulate: int
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int | None = 0
    schedule: str = "linear"


@dataclass(frozen=True)
class Names:
    """What the keys are called."""

    lr: str = "learning_rate"
    epochs: str = "num_train_epochs"
    batch: str = "per_device_train_batch_size"
    accumulate: str = "gradient_accumulation_steps"
    schedule: str = "lr_scheduler_type"
    optimizer: str = "optim"
    warmup: tuple[str, str] = ("warmup_steps", "warmup_ratio")


def translate_training(draft: Draft, defaults: Defaults, names: Names = Names()) -> None:
    """Steps, batches, rates, optimizer, precision, logs: everything of the Trainer that counts."""
    _rate(draft, defaults, names)
    _length(draft, defaults, names)
    _batch(draft, defaults, names)
    _warmup(draft, defaults, names)
    _schedule(draft, defaults, names)
    _optimizer(draft, defaults, names)
    _precision(draft)
    _rhythm(draft)
    if "seed" in draft.table:
        draft.take("seed", "train.seed", draft.table["seed"], "the same rows in another order: generators differ")


def _rate(draft: Draft, defaults: Defaults, names: Names) -> None:
    if names.lr in draft.table:
        draft.take(names.lr, "train.lr", number(draft.table[names.lr]))
    else:
        draft.default(names.lr, defaults.lr, "train.lr", defaults.lr)


def _length(draft: Draft, defaults: Defaults, names: Names) -> None:
    bound, epochs = number(draft.get("max_steps") or 0), draft.get(names.epochs)
    if math.isnan(bound):
        draft.take("max_steps", "train.max_steps", draft.table["max_steps"])  # refused, in the words of the class
        bound = 0
    steps = int(bound)
    if steps > 0:
        # There max_steps alone decides, whatever the epochs; an epoch has at least one step, so as many epochs suffice.
        draft.put({"train.epochs": steps})
        draft.take("max_steps", "train.max_steps", steps, "it alone decides the length, there and here")
        if names.epochs in draft.table:
            draft.leave(names.epochs, f"max_steps overrides it; train.epochs: {steps} is only a bound")
        return
    if "max_steps" in draft.table and not math.isnan(number(draft.table["max_steps"] or 0)):
        draft.agree("max_steps", "no bound")
    if epochs is None:
        draft.default(names.epochs, defaults.epochs, "train.epochs", math.ceil(defaults.epochs))
    elif math.isnan(number(epochs)) or number(epochs).is_integer():
        draft.take(names.epochs, "train.epochs", epochs if math.isnan(number(epochs)) else int(number(epochs)))
    else:
        draft.change(
            names.epochs, "train.epochs", math.ceil(number(epochs)), "whole epochs only; bound it by train.max_steps"
        )


def _batch(draft: Draft, defaults: Defaults, names: Names) -> None:
    for name, path, default in (
        (names.batch, "train.batch", defaults.batch),
        (names.accumulate, "train.accumulate", defaults.accumulate),
    ):
        if draft.get(name) is not None:
            why = "for one process: multiply by the number of GPUs it was written for" if path == "train.batch" else ""
            draft.take(name, path, draft.table[name], why)
        else:
            draft.default(name, default, path, default)


def _warmup(draft: Draft, defaults: Defaults, names: Names) -> None:
    steps_name, ratio_name = names.warmup
    steps, ratio = number(draft.get(steps_name) or 0), number(draft.get(ratio_name) or 0)
    if 0 < steps < 1:  # transformers 5 reads a warmup_steps below one as a share
        _share(draft, steps_name, steps)
    elif steps_name in draft.table and (steps or not ratio):
        draft.take(steps_name, "train.warmup_steps", draft.table[steps_name] if math.isnan(steps) else int(steps))
    elif steps_name in draft.table:
        draft.agree(steps_name, f"{ratio_name} decides")
    if ratio_name in draft.table:
        if steps:
            draft.leave(ratio_name, f"{steps_name} overrides it")
        elif ratio or steps_name not in draft.table:
            _share(draft, ratio_name, ratio)
        else:
            draft.agree(ratio_name, "no warm-up")
    if not draft.given(steps_name, ratio_name):
        path = "train.warmup_steps" if defaults.warmup is not None else None
        told = "" if path else "3 % of all steps, at most 100; yibu takes 6 %"
        draft.default(steps_name, defaults.warmup, path, defaults.warmup, told)


def _share(draft: Draft, name: str, ratio: float) -> None:
    steps = draft.value("train.max_steps")
    if math.isnan(ratio):
        draft.leave(name, "no number")
    elif ratio == 0:
        draft.take(name, "train.warmup_steps", 0)
    elif draft.put({"train.warmup_ratio": ratio}) is None:
        draft.take(name, "train.warmup_ratio", ratio)
    elif steps:
        draft.take(name, "train.warmup_steps", math.ceil(ratio * steps), f"{ratio:g} of {steps} steps")
    elif abs(ratio - 0.06) < 1e-9:
        draft.agree(name, "6 % is what yibu does")
    else:
        draft.leave(name, _SHARE)


def _schedule(draft: Draft, defaults: Defaults, names: Names) -> None:
    told = "yibu decays linearly to zero after the warm-up"
    given = draft.get(names.schedule)
    if given is None:
        if names.schedule in draft.table or defaults.schedule == "linear":
            if names.schedule in draft.table:
                draft.agree(names.schedule, told)
            return
        draft.default(names.schedule, defaults.schedule, None, why=told)
    elif str(given).lower().rpartition(".")[2] == "linear":
        draft.agree(names.schedule, told)
    else:
        draft.differ(names.schedule, None, f"{told}; both end near zero" if "cosine" in str(given) else told)


def _optimizer(draft: Draft, defaults: Defaults, names: Names) -> None:
    name = names.optimizer
    word = str(draft.get(name) or "adamw").lower()
    if name in draft.table:
        if word in ("adamw", "adamw_torch", "adamw_torch_fused", "adamw_hf"):
            draft.agree(name, "AdamW")
        elif word.startswith(("adamw", "paged_adamw", "adam")) and "mini" not in word:
            draft.differ(name, None, "AdamW with its moments in fp32")
        else:
            draft.leave(name, "yibu trains with AdamW; the learning rate may have to be another")
    if "weight_decay" in draft.table:
        draft.take("weight_decay", "train.weight_decay", number(draft.table["weight_decay"] or 0))
    elif defaults.weight_decay:
        draft.default("weight_decay", defaults.weight_decay, "train.weight_decay", defaults.weight_decay)
    first, second = draft.get("adam_beta1"), draft.get("adam_beta2")
    betas = [number(first or defaults.betas[0]), number(second or defaults.betas[1])]
    for key in draft.given("adam_beta1", "adam_beta2"):
        draft.take(key, "train.betas", betas)
    if first is None and second is None and defaults.betas != (0.9, 0.999):
        draft.default("adam_beta2", defaults.betas[1], "train.betas", betas)
    if "max_grad_norm" in draft.table:
        norm = number(draft.table["max_grad_norm"] or 0)
        if norm > 0 or math.isnan(norm):
            draft.take("max_grad_norm", "train.max_grad_norm", norm)
        elif norm < 0:
            draft.leave("max_grad_norm", "below zero")
        elif draft.table["max_grad_norm"] is None:
            draft.agree("max_grad_norm", "1.0")
        else:
            draft.change("max_grad_norm", "train.max_grad_norm", NO_CLIPPING, "zero means no clipping there")


def _precision(draft: Draft) -> None:
    for name, dtype in (("bf16", "bf16"), ("fp16", "fp16"), ("bfloat16", "bf16"), ("float16", "fp16")):
        if name not in draft.table:
            continue
        if draft.table[name] == "auto":
            draft.take(name, "train.dtype", "auto")
        elif draft.table[name]:
            draft.take(name, "train.dtype", dtype, "of the frozen base; what is trained is fp32")
        else:
            draft.agree(name, "off")
    words = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "auto": "auto"}
    for name in draft.given("torch_dtype", "dtype"):
        word = str(draft.table[name] or "auto").rpartition(".")[2]
        if word not in words:
            draft.leave(name, "yibu knows auto, fp32, bf16 and fp16 (train.dtype)")
        elif draft.value("train.dtype") in (None, words[word]):
            draft.take(name, "train.dtype", words[word], "of the frozen base; what is trained is fp32")
        else:
            draft.leave(name, f"train.dtype is {draft.value('train.dtype')} by another key")
    if "gradient_checkpointing" in draft.table:
        draft.take("gradient_checkpointing", "train.recompute", bool(draft.table["gradient_checkpointing"]))


def _rhythm(draft: Draft) -> None:
    table = draft.table
    if "eval_steps" in table:
        _every(
            draft,
            "eval_steps",
            "train.evaluate_every",
            "yibu validates once an epoch unless train.evaluate_every is set",
        )
    for name in draft.given("eval_strategy", "evaluation_strategy"):
        if table[name] in ("epoch", "steps"):
            draft.agree(name, "once an epoch, unless train.evaluate_every is set")
        else:
            draft.differ(name, None, "yibu validates once an epoch and keeps the best weights")
    if "save_steps" in table:
        _every(draft, "save_steps", "train.checkpoint_every", "yibu saves every 20 steps (train.checkpoint_every)")
    for name in draft.given("early_stopping_patience", "early_stopping_steps", "early_stop_interval"):
        if table[name] is not None:
            draft.take(name, "train.patience", table[name], "counted in validations")
    if "report_to" in table:
        words = as_list(table["report_to"])
        names = list(_TRACKERS) if words == ["all"] else [word for word in words if word in _TRACKERS]
        others = [word for word in words if word not in (*_TRACKERS, "all", "none")]
        why = f"no tracker for {', '.join(others)}" if others else ""
        if words == ["all"]:
            draft.leave("report_to", "name the trackers: train.trackers: [tensorboard, mlflow, wandb]")
        elif names:
            draft.take("report_to", "train.trackers", names, why, state="changed" if others else "taken")
        elif others:
            draft.leave("report_to", why)
        else:
            draft.agree("report_to", "none; every step stands in history.jsonl")


def _every(draft: Draft, name: str, path: str, otherwise: str) -> None:
    value = draft.table[name]
    if math.isnan(number(value)):
        draft.leave(name, otherwise)
    elif number(value) < 1:
        draft.leave(name, f"a share of all steps; {otherwise}")
    else:
        draft.take(name, path, int(number(value)))


def number(value: Any) -> float:
    """A number that may be written as a text, as YAML 1.1 reads ``5e-5``; a text that is none stays for the reason."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


REASONS = {
    "trust_remote_code": "yibu never runs code of a repository; it needs none for the architectures that it knows",
    "output_dir": "artifacts lie in the store, under the hash of what made them",
    "overwrite_output_dir": "nothing is overwritten: artifacts lie under the hash of what made them",
    "resume_from_checkpoint": "a run resumes by itself from its last checkpoint",
    "auto_resume_from_checkpoints": "a run resumes by itself from its last checkpoint",
    "logging_steps": "every step is logged",
    "logging_strategy": "every step is logged",
    "logging_first_step": "every step is logged",
    "logging_dir": "logs lie beside the run",
    "log_level": "see `yibu --help`",
    "run_name": "a run is called after its recipe",
    "do_train": "a recipe always trains",
    "do_eval": "a recipe always evaluates",
    "eval_on_start": "the base is measured beside the tuned model",
    "per_device_eval_batch_size": "evaluate.batch_size is what fits; it changes no result",
    "eval_batch_size": "evaluate.batch_size is what fits; it changes no result",
    "eval_accumulation_steps": "it changes no result",
    "eval_packing": "rows are scored one by one, whatever shares a pass",
    "gradient_checkpointing_kwargs": "chosen by yibu",
    "use_reentrant_gc": "chosen by yibu",
    "disable_gradient_checkpointing": "train.recompute says it here; off unless set",
    "group_by_length": "rows are packed; order is by the seed",
    "remove_unused_columns": "columns that the task does not name are not read",
    "load_best_model_at_end": "the best weights on validation are always the ones kept",
    "metric_for_best_model": "the loss on validation decides",
    "greater_is_better": "the loss on validation decides",
    "neftune_noise_alpha": "noise on embeddings has no counterpart",
    "use_liger_kernel": "how it is computed is yibu's choice",
    "enable_liger_kernel": "how it is computed is yibu's choice",
    "torch_compile": "how it is computed is yibu's choice",
    "auto_find_batch_size": "train.pack_tokens bounds memory; out of memory halves it by itself",
    "average_tokens_across_devices": "each target token weighs the same, always",
    "tf32": "how it is computed is yibu's choice",
    "use_cpu": "train.device says it here; auto takes a GPU if there is one",
    "no_cuda": "train.device says it here; auto takes a GPU if there is one",
    "data_seed": "train.seed and data.split.seed say it here",
    "streaming": "files are streamed by the readers",
    "low_cpu_mem_usage": "weights are read one by one",
    "device_map": "for many GPUs: `yibu train --processes N`",
    "adam_epsilon": "1e-8",
    "lr_scheduler_kwargs": "the decay is linear to zero",
    "disable_tqdm": "see `yibu --help`",
    "model_revision": "fetch the revision (`hf download --revision`); the base is known by the hash of its files",
    "cache_dir": "$HF_HOME says it for every tool",
}
PREFIXES = {
    "save_": "checkpoints: train.checkpoint_every; the best weights and the last checkpoint are kept",
    "hub_": "nothing is uploaded",
    "push_to_hub": "nothing is uploaded",
    "dataloader_": "it changes no result",
    "ddp": "for many GPUs: `yibu train --processes N`",
    "fsdp": "for many GPUs: `yibu train --processes N`",
    "deepspeed": "for many GPUs: `yibu train --processes N` shards with FSDP2",
    "torch_compile": "how it is computed is yibu's choice",
    "attn": "attention is chosen by the architecture and checked on your rows",
    "flash_attn": "attention is chosen by the architecture and checked on your rows",
}
