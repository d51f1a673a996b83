"""DeepSeek-V4: compressed sparse attention, hyper-connections, hash-routed first layers."""

from __future__ import annotations

from yibu.bases import Facts, Role
from yibu.bases._roles import ENDS, LAYER
from yibu.bases._templates import CLOSED_THOUGHT

FACTS = Facts(
    name="deepseek_v4",
    model_types=("deepseek_v4",),
    roles=(
        Role("indexer", LAYER + r"self_attn\.compressor\.indexer(\..*)?", "indexer", optional=True),
        Role("compressor_norm", LAYER + r"self_attn\.compressor\.kv_norm", "norm", optional=True),
        Role("compressor", LAYER + r"self_attn\.compressor\.(kv|gate)_proj", "linear", optional=True),
        Role("compressor_bias", LAYER + r"self_attn\.compressor\.position_bias", "other", optional=True),
        Role("attention_q", LAYER + r"self_attn\.q_[ab]_proj", "linear", adapt=True),
        Role("attention_kv", LAYER + r"self_attn\.kv_proj", "linear", adapt=True),
        Role("attention_o_grouped", LAYER + r"self_attn\.o_a_proj", "grouped"),
        Role("attention_o", LAYER + r"self_attn\.o_b_proj", "linear", adapt=True),
        Role("attention_sinks", LAYER + r"self_attn\.sinks", "other"),
        Role("shared_experts", LAYER + r"mlp\.shared_experts\.(gate|up|down)_proj", "linear", adapt=True),
        Role("experts", LAYER + r"mlp\.experts\.(gate_up_proj|down_proj)", "experts"),
        Role("router", LAYER + r"mlp\.gate", "router"),
        Role("hyper_connections", r"model\.(layers\.\d+\.(attn|ffn)_hc|hc_head)", "other"),
        Role("norm", r"(.*\.)?(\w+_)?(layer)?norm", "norm"),
        *ENDS,
    ),
    stop_tokens=("<｜end▁of▁sentence｜>",),
    # Chat mode (no thoughts, no tools) of encoding/encoding_dsv4.py of deepseek-ai/DeepSeek-V4-Flash, whose first
    # release had no Jinja template.
    template=CLOSED_THOUGHT,
    isolated_packing=False,
    attention="eager",
    attentions=("eager",),
    masks_padding=False,
    examples=("deepseek-ai/DeepSeek-V4-Flash", "deepseek-ai/DeepSeek-V4-Flash-Base"),
    notes=(
        "Attention has a learned sink and keys that are appended inside the layer: eager only "
        "(transformers/models/deepseek_v4/modeling_deepseek_v4.py), and a pack cannot be kept apart (measured).",
        "The compressor and the indexer never see the attention mask and count their windows from the first token of "
        "the input, so padding in front is compressed too and moves every window (measured: a probability of a tiny "
        "model by 3e-3, where the order of sums does by 3e-8).",
        "Bare names such as kv_proj or gate_proj also mean the compressor and the indexer; the names here begin with "
        "the layer. The indexer gets no gradient (measured).",
        "The compressor is left out by default: a row shorter than its window (128 tokens in the heavily compressed "
        "layers) gives it no gradient at all.",
        "o_a_proj multiplies by group and so is no plain linear layer (peft's all-linear crashes on it, measured); "
        "by its weight it can be adapted, without dropout. By default o_b_proj, which follows it, is adapted alone.",
    ),
)
