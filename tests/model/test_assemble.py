"""What is put together is what it seems: types, devices, templates, and the proof before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tiny import MAX_LENGTH, VOCABULARY, tiny_base, tiny_ids, tiny_model, tiny_tokenizer
from yibu import bases
from yibu.adapters.lora import Settings
from yibu.core.errors import InputError, TrainingError
from yibu.model import assemble
from yibu.model.assemble import Assembled, choose_device, choose_dtype, for_answers, for_training, packing_is_exact
from yibu.model.lora_linear import FusedLoraLinear
from yibu.model.render import Example, Renderer


def examples(count: int = 3) -> list[Example]:
    made = []
    for index in range(count):
        ids = tuple(tiny_ids(1, 20 + index, index)[0].tolist())
        made.append(Example(ids, tuple(place > 9 for place in range(len(ids)))))
    return made


def assembled(model: Any) -> Assembled:
    facts = bases.facts_for(model.config)
    if facts.isolated_packing:
        assemble.use_packed_attention(model)
    renderer = Renderer(tiny_tokenizer(), facts.stop_tokens)
    return Assembled(model, renderer, facts, None, facts.isolated_packing, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "deepseek_v2", "deepseek_v3"])
def test_packs_of_known_architectures_are_proven_at_the_start(architecture: str) -> None:
    assert packing_is_exact(assembled(tiny_model(architecture)), examples(), prefix=0)


@pytest.mark.parametrize("architecture", ["deepseek_v32", "deepseek_v4"])
def test_architectures_that_cannot_isolate_rows_run_them_one_by_one(architecture: str) -> None:
    assert not packing_is_exact(assembled(tiny_model(architecture)), examples(), prefix=0)


@pytest.mark.parametrize(
    ("kind", "more"), [("cohere", {"logit_scale": 0.1}), ("granite", {"logits_scaling": 5.0}), ("gemma2", {})]
)
def test_architectures_that_scale_or_cap_their_logits_keep_their_loss(kind: str, more: dict[str, Any]) -> None:
    arguments = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape = {"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": MAX_LENGTH, "vocab_size": VOCABULARY}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 4}
    config = AutoConfig.for_model(kind, **arguments, **shape, **tokens, **more)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    assert not packing_is_exact(assembled(model), examples(), prefix=0)  # raises if the loss is another


def test_an_output_layer_that_does_more_than_yibu_knows_stops_the_run() -> None:
    model = tiny_model("llama")
    model.lm_head.register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(TrainingError, match="not the loss of the model's own forward pass"):
        packing_is_exact(assembled(model), examples(), prefix=0)


def test_packs_that_see_their_neighbours_are_found_out(caplog: pytest.LogCaptureFixture) -> None:
    made = assembled(tiny_model("llama"))
    made.model.set_attn_implementation("sdpa")  # knows no borders here: positions alone would not keep rows apart
    for layer in made.model.model.layers:
        layer.self_attn.forward = _seeing_everything(layer.self_attn)
    with caplog.at_level("WARNING", logger="yibu"):
        assert not packing_is_exact(made, examples(), prefix=0)
    assert "see their neighbours" in caplog.text


def _seeing_everything(attention: Any) -> Any:
    plain = attention.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        kwargs["attention_mask"] = None
        kwargs.pop("cu_seq_lens_q", None)
        return plain(*args, **kwargs)

    return forward


def test_adapters_are_fp32_on_a_frozen_base_of_another_type(tmp_path: Path) -> None:
    made = for_training(tiny_base(tmp_path), Settings(r=4), "cpu", "bf16")
    trained = {p.dtype for p in made.model.parameters() if p.requires_grad}
    frozen = {p.dtype for p in made.model.parameters() if not p.requires_grad}
    assert (trained, frozen) == ({torch.float32}, {torch.bfloat16})
    assert any(isinstance(module, FusedLoraLinear) for module in made.model.modules())


def test_recomputing_changes_no_gradient(tmp_path: Path) -> None:
    from yibu.model.packing import make_pack, pack_loss

    base = tiny_base(tmp_path)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        made = for_training(base, Settings(r=4), "cpu", "fp32", recompute)
        made.model.train()
        pack_loss(made.model, make_pack(examples())).backward()
        gradients.append([p.grad for p in made.model.parameters() if p.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-8)


def test_a_saved_adapter_answers_as_it_was_trained(tmp_path: Path) -> None:
    from yibu.adapters import lora
    from yibu.model.packing import example_losses, make_pack

    base = tiny_base(tmp_path / "base")
    made = for_training(base, Settings(r=4), "cpu", "fp32")
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    lora.save(made.model, tmp_path / "adapter")
    again = for_answers(base, tmp_path / "adapter", "lora", "cpu", "fp32")
    pack = make_pack(examples())
    assert torch.equal(example_losses(made.model.eval(), pack), example_losses(again.model, pack))


def test_a_base_without_a_template_takes_that_of_its_family(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path, "deepseek_v2")
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    facts = bases.FAMILY.load("deepseek_v2").FACTS
    renderer = assemble.load_renderer(folder, facts)
    assert renderer.tokenizer.chat_template == facts.template


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="sees no GPU"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [({"avx2"}, torch.float32), ({"avx512_bf16"}, torch.bfloat16), ({"amx_bf16"}, torch.bfloat16)],
)
def test_the_type_follows_the_processor(flags: set[str], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "cpu_flags", lambda: frozenset(flags))
    assert choose_dtype("auto", torch.device("cpu")) == dtype
    assert choose_dtype("fp16", torch.device("cpu")) == torch.float16
