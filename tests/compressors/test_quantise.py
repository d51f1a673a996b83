"""Fewer bits are on disk, plain transformers loads them, and the gain that is left is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM

from tiny import tiny_ids, tiny_model
from tuned import Tuned, tuned
from yibu import bases, pipeline
from yibu.compress import CompressSettings, checks_of
from yibu.compressors import Calibration, quantise
from yibu.compressors._rounding import gptq, nearest, scales_of
from yibu.core.errors import InputError
from yibu.exporters import Questions, ask_plain


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tuned(tmp_path_factory.mktemp("tuned"), num_rows=240)


def test_fewer_bits_are_smaller_and_the_gain_is_judged(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    whole, eight, four = (
        made.small(*given) for given in ((), ("compress.quantise=int8",), ("compress.quantise=int4",))
    )
    sizes = [small.read_json("summary.json")["bytes"] for small in (whole, eight, four)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    for small, bound in ((eight, 0.95), (four, 0.9)):
        gain = next(check for check in checks_of(small) if check["name"] == "gain kept")
        assert gain["bound"] == bound
        assert gain["ok"] is True
    weights = 61_440  # of the linear layers of the tiny model but its output layer
    assert four.read_json("summary.json")["steps"][0]["weights"] == weights
    assert sizes[1] - sizes[2] == pytest.approx(weights / 2, rel=0.05), "four bits less for each of them"


def test_plain_transformers_answers_with_the_rounded_weights(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    questions = Questions([], [[5, 6, 7]], 4, [4])
    rounded = ask_plain(questions, made.small("compress.quantise=int4").path / "model").logits[0]
    exact = ask_plain(questions, made.small().path / "model").logits[0]
    assert 0 < float((rounded - exact).abs().max()) < 1


def test_a_quantised_model_leaves_without_its_adapter(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    recipe = made.with_sections("compress.quantise=int8", "export=[safetensors]")
    small = made.small("compress.quantise=int8")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, small)
    assert not [name for name in bundle.manifest.files if name.startswith("bundle/adapter")]


@pytest.mark.parametrize("settings", [{"scheme": "nf4"}, {"scheme": "int4", "group": 128}])
def test_rows_that_no_group_divides_are_refused(settings: dict[str, object]) -> None:
    model = tiny_model()
    pytest.importorskip("bitsandbytes" if settings["scheme"] == "nf4" else "compressed_tensors")
    with pytest.raises(InputError, match="does not divide"):
        quantise.compress(
            model, quantise.Settings.model_validate(settings), bases.facts_for(model.config), Calibration([])
        )


def test_router_and_output_layer_stay_whole() -> None:
    model = tiny_model("deepseek_v3")
    chosen = quantise._linears(model, bases.facts_for(model.config))
    assert chosen
    assert not [name for name in chosen if name.endswith(("mlp.gate", "lm_head"))]


def test_the_scale_of_a_group_loses_less_than_the_largest_weight_would() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    lost = []
    for step in (scales_of(weight, 4, 32), weight.view(8, 2, 32).abs().amax(-1) / 7):
        groups = weight.view(8, 2, 32)
        lost.append(float(((groups / step[..., None]).round().clamp(-8, 7) * step[..., None] - groups).square().sum()))
    assert lost[0] < lost[1]


def test_a_word_in_the_recipe_is_a_table() -> None:
    settings = CompressSettings.model_validate({"quantise": "int8"})
    assert settings.quantise == quantise.Settings(scheme="int8")
    with pytest.raises(ValidationError):
        CompressSettings.model_validate({"quantise": "int3"})


ROWS = [row.tolist() for row in tiny_ids(16)]
RANKS = {"kv_lora_rank": 32, "q_lora_rank": 32}  # of DeepSeek's attention, so that groups of 32 divide them
WIDTHS = {"deepseek_v4": {"q_lora_rank": 32, "o_lora_rank": 32, "index_head_dim": 32}}


def model_of(architecture: str) -> Any:
    changes = WIDTHS.get(architecture, RANKS if architecture.startswith("deepseek") else {})
    return tiny_model(architecture, **changes)


def rounded(model: Any, folder: Path, **settings: Any) -> tuple[Any, dict[str, Any]]:
    """The model as plain transformers reads it, in fp32, and what the compressor said."""
    wanted = quantise.Settings.model_validate(settings)
    told = quantise.compress(model, wanted, bases.facts_for(model.config), Calibration(ROWS))
    quantise.save(model, folder, wanted)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), told


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(4, seed=1), use_cache=False).logits


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("group", [32, 64])
def test_gptq_gives_nearer_outputs_than_rounding_to_the_nearest(group: int, act_order: bool) -> None:
    chance = torch.Generator().manual_seed(0)
    weight, mix = (torch.randn(*shape, generator=chance) for shape in ((96, 192), (192, 192)))
    inputs, unseen = (torch.randn(number, 192, generator=chance) @ mix for number in (512, 512))
    plain, _ = nearest(weight, 4, group)
    made, scale = gptq(weight, inputs.T @ inputs, 4, group, act_order, len(inputs))
    for rows in (inputs, unseen):
        lost = [float((rows @ (one - weight).T).square().sum()) for one in (made, plain)]
        assert lost[0] < 0.8 * lost[1]
    steps = made / scale.repeat_interleave(group, dim=1)
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert -8 <= float(steps.min()) < float(steps.max()) <= 7


def test_gptq_of_few_tokens_is_no_worse_on_others_than_rounding_to_the_nearest() -> None:
    """A third as many tokens as columns, of a spectrum that falls; the paper's damping loses 1.8 times as much here."""
    chance = torch.Generator().manual_seed(0)
    mix = torch.randn(192, 192, generator=chance) * torch.logspace(0, -2, 192)
    weight, unseen = torch.randn(96, 192, generator=chance), torch.randn(4000, 192, generator=chance) @ mix
    inputs = torch.randn(64, 192, generator=chance) @ mix
    few = gptq(weight, inputs.T @ inputs, 4, 32, False, len(inputs))[0]
    lost = [float((unseen @ (one - weight).T).square().sum()) for one in (few, nearest(weight, 4, 32)[0])]
    assert lost[0] < 1.02 * lost[1]
    as_in_the_paper = gptq(weight, inputs.T @ inputs, 4, 32, False, 10**6)[0]
    assert float((unseen @ (as_in_the_paper - weight).T).square().sum()) > 1.5 * lost[1]


