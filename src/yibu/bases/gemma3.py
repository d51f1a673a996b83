"""Gemma 3, text only (`gemma3_text`) and the language part of the models that see (`gemma3`)."""

from __future__ import annotations

from yibu.bases import Facts, Role
from yibu.bases._roles import dense

# Turns of user and model; a system message goes in front of the first user turn
# (chat_template.json of google/gemma-3-4b-it, ai.google.dev/gemma/docs/core/prompt-structure).
TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set first = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Turns of user and assistant must alternate.') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{{ (first if loop.first else '') + (message['content'] | trim) + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

FACTS = Facts(
    name="gemma3",
    model_types=("gemma3_text", "gemma3"),
    roles=(
        Role("vision", r"model\.(vision_tower|multi_modal_projector)(\..*)?", "other", optional=True),
        *dense(r"model\.(language_model\.)?layers\.\d+\."),
        Role("embedding", r"model\.(language_model\.)?embed_tokens", "embedding"),
        Role("head", r"lm_head", "head"),
    ),
    stop_tokens=("<end_of_turn>", "<eos>"),
    template=TEMPLATE,
    isolated_packing=True,
    attention="sdpa",
    attentions=("sdpa", "eager", "flash_attention_2", "flex_attention"),
    examples=("google/gemma-3-270m-it", "google/gemma-3-4b-it"),
    notes=(
        "Five of six layers look back over a sliding window; the width reaches the attention interface as "
        "`sliding_window`, so a row of a pack can be kept to itself (measured: packed and single logits equal with a "
        "window shorter than the row).",
        "gemma-3-270m is a base model without a template; its tokenizer knows <start_of_turn> and <end_of_turn>.",
        "Gemma Terms of Use: no open-source licence; its use restrictions pass on to tuned models.",
    ),
)
