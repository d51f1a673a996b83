"""Qwen2 and Qwen2.5: DeepSeek-R1-Distill-Qwen. Llama's layer with biases on queries, keys and values."""

from __future__ import annotations

from yibu.bases import Facts
from yibu.bases._roles import ENDS, dense

# ChatML with the default system turn of Qwen2 (tokenizer_config.json of Qwen/Qwen2-7B-Instruct).
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

FACTS = Facts(
    name="qwen2",
    model_types=("qwen2",),
    roles=dense() + ENDS,
    stop_tokens=("<｜end▁of▁sentence｜>", "<|im_end|>", "<|endoftext|>"),
    template=TEMPLATE,
    isolated_packing=True,
    attention="sdpa",
    attentions=("sdpa", "eager", "flash_attention_2", "flex_attention"),
    examples=("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "Qwen/Qwen2.5-0.5B-Instruct"),
    notes=(
        "R1-Distill-Qwen's own template ends the prompt with '<think>\\n' and cuts thoughts out of earlier answers "
        "(its tokenizer_config.json): a target without a thought must close the one that the prompt opened.",
        "Qwen2.5 instruction models end a turn with <|im_end|>, base models a text with <|endoftext|>.",
    ),
)
