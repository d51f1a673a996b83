"""A pack must give what its rows give alone, and a row what transformers itself gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tiny import tiny_ids, tiny_model
from yibu.model import attention
from yibu.model.loss import head_loss
from yibu.model.packing import common_prefix, example_losses, make_pack, pack_loss, split_by_tokens
from yibu.model.render import Example

PACKABLE = ("llama", "qwen2", "gemma3", "deepseek_v2", "deepseek_v3")


def example(length: int, first_target: int, seed: int = 0) -> Example:
    ids = tuple(tiny_ids(1, length, seed)[0].tolist())
    return Example(ids, tuple(place >= first_target for place in range(length)), f"row-{seed}")


def own_loss(model: torch.nn.Module, row: Example) -> torch.Tensor:
    """By transformers' plain path: all logits, its own attention and masks."""
    model.set_attn_implementation("eager")
    logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0, :-1]
    targets = torch.tensor(row.ids)[1:]
    wanted = torch.tensor(row.trained[1:])
    return F.cross_entropy(logits[wanted], targets[wanted], reduction="sum")


@pytest.mark.parametrize("architecture", PACKABLE)
def test_a_pack_gives_the_losses_of_its_rows_and_those_of_transformers(architecture: str) -> None:
    model = tiny_model(architecture)
    rows = [example(40, 30, 1), example(9, 3, 2), example(23, 1, 3)]
    with torch.no_grad():
        expected = torch.stack([own_loss(model, row) for row in rows])
    model.set_attn_implementation(attention.NAME)
    together = example_losses(model, make_pack(rows))
    alone = torch.cat([example_losses(model, make_pack([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-4)


def shared_rows(prefix: int) -> list[Example]:
    """Rows that begin alike; the first target of one stands right behind the common beginning."""
    start = example(prefix, prefix, 99).ids
    rows = [example(length, first, seed) for seed, (length, first) in enumerate([(20, 7), (6, 0), (31, 30)])]
    return [Example(start + row.ids, (False,) * prefix + row.trained, row.name) for row in rows]


@pytest.mark.parametrize("architecture", PACKABLE)
def test_a_common_beginning_is_computed_once_and_changes_no_loss(architecture: str) -> None:
    model = tiny_model(architecture)
    rows = shared_rows(11)
    assert common_prefix(rows) == 11
    with torch.no_grad():
        expected = torch.stack([own_loss(model, row) for row in rows])
    model.set_attn_implementation(attention.NAME)
    pack = make_pack(rows, prefix=11)
    assert pack.num_tokens == 11 + 20 + 6 + 31
    torch.testing.assert_close(example_losses(model, pack), expected, rtol=1e-5, atol=1e-4)


def test_a_common_beginning_changes_no_gradient() -> None:
    rows = shared_rows(11)
    gradients = []
    for prefix in (0, 5, 11):
        model = tiny_model("llama")
        model.set_attn_implementation(attention.NAME)
        pack_loss(model, make_pack(rows, prefix)).backward()
        gradients.append(model.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradients[2], gradients[0], rtol=1e-4, atol=1e-6)


def test_a_common_beginning_ends_before_targets_and_before_the_end_of_a_row() -> None:
    row = example(10, 6, 1)
    assert common_prefix([row, row]) == 6
    assert common_prefix([row, Example(row.ids[:4], (False, False, False, True))]) == 3
    assert common_prefix([example(10, 6, 1), example(10, 6, 2)]) == 0


def test_a_neighbour_cannot_be_seen() -> None:
    model = tiny_model("llama")
    model.set_attn_implementation(attention.NAME)
    row = example(12, 6, 5)
    beside_one = example_losses(model, make_pack([example(20, 4, 6), row]))[1]
    beside_other = example_losses(model, make_pack([example(20, 4, 7), row]))[1]
    assert beside_one == beside_other


def test_the_gradient_does_not_depend_on_how_rows_are_cut_into_packs() -> None:
    rows = [example(10 + 3 * seed, 2 + seed, seed) for seed in range(6)]
    gradients = []
    for size in (6, 2, 1):
        model = tiny_model("llama")
        model.set_attn_implementation(attention.NAME)
        model.get_output_embeddings().weight.requires_grad_(False)
        total = sum(row.num_targets for row in rows)
        for begin in range(0, len(rows), size):
            (pack_loss(model, make_pack(rows[begin : begin + size])) / total).backward()
        gradients.append(model.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("num_targets", [1, 7, 1100])
def test_the_chunked_head_has_the_value_and_gradient_of_the_plain_one(num_targets: int) -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=False).requires_grad_(False)
    hidden = torch.randn(num_targets, 16, generator=generator, requires_grad=True)
    plain = hidden.detach().clone().requires_grad_(True)
    targets = torch.randint(50, (num_targets,), generator=generator)
    ours = head_loss(hidden, head, targets)
    theirs = F.cross_entropy(head(plain), targets, reduction="sum")
    (ours / 3).backward()
    (theirs / 3).backward()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(hidden.grad, plain.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_targets", [1, 7, 1100])
def test_factors_multiply_the_loss_and_the_gradient_of_their_target(num_targets: int) -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=False).requires_grad_(False)
    hidden = torch.randn(num_targets, 16, generator=generator, requires_grad=True)
    plain = hidden.detach().clone().requires_grad_(True)
    targets = torch.randint(50, (num_targets,), generator=generator)
    factors = torch.rand(num_targets, generator=generator) * 10
    ours = head_loss(hidden, head, targets, factors_N=factors)
    theirs = (F.cross_entropy(head(plain), targets, reduction="none") * factors).sum()
    (ours / 3).backward()
    (theirs / 3).backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(hidden.grad, plain.grad, rtol=1e-5, atol=1e-5)
    capped = head_loss(plain, torch.nn.Linear(16, 50), targets, softcap=5.0, factors_N=torch.zeros(num_targets))
    assert capped == 0


def test_a_factor_of_two_is_a_row_that_comes_twice() -> None:
    rows = [example(12, 6, 1), example(20, 4, 2)]
    gradients = []
    for step in ([*rows, rows[1]], [rows[0], replace(rows[1], weight=2.0)]):
        model = tiny_model("llama")
        model.set_attn_implementation(attention.NAME)
        model.get_output_embeddings().weight.requires_grad_(False)
        pack_loss(model, make_pack(step)).backward()
        gradients.append(model.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_factors_stand_on_the_tokens_of_the_label_alone_and_nowhere_without_weights() -> None:
    marked = tuple(place in (4, 5) for place in range(8))
    row = replace(example(8, 3, 1), weight=5.0, label_tokens=marked)
    assert make_pack([replace(row, weight=1.0), example(6, 2, 2)]).factors_N is None
    pack = make_pack([row, example(6, 2, 2)])
    assert pack.factors_N is not None
    assert pack.factors_N.tolist() == [1, 5, 5, 1, 1, 1, 1, 1, 1]
    whole = make_pack([replace(row, label_tokens=None), example(3, 0, 3)])
    assert whole.factors_N is not None
    assert whole.factors_N.tolist() == [5] * 5 + [1] * 2
    assert len(whole.factors_N) == whole.num_targets
    assert whole.to("cpu").factors_N is not None
    assert make_pack([example(6, 2, 2)]).to("cpu").factors_N is None


def test_the_losses_of_examples_do_not_know_weights() -> None:
    model = tiny_model("llama")
    model.set_attn_implementation(attention.NAME)
    row = example(12, 6, 5)
    weighted = example_losses(model, make_pack([replace(row, weight=7.0)]))
    assert torch.equal(weighted, example_losses(model, make_pack([row])))
    trained = pack_loss(model, make_pack([replace(row, weight=7.0)])).detach()
    torch.testing.assert_close(trained, 7 * weighted[0], rtol=1e-4, atol=1e-4)


def test_a_head_with_a_soft_cap_or_a_bias_is_not_simplified() -> None:
    hidden, targets = torch.randn(4, 8), torch.tensor([0, 1, 2, 3])
    capped = head_loss(hidden, torch.nn.Linear(8, 5, bias=False).requires_grad_(False), targets, softcap=0.1)
    assert capped == pytest.approx(4 * torch.log(torch.tensor(5.0)).item(), rel=0.1)
    biased = torch.nn.Linear(8, 5).requires_grad_(False)
    torch.testing.assert_close(
        head_loss(hidden, biased, targets), F.cross_entropy(biased(hidden), targets, reduction="sum")
    )


def test_attention_refuses_what_it_would_lose() -> None:
    tensor = torch.randn(1, 2, 4, 8)
    with pytest.raises(ValueError, match="softcap"):
        attention.packed_attention(torch.nn.Identity(), tensor, tensor, tensor, None, softcap=30.0)


def test_a_sliding_window_hides_what_lies_behind_it() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 6, 8, generator=generator) for _ in range(3))
    whole, _ = attention.packed_attention(torch.nn.Identity(), query, key, value, None, sliding_window=3)
    other = key.clone()
    other[:, :, 0] += 1.0
    moved, _ = attention.packed_attention(torch.nn.Identity(), query, other, value, None, sliding_window=3)
    assert torch.equal(whole[:, 3:], moved[:, 3:])
    assert not torch.equal(whole[:, 2], moved[:, 2])


def test_runs_hold_at_most_the_tokens_asked_for_and_every_row_once() -> None:
    rows = [example(length, 1, seed) for seed, length in enumerate([5, 5, 30, 5, 5, 5])]
    runs = list(split_by_tokens(rows, 12))
    assert [len(run) for run in runs] == [2, 1, 2, 1]
    assert [row for run in runs for row in run] == rows
    assert all(len(run) == 1 for run in split_by_tokens(rows, 1000, packed=False))
