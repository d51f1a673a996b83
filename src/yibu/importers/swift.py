"""ms-swift: ``swift sft x.yaml``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from yibu.importers import _adapter, _data, _trainer
from yibu.importers._draft import Draft

TOOL = "ms-swift"
SIGNATURE = "tuner_type (or train_type, sft_type), or model with dataset"

_TUNER = ("tuner_type", "train_type", "sft_type")
_MODEL = ("model", "model_id_or_path")
_HANDLED = (
    *(*_TUNER, *_MODEL, "dataset", "val_dataset", "split_dataset_ratio", "max_length", "truncation_strategy"),
    *("system", "template", "packing", "lora_rank", "lora_alpha", "lora_dropout", "target_modules", "target_regex"),
    *("target_parameters", "init_weights", "use_dora", "use_rslora", "lorap_lr_ratio", "quant_bits", "quant_method"),
    *("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("warmup_ratio", "warmup_steps", "weight_decay", "adam_beta2", "lr_scheduler_type", "torch_dtype", "loss_scale"),
)
_REASONS = _trainer.REASONS | {
    "model_type": "read from the base's config",
    "model_name": "for the data set swift/self-cognition only",
    "model_author": "for the data set swift/self-cognition only",
    "dataset_shuffle": "rows are shuffled by train.seed",
    "train_dataloader_shuffle": "rows are shuffled by train.seed",
    "val_dataset_shuffle": "their order changes no result",
    "dataset_num_proc": "it changes no result (data.workers)",
    "load_from_cache_file": "what is prepared is known by the hash of its content; nothing stale can be read",
    "cached_dataset": "what is prepared is known by the hash of its content",
    "custom_dataset_info": "another file than LLaMA-Factory's of that name; name the files in data.source",
    "columns": "name the columns in task.prompt and task.target",
    "strict": "rows that cannot be read are counted and named; data.reject_share says how many stop a run",
    "lazy_tokenize": "how it is computed is yibu's choice",
    "padding_free": "nothing is padded",
    "packing_length": "packs are cut by train.pack_tokens",
    "packing_strategy": "packs are cut by train.pack_tokens; whole rows only",
    "packing_num_proc": "it changes no result",
    "modules_to_save": "modules trained whole beside LoRA have no counterpart: embeddings and head stay frozen",
    "lora_bias": "biases are not trained",
    "lora_dtype": "what is trained is fp32",
    "adapters": "training starts from the base; merge that adapter into it first",
    "use_chat_template": "data.shape: text is raw text; anything else goes through the template",
    "template_backend": "the template of the base's tokenizer is used",
    "agent_template": "the template of the base's tokenizer decides",
    "enable_thinking": "the template of the base's tokenizer decides",
    "add_non_thinking_prefix": "the template of the base's tokenizer decides",
    "external_plugins": "code of others is not run",
    "tuner_backend": "peft",
    "use_hf": "the Hugging Face hub is the one that is asked",
    "use_ray": "for many GPUs: `yibu train --processes N`",
    "device_groups": "for many GPUs: `yibu train --processes N`",
    "create_checkpoint_symlink": "refs of the store point at the last and at the best",
    "add_version": "artifacts lie in the store, under the hash of what made them",
    "check_model": "the base is known by the hash of its files",
    "experts_impl": "how it is computed is yibu's choice",
    "use_logits_to_keep": "logits are computed at target tokens only",
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_compute_dtype": "train.dtype",
    "max_epochs": "train.epochs",
    "use_galore": "yibu trains with AdamW",
    "neftune_noise_alpha": "noise on embeddings has no counterpart",
    "model_kwargs": "chosen by yibu",
    "task_type": "a causal language model",
}
_PREFIXES = _trainer.PREFIXES | {
    "freeze_": "images, sound and video are not read; the base is frozen but for the adapter",
    "vit_": "images, sound and video are not read",
    "aligner_": "images, sound and video are not read",
    "max_pixels": "images, sound and video are not read",
    "galore_": "yibu trains with AdamW",
    "lisa_": "LISA has no counterpart; adapter.layers adapts some layers only",
    "lora_ga_": "yibu knows the beginnings zero, pissa and eva (adapter.init)",
    "swanlab_": "no tracker for swanlab",
    "sequence_parallel": "for many GPUs: `yibu train --processes N`",
    "eval_": "the report has the scores of the task",
    "hqq_": "bitsandbytes only",
    "temperature": "answers are greedy",
    "top_": "answers are greedy",
    "max_new_tokens": "task.max_new_tokens",
    "vllm_": "for inference",
}


def fits(table: Mapping[str, Any]) -> bool:
    if set(_TUNER) & set(table):
        return True
    other = {"finetuning_type", "base_model", "model_name_or_path", "data"}
    return bool(set(_MODEL) & set(table)) and "dataset" in table and not other & set(table)


def base(table: Mapping[str, Any]) -> str | None:
    found = next((table[name] for name in _MODEL if table.get(name) is not None), None)
    return None if found is None else str(found)


def translate(draft: Draft) -> None:
    if draft.get("rlhf_type"):
        raise draft.refuse("It trains on preferences or rewards", "rlhf_type", "take the config of the sft before it")
    if (draft.get("task_type") or "causal_lm") != "causal_lm":
        raise draft.refuse(
            "It trains another head than that of a language model", "task_type", "use task.kind: classify"
        )
    for name in draft.given(*_MODEL):
        told = "" if draft.table.get("use_hf") else "a name of ModelScope there, of the Hugging Face hub here"
        path = str(draft.table[name])
        here = not told or path.startswith((".", "/", "~"))
        draft.take(name, "base", draft.table[name], "" if here else told, state="taken" if here else "changed")
    _rows(draft)
    _adapter_keys(draft)
    _lengths(draft)
    batch = draft.get("per_device_train_batch_size") or 1
    # Left unsaid, accumulation is chosen so that one process sees 16 rows a step.
    steps = math.ceil(16 / batch) if isinstance(batch, int) and batch > 0 else 1
    full = draft.get(*_TUNER) == "full"
    defaults = _trainer.Defaults(
        lr=1e-5 if full else 1e-4,
        epochs=3,
        batch=1,
        accumulate=steps,
        weight_decay=0.1,
        betas=(0.9, 0.95),
        schedule="cosine",
    )
    _trainer.translate_training(draft, defaults)
    draft.rest(_REASONS, _PREFIXES, _HANDLED)


def _rows(draft: Draft) -> None:
    limits: list[int] = []
    train, hub = _addresses(draft, "dataset", limits)
    valid, _ = _addresses(draft, "val_dataset", [])
    reason = _data.set_sources(draft, train, valid)
    if "dataset" in draft.table:
        if reason:
            draft.leave("dataset", reason)
        else:
            told = []
            if hub:
                told.append(
                    "names of ModelScope there, of the Hugging Face hub here: check that they are the same rows"
                )
            if limits and len(train) == 1:
                draft.put({"data.limit.train": limits[0]})
                told.append(f"#{limits[0]} is data.limit.train, of the rows after the split")
            elif limits:
                told.append("a number of rows for each (#N) has no counterpart; data.limit.train bounds all together")
            draft.take(
                "dataset",
                "data.source",
                draft.value("data.source"),
                "; ".join(told),
                state="changed" if told else "taken",
            )
    if "val_dataset" in draft.table:
        if valid and not reason:
            _data.own_validation(draft, "val_dataset")
        else:
            draft.leave("val_dataset", "it has no value")
    if "split_dataset_ratio" in draft.table:
        _data.share_for_validation(draft, "split_dataset_ratio", draft.table["split_dataset_ratio"])
    else:
        _data.no_validation(draft, "split_dataset_ratio")


def _addresses(draft: Draft, key: str, limits: list[int]) -> tuple[list[str], bool]:
    """Addresses of ``id:subset#N``, and whether one of them is a name of ModelScope's hub."""
    given = draft.get(key)
    found, hub = [], False
    for one in [given] if isinstance(given, str) and "#" in given else _adapter.as_list(given):
        address, _, number = one.partition("#")
        if number.isdigit():
            limits.append(int(number))
        scheme, _, rest = address.partition("::")
        of_huggingface = bool(draft.table.get("use_hf"))
        if rest and scheme.upper() in ("HF", "MS"):
            address, of_huggingface = rest, scheme.upper() == "HF"
        if _data.is_file(address.partition(":")[0]):
            found.append(address)
            continue
        name, _, subset = address.partition(":")
        found.append(_data.hub_address(name, subset or None))
        hub = hub or not of_huggingface
    return found, hub


