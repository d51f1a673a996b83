"""LoRA's settings, plan, layers and files beyond what every architecture shares (tests/contract/test_adapters.py)."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import Linear, ParamWrapper
from safetensors.torch import load_file, save_file

from tiny import tiny_base, tiny_config, tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import lora
from yibu.core.errors import BaseModelError, RecipeError, TrainingError
from yibu.core.recipe import parse
from yibu.model.resolve import load_model


class Marked(Linear):
    """A LoRA layer of one's own."""


def plan_of(model: Any, **settings: Any) -> tuple[adapters.Plan, lora.Settings]:
    chosen = lora.Settings(**settings)
    return lora.plan(model, bases.facts_for(model.config), chosen), chosen


def attached(architecture: str, linear_class: type | None = None, **settings: Any) -> tuple[Any, adapters.Plan]:
    model = tiny_model(architecture)
    plan, chosen = plan_of(model, **settings)
    torch.manual_seed(3)
    return lora.attach(model, plan, chosen, linear_class), plan


def randomise(tuned: Any) -> Any:
    """An adapter that does something, without training."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return tuned.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False).logits


def layers_of(model: Any, kind: type) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def test_family() -> None:
    assert "lora" in adapters.FAMILY.names()
    assert adapters.FAMILY.load("lora") is lora


def test_defaults_are_those_of_the_recipe() -> None:
    settings = parse(lora.Settings, {})
    assert settings.as_config() == {
        "kind": "lora",
        "r": 16,
        "alpha": 32,
        "dropout": 0.0,
        "targets": "all",
        "experts": False,
        "layers": "all",
        "rslora": False,
        "dora": False,
        "init": "zero",
        "lr_ratio": 1.0,
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"r": 0}, "r:"),
        ({"alpha": 0}, "alpha:"),
        ({"dropout": 1.0}, "dropout:"),
        ({"targets": "everything"}, "targets"),
        ({"experts": True, "dropout": 0.1}, "without dropout"),
        ({"rank": 8}, "unknown key"),
        ({"experts": True, "dora": True}, "neither dora"),
        ({"experts": True, "init": "eva"}, "neither dora"),
        ({"dora": True, "init": "pissa"}, "exclude each other"),
        ({"init": "svd"}, "init"),
        ({"lr_ratio": 0.5}, "lr_ratio"),
        ({"layers": "top-0"}, "top-N"),
        ({"layers": "9-3"}, "lower number"),
        ({"layers": []}, "at least one"),
        ({"layers": [1, 1]}, "none twice"),
        ({"layers": "last"}, "top-N"),
    ],
)
def test_settings_are_checked_at_the_door(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(lora.Settings, table)


def test_table_says_what_is_trained() -> None:
    plan, _ = plan_of(tiny_model("llama"), r=4)
    rows = {row["role"]: row for row in plan.table()}
    assert list(rows) == ["attention_q", "attention_kv", "attention_o", "mlp"]
    mlp = rows["mlp"]
    assert mlp["num_modules"] == 6
    assert mlp["shapes"] == [[64, 96], [96, 64]]
    assert mlp["base_parameters"] == 6 * 64 * 96
    assert mlp["parameters"] == 6 * 4 * (64 + 96)
    assert mlp["share"] == mlp["parameters"] / sum(p.numel() for p in tiny_model("llama").parameters())
    assert json.loads(json.dumps(plan.table())) == plan.table()


def test_targets_by_role() -> None:
    tuned, plan = attached("llama", targets=("attention_q", "attention_o"))
    assert {row.role for row in plan.classes} == {"attention_q", "attention_o"}
    assert adapters.adapted_targets(tuned) == [
        f"model.layers.{n}.self_attn.{leaf}_proj" for n in range(2) for leaf in ("o", "q")
    ]


def test_unknown_role() -> None:
    with pytest.raises(RecipeError, match="attention_kv") as caught:
        plan_of(tiny_model("llama"), targets=("atention_q",))
    assert "did you mean 'attention_q'" in str(caught.value)


@pytest.mark.parametrize("role", ["router", "embedding", "head", "norm"])
def test_roles_that_are_never_adapted(role: str) -> None:
    with pytest.raises(RecipeError, match="cannot be adapted"):
        plan_of(tiny_model("deepseek_v3"), targets=(role,))


def test_role_that_this_base_lacks() -> None:
    """A mixture without dense layers is legal: `all` goes without them, asking for them by name is an error."""
    model = tiny_model("deepseek_v3", first_k_dense_replace=0)
    assert "dense_mlp" not in {row.role for row in plan_of(model)[0].classes}
    with pytest.raises(RecipeError, match="dense_mlp"):
        plan_of(model, targets=("dense_mlp",))


def test_experts_of_a_dense_base() -> None:
    with pytest.raises(RecipeError, match="no routed experts"):
        plan_of(tiny_model("llama"), experts=True)


def test_planned_class_without_modules() -> None:
    """A role that must be there and is not: the architecture has changed under its facts."""
    facts = bases.FAMILY.load("llama").FACTS
    gone = bases.Role("attention_x", r"model\.layers\.\d+\.self_attn\.x_proj", "linear", adapt=True)
    with pytest.raises(TrainingError, match="attention_x"):
        lora.plan(tiny_model("llama"), dataclasses.replace(facts, roles=(*facts.roles, gone)), lora.Settings())


def test_linear_layer_without_a_role() -> None:
    facts = bases.FAMILY.load("llama").FACTS
    fewer = tuple(role for role in facts.roles if role.name != "attention_o")
    with pytest.raises(TrainingError, match=r"self_attn\.o_proj"):
        lora.plan(tiny_model("llama"), dataclasses.replace(facts, roles=fewer), lora.Settings())


def test_plan_needs_no_weights() -> None:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(tiny_config("deepseek_v3"))
    assert plan_of(outline, experts=True)[0].table() == plan_of(tiny_model("deepseek_v3"), experts=True)[0].table()


@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3", "deepseek_v4"])
def test_every_linear_target_is_a_layer_of_the_wanted_class(architecture: str, tmp_path: Path) -> None:
    tuned, plan = attached(architecture, Marked, r=4, dropout=0.25)
    assert len(layers_of(tuned, Marked)) == len(plan.names)
    assert {module.lora_dropout["default"].p for module in layers_of(tuned, Marked).values()} == {0.25}

    lora.save(randomise(tuned), tmp_path)
    again = lora.load(tiny_model(architecture), tmp_path, Marked)
    assert len(layers_of(again, Marked)) == len(plan.names)
    assert torch.equal(logits(again), logits(tuned))
    # Without a class of one's own it is peft's, never its wrapper of a weight.
    assert not layers_of(lora.load(tiny_model(architecture), tmp_path), ParamWrapper)


def test_experts_get_their_share_of_the_rank() -> None:
    tuned, plan = attached("deepseek_v3", r=8, alpha=16, experts=True)
    experts = next(row for row in plan.classes if row.role == "experts")
    assert experts.rank == 8 // 2, "two experts a token"
    wrappers = layers_of(tuned, ParamWrapper).values()
    assert {(w.r["default"], w.lora_alpha["default"]) for w in wrappers} == {(4, 8)}
    others = layers_of(tuned, Linear).values()
    assert {(layer.r["default"], layer.scaling["default"]) for layer in others} == {(8, 2.0)}
    assert plan_of(tiny_model("deepseek_v3"), r=1, experts=True)[0].classes[-1].rank == 1


def test_grouped_layer_by_name(tmp_path: Path) -> None:
    """V4's o_a_proj is a linear layer by class and not by what it computes."""
    tuned, plan = attached("deepseek_v4", targets=("attention_o_grouped", "attention_o"), r=4)
    assert adapters.adapted_targets(tuned) == sorted(plan.names)
    assert len(layers_of(tuned, ParamWrapper)) == 3
    answer = logits(randomise(tuned))
    assert not torch.equal(answer, logits(tiny_model("deepseek_v4")))
    lora.save(tuned, tmp_path)
    assert torch.equal(logits(lora.load(tiny_model("deepseek_v4"), tmp_path)), answer)
    assert torch.allclose(logits(lora.merge(tuned)), answer, atol=1e-5)
    with pytest.raises(RecipeError, match="without dropout"):
        attached("deepseek_v4", targets=("attention_o_grouped",), dropout=0.1)


