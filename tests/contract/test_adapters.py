"""Every kind of adapter on every architecture: what is adapted is what was planned, it changes nothing at the start, it
trains, it is saved whole, it goes on no other base, and it merges or says that it cannot.

LoRA has to leave in everybody's format besides; the peft side of each check is plain peft:
``PeftModel.from_pretrained`` and ``AutoModelForCausalLM.from_pretrained``.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from tiny import ARCHITECTURES, tiny_base, tiny_ids, tiny_model
from yibu import adapters, bases
from yibu.adapters import lora
from yibu.cli import app
from yibu.core.errors import BaseModelError, InputError, RecipeError, TrainingError, YibuError
from yibu.core.store import Store

# Number of adapted modules of each role in the tiny models, counted by hand from their configs: two layers (V4 three),
# of which the first is dense in the mixtures.
DENSE = {"attention_q": 2, "attention_kv": 4, "attention_o": 2, "mlp": 6}
MIXTURE = {"attention_q": 4, "attention_kv": 4, "attention_o": 2, "dense_mlp": 3, "shared_experts": 3}
PLANNED = {
    "llama": DENSE,
    "qwen2": DENSE,
    "gemma3": DENSE,
    "deepseek_v2": {**MIXTURE, "attention_q": 2},
    "deepseek_v2_low_rank_q": MIXTURE,
    "deepseek_v3": MIXTURE,
    "deepseek_v32": MIXTURE,
    "deepseek_v4": {"attention_q": 6, "attention_kv": 3, "attention_o": 3, "shared_experts": 9},
}
ROUTED_EXPERTS = {"deepseek_v2": 2, "deepseek_v2_low_rank_q": 2, "deepseek_v3": 2, "deepseek_v32": 2, "deepseek_v4": 6}
# Here peft must be told a layer by its weight, and then computes (W + BA) x where yibu computes W x + B A x.
BY_WEIGHT = {"deepseek_v2", "deepseek_v2_low_rank_q", "deepseek_v3", "deepseek_v32"}

CASES = [(name, False) for name in ARCHITECTURES] + [(name, True) for name in ROUTED_EXPERTS]
each_case = pytest.mark.parametrize(("architecture", "experts"), CASES, ids=lambda v: str(v))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False).logits


def planned(architecture: str, experts: bool, **settings: Any) -> tuple[Any, adapters.Plan, lora.Settings]:
    model = tiny_model(architecture)
    chosen = lora.Settings(r=4, alpha=8, experts=experts, **settings)
    return model, lora.plan(model, bases.facts_for(model.config), chosen), chosen


def trained(architecture: str, experts: bool, steps: int = 3) -> tuple[Any, adapters.Plan, dict[str, float]]:
    """An adapted model after a few steps, its plan, and each role's largest gradient in the first step."""
    model, plan, settings = planned(architecture, experts)
    torch.manual_seed(1)
    tuned = lora.attach(model, plan, settings)
    tuned.train()
    parameters = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2)
    largest = {row.role: 0.0 for row in plan.classes}
    for step in range(steps):
        tuned(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
        if step == 0:
            for name, parameter in parameters.items():
                role = plan.role_of(name)
                largest[role] = max(largest[role], float(parameter.grad.abs().max()))
        optimizer.step()
        optimizer.zero_grad()
    return tuned.eval(), plan, largest


@each_case
def test_plan_and_reality_agree(architecture: str, experts: bool) -> None:
    model, plan, settings = planned(architecture, experts)
    expected = PLANNED[architecture] | ({"experts": ROUTED_EXPERTS[architecture]} if experts else {})
    assert {row.role: len(row.names) for row in plan.classes} == expected
    before = logits(model)

    tuned = lora.attach(model, plan, settings)

    adapters.check_attached(tuned, plan)
    assert adapters.adapted_targets(tuned) == sorted(plan.names)
    trainable = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    assert trainable == plan.parameters == sum(row["parameters"] for row in plan.table())
    assert torch.equal(logits(tuned), before), "a fresh adapter must not change an answer"


@each_case
def test_every_role_gets_gradient_and_the_rest_stays(architecture: str, experts: bool) -> None:
    untouched = {name: value.clone() for name, value in tiny_model(architecture).state_dict().items()}
    tuned, plan, largest = trained(architecture, experts)

    assert set(largest) == {row.role for row in plan.classes}
    assert min(largest.values()) > 0
    base = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in tuned.state_dict().items()
        if ".lora_" not in name
    }
    assert base.keys() == untouched.keys()
    assert [name for name in base if not torch.equal(base[name], untouched[name])] == []


