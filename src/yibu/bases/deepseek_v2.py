"""DeepSeek-V2, V2-Lite, V2.5: latent attention and a mixture of experts (arXiv 2405.04434)."""

from __future__ import annotations

from yibu.bases import Facts
from yibu.bases._roles import ENDS, LATENT_ATTENTION, MIXTURE, PEFT_REWRITES
from yibu.bases._templates import PLAIN_TURNS

FACTS = Facts(
    name="deepseek_v2",
    model_types=("deepseek_v2",),
    roles=LATENT_ATTENTION + MIXTURE + ENDS,
    stop_tokens=("<｜end▁of▁sentence｜>",),
    # tokenizer_config.json of deepseek-ai/DeepSeek-V2-Chat and V2-Lite-Chat; also in llama.cpp's test-chat-template.
    template=PLAIN_TURNS,
    isolated_packing=True,
    attention="sdpa",
    attentions=("sdpa", "eager", "flash_attention_2", "flex_attention"),
    remote_code=(
        "configuration_deepseek.DeepseekV2Config",
        "modeling_deepseek.DeepseekV2Model",
        "modeling_deepseek.DeepseekV2ForCausalLM",
    ),
    examples=("deepseek-ai/DeepSeek-V2-Lite-Chat", "deepseek-ai/DeepSeek-V2-Lite"),
    notes=(
        "V2-Lite has no low-rank queries (`q_lora_rank: null`): one q_proj in place of q_a_proj and q_b_proj.",
        PEFT_REWRITES,
    ),
)
