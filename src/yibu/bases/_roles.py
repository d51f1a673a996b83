"""Roles that several architectures share, written once."""

from __future__ import annotations

from yibu.bases import Role

LAYER = r"model\.layers\.\d+\."

ENDS: tuple[Role, ...] = (
    Role("embedding", r"model\.embed_tokens", "embedding"),
    Role("head", r"lm_head", "head"),
)


def dense(layer: str = LAYER) -> tuple[Role, ...]:
    """Llama's layer (arXiv 2302.13971): grouped-query attention and a gated MLP.

    Args:
        layer: regular expression in front of ``self_attn`` and ``mlp``.
    """
    return (
        Role("attention_q", layer + r"self_attn\.q_proj", "linear", adapt=True),
        Role("attention_kv", layer + r"self_attn\.[kv]_proj", "linear", adapt=True),
        Role("attention_o", layer + r"self_attn\.o_proj", "linear", adapt=True),
        Role("mlp", layer + r"mlp\.(gate|up|down)_proj", "linear", adapt=True),
        Role("norm", r"(.*\.)?(\w+_)?(layer)?norm", "norm"),
    )


# Multi-head latent attention (arXiv 2405.04434, section 2.1): queries through a low-rank pair (or one matrix in the
# small models), keys and values out of one compressed vector.
LATENT_ATTENTION: tuple[Role, ...] = (
    Role("attention_q", LAYER + r"self_attn\.q(_a|_b)?_proj", "linear", adapt=True),
    Role("attention_kv", LAYER + r"self_attn\.(kv_a_proj_with_mqa|kv_b_proj)", "linear", adapt=True),
    Role("attention_o", LAYER + r"self_attn\.o_proj", "linear", adapt=True),
)

# DeepSeekMoE (arXiv 2401.06066): routed experts, experts that see every token, and dense layers at the bottom.
# transformers keeps the routed experts of a layer as two parameters [num_experts, out, in].
MIXTURE: tuple[Role, ...] = (
    Role("dense_mlp", LAYER + r"mlp\.(gate|up|down)_proj", "linear", adapt=True, optional=True),
    Role("shared_experts", LAYER + r"mlp\.shared_experts\.(gate|up|down)_proj", "linear", adapt=True, optional=True),
    Role("experts", LAYER + r"mlp\.experts\.(gate_up_proj|down_proj)", "experts", optional=True),
    Role("router", LAYER + r"mlp\.gate", "router"),
    Role("norm", r"(.*\.)?(\w+_)?(layer)?norm", "norm"),
)

# What peft does to these names, wherever transformers fuses experts (deepseek_v2, v3, v32).
PEFT_REWRITES = (
    "peft 0.21.2 turns any target named gate_proj, up_proj or down_proj into the routed experts, so a shared expert or "
    "a dense layer named so gets no adapter in silence (peft/utils/transformers_weight_conversion.py, peft PR #3232; "
    "measured). yibu.adapters.lora names such layers by their weight instead and compares the result with its plan."
)
