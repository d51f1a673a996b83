"""Scores are counts of what the routers did, whatever the passes they were read in."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from tiny import tiny_ids, tiny_model
from yibu import bases
from yibu.adapters import experts as adapter
from yibu.adapters import lora
from yibu.core.errors import DataError, RecipeError
from yibu.model.assemble import use_packed_attention
from yibu.model.experts import completed, draw_sample, score_experts
from yibu.model.packing import make_pack, pack_loss
from yibu.model.render import Example

LAYERS = {"deepseek_v2": [1], "deepseek_v3": [1], "deepseek_v32": [1], "deepseek_v4": [0, 1, 2]}
each_architecture = pytest.mark.parametrize("architecture", LAYERS)


def rows(num: int = 5, start: tuple[int, ...] = ()) -> list[Example]:
    found = []
    for index in range(num):
        ids = (*start, *tiny_ids(1, 9 + 3 * index, seed=index)[0].tolist())
        found.append(Example(ids, tuple(place > 4 for place in range(len(ids))), f"row-{index}"))
    return found


def model_for(architecture: str, packed: bool = False) -> Any:
    model = tiny_model(architecture)
    if packed:
        use_packed_attention(model)
    return model


def score(architecture: str, examples: list[Example], packed: bool = False, pack_tokens: int = 64) -> adapter.Scores:
    model = model_for(architecture, packed)
    facts = bases.facts_for(model.config)
    return score_experts(model, facts, examples, packed=packed, pack_tokens=pack_tokens)


@each_architecture
def test_scores_are_what_the_routers_chose(architecture: str) -> None:
    """Counted here token by token, from what goes into the experts and not out of the routers."""
    model, examples = model_for(architecture), rows()
    seen: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {layer: [] for layer in LAYERS[architecture]}
    for layer, calls in seen.items():
        model.model.layers[layer].mlp.experts.register_forward_pre_hook(
            lambda module, inputs, calls=calls: calls.append((inputs[1], inputs[2]))
        )
    with torch.no_grad():
        for example in examples:
            model(input_ids=torch.tensor([example.ids]), use_cache=False)
    found = score(architecture, examples)

    num_tokens = sum(len(example.ids) for example in examples)
    assert (found.num_tokens, found.num_rows) == (num_tokens, 5)
    assert list(found.token) == list(found.gate) == LAYERS[architecture]
    for layer, calls in seen.items():
        choices, weights = [0] * 4, [0.0] * 4
        for indices, gates in calls:
            for picked, gate in zip(indices.flatten().tolist(), gates.flatten().tolist(), strict=True):
                choices[picked] += 1
                weights[picked] += gate
        assert sum(choices) == 2 * num_tokens
        assert found.token[layer] == pytest.approx([choice / (2 * num_tokens) for choice in choices], abs=1e-8)
        assert found.gate[layer] == pytest.approx([weight / num_tokens for weight in weights], abs=1e-6)
        assert sum(found.token[layer]) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("architecture", ["deepseek_v2", "deepseek_v3"])
def test_packs_change_no_score(architecture: str) -> None:
    # A beginning that all rows share counts in every row.
    examples = rows(start=(7, 8, 9, 10, 11))
    alone = score(architecture, examples)
    for pack_tokens in (40, 1000):
        together = score(architecture, examples, packed=True, pack_tokens=pack_tokens)
        assert together.token == alone.token
        for layer, means in together.gate.items():
            assert means == pytest.approx(alone.gate[layer], abs=1e-5)


def test_same_rows_same_scores_bit_by_bit() -> None:
    first = score("deepseek_v3", rows(), packed=True)
    torch.manual_seed(99)
    assert score("deepseek_v3", rows(), packed=True) == first


def test_scoring_leaves_the_model_as_it_was() -> None:
    model = model_for("deepseek_v3")
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    score_experts(model, bases.facts_for(model.config), rows(), packed=False, pack_tokens=64)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@each_architecture
def test_scores_lead_to_trained_experts(architecture: str) -> None:
    model = model_for(architecture)
    facts = bases.facts_for(model.config)
    settings = adapter.Settings(p=0.4)
    found = score_experts(model, facts, rows(), packed=False, pack_tokens=64)
    settings = adapter.with_scores(settings, found)
    plan = adapter.plan(model, facts, settings)
    assert list(plan.choice) == LAYERS[architecture]
    for layer, chosen in plan.choice.items():
        reached = sum(found.token[layer][expert] for expert in chosen)
        assert reached >= 0.4 > reached - found.token[layer][chosen[-1]]
    adapter.check(adapter.attach(model, plan, settings), plan)


def test_sample_depends_on_ids_and_seed_alone() -> None:
    examples = rows(40)
    sample = draw_sample(examples, 150, seed=3)
    shuffled = random.Random(0).sample(examples, len(examples))
    assert draw_sample(shuffled, 150, seed=3) == sample
    assert draw_sample(examples, 150, seed=4) != sample
    sizes = [len(example.ids) for example in sample]
    assert sum(sizes) >= 150 > sum(sizes[:-1])
    assert sample != examples[: len(sample)], "rows are drawn, not taken from the front"
    assert len(draw_sample(examples, 10**9, seed=3)) == 40
    more = draw_sample([*examples, replace(examples[0], name="one more")], 10**9, seed=3)
    assert [example for example in more if example.name != "one more"] == draw_sample(examples, 10**9, seed=3)


def test_settings_are_completed_where_they_need_it() -> None:
    model = model_for("deepseek_v3")
    facts, examples = bases.facts_for(model.config), rows(12)

    def complete(settings: Any, given: list[Example]) -> Any:
        return completed(settings, model, facts, given, packed=False, pack_tokens=64, seed=5)

    done = complete(adapter.Settings(sample_tokens=60), examples)
    sample = draw_sample(examples, 60, seed=5)
    assert done.scores == score("deepseek_v3", sample)
    assert done.scores.num_rows == len(sample) < 12
    assert complete(done, examples) is done, "what was scored is not scored again"
    for settings in (adapter.Settings(experts={1: (0,)}), lora.Settings()):
        assert complete(settings, []) is settings


@pytest.mark.parametrize("method", ["whole", "lora"])
def test_packed_loss_and_gradient_are_those_of_the_rows_alone(method: str) -> None:
    model = model_for("deepseek_v3", packed=True)
    settings = adapter.Settings(method=method, r=4, experts={1: (0, 2)})
    tuned = adapter.attach(model, adapter.plan(model, bases.facts_for(model.config), settings), settings)
    trained = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.05)

    def pass_over(packs: list[list[Example]]) -> tuple[float, dict[str, torch.Tensor]]:
        total = sum(pack_loss(tuned, make_pack(pack)) for pack in packs)
        total.backward()
        found = {name: p.grad.clone() for name, p in trained.items()}
        tuned.zero_grad()
        return float(total.detach()), found

    together, alone = pass_over([rows()]), pass_over([[row] for row in rows()])
    assert together[0] == pytest.approx(alone[0], rel=1e-5)
    for name, gradient in together[1].items():
        assert float(gradient.abs().max()) > 0
        torch.testing.assert_close(gradient, alone[1][name], rtol=1e-4, atol=1e-5)


def test_a_dense_base_and_no_rows_are_refused() -> None:
    with pytest.raises(RecipeError, match="cannot be scored"):
        score("llama", rows())
    with pytest.raises(DataError, match="no training rows"):
        score("deepseek_v3", [])