def test_adapter_is_fp32_on_a_bf16_base() -> None:
    model = tiny_model("deepseek_v3").bfloat16()
    plan, settings = plan_of(model, experts=True)
    tuned = lora.attach(model, plan, settings)
    assert {p.dtype for p in tuned.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for name, p in tuned.named_parameters() if ".lora_" not in name} == {torch.bfloat16}


def test_merge_is_fp32_and_keeps_small_updates() -> None:
    model = tiny_model("llama").bfloat16()
    plan, settings = plan_of(model)
    tuned = lora.attach(model, plan, settings)
    name = "model.layers.0.mlp.up_proj"
    layer = tuned.get_base_model().get_submodule(name)
    before = layer.base_layer.weight.detach().float().clone()
    with torch.no_grad():
        layer.lora_A["default"].weight.fill_(1e-3)
        layer.lora_B["default"].weight.fill_(1e-3)
    merged = lora.merge(tuned).get_parameter(f"{name}.weight")
    assert merged.dtype == torch.float32
    # 16 ranks of 1e-6, scaled by 2: far below what bf16 could add to a weight of 0.1.
    assert torch.allclose(merged - before, torch.full_like(before, 3.2e-5), atol=1e-7)


@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3", "deepseek_v4"])
def test_file_says_nothing_of_this_machine(architecture: str, tmp_path: Path) -> None:
    folder = tiny_base(tmp_path / "base", architecture)
    model = load_model(folder, dtype=torch.float32)
    plan, settings = plan_of(model, r=4, dropout=0.1)
    tuned = randomise(lora.attach(model, plan, settings))
    lora.save(tuned, tmp_path / "one", base="owner/name")
    lora.save(tuned, tmp_path / "two", base="owner/name")

    text = (tmp_path / "one" / lora.CONFIG).read_text()
    assert str(tmp_path) not in text
    config = json.loads(text)
    assert config["base_model_name_or_path"] == "owner/name"
    for key in ("target_modules", "target_parameters"):
        assert config[key] is None or config[key] == sorted(config[key]), "the order of a set is not of this world"
    if config["target_parameters"]:
        assert config["lora_dropout"] == 0.0, "plain peft would refuse to load it"
    for name in (lora.CONFIG, lora.WEIGHTS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_names_in_the_file_are_short_and_exact(tmp_path: Path) -> None:
    def targets(architecture: str, **settings: Any) -> tuple[list[str], list[str] | None]:
        lora.save(attached(architecture, **settings)[0], tmp_path / architecture)
        config = json.loads((tmp_path / architecture / lora.CONFIG).read_text())
        return config["target_modules"], config["target_parameters"]

    seven = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert targets("llama") == (seven, None)
    modules, parameters = targets("deepseek_v3", experts=True)
    assert modules == ["kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "q_a_proj", "q_b_proj"]
    weights = ["down_proj.weight", "gate_proj.weight", "up_proj.weight"]
    assert parameters == sorted([*weights, "experts.down_proj", "experts.gate_up_proj"])
    modules, _ = targets("deepseek_v4")
    assert {"self_attn.kv_proj", "self_attn.q_b_proj", "shared_experts.gate_proj"} <= set(modules)


def test_load_is_for_training_only_if_asked(tmp_path: Path) -> None:
    lora.save(attached("llama")[0], tmp_path)
    assert not any(p.requires_grad for p in lora.load(tiny_model("llama"), tmp_path).parameters())
    assert any(p.requires_grad for p in lora.load(tiny_model("llama"), tmp_path, trainable=True).parameters())


def test_adapter_of_another_base(tmp_path: Path) -> None:
    lora.save(randomise(attached("llama", r=4)[0]), tmp_path)
    with pytest.raises(BaseModelError, match="another kind"):
        lora.load(tiny_model("llama", num_hidden_layers=1), tmp_path)
    with pytest.raises(BaseModelError, match="another kind"):
        lora.load(tiny_model("qwen2"), tmp_path)
    with pytest.raises(BaseModelError, match="another checkpoint"):
        lora.load(tiny_model("llama", seed=1), tmp_path)
    save_file(load_file(tmp_path / lora.WEIGHTS), tmp_path / lora.WEIGHTS, metadata={"format": "pt"})
    with warnings.catch_warnings():  # another tool's: without yibu's mark, its shapes are what can be asked
        warnings.simplefilter("ignore")
        for layers in (1, 3):
            with pytest.raises(BaseModelError, match="does not fit this base"):
                lora.load(tiny_model("llama", num_hidden_layers=layers), tmp_path)


def test_tensor_that_finds_no_place(tmp_path: Path) -> None:
    lora.save(randomise(attached("llama", r=4)[0]), tmp_path)
    tensors = load_file(tmp_path / lora.WEIGHTS)
    moved = {name.replace("layers.1.mlp.up_proj", "layers.1.mlp.up"): tensor for name, tensor in tensors.items()}
    save_file(moved, tmp_path / lora.WEIGHTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BaseModelError, match="does not fit this base") as caught:
            lora.load(tiny_model("llama"), tmp_path)
    assert "layers.1.mlp.up" in str(caught.value)


def test_only_safetensors_are_loaded(tmp_path: Path) -> None:
    lora.save(attached("llama")[0], tmp_path)
    (tmp_path / lora.WEIGHTS).rename(tmp_path / "adapter_model.bin")
    with pytest.raises(BaseModelError, match="safetensors"):
        lora.load(tiny_model("llama"), tmp_path)


def test_adapter_of_another_kind(tmp_path: Path) -> None:
    from peft import IA3Config, get_peft_model

    get_peft_model(tiny_model("llama"), IA3Config(task_type="CAUSAL_LM")).save_pretrained(tmp_path)
    with pytest.raises(BaseModelError, match="no LoRA"):
        lora.load(tiny_model("llama"), tmp_path)


def test_check_attached_sees_a_missing_and_an_extra_module() -> None:
    _, plan = attached("llama", r=4)
    fewer, _ = attached("llama", r=4, targets=("attention_q", "attention_kv", "attention_o"))
    with pytest.raises(TrainingError, match=r"without adapter: model\.layers\.0\.mlp\.down_proj"):
        adapters.check_attached(fewer, plan)
    whole, _ = attached("llama", r=4)
    smaller = plan_of(tiny_model("llama"), r=4, targets=("mlp",))[0]
    with pytest.raises(TrainingError, match=r"not planned.*self_attn"):
        adapters.check_attached(whole, smaller)


def test_check_attached_sees_another_rank_and_a_thawed_base() -> None:
    tuned, plan = attached("llama", r=4)
    with pytest.raises(TrainingError, match="another size"):
        adapters.check_attached(attached("llama", r=8)[0], plan)
    tuned.get_base_model().model.norm.weight.requires_grad_(True)
    with pytest.raises(TrainingError, match=r"model\.norm"):
        adapters.check_attached(tuned, plan)


@pytest.mark.parametrize("name", ["MistralConfig", "Qwen3MoeConfig", "Glm4MoeConfig"])
def test_architecture_without_a_file_of_its_own(name: str, tmp_path: Path) -> None:
    """Through the generic facts; peft rewrites the names of the two mixtures, and that is asked of peft, not known."""
    import transformers
    from transformers import AutoModelForCausalLM

    sizes = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16}
    mixture = {"moe_intermediate_size": 32, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2}
    config = getattr(transformers, name)(**sizes, num_key_value_heads=2, intermediate_size=96)
    if name != "MistralConfig":
        config.update(mixture)

    def model() -> Any:
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()

    plan, settings = plan_of(model(), r=4)
    linear = {n for n, m in model().named_modules() if isinstance(m, torch.nn.Linear)} - {"lm_head"}
    assert plan.names == linear
    tuned = randomise(lora.attach(model(), plan, settings))
    lora.save(tuned, tmp_path)
    assert torch.equal(logits(lora.load(model(), tmp_path)), logits(tuned))
    assert not torch.equal(logits(tuned), logits(model()))


def test_layers_beyond_the_depth() -> None:
    for layers in ("top-3", "0-2", (2,)):
        with pytest.raises(RecipeError, match="beyond the depth") as caught:
            plan_of(tiny_model("llama"), layers=layers)
        assert "numbered 0 to 1" in str(caught.value)


@pytest.mark.parametrize(("layers", "numbers"), [("top-1", {1}), ((0,), {0}), ("0-0", {0}), ("0-1", {0, 1})])
@pytest.mark.parametrize("architecture", ["llama", "deepseek_v3"])
def test_only_the_chosen_layers(layers: Any, numbers: set[int], architecture: str, tmp_path: Path) -> None:
    tuned, plan = attached(architecture, layers=layers, r=4)
    assert {int(name.split(".")[2]) for name in adapters.adapted_targets(tuned)} == numbers
    assert {int(name.split(".")[2]) for name in plan.names} == numbers
    lora.save(randomise(tuned), tmp_path)
    assert torch.equal(logits(lora.load(tiny_model(architecture), tmp_path)), logits(tuned))


def test_target_outside_of_the_chosen_layers() -> None:
    """The dense layers of a mixture are its lowest; `all` goes without them, asking for them by name is an error."""
    model = tiny_model("deepseek_v3")
    assert "dense_mlp" not in {row.role for row in plan_of(model, layers="top-1")[0].classes}
    with pytest.raises(RecipeError, match="layers top-1"):
        plan_of(model, layers="top-1", targets=("dense_mlp",))


def test_rank_stabilised_scale() -> None:
    tuned, _ = attached("deepseek_v3", r=16, alpha=32, rslora=True, experts=True)
    assert {layer.scaling["default"] for layer in layers_of(tuned, Linear).values()} == {8.0}
    assert {round(w.scaling["default"], 9) for w in layers_of(tuned, ParamWrapper).values()} == {8.0}, "rank 8 each"


def test_dora_that_others_could_not_load() -> None:
    with pytest.raises(RecipeError, match="knows no dora") as caught:
        plan_of(tiny_model("deepseek_v3"), dora=True)
    assert "shared_experts" in str(caught.value)
    plan, _ = plan_of(tiny_model("llama"), dora=True, r=4)
    plain, _ = plan_of(tiny_model("llama"), r=4)
    assert plan.parameters - plain.parameters == sum(
        tiny_model("llama").get_submodule(name).out_features for name in plan.names
    )


def test_dora_by_plain_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    tuned = randomise(attached("llama", dora=True, r=4)[0])
    lora.save(tuned, tmp_path)
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_model("llama"), tmp_path)), logits(tuned))


