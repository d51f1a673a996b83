"""Experts are chosen as DeepSeek chose them, only they are trained, and what is saved fits one base."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from tiny import tiny_config, tiny_ids, tiny_model
from yibu import bases
from yibu.adapters import _chosen, experts
from yibu.core.errors import BaseModelError, RecipeError, TrainingError

# Layer -> experts of the tiny models (4 experts; layer 0 is dense but in V4), not in order on purpose.
CHOICES = {
    "deepseek_v2": {1: (3, 0)},
    "deepseek_v3": {1: (3, 0)},
    "deepseek_v32": {1: (3, 0)},
    "deepseek_v4": {0: (1,), 2: (3, 0)},
}
CASES = [(architecture, method) for architecture in CHOICES for method in ("whole", "lora")]
each_case = pytest.mark.parametrize(("architecture", "method"), CASES)
each_architecture = pytest.mark.parametrize("architecture", CHOICES)
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "esft_experts"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny_ids(), use_cache=False).logits


def settings_for(architecture: str, method: str, **changes: Any) -> experts.Settings:
    return experts.Settings(method=method, r=4, alpha=8, **{"experts": CHOICES[architecture], **changes})


def attached(architecture: str, method: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    model = tiny_model(architecture).to(dtype)
    settings = settings_for(architecture, method, **changes)
    plan = experts.plan(model, bases.facts_for(model.config), settings)
    torch.manual_seed(1)
    return experts.attach(model, plan, settings)


def train(model: Any, steps: int = 3) -> Any:
    """With weight decay, over every parameter that there is: what is frozen must not need to be left out."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        model(input_ids=tiny_ids(4), labels=tiny_ids(4), use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def digests(model: Any) -> dict[str, str]:
    """SHA-256 of every tensor of the base, fused experts one by one."""
    found = {}
    for name, value in model.state_dict().items():
        if f".{experts.PART}." in name:
            continue
        parts = dict(enumerate(value)) if name.endswith(experts.FUSED) else {"": value}
        for key, part in parts.items():
            found[f"{name}{key}"] = hashlib.sha256(part.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
    return found


def test_few_shares_decide() -> None:
    scores = {3: (0.05, 0.4, 0.05, 0.3, 0.2), 7: (1.0, 1.0, 1.0, 1.0)}
    assert experts.choose(scores, 0.5) == {3: (1, 3), 7: (0, 1)}
    assert experts.choose(scores, 0.4)[3] == (1,), "a set that reaches p exactly is enough"
    assert experts.choose(scores, 1.0) == {3: (1, 3, 4, 0, 2), 7: (0, 1, 2, 3)}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=64).filter(any), st.floats(0.01, 1))
def test_choice_is_the_smallest_set_that_reaches_p(uses: list[int], p: float) -> None:
    chosen = experts.choose({0: [float(use) for use in uses]}, p)[0]
    shares = [use / sum(uses) for use in uses]
    assert len(set(chosen)) == len(chosen) <= math.ceil(p * len(uses) + 1e-6)
    reached = math.fsum(shares[expert] for expert in chosen)
    assert reached >= p - 1e-9
    assert math.fsum(sorted(shares, reverse=True)[: len(chosen) - 1]) < p + 1e-9, "one less of any would do as well"
    assert list(chosen) == sorted(chosen, key=lambda expert: (-uses[expert], expert))


def test_a_layer_without_use_is_refused() -> None:
    with pytest.raises(RecipeError, match="do not say"):
        experts.choose({4: (0.0, 0.0)}, 0.2)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published scores of ESFT are not on this machine")
def test_choice_is_that_of_deepseek() -> None:
    scores = json.loads((PUBLISHED / "translation_scores.json").read_text(encoding="utf-8"))["token_scores"]
    wanted = json.loads((PUBLISHED / "translation_config.json").read_text(encoding="utf-8"))["experts"]
    table = {int(layer): [row[str(expert)] for expert in range(64)] for layer, row in scores.items()}
    chosen = experts.choose(table, 0.2)
    assert len(wanted) == 26
    assert chosen == {int(layer): tuple(row) for layer, row in wanted.items()}


@each_case
def test_a_fresh_difference_changes_no_bit(architecture: str, method: str) -> None:
    before = logits(tiny_model(architecture))
    tuned = attached(architecture, method)
    assert torch.equal(logits(tuned), before)


