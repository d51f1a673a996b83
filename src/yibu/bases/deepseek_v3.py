"""DeepSeek-V3, R1 and V3.1 (arXiv 2412.19437): V2's layer with another router."""

from __future__ import annotations

from yibu.bases import Facts
from yibu.bases._roles import ENDS, LATENT_ATTENTION, MIXTURE, PEFT_REWRITES

# Turns of deepseek-ai/DeepSeek-V3 (its tokenizer_config.json), without tools and without thoughts.
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}{% endif %}{% endfor %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)

FACTS = Facts(
    name="deepseek_v3",
    model_types=("deepseek_v3",),
    roles=LATENT_ATTENTION + MIXTURE + ENDS,
    stop_tokens=("<｜end▁of▁sentence｜>",),
    template=TEMPLATE,
    isolated_packing=True,
    attention="sdpa",
    attentions=("sdpa", "eager", "flash_attention_2", "flex_attention"),
    remote_code=(
        "configuration_deepseek.DeepseekV3Config",
        "modeling_deepseek.DeepseekV3Model",
        "modeling_deepseek.DeepseekV3ForCausalLM",
    ),
    examples=("deepseek-ai/DeepSeek-V3-0324", "deepseek-ai/DeepSeek-R1"),
    notes=(
        "The multi-token prediction layer of the checkpoint is not in transformers' training graph (measured).",
        "R1's template ends the prompt with '<think>\\n'; V3.1's opens an answer without thoughts with '</think>'.",
        PEFT_REWRITES,
    ),
)
