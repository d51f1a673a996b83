"""What the facts say, held against chat formats as published and against models without a file of their own."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from tiny import tiny_tokenizer
from yibu import bases

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Why?"},
]
PLAIN = "<s>Be brief.\n\nUser: Hello\n\nAssistant: Hi<|im_end|>User: Why?\n\nAssistant:"
CLOSED = (
    "<s>Be brief.<｜User｜>Hello<｜Assistant｜></think>Hi<｜end▁of▁sentence｜><｜User｜>Why?<｜Assistant｜></think>"
)
# The test tokenizer's beginning and end of text are <s> and <|im_end|>.
PUBLISHED = {
    "llama": PLAIN,
    "qwen2": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    "<|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
    "gemma3": "<s><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\nHi<end_of_turn>\n"
    "<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n",
    "deepseek_v2": PLAIN,
    "deepseek_v3": "<s>Be brief.<｜User｜>Hello<｜Assistant｜>Hi<｜end▁of▁sentence｜><｜User｜>Why?<｜Assistant｜>",
    "deepseek_v32": CLOSED,
    "deepseek_v4": CLOSED,
}


def render(template: str | None, messages: list[dict[str, str]], prompt: bool) -> str:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_template_writes_the_published_format(name: str) -> None:
    template = bases.FAMILY.load(name).FACTS.template
    assert render(template, CONVERSATION, prompt=True) == PUBLISHED[name]
    # A conversation with its answer begins with what a server sends as the prompt.
    answered = render(template, [*CONVERSATION, {"role": "assistant", "content": "So."}], prompt=False)
    assert answered.startswith(PUBLISHED[name])


def test_qwen2_adds_its_system_turn() -> None:
    text = render(bases.FAMILY.load("qwen2").FACTS.template, CONVERSATION[1:2], prompt=True)
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHello")


def test_gemma3_refuses_turns_that_do_not_alternate() -> None:
    from jinja2 import TemplateError

    with pytest.raises(TemplateError, match="alternate"):
        render(bases.FAMILY.load("gemma3").FACTS.template, [CONVERSATION[1]] * 2, prompt=True)


def test_every_model_type_has_one_file() -> None:
    files = [facts.FACTS for facts in bases.FAMILY.all().values()]
    types = [model_type for facts in files for model_type in facts.model_types]
    assert len(types) == len(set(types))
    assert set(types) == set(bases.known())
    assert bases.facts_for(SimpleNamespace(model_type="gemma3_text")) is bases.FAMILY.load("gemma3").FACTS


def test_unknown_architecture_gets_the_generic_facts_and_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("yibu"), "propagate", True)
    config = SimpleNamespace(model_type="brand_new", _attn_implementation="sdpa")
    with caplog.at_level(logging.WARNING, logger="yibu"):
        facts = bases.facts_for(config)
    assert "brand_new" in caplog.text
    assert (facts.name, facts.model_types, facts.attention) == ("generic", ("brand_new",), "sdpa")
    assert not facts.isolated_packing
    assert bases.facts_for(SimpleNamespace(model_type="other")).attention == "eager"


def test_first_role_that_matches_wins() -> None:
    facts = bases.FAMILY.load("deepseek_v4").FACTS
    names = {
        "model.layers.3.self_attn.kv_proj": "attention_kv",
        "model.layers.3.self_attn.compressor.kv_proj": "compressor",
        "model.layers.3.self_attn.compressor.indexer.kv_proj": "indexer",
        "model.layers.3.self_attn.compressor.indexer.q_b_proj": "indexer",
        "model.layers.3.mlp.experts.gate_up_proj": "experts",
    }
    assert {name: facts.role_of(name).name for name in names} == names
    assert facts.role_of("model.layers.3.self_attn.k_proj") is None


def test_gemma3_that_sees_is_adapted_in_its_language_part_alone() -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    vision = {**{k: v for k, v in text.items() if k != "vocab_size"}, "num_attention_heads": 2, "image_size": 28}
    with torch.device("meta"):
        model = Gemma3ForConditionalGeneration(Gemma3Config(text_config={**text, **heads}, vision_config=vision))
    facts = bases.facts_for(model.config)
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    adapted = [name for name in linear if (role := facts.role_of(name)) is not None and role.adapt]
    assert len(adapted) == 7
    assert all(name.startswith("model.language_model.layers.0.") for name in adapted)
    rest = {facts.role_of(name).name for name in linear if name not in adapted}
    assert rest == {"vision", "head"}