@each_case
def test_saved_adapter_is_everybodys(architecture: str, experts: bool, tmp_path: Path) -> None:
    tuned, plan, _ = trained(architecture, experts)
    answer = logits(tuned)
    assert not torch.allclose(answer, logits(tiny_model(architecture)), atol=1e-2), "training changed nothing"

    lora.save(tuned, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    ours = lora.load(tiny_model(architecture), tmp_path)
    adapters.check_attached(lora.load(tiny_model(architecture), tmp_path, trainable=True), plan)
    assert torch.equal(logits(ours), answer)

    plain = PeftModel.from_pretrained(tiny_model(architecture), tmp_path)
    assert adapters.adapted_targets(plain) == sorted(plan.names)
    difference = float((logits(plain) - answer).abs().max())
    assert difference <= (5e-6 if architecture in BY_WEIGHT else 0.0)
    # Whatever the order of the sums: plain peft holds the same base with the same update, bit for bit.
    merged, plain_merged = lora.merge(ours).state_dict(), plain.merge_and_unload().state_dict()
    assert merged.keys() == plain_merged.keys()
    assert [name for name in merged if not torch.equal(merged[name], plain_merged[name])] == []


@each_case
def test_merged_model_is_plain(architecture: str, experts: bool, tmp_path: Path) -> None:
    tuned, plan, _ = trained(architecture, experts)
    answer = logits(tuned)
    untouched = tiny_model(architecture).state_dict()

    merged = lora.merge(tuned)

    assert float((logits(merged) - answer).abs().max()) < 1e-5
    weights = merged.state_dict()
    assert weights.keys() == untouched.keys()
    changed = {name.removesuffix(".weight") for name in weights if not torch.equal(weights[name], untouched[name])}
    assert changed == plan.names, "the merge must change the planned weights and no other: no router, no embedding"

    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert torch.equal(logits(again), logits(merged))


@pytest.mark.parametrize("architecture", sorted(BY_WEIGHT))
def test_what_peft_does_on_its_own_is_caught(architecture: str) -> None:
    """The trap itself: peft moves the shared expert and the dense layer to the routed experts and says nothing."""
    model, plan, _ = planned(architecture, experts=False)
    naive = get_peft_model(model, LoraConfig(r=4, target_modules=sorted(plan.names)))
    with pytest.raises(TrainingError) as caught:
        adapters.check_attached(naive, plan)
    without, not_planned = caught.value.what.splitlines()[1:]
    assert "layers.1.mlp.shared_experts.gate_proj" in without
    assert "layers.1.mlp.experts.gate_up_proj" in not_planned


MIXTURES = [name for name in ARCHITECTURES if name.startswith("deepseek")]
# Kind -> settings worth a case of their own. Where a kind cannot begin as exactly the base, or come back as exactly
# what was saved, the tolerance says so: PiSSA takes what it begins with out of the base's weights, and is saved as an
# update of the untouched ones.
KINDS: dict[str, list[dict[str, Any]]] = {
    "lora": [
        {"rslora": True},
        {"dora": True, "targets": ("attention_q", "attention_o")},
        {"init": "pissa"},
        {"init": "eva"},
        {"layers": "top-1", "lr_ratio": 16.0},
    ],
    "qlora": [{}, {"double_quant": False, "layers": (0,)}],
    "bottleneck": [{}, {"form": "serial"}, {"places": ("mlp",), "scale": 4.0, "layers": (0,)}],
    "lora+bottleneck": [{}, {"gates": True}],
    "full": [{}, {"embeddings": False}, {"layers": "top-1"}],
    "experts": [{"experts": {1: (2, 0)}}, {"experts": {1: (3,)}, "method": "lora", "r": 4}],
}
REFUSE_TO_MERGE = {"bottleneck": "not linear", "lora+bottleneck": "not linear", "qlora": "base as it is on disk"}
EVERY = [
    pytest.param(kind, settings, architecture, id=f"{kind}-{settings}-{architecture}")
    for kind, cases in KINDS.items()
    for settings in cases
    for architecture in (MIXTURES if kind == "experts" else ARCHITECTURES)
]
every_kind = pytest.mark.parametrize(("kind", "table", "architecture"), EVERY)


def attached(kind: str, table: dict[str, Any], architecture: str) -> tuple[Any, adapters.Plan, Any, torch.Tensor]:
    """The adapted model, its plan, its settings, and what the base answers (for QLoRA, the base in 4 bits)."""
    if kind == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    plug, model = adapters.FAMILY.load(kind), tiny_model(architecture)
    settings = plug.Settings.model_validate({**({"r": 4} if kind in ("lora", "qlora") else {}), **table})
    plan = plug.plan(model, bases.facts_for(model.config), settings)
    before = logits(model)
    torch.manual_seed(1)
    tuned = plug.attach(model, plan, settings)
    if hasattr(plug, "initialise"):
        plug.initialise(tuned, settings, lambda: logits(tuned))
    if kind == "qlora":
        with tuned.disable_adapter():
            before = logits(tuned)
    return tuned, plan, settings, before


def taught(tuned: Any, plan: adapters.Plan, settings: Any, steps: int = 3) -> dict[str, float]:
    """A few steps; the largest gradient of each class in the first."""
    parameters = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    assert {p.dtype for p in parameters.values()} == {torch.float32}
    optimizer = torch.optim.AdamW(adapters.parameter_groups(parameters, settings, lr=5e-3, weight_decay=0.1))
    largest = {row.role: 0.0 for row in plan.classes}
    tuned.train()
    for step in range(steps):
        tuned(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
        for name, parameter in parameters.items() if step == 0 else ():
            if parameter.grad is not None:
                role = plan.role_of(name)
                largest[role] = max(largest[role], float(parameter.grad.abs().max()))
        optimizer.step()
        optimizer.zero_grad()
    tuned.eval()
    return largest


@every_kind
def test_every_kind_keeps_the_contract(kind: str, table: dict[str, Any], architecture: str, tmp_path: Path) -> None:
    plug = adapters.FAMILY.load(kind)
    tolerance = 1e-5 if table.get("init") == "pissa" else 0.0
    untouched = {name: value.clone() for name, value in tiny_model(architecture).state_dict().items()}

    tuned, plan, settings, before = attached(kind, table, architecture)
    targets = plug.adapted(tuned) if hasattr(plug, "adapted") else adapters.adapted_targets(tuned)
    assert sorted(targets) == sorted(plan.names)
    adapters.check_attached(tuned, plan, targets)
    assert sum(p.numel() for p in tuned.parameters() if p.requires_grad) == plan.parameters
    assert float((logits(tuned) - before).abs().max()) <= tolerance, "a fresh adapter must not change an answer"

    largest = taught(tuned, plan, settings)
    assert min(largest.values()) > 0, largest
    answer = logits(tuned)
    assert not torch.allclose(answer, before, atol=1e-2), "training changed nothing"

    plug.save(tuned, tmp_path, base="owner/name")
    again = plug.load(tiny_model(architecture), tmp_path)
    assert float((logits(again) - answer).abs().max()) <= tolerance
    assert not any(p.requires_grad for p in again.parameters())
    plug.save(again, tmp_path / "twice", base="owner/name")
    for path in sorted(path for path in tmp_path.iterdir() if path.is_file()):
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes(), "saving again changed a byte"

    if kind in REFUSE_TO_MERGE:
        with pytest.raises(InputError, match=REFUSE_TO_MERGE[kind]) as refused:
            plug.merge(again)
        assert refused.value.do, "an error that says no has to say what to do"
        return
    merged = plug.merge(again)
    assert float((logits(merged) - answer).abs().max()) < 1e-5
    weights = merged.state_dict()
    assert weights.keys() == untouched.keys()
    outside = [name for name in weights if not torch.equal(weights[name], untouched[name])]
    allowed = {name if name in untouched else f"{name}.weight" for name in plan.names}
    assert set(outside) <= allowed | ({"lm_head.weight"} if kind == "full" else set()), "something else was changed"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_refuses_another_base(kind: str, tmp_path: Path) -> None:
    """Another checkpoint of the same shape, another depth, another architecture: none may answer in silence."""
    architecture = "deepseek_v3"
    plug = adapters.FAMILY.load(kind)
    tuned, plan, settings, _ = attached(kind, KINDS[kind][0], architecture)
    taught(tuned, plan, settings, steps=1)
    plug.save(tuned, tmp_path)
    others = (
        tiny_model(architecture, seed=1),
        tiny_model(architecture, num_hidden_layers=3),
        tiny_model("deepseek_v2"),
        tiny_model("llama"),
    )
    for other in others:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(BaseModelError) as caught:
                plug.load(other, tmp_path)
        told(caught.value)
    with pytest.raises(BaseModelError):
        plug.load(tiny_model(architecture), tmp_path / "nothing")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "experts"])
