"""Axolotl: ``axolotl train x.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yibu.importers import _adapter, _data, _trainer
from yibu.importers._draft import Draft

TOOL = "Axolotl"
SIGNATURE = "base_model and datasets"

_DEFAULTS = _trainer.Defaults(lr=2e-4, epochs=1, batch=1, accumulate=1, warmup=None, schedule="cosine")
_NAMES = _trainer.Names(epochs="num_epochs", batch="micro_batch_size", schedule="lr_scheduler", optimizer="optimizer")
_SHAPES = {"alpaca": "alpaca", "sharegpt": "sharegpt", "completion": "text", "pretrain": "text"}
_HANDLED = (
    *("base_model", "datasets", "test_datasets", "val_set_size", "sequence_len", "excess_length_strategy"),
    *("sample_packing", "adapter", "lora_r", "lora_alpha", "lora_dropout", "lora_target_linear", "lora_target_modules"),
    *("lora_target_parameters", "peft_use_dora", "peft_use_rslora", "peft_init_lora_weights", "loraplus_lr_ratio"),
    *("load_in_4bit", "load_in_8bit", "micro_batch_size", "gradient_accumulation_steps", "num_epochs", "max_steps"),
    *("learning_rate", "lr_scheduler", "optimizer", "warmup_steps", "warmup_ratio", "weight_decay", "max_grad_norm"),
    *("chat_template", "train_on_inputs", "default_system_message", "bf16", "fp16", "gradient_checkpointing"),
    *("eval_steps", "save_steps", "evals_per_epoch", "early_stopping_patience", "seed", "use_tensorboard"),
)
_REASONS = _trainer.REASONS | {
    "model_type": "read from the base's config",
    "tokenizer_type": "read from the base",
    "tokenizer_config": "the base's own tokenizer",
    "base_model_config": "the base's own config",
    "processor_type": "images, sound and video are not read",
    "revision_of_model": "fetch the revision (`hf download --revision`); the base is known by the hash of its files",
    "model_config": "the base's own config",
    "skip_prepare_dataset": "rows are prepared by yibu, always the same way",
    "resize_token_embeddings_to_32x": "the vocabulary is the base's",
    "cosine_min_lr_ratio": "the decay is linear to zero",
    "cosine_constant_lr_ratio": "the decay is linear to zero",
    "eta_min": "the decay is linear to zero",
    "lr_quadratic_warmup": "the warm-up is linear",
    "adam_eps": "1e-8",
    "hf_use_auth_token": "a token is the business of the hub's client (`hf auth login`)",
    "tiled_mlp": "how it is computed is yibu's choice",
    "qat": "training for a quantised model has no counterpart",
    "is_llama_derived_model": "read from the base's config",
    "is_mistral_derived_model": "read from the base's config",
    "is_qwen_derived_model": "read from the base's config",
    "is_falcon_derived_model": "read from the base's config",
    "dataset_prepared_path": "what is prepared is known by the hash of its content; nothing stale can be read",
    "dataset_processes": "it changes no result (data.workers)",
    "dataset_num_proc": "it changes no result (data.workers)",
    "dataset_exact_deduplication": "exact duplicates are dropped always (data.duplicates)",
    "shuffle_merged_datasets": "rows are shuffled by train.seed",
    "strict": "unknown keys are always an error",
    "lora_model_dir": "training starts from the base; merge that adapter into it first",
    "lora_modules_to_save": "modules trained whole beside LoRA have no counterpart: embeddings and head stay frozen",
    "lora_on_cpu": "how it is computed is yibu's choice",
    "lora_fan_in_fan_out": "read from the base",
    "lora_rank_pattern": "one rank for all roles",
    "lora_alpha_pattern": "one alpha for all roles",
    "peft_layers_to_transform": "adapter.layers takes top-N or a list; set it by hand",
    "peft_autocast_adapter_dtype": "what is trained is fp32",
    "loraplus_lr_embedding": "embeddings are not trained",
    "special_tokens": "the tokenizer is the base's; its padding token carries no loss whatever it is",
    "tokens": "the vocabulary is the base's",
    "added_tokens_overrides": "the vocabulary is the base's",
    "eot_tokens": "the end of a turn is found in the template and trained in every row",
    "pad_to_sequence_len": "nothing is padded",
    "pad_to_multiple_of": "nothing is padded",
    "eval_sample_packing": "rows are scored one by one, whatever shares a pass",
    "batch_flattening": "rows are packed always",
    "min_sample_len": "rows without a target token are refused and named",
    "plugins": "how it is computed is yibu's choice; what changes the model is not taken",
    "chat_template_jinja": "the template of the base's tokenizer is used; put this one there",
    "chat_template_kwargs": "the template of the base's tokenizer decides",
    "experts_implementation": "how it is computed is yibu's choice",
    "quantize_moe_experts": "experts are kept in bf16",
    "gptq": "the base must be unquantised",
    "bnb_config_kwargs": "nf4, scales quantised too",
    "output_dir": "artifacts lie in the store, under the hash of what made them",
    "unfrozen_parameters": "adapter.kind: full trains all, lora the adapter only",
    "loss_watchdog_threshold": "a loss that is no number stops the run",
    "loss_watchdog_patience": "a loss that is no number stops the run",
    "remove_unused_columns": "columns that the task does not name are not read",
    "merge_lora": "merge when you export",
    "merge_method": "merging is done in fp32",
    "world_size": "for many GPUs: `yibu train --processes N`",
    "local_rank": "for many GPUs: `yibu train --processes N`",
    "do_bench_eval": "the report has the scores of the task",
}
_PREFIXES = _trainer.PREFIXES | {
    "tokenizer_": "the tokenizer is the base's, as it is",
    "llama4_": "how it is computed is yibu's choice",
    "fused_": "how it is computed is yibu's choice",
    "expert_parallel": "for many GPUs: `yibu train --processes N`",
    "model_quantization": "the base must be unquantised",
    "freeze_mm": "images, sound and video are not read",
    "wandb_": "train.trackers: [wandb] logs there; its own variables say where",
    "mlflow_": "train.trackers: [mlflow] logs there; its own variables say where",
    "comet_": "no tracker for comet",
    "swanlab_": "no tracker for swanlab",
    "use_wandb": "train.trackers: [wandb] logs there",
    "use_mlflow": "train.trackers: [mlflow] logs there",
    "use_comet": "no tracker for comet",
    "sample_packing_": "packs are cut by train.pack_tokens",
    "multipack_": "packs are cut by train.pack_tokens",
    "liger_": "how it is computed is yibu's choice",
    "lora_mlp": "how it is computed is yibu's choice",
    "lora_qkv": "how it is computed is yibu's choice",
    "lora_o_kernel": "how it is computed is yibu's choice",
    "lora_embedding_kernel": "how it is computed is yibu's choice",
    "cut_cross_entropy": "how it is computed is yibu's choice",
    "chunked_cross_entropy": "logits are computed in chunks at target tokens only",
    "flash_": "attention is chosen by the architecture and checked on your rows",
    "sdp_attention": "attention is chosen by the architecture and checked on your rows",
    "xformers_": "attention is chosen by the architecture and checked on your rows",
    "flex_": "attention is chosen by the architecture and checked on your rows",
    "eager_": "attention is chosen by the architecture and checked on your rows",
    "use_": "how it is computed is yibu's choice",
    "evals_": "yibu validates once an epoch unless train.evaluate_every is set",
    "saves_": "yibu saves every 20 steps (train.checkpoint_every)",
    "fp8": "training in fp8 has no counterpart",
    "relora": "ReLoRA has no counterpart",
    "activation_": "train.recompute saves memory here",
    "layer_offloading": "train.recompute saves memory here",
    "generat": "the report has the answers of the test rows",
    "sequence_parallel": "for many GPUs: `yibu train --processes N`",
    "context_parallel": "for many GPUs: `yibu train --processes N`",
    "tensor_parallel": "for many GPUs: `yibu train --processes N`",
    "dp_": "for many GPUs: `yibu train --processes N`",
    "torch_": "how it is computed is yibu's choice",
    "eval_": "yibu validates on whole rows once an epoch",
}


def fits(table: Mapping[str, Any]) -> bool:
    return "base_model" in table and bool({"datasets", "pretraining_dataset"} & set(table))


def base(table: Mapping[str, Any]) -> str | None:
    found = table.get("base_model")
    return None if found is None else str(found)


def translate(draft: Draft) -> None:
    for name in ("rl", "reward_model", "process_reward_model"):
        if draft.get(name):
            raise draft.refuse("It trains on preferences or rewards", name, "take the config of the sft before it")
    draft.take("base_model", "base", draft.get("base_model"))
    _rows(draft)
    _adapter_keys(draft)
    _lengths(draft)
    _trainer.translate_training(draft, _DEFAULTS, _NAMES)
    _whole_batch(draft)
    if "use_tensorboard" in draft.table:
        if draft.table["use_tensorboard"]:
            draft.take("use_tensorboard", "train.trackers", ["tensorboard"])
        else:
            draft.agree("use_tensorboard", "off")
    if draft.get("wandb_project"):
        draft.change("wandb_project", "train.trackers", ["wandb"], "set WANDB_PROJECT to this name")
    if draft.get("evals_per_epoch") == 1:
        draft.agree("evals_per_epoch", "once an epoch")
    draft.rest(_REASONS, _PREFIXES, _HANDLED)


def _whole_batch(draft: Draft) -> None:
    """``batch_size``: rows of a step, from which the tool works out how many micro-batches that is."""
    whole, micro = draft.get("batch_size"), draft.value("train.batch") or 1
    if draft.get("gradient_accumulation_steps") is not None and "batch_size" in draft.table:
        draft.leave("batch_size", "gradient_accumulation_steps says it")
    elif isinstance(whole, int) and whole >= micro:
        draft.change(
            "batch_size", "train.accumulate", whole // micro, f"{whole} rows a step in micro-batches of {micro}"
        )


def _rows(draft: Draft) -> None:
    train, shapes = _data_sets(draft, "datasets")
    valid, _ = _data_sets(draft, "test_datasets")
    reason = _data.set_sources(draft, train, valid)
    if "datasets" in draft.table:
        if reason:
            draft.leave("datasets", reason)
        else:
            draft.take("datasets", "data.source", draft.value("data.source"))
    if len(shapes) == 1 and shapes != {"auto"}:
        draft.put({"data.shape": shapes.pop()})
    if valid and not reason:
        _data.own_validation(draft, "test_datasets")
    if draft.table.get("pretraining_dataset"):
        draft.leave("pretraining_dataset", "streamed pretraining; give the files as data.source with data.shape: text")
    if "val_set_size" in draft.table:
        _data.share_for_validation(draft, "val_set_size", draft.table["val_set_size"])
    else:
        _data.no_validation(draft, "val_set_size")


def _data_sets(draft: Draft, key: str) -> tuple[list[str], set[str]]:
    """Addresses of the data sets in a list, and their shapes; each key of each entry is accounted for."""
    addresses, shapes = [], set()
    given = draft.get(key) or []
    for number, entry in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(entry, Mapping):
            draft.leave(f"{key}.{number}", "no table with a path")
            continue
        prefix = f"{key}.{number}."
        address = _address(entry)
        addresses += address
        for name in entry:
            _data_key(draft, prefix + name, name, entry, address)
        shapes.add(_shape(entry))
    return addresses, shapes


def _address(entry: Mapping[str, Any]) -> list[str]:
    files = entry.get("data_files")
    path = str(entry.get("path") or "")
    if files:
        return [files] if isinstance(files, str) else [str(file) for file in files]
    if not path:
        return []
    if _data.is_file(path):
        return [path]
    split = str(entry.get("split") or "").partition("[")[0]
    return [_data.hub_address(path, entry.get("name"), split, entry.get("revision"))]


def _shape(entry: Mapping[str, Any]) -> str:
    kind = entry.get("type")
    if not isinstance(kind, str):
        return "auto"
    kind = kind.partition(".")[0].partition(":")[0]
    if kind == "chat_template":
        names = entry.get("message_property_mappings") or {}
        content = names.get("content", entry.get("message_field_content"))
        return "sharegpt" if content == "value" else "messages"
    return _SHAPES.get(kind, "auto")


def _data_key(draft: Draft, key: str, name: str, entry: Mapping[str, Any], address: list[str]) -> None:
    value, shape = entry[name], _shape(entry)
    if value is None:
        draft.leave(key, "it has no value")
    elif name in ("path", "data_files", "name", "revision"):
        draft.agree(key, f"data.source: {', '.join(address)}")
    elif name == "split":
        if "[" in str(value):
            draft.differ(
                key, f"data.source: {', '.join(address)}", "a part of a split: data.limit.train takes so many rows"
            )
        else:
            draft.agree(key, f"data.source: {', '.join(address)}")
    elif name == "ds_type":
        draft.agree(key, "the format is told by the file")
    elif name == "type" and shape != "auto":
        draft.agree(key, f"data.shape: {shape}")
    elif name == "type":
        draft.leave(key, "a prompt of its own: write task.prompt and task.target with the columns' names in braces")
    elif name in ("field_messages", "message_property_mappings", "message_field_role", "message_field_content"):
        usual = {"messages", "conversations", "role", "content", "from", "value"}
        words = set(map(str, value.values())) if isinstance(value, Mapping) else {str(value)}
        if words <= usual:
            draft.agree(key, f"data.shape: {shape}")
        else:
            draft.leave(key, "the columns must be called messages (role, content) or conversations (from, value)")
    elif name == "roles_to_train":
        told = "only the last answer of a conversation carries loss"
        if set(_adapter.as_list(value)) <= {"assistant", "gpt"}:
            draft.differ(key, None, told)
        else:
            draft.leave(key, told)
    elif name in ("train_on_eos", "train_on_eot"):
        told = "the end of the answer is trained, in every row"
        if value in ("turn", "last"):
            draft.agree(key, told)
        else:
            draft.leave(key, told)
    elif name == "field" and value == "text":
        draft.agree(key, "data.shape: text")
    elif name in ("chat_template", "chat_template_jinja"):
        draft.differ(key, None, "the template of the base's tokenizer is used; compare in `yibu check`")
    else:
        draft.leave(key, _DATA_REASONS.get(name, "no counterpart"))


_DATA_REASONS = {
    "shards": "every row is read; data.limit.train takes so many",
    "shards_idx": "every row is read; data.limit.train takes so many",
    "trust_remote_code": "data sets that run code are not loaded",
    "drop_system_message": "a system turn stays where it is",
    "roles": "user and human, assistant and gpt, system, tool are known",
    "field": "name the column: task.target in braces, or data.shape: text for a column called text",
    "message_field_training": "only the last answer of a conversation carries loss",
    "message_field_training_detail": "only the last answer of a conversation carries loss",
}


def _adapter_keys(draft: Draft) -> None:
    adapter = draft.get("adapter")
    if adapter in ("lora", "qlora"):
        _adapter.choose_kind(draft, "adapter", adapter)
    elif adapter is None:
        if "adapter" in draft.table:
            _adapter.choose_kind(draft, "adapter", "full")
        elif draft.put({"adapter": {"kind": "full"}}) is None:
            draft.default("adapter", None, "adapter.kind", "full", "everything is trained")
        else:
            draft.default("adapter", None, None, why="everything is trained there; the recipe trains LoRA")
    else:
        draft.leave("adapter", f"{adapter} has no counterpart; the recipe trains LoRA")
    if "load_in_4bit" in draft.table:
        if adapter == "qlora" or not draft.table["load_in_4bit"]:
            draft.agree("load_in_4bit", "adapter.kind says it")
        else:
            _adapter.choose_quantised(draft, "load_in_4bit", 4)
    if "load_in_8bit" in draft.table:
        _adapter.choose_quantised(draft, "load_in_8bit", 8 if draft.table["load_in_8bit"] else 0)
    modules = [name for name in ("lora_target_linear", "lora_target_modules") if draft.get(name)]
    keys = ("lora_r", "lora_alpha", "lora_dropout", *modules, "lora_target_parameters")
    if draft.value("adapter.kind") == "full":
        for name in draft.given(*keys):
            draft.leave(name, "there is no adapter: everything is trained")
        return
    for name, path in (("lora_r", "adapter.r"), ("lora_alpha", "adapter.alpha")):
        if draft.get(name) is not None:
            draft.take(name, path, draft.table[name])
    draft.put({"adapter.dropout": 0.0})
    if draft.get("lora_dropout") is not None:
        draft.take("lora_dropout", "adapter.dropout", draft.table["lora_dropout"])
    if draft.get("lora_target_modules") is not None:
        _adapter.choose_targets(draft, "lora_target_modules", draft.table["lora_target_modules"])
    if "lora_target_linear" in draft.table:
        if draft.table["lora_target_linear"]:
            _adapter.choose_targets(draft, "lora_target_linear", "all-linear")
        else:
            draft.agree("lora_target_linear", "off")
    if draft.get("lora_target_parameters"):
        _adapter.choose_parameters(
            draft, "lora_target_parameters", draft.table["lora_target_parameters"], bool(modules)
        )
    for name, path in (("peft_use_dora", "adapter.dora"), ("peft_use_rslora", "adapter.rslora")):
        if name in draft.table:
            _adapter.choose_flag(draft, name, path)
    if draft.get("peft_init_lora_weights") is not None:
        _adapter.choose_init(draft, "peft_init_lora_weights", draft.table["peft_init_lora_weights"])
    if draft.get("loraplus_lr_ratio") is not None:
        draft.take("loraplus_lr_ratio", "adapter.lr_ratio", draft.table["loraplus_lr_ratio"])


def _lengths(draft: Draft) -> None:
    word = str(draft.get("excess_length_strategy") or "drop")
    policy = {"drop": "drop", "raise": "refuse"}.get(word)
    if draft.get("sequence_len") is not None:
        _data.longest_row(draft, "sequence_len", policy)
    else:
        draft.default("sequence_len", 512, None, why="longer rows are dropped there; here none is")
    if "excess_length_strategy" in draft.table:
        if policy:
            draft.agree("excess_length_strategy", f"train.too_long: {policy}")
        else:
            draft.leave("excess_length_strategy", _data.CUT)
    if "sample_packing" in draft.table:
        if draft.table["sample_packing"] is None:
            draft.agree("sample_packing", "left to the tool")
        else:
            _data.packing(draft, "sample_packing", draft.get("sequence_len"))
    if "train_on_inputs" in draft.table:
        told = "only answers carry loss"
        if draft.table["train_on_inputs"]:
            draft.leave("train_on_inputs", told)
        else:
            draft.agree("train_on_inputs", told)
    if "chat_template" in draft.table:
        _data.own_template(draft, "chat_template", str(draft.table["chat_template"]).startswith("tokenizer_default"))
    if draft.get("default_system_message") is not None:
        _data.set_system(draft, "default_system_message")
