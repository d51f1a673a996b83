"""DeepSeek-V3.2: V3 with sparse attention, whose keys a small indexer chooses."""

from __future__ import annotations

from yibu.bases import Facts, Role
from yibu.bases._roles import ENDS, LATENT_ATTENTION, LAYER, MIXTURE, PEFT_REWRITES
from yibu.bases._templates import CLOSED_THOUGHT

FACTS = Facts(
    name="deepseek_v32",
    model_types=("deepseek_v32",),
    roles=(
        Role("indexer", LAYER + r"self_attn\.indexer\..*", "indexer"),
        *LATENT_ATTENTION,
        *MIXTURE,
        *ENDS,
    ),
    stop_tokens=("<｜end▁of▁sentence｜>",),
    # The repository has no Jinja template: chat mode (no thoughts, no tools) of its encoding/encoding_dsv32.py, as
    # llama.cpp's models/templates/DeepSeek-V3.2.jinja writes it with enable_thinking off.
    template=CLOSED_THOUGHT,
    isolated_packing=False,
    attention="sdpa",
    attentions=("sdpa", "eager"),
    examples=("deepseek-ai/DeepSeek-V3.2", "deepseek-ai/DeepSeek-V3.2-Exp"),
    notes=(
        "The indexer's choice of the best `index_topk` keys has no gradient, so LoRA on it would train nothing "
        "(measured): it is frozen.",
        "With rows longer than `index_topk` the choice sees the neighbours of a pack, so rows run one by one.",
        "Keys that score exactly nothing in every head of the indexer (ReLU) are chosen by the length of the row: "
        "in a random model with two heads padding moves logits by 1.7, with a score without ties by 2e-6 (measured).",
        PEFT_REWRITES,
    ),
)
