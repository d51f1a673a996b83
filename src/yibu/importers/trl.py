"""TRL: ``trl sft --config x.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yibu.importers import _adapter, _data, _trainer
from yibu.importers._draft import Draft

TOOL = "TRL"
SIGNATURE = "model_name_or_path with dataset_name or datasets, and no finetuning_type"

_DEFAULTS = _trainer.Defaults(lr=2e-5, epochs=3, batch=8, accumulate=1)
_OTHERS = {"finetuning_type", "stage", "tuner_type", "train_type", "base_model", "template"}
_PREFERENCES = ("beta", "loss_weights", "num_generations", "reward_model_path", "reward_funcs", "ref_model_mixup_alpha")
_HANDLED = (
    *("model_name_or_path", "dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split", "datasets"),
    *("test_split_size", "max_length", "max_seq_length", "truncation_mode", "packing", "completion_only_loss"),
    *("assistant_only_loss", "use_peft", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules"),
    *("lora_target_parameters", "use_rslora", "use_dora", "load_in_4bit", "load_in_8bit", "learning_rate"),
    *("num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "warmup_ratio"),
    *("warmup_steps", "lr_scheduler_type", "optim", "weight_decay", "bf16", "fp16", "torch_dtype", "dtype"),
)
_REASONS = _trainer.REASONS | {
    "padding_free": "nothing is padded",
    "pad_to_multiple_of": "nothing is padded",
    "pad_token": "padding carries no loss, whatever its token is",
    "eos_token": "the end of a turn is found in the template and trained in every row",
    "packing_strategy": "packs are cut by train.pack_tokens; whole rows only",
    "shuffle_dataset": "rows are shuffled by train.seed",
    "dataset_num_proc": "it changes no result (data.workers)",
    "dataset_kwargs": "no counterpart",
    "dataset_streaming": "files are streamed by the readers",
    "loss_type": "the loss is cross-entropy of the targets",
    "use_dft": "the loss is cross-entropy of the targets",
    "activation_offloading": "train.recompute saves memory here",
    "lora_modules_to_save": "modules trained whole beside LoRA have no counterpart: embeddings and head stay frozen",
    "lora_task_type": "a causal language model",
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_quant_storage": "how it is computed is yibu's choice",
    "router_aux_loss_coef": "the router is frozen, so its loss has nothing to move",
    "model_init_kwargs": "chosen by yibu",
    "ignore_bias_buffers": "for many GPUs: `yibu train --processes N`",
    "env": "set variables in the shell",
    "config": "one file is one recipe",
}


def fits(table: Mapping[str, Any]) -> bool:
    return (
        "model_name_or_path" in table and bool({"dataset_name", "datasets"} & set(table)) and not _OTHERS & set(table)
    )


def base(table: Mapping[str, Any]) -> str | None:
    found = table.get("model_name_or_path")
    return None if found is None else str(found)


def translate(draft: Draft) -> None:
    for name in draft.given(*_PREFERENCES):
        raise draft.refuse("It is of another trainer than `trl sft`", name, "take the config of the sft before it")
    draft.take("model_name_or_path", "base", draft.get("model_name_or_path"))
    _rows(draft)
    _adapter_keys(draft)
    _lengths(draft)
    _trainer.translate_training(draft, _DEFAULTS)
    draft.rest(_REASONS, _trainer.PREFIXES, _HANDLED)


def _rows(draft: Draft) -> None:
    name = draft.get("dataset_name")
    split = draft.get("dataset_train_split")
    train: list[str] = []
    if name is not None:
        address = str(name) if _data.is_file(str(name)) else _data.hub_address(name, draft.get("dataset_config"), split)
        train.append(address)
    train += _mixture(draft)
    reason = _data.set_sources(draft, train)
    for key in draft.given("dataset_name", "dataset_config", "dataset_train_split"):
        if reason or name is None or draft.table[key] is None:
            draft.leave(key, reason or "it has no value" if name is not None else "dataset_name is not given")
        elif key == "dataset_name":
            draft.take(key, "data.source", draft.value("data.source"))
        else:
            draft.agree(key, f"data.source: {train[0]}")
    if "dataset_test_split" in draft.table:
        draft.leave("dataset_test_split", "add data.source.valid by hand if the data set has such a split")
    if draft.get("test_split_size") is not None:
        _data.share_for_validation(draft, "test_split_size", draft.table["test_split_size"])
    else:
        _data.no_validation(draft, "test_split_size")


def _mixture(draft: Draft) -> list[str]:
    """``datasets``: a list of tables with the arguments of `datasets.load_dataset`."""
    addresses: list[str] = []
    given = draft.get("datasets") or []
    for number, entry in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(entry, Mapping):
            draft.leave(f"datasets.{number}", "no table with a path")
            continue
        files, path = entry.get("data_files"), str(entry.get("path") or "")
        if files and not isinstance(files, Mapping):
            found = [files] if isinstance(files, str) else [str(file) for file in files]
        elif path:
            split = str(entry.get("split") or "").partition("[")[0]
            found = [path if _data.is_file(path) else _data.hub_address(path, entry.get("name"), split)]
        else:
            found = []
        addresses += found
        for name, value in entry.items():
            key = f"datasets.{number}.{name}"
            if value is None:
                draft.leave(key, "it has no value")
            elif name in ("path", "name", "split", "data_files") and found and "[" not in str(value):
                draft.agree(key, f"data.source: {', '.join(found)}")
            elif name == "columns":
                draft.agree(key, "columns that the task does not name are not read")
            else:
                draft.leave(
                    key, "data.limit.train takes so many rows" if name in ("fraction", "split") else "no counterpart"
                )
    if "datasets" in draft.table:
        draft.agree("datasets", f"data.source: {', '.join(addresses) or 'nothing'}")
    return addresses


def _adapter_keys(draft: Draft) -> None:
    keys = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters")
    if not draft.get("use_peft"):
        if "use_peft" in draft.table:
            _adapter.choose_kind(draft, "use_peft", "full")
        elif draft.put({"adapter": {"kind": "full"}}) is None:
            draft.default("use_peft", False, "adapter.kind", "full", "everything is trained")
        else:
            draft.default("use_peft", False, None, why="everything is trained there; the recipe trains LoRA")
        for name in draft.given(*keys, "use_rslora", "use_dora"):
            draft.leave(name, "use_peft is off: there is no adapter")
        return
    quantised = "load_in_4bit" in draft.table and draft.table["load_in_4bit"]
    _adapter.choose_kind(draft, "use_peft", "lora")
    if quantised:
        _adapter.choose_quantised(draft, "load_in_4bit", 4)
    elif "load_in_4bit" in draft.table:
        draft.agree("load_in_4bit", "the base is not quantised")
    if "load_in_8bit" in draft.table:
        _adapter.choose_quantised(draft, "load_in_8bit", 8 if draft.table["load_in_8bit"] else 0)
    _adapter.choose_double(draft, "use_bnb_nested_quant", default=False)
    for name, path, default in (
        ("lora_r", "adapter.r", 16),
        ("lora_alpha", "adapter.alpha", 32),
        ("lora_dropout", "adapter.dropout", 0.05),
    ):
        if draft.get(name) is not None:
            draft.take(name, path, draft.table[name])
        elif name != "lora_dropout" or not draft.get("lora_target_parameters"):
            draft.default(name, default, path, default)
    modules = draft.get("lora_target_modules")
    if modules is not None:
        _adapter.choose_targets(draft, "lora_target_modules", modules)
    elif not draft.get("lora_target_parameters"):
        why = "peft adapts q_proj and v_proj; k_proj shares a role with v_proj and is adapted too"
        draft.default("lora_target_modules", None, "adapter.targets", ["attention_q", "attention_kv"], why)
    if draft.get("lora_target_parameters"):
        given = draft.table["lora_target_parameters"]
        _adapter.choose_parameters(draft, "lora_target_parameters", given, modules is not None)
    for name, path in (("use_rslora", "adapter.rslora"), ("use_dora", "adapter.dora")):
        if name in draft.table:
            _adapter.choose_flag(draft, name, path)


def _lengths(draft: Draft) -> None:
    limit = next((name for name in draft.given("max_length", "max_seq_length")), None)
    if limit is None:
        draft.default("max_length", 1024, None, why="longer rows are cut there, the answer with them; here none is")
    elif draft.table[limit] is None:
        draft.agree(limit, "no limit")
    else:
        _data.longest_row(draft, limit)
    if "truncation_mode" in draft.table:
        draft.leave("truncation_mode", _data.CUT)
    if "packing" in draft.table:
        _data.packing(draft, "packing", draft.get("max_length", "max_seq_length") or 1024)
    if "completion_only_loss" in draft.table:
        told = "only answers carry loss"
        if draft.table["completion_only_loss"] is False:
            draft.leave("completion_only_loss", told)
        else:
            draft.agree("completion_only_loss", told)
    told = "only the last answer of a conversation carries loss"
    if "assistant_only_loss" in draft.table:
        draft.differ("assistant_only_loss", None, told)
    else:
        draft.default("assistant_only_loss", False, None, why=f"conversations are learned whole; here {told}")
    if "chat_template_path" in draft.table:
        _data.own_template(draft, "chat_template_path")
    if "dataset_text_field" in draft.table:
        if draft.table["dataset_text_field"] == "text":
            draft.agree("dataset_text_field", "the column of raw text")
        else:
            column = draft.table["dataset_text_field"]
            draft.change("dataset_text_field", "task", {"kind": "generate", "target": f"{{{column}}}"}, "raw text")