def test_gptq_without_inputs_is_rounding_to_the_nearest() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gptq(weight, torch.zeros(64, 64), 4, 32, False, 0)[0], nearest(weight, 4, 32)[0])


@pytest.mark.parametrize(
    "architecture", ["llama", "gemma3", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4"]
)
def test_gptq_of_a_whole_model_is_nearer_on_the_rows_it_saw(architecture: str, tmp_path: Path) -> None:
    """Router, norms and ends stay; experts are rounded too, and read by plain transformers."""
    pytest.importorskip("compressed_tensors")
    whole = logits_of_rows(model_of(architecture))
    lost = {}
    for method in ("nearest", "gptq"):
        model, told = rounded(model_of(architecture), tmp_path / method, scheme="int4", method=method)
        lost[method] = float((logits_of_rows(model) - whole).square().mean())
    assert lost["gptq"] < lost["nearest"]
    if architecture.startswith("deepseek"):
        coverage = told["coverage"]
        assert coverage["experts"] % 4 == 0
        assert 0 < coverage["least"] <= coverage["median"]
        before = model_of(architecture).model.layers[1].mlp
        after = model.model.layers[1].mlp
        assert torch.equal(after.gate.weight, before.gate.weight.to(torch.bfloat16).float())
        assert not torch.equal(after.experts.down_proj, before.experts.down_proj)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_gptq_of_the_output_layer_tied_or_not(architecture: str, tmp_path: Path) -> None:
    """The layers below are whole here, so that nothing else is rounded."""
    lost = {}
    for method in ("nearest", "gptq"):
        model = tiny_model(architecture)
        whole = logits_of_rows(model)
        wanted = quantise.Settings(method=method, embedding=True)
        names = quantise._ends(model)
        assert ("lm_head" in names) == (not model.config.tie_word_embeddings)
        quantise._round(model, wanted, [], [quantise._head(model)], [], Calibration(ROWS))
        if model.config.tie_word_embeddings:  # what enters stays whole, to see the end alone
            head = model.lm_head.weight.data
            model.lm_head.weight = torch.nn.Parameter(head.clone())
            model.model.embed_tokens.weight.data = tiny_model(architecture).model.embed_tokens.weight.data
        lost[method] = float((logits_of_rows(model) - whole).square().mean())
    assert 0 < lost["gptq"] < lost["nearest"]


def test_experts_that_are_one_weight_on_disk_say_so(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_local_experts": 2}
    heads = {"head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64, "pad_token_id": 0}
    model = GptOssForCausalLM(GptOssConfig(**shape, **heads)).eval()
    with pytest.raises(InputError, match="another form than one matrix"):
        rounded(model, tmp_path / "made", scheme="int4")


def test_what_the_architecture_keeps_whole_stays_whole(tmp_path: Path) -> None:
    """V4's compressor in bf16, its hyper-connections and sinks in fp32, as its makers ship them."""
    pytest.importorskip("compressed_tensors")
    before = model_of("deepseek_v4").model.layers[1]
    with torch.no_grad():
        before.self_attn.sinks += 1 / 3
    model = model_of("deepseek_v4")
    model.model.layers[1].load_state_dict(before.state_dict())
    after = rounded(model, tmp_path, scheme="int8")[0].model.layers[1]
    assert torch.equal(after.attn_hc.fn, before.attn_hc.fn)
    assert torch.equal(after.self_attn.sinks, before.self_attn.sinks)
    kept = before.self_attn.compressor.indexer.kv_proj.weight.to(torch.bfloat16).float()
    assert torch.equal(after.self_attn.compressor.indexer.kv_proj.weight, kept)
    assert not torch.equal(after.self_attn.o_a_proj.weight, before.self_attn.o_a_proj.weight.to(torch.bfloat16).float())


def logits_of_rows(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor(ROWS), use_cache=False).logits.float()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "deepseek_v3", "deepseek_v4"])
@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_what_is_read_is_what_was_rounded_ends_and_experts_too(architecture: str, scheme: str, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    model = model_of(architecture)
    read, told = rounded(model, tmp_path, scheme=scheme, embedding=True)
    written = model_of(architecture)  # and not `model`, whose rotary frequencies went through bf16
    written.load_state_dict(model.float().state_dict())
    # transformers 5.23 unpacks experts to bf16, whatever type is asked for.
    assert torch.allclose(logits(written), logits(read.float()), atol=1e-5)
    assert not torch.allclose(logits(written), logits(model_of(architecture)), atol=1e-2)
    assert (read.lm_head.weight is read.get_input_embeddings().weight) == model.config.tie_word_embeddings
    weights = told["weights"] * (1.0625 if scheme == "int8" else 0.5625)  # with a step of 16 bits for 32 weights
    written_down = load_file(tmp_path / "model.safetensors")
    packed = [one.nbytes for name, one in written_down.items() if name.endswith((".weight_packed", ".weight_scale"))]
    assert sum(packed) == weights


def test_experts_that_see_too_little_are_said() -> None:
    assert quantise._coverage({"a": [0, 200], "b": [128, 5]}, 128) == {
        "experts": 4,
        "enough": 2,
        "wanted": 128,
        "least": 0,
        "median": 128,
    }


@pytest.mark.parametrize(
    "settings", [{"scheme": "nf4", "method": "gptq"}, {"scheme": "nf4", "embedding": True}, {"act_order": True}]
)
def test_settings_that_do_not_go_together(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        quantise.Settings.model_validate(settings)
