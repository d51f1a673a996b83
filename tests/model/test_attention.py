"""Attention under a mask by two products is that of the fused kernel."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from yibu.model import attention


@pytest.mark.parametrize("num_groups", [1, 2, 4])
@pytest.mark.parametrize("most", [0, 2**18])
def test_products_and_the_fused_kernel_agree(monkeypatch: pytest.MonkeyPatch, num_groups: int, most: int) -> None:
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(3, 4, 5, 8, generator=draw)
    key, value = (torch.randn(3, num_groups, 9, size, generator=draw) for size in (8, 6))
    mask = torch.rand(3, 1, 5, 9, generator=draw) < 0.5
    mask[..., 0] = True
    monkeypatch.setattr(attention, "_SMALL", most)
    with torch.no_grad():
        found, _ = attention.packed_attention(torch.nn.Module(), query, key, value, mask, scaling=0.3)
    wanted = F.scaled_dot_product_attention(query, key, value, mask, scale=0.3, enable_gqa=True).transpose(1, 2)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def alone(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, borders: list[int]) -> torch.Tensor:
    """Each row by itself, in fp32, behind a copy of the common beginning: ``[1, T, H, D]``."""
    prefix, parts = borders[0], []
    for begin, end in [(0, 0), *itertools.pairwise(borders)]:
        row = [torch.cat([whole[:, :, :prefix], whole[:, :, begin:end]], 2).float() for whole in (query, key, value)]
        found = F.scaled_dot_product_attention(*row, is_causal=True, enable_gqa=True)
        parts.append(found if end == 0 else found[:, :, prefix:])
    return torch.cat(parts, 2).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 4096])
@pytest.mark.parametrize("prefix", [0, 7, 60])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.012)])
def test_a_packed_row_attends_as_if_it_were_alone(
    dtype: torch.dtype, near: float, prefix: int, window: int | None
) -> None:
    """Short rows, rows that products take in bf16, and longer ones; outputs and gradients."""
    lengths, draw = (5, 47, 130, 1100, 1537), torch.Generator().manual_seed(0)
    borders = list(itertools.accumulate(lengths, initial=prefix))
    inputs = [torch.randn(1, heads, borders[-1], 16, generator=draw).to(dtype).requires_grad_() for heads in (4, 2, 2)]
    towards = torch.randn(1, borders[-1], 4, 16, generator=draw)
    wanted = alone(*inputs, borders)
    expected = torch.autograd.grad((wanted * towards).sum(), inputs)
    found, _ = attention.packed_attention(
        torch.nn.Module(), *inputs, None, cu_seq_lens_q=torch.tensor(borders), sliding_window=window
    )
    assert found.dtype == dtype
    reached = torch.autograd.grad((found.float() * towards).sum(), inputs)
    for one, other in zip((found, *reached), (wanted, *expected), strict=True):
        assert float((one - other).detach().float().norm() / other.detach().float().norm()) < near