@pytest.mark.parametrize("rslora", [False, True])
def test_pissa_is_saved_as_an_update_of_the_untouched_base(rslora: bool, tmp_path: Path) -> None:
    from peft import PeftModel

    tuned, plan = attached("llama", init="pissa", r=4, rslora=rslora)
    largest = torch.linalg.svdvals(tiny_model("llama").get_parameter("model.layers.0.mlp.up_proj.weight"))
    layer = tuned.get_base_model().get_submodule("model.layers.0.mlp.up_proj")
    begun = torch.linalg.svdvals(layer.get_delta_weight("default"))
    assert torch.allclose(begun[:4], largest[:4], rtol=1e-4), "it begins with the largest directions"

    lora.save(tuned, tmp_path / "fresh")
    again = lora.load(tiny_model("llama"), tmp_path / "fresh")
    untouched = again.get_base_model().get_submodule("model.layers.0.mlp.up_proj").base_layer.weight
    assert torch.equal(untouched, tiny_model("llama").get_parameter("model.layers.0.mlp.up_proj.weight"))
    assert torch.allclose(logits(again), logits(tiny_model("llama")), atol=1e-5)

    answer = logits(randomise(tuned))
    lora.save(tuned, tmp_path / "trained")
    plain = PeftModel.from_pretrained(tiny_model("llama"), tmp_path / "trained")
    assert torch.allclose(logits(plain), answer, atol=2e-5)
    config = json.loads((tmp_path / "trained" / lora.CONFIG).read_text())
    assert (config["r"], config["init_lora_weights"]) == (8, True)
    assert sum(t.numel() for t in load_file(tmp_path / "trained" / lora.WEIGHTS).values()) == 2 * plan.parameters