def _adapter_keys(draft: Draft) -> None:
    given = draft.given(*_TUNER)
    kind = str(draft.get(*_TUNER) or "lora")
    for name in given:
        if kind in ("lora", "full"):
            _adapter.choose_kind(draft, name, kind)
        else:
            draft.leave(name, f"{kind} has no counterpart here; the recipe trains LoRA")
    if not given:
        draft.put({"adapter": {"kind": "lora"}})
    if "quant_bits" in draft.table:
        _adapter.choose_quantised(draft, "quant_bits", draft.table["quant_bits"])
    if "quant_method" in draft.table:
        if draft.table["quant_method"] in (None, "bnb"):
            draft.agree("quant_method", "bitsandbytes")
        else:
            draft.leave("quant_method", "bitsandbytes only")
    _adapter.choose_double(draft, "bnb_4bit_use_double_quant", default=True)
    sizes = (
        ("lora_rank", "adapter.r", 8),
        ("lora_alpha", "adapter.alpha", 32),
        ("lora_dropout", "adapter.dropout", 0.05),
    )
    if draft.value("adapter.kind") == "full":
        for name in draft.given(*(size[0] for size in sizes), "target_modules", "target_regex", "target_parameters"):
            draft.leave(name, "there is no adapter: everything is trained")
        return
    for name, path, default in sizes:
        if draft.get(name) is not None:
            draft.take(name, path, draft.table[name])
        elif name != "lora_dropout" or not draft.get("target_parameters"):
            draft.default(name, default, path, default)
    if draft.get("target_regex") is not None:
        draft.leave("target_regex", "a regular expression; name roles in adapter.targets (`yibu check` prints them)")
    if draft.get("target_modules") is not None:
        if draft.get("target_regex") is not None:
            draft.leave("target_modules", "target_regex overrides it")
        else:
            _adapter.choose_targets(draft, "target_modules", draft.table["target_modules"])
    if draft.get("target_parameters"):
        # Left unsaid, target_modules is all-linear.
        _adapter.choose_parameters(draft, "target_parameters", draft.table["target_parameters"], others=True)
    if draft.get("init_weights") is not None:
        _adapter.choose_init(draft, "init_weights", draft.table["init_weights"])
    for name, path in (("use_dora", "adapter.dora"), ("use_rslora", "adapter.rslora")):
        if name in draft.table:
            _adapter.choose_flag(draft, name, path)
    for name in draft.given("lorap_lr_ratio", "loraplus_lr_ratio"):
        if draft.table[name] is not None:
            draft.take(name, "adapter.lr_ratio", draft.table[name])


def _lengths(draft: Draft) -> None:
    word = str(draft.get("truncation_strategy") or "delete")
    policy = {"delete": "drop", "raise": "refuse"}.get(word)
    if draft.get("max_length") is not None:
        _data.longest_row(draft, "max_length", policy)
    else:
        draft.put({"train.too_long": policy or "refuse"})
    if "truncation_strategy" in draft.table:
        if policy:
            draft.agree("truncation_strategy", f"train.too_long: {policy}")
        else:
            draft.leave("truncation_strategy", _data.CUT)
    if "packing" in draft.table:
        _data.packing(draft, "packing", draft.get("packing_length", "max_length"))
    if "template" in draft.table:
        _data.own_template(draft, "template")
    if draft.get("system") is not None:
        _data.set_system(draft, "system")
    told = "only the last answer of a conversation carries loss"
    if "loss_scale" in draft.table:
        if draft.table["loss_scale"] == "last_round":
            draft.agree("loss_scale", told)
        else:
            draft.leave("loss_scale", told)
    else:
        draft.default("loss_scale", "default", None, why=told)
