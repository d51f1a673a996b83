"""LLaMA-Factory: ``llamafactory-cli train x.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from yibu.importers import _adapter, _data, _trainer
from yibu.importers._draft import Draft

TOOL = "LLaMA-Factory"
SIGNATURE = "stage and finetuning_type"

_DEFAULTS = _trainer.Defaults(lr=5e-5, epochs=3, batch=8, accumulate=1)
_HANDLED = (
    *("stage", "finetuning_type", "model_name_or_path", "dataset", "eval_dataset", "dataset_dir", "val_size"),
    *("max_samples", "cutoff_len", "template", "default_system", "packing", "neat_packing", "train_on_prompt"),
    *("mask_history", "lora_rank", "lora_alpha", "lora_dropout", "lora_target", "use_dora", "use_rslora"),
    *("pissa_init", "loraplus_lr_ratio", "quantization_bit", "quantization_method", "double_quantization"),
    *("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "warmup_ratio", "warmup_steps"),
    *("gradient_accumulation_steps", "lr_scheduler_type", "weight_decay", "max_grad_norm", "optim", "bf16", "fp16"),
)
_REASONS = _trainer.REASONS | {
    "overwrite_cache": "what is prepared is known by the hash of its content; nothing stale can be read",
    "tokenized_path": "what is prepared is known by the hash of its content",
    "plot_loss": "the report has the curve",
    "additional_target": "modules trained whole beside LoRA have no counterpart",
    "create_new_adapter": "training starts from the base",
    "adapter_name_or_path": "training starts from the base; merge that adapter into it first",
    "pissa_iter": "the singular vectors are exact",
    "pissa_convert": "what is saved is a plain LoRA always",
    "loraplus_lr_embedding": "embeddings are not trained",
    "quantization_type": "nf4",
    "ignore_pad_token_for_loss": "padding never carries loss",
    "enable_thinking": "the template of the base's tokenizer decides",
    "preserve_thinking": "the template of the base's tokenizer decides",
    "tool_format": "the template of the base's tokenizer decides",
    "resize_vocab": "the vocabulary is the base's",
    "rope_scaling": "the base's own",
    "moe_aux_loss_coef": "the router is frozen, so its loss has nothing to move",
    "pure_bf16": "what is trained is fp32",
    "upcast_layernorm": "norms are computed in fp32",
    "use_unsloth": "how it is computed is yibu's choice",
    "shift_attn": "it changes the model",
    "compute_accuracy": "the report has the scores of the task",
    "predict_with_generate": "the report always answers by generating",
    "mix_strategy": "sources are read one after the other and shuffled together",
    "interleave_probs": "every row is read once an epoch",
    "use_galore": "yibu trains with AdamW",
    "use_apollo": "yibu trains with AdamW",
    "use_badam": "yibu trains with AdamW",
    "use_muon": "yibu trains with AdamW",
    "use_adam_mini": "yibu trains with AdamW",
    "use_llama_pro": "blocks that are added to the base have no counterpart",
    "mixture_of_depths": "it changes the model",
    "use_v1_kernels": "how it is computed is yibu's choice",
    "use_dft_loss": "the loss is cross-entropy",
}
_PREFIXES = _trainer.PREFIXES | {
    "preprocessing_": "it changes no result (data.workers)",
    "galore_": "yibu trains with AdamW",
    "apollo_": "yibu trains with AdamW",
    "badam_": "yibu trains with AdamW",
    "freeze_": "for `freeze`, which is no adapter; adapter.layers adapts some layers only",
    "image_": "images, sound and video are not read",
    "video_": "images, sound and video are not read",
    "audio_": "images, sound and video are not read",
    "media_dir": "images, sound and video are not read",
    "swanlab_": "no tracker for swanlab",
    "use_swanlab": "no tracker for swanlab",
    "ray_": "train.engine and data.engine say it here",
    "export_": "for export",
    "infer_": "for inference",
    "vllm_": "for inference",
    "sglang_": "for inference",
    "kt_": "how it is computed is yibu's choice",
    "use_kt": "how it is computed is yibu's choice",
    "pref_": "for training on preferences",
    "ppo_": "for training on preferences",
    "reward_": "for training on preferences",
    "ref_model": "for training on preferences",
    "fp8": "training in fp8 has no counterpart",
    "use_asft": "the loss is cross-entropy",
    "use_eaft": "the loss is cross-entropy",
    "asft_": "the loss is cross-entropy",
    "eaft_": "the loss is cross-entropy",
    "oft_": "for oft, which is no adapter here",
    "generation_": "task.max_new_tokens is what is asked for; answers are greedy",
}


def fits(table: Mapping[str, Any]) -> bool:
    return "finetuning_type" in table and ("stage" in table or "model_name_or_path" in table)


def base(table: Mapping[str, Any]) -> str | None:
    found = table.get("model_name_or_path")
    return None if found is None else str(found)


def translate(draft: Draft) -> None:
    _check_purpose(draft)
    _base_and_rows(draft)
    _adapter_keys(draft)
    _lengths(draft)
    _trainer.translate_training(draft, _DEFAULTS)
    draft.rest(_REASONS, _PREFIXES, _HANDLED)


def _check_purpose(draft: Draft) -> None:
    stage = draft.get("stage") or "sft"
    if stage not in ("sft", "pt"):
        raise draft.refuse("It trains on preferences or rewards", "stage", "take the config of the sft stage before it")
    if draft.get("export_dir") and not draft.get("dataset"):
        raise draft.refuse("It merges and exports, it trains nothing", "export_dir", "take the config of the training")
    if "stage" in draft.table:
        if stage == "pt":
            draft.take("stage", "data.shape", "text", "raw text, read without a chat template")
        else:
            draft.agree("stage", "questions and answers")
    if draft.table.get("do_train") is False:
        raise draft.refuse("It does not train", "do_train", "take the config of the training")


def _base_and_rows(draft: Draft) -> None:
    draft.take("model_name_or_path", "base", draft.get("model_name_or_path"))
    folder = str(draft.get("dataset_dir") or "data")
    names, held_out = (_adapter.as_list(draft.get(name)) for name in ("dataset", "eval_dataset"))
    online = folder.upper() == "ONLINE"

    def addresses(names: list[str]) -> list[str]:
        if online:
            return [_data.hub_address(name) for name in names]
        return [f"{PurePosixPath(folder) / 'dataset_info.json'}:{','.join(names)}"] if names else []

    train, valid = addresses(names), addresses(held_out)
    reason = _data.set_sources(draft, train, valid)
    told = "the registry is read as it is; paths count from where yibu is started"
    if "dataset" in draft.table:
        if reason:
            draft.leave("dataset", reason)
        else:
            source = draft.value("data.source")
            draft.take("dataset", "data.source", source, "" if online else told)
    if "dataset_dir" in draft.table:
        draft.agree("dataset_dir", "part of data.source")
    if "eval_dataset" in draft.table:
        if valid:
            _data.own_validation(draft, "eval_dataset")
        else:
            draft.leave("eval_dataset", "it has no value")
    if "val_size" in draft.table:
        _data.share_for_validation(draft, "val_size", draft.table["val_size"])
    else:
        _data.no_validation(draft, "val_size")
    if draft.get("max_samples") is not None:
        more = "; there of each data set, here of all together" if len(names) > 1 else ""
        draft.change(
            "max_samples", "data.limit.train", draft.table["max_samples"], f"rows of train after the split{more}"
        )


def _adapter_keys(draft: Draft) -> None:
    kind = str(draft.get("finetuning_type") or "lora")
    if draft.get("finetuning_type") is None:
        draft.default("finetuning_type", "lora", "adapter.kind", "lora")
    elif kind not in ("lora", "full"):
        draft.leave("finetuning_type", f"{kind} has no counterpart; the recipe trains LoRA")
    else:
        _adapter.choose_kind(draft, "finetuning_type", kind)
    if "quantization_bit" in draft.table:
        _adapter.choose_quantised(draft, "quantization_bit", draft.table["quantization_bit"])
    if "quantization_method" in draft.table:
        word = str(draft.table["quantization_method"]).lower()
        if word in ("bnb", "bitsandbytes"):
            draft.agree("quantization_method", "bitsandbytes")
        else:
            draft.leave("quantization_method", "bitsandbytes only")
    _adapter.choose_double(draft, "double_quantization", default=True)
    if draft.value("adapter.kind") == "full":
        for name in draft.given("lora_rank", "lora_alpha", "lora_dropout", "lora_target"):
            draft.leave(name, "finetuning_type is full")
        return
    rank = draft.get("lora_rank")
    if rank is None:
        draft.default("lora_rank", 8, "adapter.r", 8)
    else:
        draft.take("lora_rank", "adapter.r", rank)
    if draft.get("lora_alpha") is None:
        draft.default("lora_alpha", "2 x lora_rank", "adapter.alpha", 2 * (draft.value("adapter.r") or 8))
    else:
        draft.take("lora_alpha", "adapter.alpha", draft.table["lora_alpha"])
    if "lora_dropout" in draft.table:
        draft.take("lora_dropout", "adapter.dropout", draft.table["lora_dropout"] or 0)
    if draft.get("lora_target") is not None:
        _adapter.choose_targets(draft, "lora_target", draft.table["lora_target"])
    for name, path in (("use_dora", "adapter.dora"), ("use_rslora", "adapter.rslora")):
        if name in draft.table:
            _adapter.choose_flag(draft, name, path)
    if "pissa_init" in draft.table:
        _adapter.choose_init(draft, "pissa_init", "pissa" if draft.table["pissa_init"] else "default")
    if draft.get("loraplus_lr_ratio") is not None:
        draft.take("loraplus_lr_ratio", "adapter.lr_ratio", draft.table["loraplus_lr_ratio"])


def _lengths(draft: Draft) -> None:
    if draft.get("cutoff_len") is not None:
        _data.longest_row(draft, "cutoff_len")
    else:
        draft.default("cutoff_len", 2048, None, why="longer rows are cut there, the answer with them; here none is")
    length = draft.get("cutoff_len") or 2048
    if "packing" in draft.table:
        leaks = not draft.get("neat_packing")
        if draft.table["packing"] is None:
            draft.agree("packing", "left to the tool")
        else:
            _data.packing(draft, "packing", length, leaks)
    if "neat_packing" in draft.table:
        if draft.table["neat_packing"] and "packing" not in draft.table:
            _data.packing(draft, "neat_packing", length)
        else:
            draft.agree("neat_packing", "rows of a pack never see each other")
    if draft.table.get("train_on_prompt"):
        draft.leave("train_on_prompt", "only answers carry loss")
    elif "train_on_prompt" in draft.table:
        draft.agree("train_on_prompt", "only answers carry loss")
    told = "only the last answer of a conversation carries loss"
    if draft.table.get("mask_history"):
        draft.agree("mask_history", told)
    elif draft.get("stage") != "pt":
        if "mask_history" in draft.table:
            draft.differ("mask_history", None, told)
        else:
            draft.default("mask_history", False, None, why=told)
    if "template" in draft.table:
        _data.own_template(draft, "template")
    if draft.get("default_system") is not None:
        _data.set_system(draft, "default_system")