def test_a_base_in_16_bits_is_the_same_base(kind: str, tmp_path: Path) -> None:
    plug = adapters.FAMILY.load(kind)
    tuned, _, _, _ = attached(kind, KINDS[kind][0], "llama")
    plug.save(tuned, tmp_path)
    plug.load(tiny_model("llama").bfloat16(), tmp_path)


BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("experts", "llama", {"experts": {1: (0,)}}, "no routed experts"),
    ("lora", "llama", {"experts": True}, "no routed experts"),
    *((kind, "llama", {"targets": ("shared_experts",)}, "adapter.targets") for kind in ("lora", "qlora", "full")),
    ("lora", "deepseek_v3", {"targets": ("router",)}, "cannot be adapted"),
    ("experts", "deepseek_v3", {"experts": {1: (0, 4)}}, "experts that layer 1 does not have"),
    ("experts", "deepseek_v3", {"experts": {1: (-1,)}}, "experts that layer 1 does not have"),
    ("experts", "deepseek_v3", {"experts": {0: (0,)}}, "no routed experts"),
    ("experts", "deepseek_v3", {"experts": {2: (0,)}}, "no routed experts"),
    ("experts", "deepseek_v3", {}, "not been scored"),
    *(
        (kind, "qwen2", {"layers": layers}, "beyond the depth")
        for kind in ("lora", "qlora", "bottleneck", "full")
        for layers in ("top-3", "1-2", (2,))
    ),
    ("lora+bottleneck", "qwen2", {"lora": {"layers": "top-3"}}, "beyond the depth"),
    ("lora+bottleneck", "qwen2", {"bottleneck": {"layers": (2,)}}, "beyond the depth"),
]


