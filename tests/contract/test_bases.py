"""One test over every architecture: the facts describe the real transformers class, whole and rightly."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from tiny import ARCHITECTURES, MAX_LENGTH, tiny_ids, tiny_model
from yibu import bases

FILES = ["deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "gemma3", "generic", "llama", "qwen2"]
NEVER_ADAPTED = {"router", "indexer", "head", "embedding", "norm", "other"}
# Fewer chosen keys than tokens: what real rows can be; and heads enough that no two keys score exactly nothing.
FEW_KEYS = {"deepseek_v32": {"index_topk": 16, "index_n_heads": 16}}


def model_and_facts(architecture: str, **changes: Any) -> tuple[Any, bases.Facts]:
    model = tiny_model(architecture, **changes)
    return model, bases.facts_for(model.config)


def test_list_of_architectures() -> None:
    assert bases.FAMILY.names() == FILES


@pytest.mark.parametrize("name", FILES)
def test_facts_are_in_order(name: str) -> None:
    facts = bases.FAMILY.load(name).FACTS
    assert facts.name == name
    names = [role.name for role in facts.roles]
    assert len(names) == len(set(names))
    assert any(role.adapt for role in facts.roles)
    for role in facts.roles:
        re.compile(role.pattern)
        assert not (role.adapt and role.kind in NEVER_ADAPTED), f"{role.name} must stay frozen"
    assert facts.attention in facts.attentions
    assert facts.stop_tokens
    assert facts.notes


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_has_a_role_of_its_kind(architecture: str) -> None:
    model, facts = model_and_facts(architecture)
    seen = set()
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        role = facts.role_of(name) or facts.role_of(owner)
        assert role is not None, f"{name} has no role"
        seen.add(role.name)
        module = model.get_submodule(owner)
        if role.kind == "linear":
            assert type(module) is nn.Linear, name
        elif role.kind == "grouped":
            assert isinstance(module, nn.Linear), name
            assert type(module) is not nn.Linear, name
        elif role.kind == "experts":
            assert parameter.ndim == 3, name
        elif isinstance(module, nn.Linear):
            assert role.kind in {"indexer", "head", "router"}, f"{name} is linear and would not be adapted"
    missing = {role.name for role in facts.roles if not role.optional} - seen
    assert missing == ({"head"} if model.config.tie_word_embeddings else set())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_implementations_agree(architecture: str) -> None:
    model, facts = model_and_facts(architecture)
    logits = []
    for name in {"sdpa", "eager"} & set(facts.attentions):
        model.set_attn_implementation(name)
        with torch.no_grad():
            logits.append(model(tiny_ids(length=40), use_cache=False).logits)
    for other in logits[1:]:
        assert torch.allclose(logits[0], other, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_of_a_pack_are_kept_apart(architecture: str) -> None:
    """`isolated_packing` is true exactly where two rows end to end give the logits of each row alone."""
    from yibu.model import attention

    model, facts = model_and_facts(architecture, **FEW_KEYS.get(architecture, {}))
    first, second = tiny_ids(1, 30, seed=1), tiny_ids(1, 41, seed=2)
    with torch.no_grad():
        alone = torch.cat([model(ids, use_cache=False).logits for ids in (first, second)], dim=1)
        try:
            model.set_attn_implementation(attention.NAME)
            together = model(
                torch.cat([first, second], dim=1),
                position_ids=torch.cat([torch.arange(30), torch.arange(41)])[None],
                cu_seq_lens_q=torch.tensor([0, 30, 71], dtype=torch.int32),
                use_cache=False,
            ).logits
        except (TypeError, ValueError):  # the architecture does not take this attention
            assert not facts.isolated_packing
            return
    assert torch.allclose(together, alone, atol=1e-5) == facts.isolated_packing


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_in_front_is_hidden_by_the_mask(architecture: str) -> None:
    """`masks_padding` is true exactly where a row's logits behind padding are those of the row alone."""
    model, facts = model_and_facts(architecture, **FEW_KEYS.get(architecture, {}))
    row, length = tiny_ids(1, 30, seed=1), 41
    ids = torch.cat([torch.zeros(1, length - 30, dtype=torch.long), row], dim=1)
    mask = (torch.arange(length) >= length - 30).long()[None]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        alone = model(row, use_cache=False).logits[0, -1]
        padded = model(ids, attention_mask=mask, position_ids=positions, use_cache=False).logits[0, -1]
    assert torch.allclose(alone, padded, atol=1e-5) == facts.masks_padding


@pytest.mark.parametrize("architecture", ["deepseek_v32", "deepseek_v4"])
def test_indexer_gets_no_gradient(architecture: str) -> None:
    """Why its role is frozen: the choice of the best keys has none to give."""
    model, facts = model_and_facts(architecture)
    ids = tiny_ids(length=MAX_LENGTH // 4)
    model(ids, labels=ids, use_cache=False).loss.backward()
    roles = {name: facts.role_of(name.rpartition(".")[0]) for name, _ in model.named_parameters()}
    indexer = [p for name, p in model.named_parameters() if (role := roles[name]) and role.kind == "indexer"]
    assert indexer
    assert all(p.grad is None or not p.grad.any() for p in indexer)