@each_case
def test_plan_says_what_is_trained(architecture: str, method: str) -> None:
    with torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(tiny_config(architecture))
    facts = bases.facts_for(outline.config)
    plan = experts.plan(outline, facts, settings_for(architecture, method))
    tuned = attached(architecture, method)

    experts.check(tuned, plan)
    assert plan.table()[0]["experts"] == {str(layer): list(chosen) for layer, chosen in CHOICES[architecture].items()}
    assert not tuned.training, "the mode is that of the base"
    trained = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained.values()) == plan.parameters == plan.table()[0]["parameters"]
    assert {plan.role_of(name) for name in trained} == {"experts"}
    assert experts.adapted(tuned) == sorted(plan.names)
    num = sum(len(chosen) for chosen in CHOICES[architecture].values())
    width = (64 * 64 + 64 * 32) if method == "whole" else 4 * (64 + 64 + 64 + 32)  # hidden 64, two times 32 inside
    assert plan.parameters == num * width
    assert all(p.dtype == torch.float32 for p in trained.values())


def test_a_plan_is_checked() -> None:
    tuned = attached("deepseek_v3", "whole")
    model = tiny_model("deepseek_v3")
    other = experts.plan(
        model, bases.facts_for(model.config), settings_for("deepseek_v3", "whole", experts={1: (0, 1)})
    )
    with pytest.raises(TrainingError, match="not those of the plan"):
        experts.check(tuned, other)
    tuned.get_base_model().lm_head.weight.requires_grad_(True)
    mine = experts.plan(model, bases.facts_for(model.config), settings_for("deepseek_v3", "whole"))
    with pytest.raises(TrainingError, match="no planned class"):
        experts.check(tuned, mine)


@each_case
def test_only_the_chosen_experts_move(architecture: str, method: str) -> None:
    before = digests(tiny_model(architecture))
    answer = logits(tiny_model(architecture))

    tuned = train(attached(architecture, method))

    assert digests(tuned.get_base_model()) == before, "training writes to no tensor of the base"
    assert not torch.allclose(logits(tuned), answer, atol=1e-3), "training changed nothing"
    after = digests(experts.merge(tuned))
    assert after.keys() == before.keys()
    moved = {
        f"model.layers.{layer}.mlp.experts.{fused}{expert}"
        for layer, chosen in CHOICES[architecture].items()
        for fused in experts.FUSED
        for expert in chosen
    }
    assert {name for name in after if after[name] != before[name]} == moved


@each_architecture
def test_gradient_is_that_of_the_whole_tensor(architecture: str) -> None:
    plain = tiny_model(architecture)
    plain(input_ids=tiny_ids(4), labels=tiny_ids(4), use_cache=False).loss.backward()
    tuned = attached(architecture, "whole")
    tuned(input_ids=tiny_ids(4), labels=tiny_ids(4), use_cache=False).loss.backward()
    for layer, chosen in CHOICES[architecture].items():
        for fused in experts.FUSED:
            name = f"model.layers.{layer}.mlp.experts.{fused}"
            whole = plain.get_parameter(name).grad[list(chosen)]
            found = tuned.get_base_model().get_parameter(
                f"model.layers.{layer}.mlp.experts.{experts.PART}.{fused}_delta"
            )
            assert float(whole.abs().max()) > 0
            torch.testing.assert_close(found.grad, whole, rtol=1e-4, atol=1e-7)


