"""Texts scored as a tree have the probabilities that transformers gives them one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import tiny_model
from yibu.model import attention, kernels
from yibu.model.likelihood import Asked, _trees, likelihoods, tree_fits

token = st.integers(6, 9)  # few tokens, so that texts share beginnings
texts = st.builds(
    Asked, st.lists(token, min_size=1, max_size=6).map(tuple), st.lists(token, min_size=0, max_size=6).map(tuple)
)


def by_transformers(model: Any, one: Asked) -> tuple[float, bool]:
    with torch.no_grad():
        log_probs = model(torch.tensor([one.context + one.continuation])).logits[0].log_softmax(-1)
    places = range(len(one.context) - 1, len(one.context) + len(one.continuation) - 1)
    steps = list(zip(places, one.continuation, strict=True))
    return (
        sum(float(log_probs[place, target]) for place, target in steps),
        all(int(log_probs[place].argmax()) == target for place, target in steps),
    )


@pytest.fixture(scope="module")
def model() -> Any:
    made = tiny_model("llama")
    made.set_attn_implementation(attention.NAME)
    return made


@settings(max_examples=25, deadline=None)
@given(st.lists(texts, min_size=1, max_size=12), st.integers(1, 30))
def test_every_text_has_its_own_probability_whatever_it_shares(model: Any, asked: list[Asked], max_tokens: int) -> None:
    plain = tiny_model("llama")
    for one, found in zip(asked, likelihoods(model, asked, max_tokens=max_tokens), strict=True):
        log_prob, greedy = by_transformers(plain, one)
        assert found.log_prob == pytest.approx(log_prob, abs=1e-4)
        assert found.greedy == greedy


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3", "deepseek_v2", "deepseek_v3"])
def test_tree_and_single_passes_agree_in_other_architectures(architecture: str) -> None:
    model = tiny_model(architecture)
    model.set_attn_implementation(attention.NAME)
    asked = [Asked((7, 8), (9, 10)), Asked((7, 8), (9, 11, 12)), Asked((7,), (13,)), Asked((20, 21, 22), (7,))]
    tree, alone = likelihoods(model, asked), likelihoods(model, asked, tree=False)
    assert [one.log_prob for one in tree] == pytest.approx([one.log_prob for one in alone], abs=1e-4)
    assert [one.greedy for one in tree] == [one.greedy for one in alone]
    assert tree_fits(model, asked)


def test_a_beginning_is_read_once() -> None:
    asked = [Asked((7, 8, 9), (10, 11)), Asked((7, 8, 9), (12, 11)), Asked((7, 8), (9,)), Asked((7, 8), ())]
    (tree,) = _trees(asked, 100)
    assert sorted(tree.tokens) == [7, 8, 9, 10, 12]
    assert len(tree.targets) == 5


def test_architectures_that_take_no_tree_are_found_out() -> None:
    asked = [Asked(tuple(range(10, 30)), (9, 10)), Asked(tuple(range(10, 20)), (11, 12))]
    assert not tree_fits(tiny_model("deepseek_v4"), asked)
    alone = likelihoods(tiny_model("deepseek_v4"), asked, tree=False)
    assert alone[0].log_prob == pytest.approx(by_transformers(tiny_model("deepseek_v4"), asked[0])[0], abs=1e-4)


def test_a_window_shorter_than_the_text_is_found_out() -> None:
    model = tiny_model("gemma3")  # sliding window of 16: one mask for all layers would let tokens look further back
    model.set_attn_implementation(attention.NAME)
    assert not tree_fits(model, [Asked(tuple(range(10, 60)), (9, 10)), Asked(tuple(range(10, 60)), (11, 12))])


def test_an_empty_continuation_is_certain(model: Any) -> None:
    (found,) = likelihoods(model, [Asked((7,), ())])
    assert (found.log_prob, found.greedy) == (0.0, True)


def test_the_faster_library_is_as_exact_and_is_switched_off_again() -> None:
    left, right = torch.randn(64, 256), torch.randn(256, 64)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with kernels.fast_fp32():
        inside = left @ right
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    torch.testing.assert_close(inside, (left.double() @ right.double()).float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("error", "seconds", "wanted"), [(3.0, 0.5, True), (100.0, 0.5, False), (1.0, 0.9, False)])
def test_the_faster_library_must_be_exact_and_faster(
    monkeypatch: pytest.MonkeyPatch, error: float, seconds: float, wanted: bool
) -> None:
    tries = iter([(1.0, 1.0), (error, seconds)])
    monkeypatch.setattr(kernels, "_tried", lambda *_: next(tries))
    assert kernels._onednn_is_better.__wrapped__() is wanted
