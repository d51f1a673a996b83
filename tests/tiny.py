"""Tiny random models of the real transformers classes, and a tiny tokenizer: what every test that needs a model uses.

Tests import it by ``from tiny import ...`` (``pythonpath = ["tests"]`` in pyproject.toml). A model has about 0.2
million parameters and every part of its architecture: dense and sparse layers, shared and routed experts, each kind of
attention layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

VOCABULARY = 512
MAX_LENGTH = 256
PAD, BOS, EOS = 0, 1, 4
SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_SENTENCES = [
    "The patient has had a cough and a fever of 38.5 degrees for three days.",
    "Blood pressure is 120 over 80, no known allergies, no chest pain.",
    "Disease of the heart, disease of the lung, injury of the hand.",
    "user assistant system: summarise the visit and name the chapter of the code.",
    "患者咳嗽三天，体温三十八度五，无胸痛，无药物过敏史。",
    "血压正常，建议休息并多喝水，一周后复诊。心脏病，肺病，手外伤。",
]

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": MAX_LENGTH,
    "initializer_range": 0.1,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
_DENSE: dict[str, Any] = {**_COMMON, "intermediate_size": 96, "num_key_value_heads": 2}
_MIXTURE: dict[str, Any] = {
    **_COMMON,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}

# Name -> config class and arguments. V2 comes twice: V2-Lite has one query matrix, V2 a low-rank pair.
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {**_DENSE, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2Config", _DENSE),
    "gemma3": (
        "Gemma3TextConfig",
        {**_DENSE, "head_dim": 16, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "deepseek_v2": ("DeepseekV2Config", {**_MIXTURE, "q_lora_rank": None}),
    "deepseek_v2_low_rank_q": ("DeepseekV2Config", _MIXTURE),
    "deepseek_v3": ("DeepseekV3Config", _MIXTURE),
    # Of fewer keys than a row has tokens, those that score nothing would be chosen by the length of the row.
    "deepseek_v32": (
        "DeepseekV32Config",
        {**_MIXTURE, "index_topk": MAX_LENGTH, "index_head_dim": 16, "index_n_heads": 2},
    ),
    "deepseek_v4": (
        "DeepseekV4Config",
        {
            **_COMMON,
            "num_hidden_layers": 3,
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "head_dim": 16,
            "partial_rotary_factor": 0.5,
            "q_lora_rank": 24,
            "o_groups": 2,
            "o_lora_rank": 16,
            "index_n_heads": 2,
            "index_head_dim": 16,
            "index_topk": 64,
            "sliding_window": 64,
            "hc_mult": 2,
            "layer_types": ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"],
            "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8},
            "mlp_layer_types": ["hash_moe", "moe", "moe"],
        },
    ),
}

ARCHITECTURES = tuple(_CONFIGS)


def tiny_config(architecture: str = "llama", **changes: Any) -> Any:
    """Config of a tiny model; `changes` replace arguments of the config class."""
    import transformers

    name, arguments = _CONFIGS[architecture]
    return getattr(transformers, name)(**{**arguments, **changes})


def tiny_model(architecture: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """A random model in evaluation mode, fp32, the same for the same seed; the global random state is left alone."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(architecture, **changes))
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name.endswith("tid2eid"):  # the hash router's table, all zeros until a checkpoint fills it
                    experts, chosen = model.config.n_routed_experts, buffer.shape[1]
                    buffer.copy_(torch.stack([torch.randperm(experts)[:chosen] for _ in range(buffer.shape[0])]))
    return model.eval()


def tiny_tokenizer() -> Any:
    """A byte-level BPE of a few English and Chinese sentences, with a ChatML template; any text round-trips."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        model_max_length=MAX_LENGTH,
        chat_template=TEMPLATE,
    )


def tiny_base(folder: Path, architecture: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """A complete Hugging Face folder: safetensors, config, generation config, tokenizer, template.

    As some published ones do, it asks for a penalty and for chance, which must reach no answer of ours.
    """
    model = tiny_model(architecture, seed, **changes)
    model.generation_config.update(repetition_penalty=3.0, do_sample=True, temperature=0.7)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_ids(num_rows: int = 2, length: int = 24, seed: int = 0) -> torch.Tensor:
    """Token ids ``[num_rows, length]`` without special tokens."""
    return torch.randint(len(SPECIAL), VOCABULARY, (num_rows, length), generator=torch.Generator().manual_seed(seed))


def tiny_gguf(path: Path) -> Path:
    """A Llama with random Q4_1 weights as one GGUF file, with tokenizer and template."""
    import json

    import gguf
    import numpy as np

    config = tiny_config("llama")
    width, layers, heads, kv_heads = config.hidden_size, config.num_hidden_layers, 4, config.num_key_value_heads
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(MAX_LENGTH)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)

    tokenizer = tiny_tokenizer()
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(sorted(bpe["vocab"], key=bpe["vocab"].get))
    kinds = [gguf.TokenType.CONTROL] * len(SPECIAL)
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(bpe["vocab"]) - len(kinds)))
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in bpe["merges"]])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_chat_template(TEMPLATE)

    random = np.random.default_rng(0)
    head = width // heads
    shapes = {"token_embd": (VOCABULARY, width)}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.attn_q": (width, width),
            f"blk.{layer}.attn_k": (kv_heads * head, width),
            f"blk.{layer}.attn_v": (kv_heads * head, width),
            f"blk.{layer}.attn_output": (width, width),
            f"blk.{layer}.ffn_gate": (config.intermediate_size, width),
            f"blk.{layer}.ffn_up": (config.intermediate_size, width),
            f"blk.{layer}.ffn_down": (width, config.intermediate_size),
        }
    kind = gguf.GGMLQuantizationType.Q4_1
    for name, shape in shapes.items():
        values = random.normal(scale=0.1, size=shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    for name in ["output_norm", *(f"blk.{n}.{norm}_norm" for n in range(layers) for norm in ("attn", "ffn"))]:
        writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
