"""What is put together is what it seems: types, devices, templates, and the proof before the first step."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tiny import MAX_LENGTH, VOCABULARY, tiny_base, tiny_ids, tiny_model, tiny_tokenizer
from yibu import adapters, bases
from yibu.adapters.lora import Settings
from yibu.core.errors import InputError, TrainingError
from yibu.model import assemble
from yibu.model.assemble import Assembled, choose_device, choose_dtype, for_answers, for_training, packing_is_exact
from yibu.model.lora_linear import FusedLoraLinear
from yibu.model.packing import example_losses, make_pack, pack_loss
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


TABLES: dict[str, dict[str, Any]] = {
    "lora": {"r": 4, "dora": True},
    "qlora": {"r": 4},
    "bottleneck": {"form": "serial"},
    "lora+bottleneck": {"lora": {"r": 4}, "gates": True},
    "full": {},
}


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_trains_on_packs_and_answers_as_it_was_trained(kind: str, dtype: str, tmp_path: Path) -> None:
    """What `train`, `evaluate` and `chat` do with it, once round."""
    if kind == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    base, plug = tiny_base(tmp_path / "base"), adapters.FAMILY.load(kind)
    torch.manual_seed(0)
    made = for_training(base, plug.Settings.model_validate(TABLES[kind]), "cpu", dtype, recompute=kind == "qlora")
    assert packing_is_exact(made, examples(), prefix=0)
    trained = {name: p for name, p in made.model.named_parameters() if p.requires_grad}
    assert made.plan is not None
    assert sum(p.numel() for p in trained.values()) == made.plan.parameters
    assert {p.dtype for p in trained.values()} == {torch.float32}
    assert {made.plan.role_of(name) for name in trained} == {row.role for row in made.plan.classes}
    optimizer = torch.optim.AdamW(trained.values(), lr=5e-3)
    pack = make_pack(examples())
    fresh = example_losses(made.model.eval(), pack)
    for _ in range(3):
        pack_loss(made.model.train(), pack).backward()
        optimizer.step()
        optimizer.zero_grad()
    losses = example_losses(made.model.eval(), pack)
    assert float(losses.sum()) < float(fresh.sum())

    plug.save(made.model, tmp_path / "adapter", "owner/name")
    again = for_answers(base, tmp_path / "adapter", kind, "cpu", dtype)
    assert torch.equal(example_losses(again.model, pack), losses)
    if kind != "full":
        with again.model.disable_adapter():
            # DoRA's lengths are those of rounded rows, so in 16 bits it begins a little beside its base.
            near = 2e-3 if dtype == "bf16" and kind == "lora" else 1e-6
            torch.testing.assert_close(example_losses(again.model, pack), fresh, rtol=near, atol=1e-5)


def test_merging_by_name_of_the_kind(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    for kind in ("lora", "full"):
        plug = adapters.FAMILY.load(kind)
        made = for_training(base, plug.Settings(), "cpu", "fp32")
        with torch.no_grad():
            for parameter in made.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.02)
        plug.save(made.model, tmp_path / kind)
        plain = assemble.merged(base, tmp_path / kind, kind)
        assert set(plain.state_dict()) == set(tiny_model().state_dict())
        with torch.no_grad():
            expected = made.model.eval()(input_ids=tiny_ids(), use_cache=False).logits
        use = plain(input_ids=tiny_ids(), use_cache=False).logits
        torch.testing.assert_close(use, expected, rtol=0, atol=1e-5)
