"""Llama: DeepSeek LLM 7B and 67B, DeepSeek-R1-Distill-Llama, SmolLM2, and most others of that shape."""

from __future__ import annotations

from yibu.bases import Facts
from yibu.bases._roles import ENDS, dense
from yibu.bases._templates import PLAIN_TURNS

FACTS = Facts(
    name="llama",
    model_types=("llama",),
    roles=dense() + ENDS,
    stop_tokens=("<｜end▁of▁sentence｜>", "<|im_end|>", "<|eot_id|>", "</s>"),
    # DeepSeek LLM Chat (tokenizer_config.json of deepseek-ai/deepseek-llm-7b-chat); fits any base without a template,
    # since it asks for no token of its own.
    template=PLAIN_TURNS,
    isolated_packing=True,
    attention="sdpa",
    attentions=("sdpa", "eager", "flash_attention_2", "flex_attention"),
    examples=(
        "deepseek-ai/deepseek-llm-7b-chat",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    notes=(
        "R1-Distill-Llama keeps <|eot_id|> of Llama 3 in its vocabulary but ends turns with <｜end▁of▁sentence｜>, so "
        "that token comes first (its tokenizer_config.json).",
        "SmolLM2's padding token is its end-of-turn token: padding is told apart by length, never by id (measured).",
    ),
)