def told(error: YibuError) -> None:
    """What a person needs: what was wrong, what was got, what is allowed, what to do."""
    assert error.exit_code == 2
    parts = {"what": error.what, "got": error.got, "allowed": error.allowed, "do": error.do}
    assert [name for name, part in parts.items() if part is None or part == ""] == []


@pytest.mark.parametrize(("kind", "architecture", "table", "says"), BAD, ids=lambda value: str(value)[:40])
def test_settings_that_do_not_fit_the_base_are_told(
    kind: str, architecture: str, table: dict[str, Any], says: str
) -> None:
    """From shapes alone, before a weight is read; and nothing is left behind in the model."""
    plug, model = adapters.FAMILY.load(kind), tiny_model(architecture)
    names = [name for name, _ in model.named_modules()]
    with pytest.raises(RecipeError, match=says) as caught:
        plug.plan(model, bases.facts_for(model.config), plug.Settings.model_validate({"kind": kind, **table}))
    told(caught.value)
    assert [name for name, _ in model.named_modules()] == names


def test_a_bad_setting_ends_the_command_with_2(tmp_path: Path) -> None:
    """The same through the command line: nothing is trained, and what to do is said."""
    rows = [{"text": f"cough {n}", "label": "ab"[n % 2]} for n in range(80)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    base = tiny_base(tmp_path / "base", "deepseek_v3")
    for given, says in (
        (["adapter.kind=lora", "adapter.layers=top-3"], "top-1 to top-2"),
        (["adapter.kind=experts", "adapter.experts={1: [4]}"], "0 to 3"),
    ):
        for verb in ("check", "train"):
            arguments = [verb, str(tmp_path / "rows.jsonl"), f"base={base}", *given, "--store", str(tmp_path / "store")]
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 2, done.output
            assert says in " ".join(done.output.split())
    stages = {artifact.manifest.stage for artifact in Store(tmp_path / "store").artifacts()}
    assert "train" not in stages


def test_every_kind_is_here() -> None:
    assert set(KINDS) == set(adapters.FAMILY.names())