def test_more_directions_than_a_matrix_has() -> None:
    with pytest.raises(RecipeError, match="fewer than r"):
        plan_of(tiny_model("llama"), init="pissa", r=33)


def test_eva_finds_the_directions_of_the_inputs() -> None:
    tuned, _ = attached("llama", init="eva", r=4)
    assert not any(p.any() for name, p in tuned.named_parameters() if ".lora_" in name), "nothing before the rows"
    layer = tuned.get_base_model().get_submodule("model.layers.1.mlp.down_proj")
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].reshape(-1, 96)))
    lora.initialise(tuned, lora.Settings(init="eva", r=4), lambda: logits(tuned))
    hook.remove()
    exact = torch.linalg.svd(seen[0], full_matrices=False).Vh[:4]
    found = layer.lora_A["default"].weight.detach()
    assert torch.allclose(found @ found.T, torch.eye(4), atol=1e-4)
    kept = (seen[0] @ found.T).square().sum() / (seen[0] @ exact.T).square().sum()
    assert float(kept) > 0.97, "nearly as much of the inputs as the best four directions hold"
    assert torch.equal(logits(tuned), logits(tiny_model("llama")))


def test_eva_that_saw_nothing() -> None:
    tuned, _ = attached("llama", init="eva", r=4)
    with pytest.raises(TrainingError, match="found no inputs"):
        lora.initialise(tuned, lora.Settings(init="eva", r=4), lambda: None)


def test_groups_of_lora_plus() -> None:
    tuned, _ = attached("llama", r=4, dora=True)
    trained = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    groups = adapters.parameter_groups(trained, lora.Settings(lr_ratio=16), lr=1e-4, weight_decay=0.1)
    assert {(g["ratio"], round(g["lr"], 9), g["weight_decay"]) for g in groups} == {
        (1.0, 1e-4, 0.1),
        (16.0, 1.6e-3, 0.1),
        (1.0, 1e-4, 0.0),
    }
    fast = {id(p) for g in groups if g["ratio"] == 16 for p in g["params"]}
    assert fast == {id(p) for name, p in trained.items() if ".lora_B." in name}
    assert sum(len(g["params"]) for g in groups) == len(trained)
    plain = {name: p for name, p in trained.items() if "magnitude" not in name}
    (only,) = adapters.parameter_groups(plain, lora.Settings(), lr=1e-4, weight_decay=0.1)
    assert [id(p) for p in only["params"]] == [id(p) for p in plain.values()], "the order of the parameters is kept"