@each_case
def test_saved_is_the_difference_alone(architecture: str, method: str, tmp_path: Path) -> None:
    tuned = train(attached(architecture, method))
    answer = logits(tuned)
    experts.save(tuned, tmp_path / "a", "tiny")
    experts.save(tuned, tmp_path / "b", "tiny")

    assert {path.name for path in (tmp_path / "a").iterdir()} == {experts.CONFIG, experts.WEIGHTS}
    for name in (experts.CONFIG, experts.WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    trained = sum(p.numel() * 4 for p in tuned.parameters() if p.requires_grad)
    assert trained < (tmp_path / "a" / experts.WEIGHTS).stat().st_size < trained + 4000
    stored = json.loads((tmp_path / "a" / experts.CONFIG).read_text(encoding="utf-8"))
    assert stored["base"] == "tiny"
    assert stored["settings"]["experts"] == {str(k): list(v) for k, v in CHOICES[architecture].items()}

    frozen = experts.load(tiny_model(architecture), tmp_path / "a")
    assert torch.equal(logits(frozen), answer)
    assert not any(p.requires_grad for p in frozen.parameters())
    again = experts.load(tiny_model(architecture), tmp_path / "a", trainable=True)
    assert {n for n, p in again.named_parameters() if p.requires_grad} == {
        n for n, p in tuned.named_parameters() if p.requires_grad
    }
    experts.save(again, tmp_path / "c", "tiny")
    assert (tmp_path / "c" / experts.WEIGHTS).read_bytes() == (tmp_path / "a" / experts.WEIGHTS).read_bytes()


@each_case
def test_merged_model_is_plain(architecture: str, method: str, tmp_path: Path) -> None:
    tuned = train(attached(architecture, method))
    answer = logits(tuned)
    merged = experts.merge(tuned)

    assert float((logits(merged) - answer).abs().max()) < 1e-5
    assert merged.state_dict().keys() == tiny_model(architecture).state_dict().keys()
    assert merged.config._experts_implementation == tiny_model(architecture).config._experts_implementation
    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert torch.equal(logits(again), logits(merged))


def test_what_is_trained_in_bf16_is_what_is_served_in_bf16() -> None:
    tuned = train(attached("deepseek_v3", "whole", torch.bfloat16))
    trained = [p for p in tuned.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 and p.grad is None for p in trained)
    answer = logits(tuned)
    assert torch.equal(logits(experts.merge(tuned).to(torch.bfloat16)), answer)


def test_saved_in_bf16_it_is_known_in_fp32(tmp_path: Path) -> None:
    """Training reads the base in bf16, merging in fp32: it is the same base."""
    tuned = train(attached("deepseek_v2", "lora", torch.bfloat16))
    experts.save(tuned, tmp_path)
    merged = experts.merge(experts.load(tiny_model("deepseek_v2"), tmp_path))
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    assert float((logits(merged) - logits(tuned).float()).abs().max()) < 0.2


def test_switched_off_it_answers_as_the_base() -> None:
    base = logits(tiny_model("deepseek_v3"))
    tuned = train(attached("deepseek_v3", "lora"))
    answer = logits(tuned)
    with tuned.disable_adapter():
        assert torch.equal(logits(tuned), base)
    assert torch.equal(logits(tuned), answer)


def test_generates_with_a_cache() -> None:
    tuned = train(attached("deepseek_v3", "whole"))
    ids = tiny_ids(1, 8)
    with torch.no_grad():
        found = tuned.generate(input_ids=ids, max_new_tokens=6, do_sample=False, eos_token_id=None)
        for _ in range(6):
            ids = torch.cat([ids, tuned(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(found, ids)


def test_dropout_drops_in_training_alone() -> None:
    tuned = train(attached("deepseek_v2", "lora", dropout=0.5))
    assert torch.equal(logits(tuned), logits(tuned))
    tuned.train()
    assert not torch.equal(logits(tuned), logits(tuned))


@pytest.mark.parametrize("method", ["whole", "lora"])
def test_recomputed_activations_give_the_same_gradient(method: str) -> None:
    found = []
    for recompute in (False, True):
        tuned = attached("deepseek_v3", method)
        if recompute:
            causal = tuned.get_base_model()
            causal.activation_checkpointing_enable({"use_reentrant": False})
            causal.enable_input_require_grads()
        tuned.train()
        tuned(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
        found.append({name: p.grad for name, p in tuned.named_parameters() if p.requires_grad})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("method", ["whole", "lora"])
def test_one_kernel_for_all_experts_gives_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of a GPU, on the CPU's kernel of the same name."""
    ones = train(attached("deepseek_v3", method))
    answer = logits(ones)
    ones(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
    gradients = {name: p.grad.clone() for name, p in ones.named_parameters() if p.requires_grad}
    ones.zero_grad()
    monkeypatch.setattr(_chosen, "_can_group", lambda x: True)
    torch.testing.assert_close(logits(ones), answer, rtol=1e-5, atol=1e-5)
    ones(input_ids=tiny_ids(), labels=tiny_ids(), use_cache=False).loss.backward()
    for name, parameter in ones.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-6)


def test_an_expert_without_a_token_keeps_a_gradient_of_zero() -> None:
    tuned = attached("deepseek_v3", "whole", experts={1: (0, 1, 2, 3)})
    ids = tiny_ids(1, 1)  # one token, two experts
    tuned(input_ids=ids, use_cache=False).logits.sum().backward()
    grads = next(p.grad for name, p in tuned.named_parameters() if name.endswith("down_proj_delta"))
    assert sorted(bool(grad.abs().sum() > 0) for grad in grads) == [False, False, True, True]


def test_scores_complete_the_settings(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3")
    facts = bases.facts_for(model.config)
    open_settings = experts.Settings(p=0.5)
    assert experts.needs_scores(open_settings)
    with pytest.raises(RecipeError, match="not been scored"):
        experts.plan(model, facts, open_settings)
    scores = experts.Scores(token={1: (0.1, 0.2, 0.4, 0.3)}, gate={1: (1.6, 0.1, 0.4, 0.4)}, num_tokens=100, num_rows=4)
    settings = experts.with_scores(open_settings, scores)
    assert not experts.needs_scores(settings)
    assert experts.plan(model, facts, settings).choice == {1: (2, 3)}
    by_gate = settings.model_copy(update={"score": "gate"})
    assert experts.plan(model, facts, by_gate).choice == {1: (0,)}

    tuned = experts.attach(model, experts.plan(model, facts, settings), settings)
    experts.save(tuned, tmp_path)
    stored = json.loads((tmp_path / experts.CONFIG).read_text(encoding="utf-8"))["settings"]
    assert stored["p"] == 0.5
    assert stored["scores"]["token"] == {"1": [0.1, 0.2, 0.4, 0.3]}
    assert stored["experts"] == {"1": [2, 3]}
    assert experts.Settings.model_validate(json.loads(json.dumps(settings.as_config()))) == settings


def test_scores_of_another_base_are_refused() -> None:
    model = tiny_model("deepseek_v3")
    scores = experts.Scores(token={1: (0.5, 0.5)}, gate={1: (0.5, 0.5)}, num_tokens=1, num_rows=1)
    with pytest.raises(RecipeError, match="another base"):
        experts.plan(model, bases.facts_for(model.config), experts.Settings(scores=scores))


@given(st.lists(st.integers(1, 1000), min_size=4, max_size=4), st.floats(0.01, 1))
def test_no_scores_need_more_than_foreseen(uses: list[int], p: float) -> None:
    with torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(tiny_config("deepseek_v3"))
    facts = bases.facts_for(outline.config)
    settings = experts.Settings(p=p)
    most = experts.plan(outline, facts, experts.foreseen(outline, facts, settings))
    values = {1: tuple(use / sum(uses) for use in uses)}
    measured = experts.Scores(token=values, gate=values, num_tokens=1, num_rows=1)
    assert experts.plan(outline, facts, experts.with_scores(settings, measured)).parameters <= most.parameters


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({1: (4,)}, "does not have"),
        ({1: (-1,)}, "does not have"),
        ({0: (1,)}, "no routed experts"),
        ({9: (1,)}, "no routed experts"),
    ],
)
def test_an_expert_that_is_not_there_is_refused(choice: dict[int, tuple[int, ...]], message: str) -> None:
    model = tiny_model("deepseek_v3")
    with pytest.raises(RecipeError, match=message):
        experts.plan(model, bases.facts_for(model.config), experts.Settings(experts=choice))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_dense_base_is_refused(architecture: str) -> None:
    model = tiny_model(architecture)
    for ask in (experts.plan, experts.foreseen):
        with pytest.raises(RecipeError, match="no routed experts"):
            ask(model, bases.facts_for(model.config), experts.Settings())


@pytest.mark.parametrize(
    "table",
    [
        {"experts": {1: []}},
        {"experts": {1: [2, 2]}},
        {"experts": {}},
        {"dropout": 0.1},
        {"p": 0},
        {"p": 1.1},
        {"score": "both"},
    ],
)
def test_settings_that_make_no_sense_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        experts.Settings.model_validate(table)


@pytest.mark.parametrize(
    "other",
    [
        lambda: tiny_model("deepseek_v3", seed=1),
        lambda: tiny_model("deepseek_v2"),
        lambda: tiny_model("llama"),
        lambda: tiny_model("deepseek_v3", n_routed_experts=8),
        lambda: tiny_model("deepseek_v3", moe_intermediate_size=48),
        lambda: tiny_model("deepseek_v3", first_k_dense_replace=2),
        lambda: _touched(tiny_model("deepseek_v3")),
    ],
    ids=["weights", "architecture", "dense", "experts", "width", "places", "one-number"],
)
def test_another_base_is_refused(other: Any, tmp_path: Path) -> None:
    experts.save(train(attached("deepseek_v3", "whole")), tmp_path)
    with pytest.raises(BaseModelError):
        experts.load(other(), tmp_path)


def _touched(model: Any) -> Any:
    """A tuning of the same base: all is alike but one number of one expert."""
    with torch.no_grad():
        model.model.layers[1].mlp.experts.gate_up_proj[3, 0, 5] += 1e-3
    return model


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="no trained experts"):
        experts.load(tiny_model("deepseek_v3"), tmp_path)
    experts.save(attached("deepseek_v3", "whole"), tmp_path)
    path = tmp_path / experts.CONFIG
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**stored, "settings": {**stored["settings"], "experts": {"1": [3, 9]}}}))
    with pytest.raises(BaseModelError, match="not those of their choice"):
        experts.load(tiny_model("deepseek_v3"), tmp_path)
    path.write_text("{")
    with pytest.raises(BaseModelError, match="damaged"):
        experts.load(tiny_model("deepseek_v3"), tmp_path)


def test_experts_are_not_trained_twice(tmp_path: Path) -> None:
    tuned = attached("deepseek_v3", "whole")
    experts.save(tuned, tmp_path)
    with pytest.raises(TrainingError, match="already"):
        experts.load(tuned.get_base_model(), tmp_path)
