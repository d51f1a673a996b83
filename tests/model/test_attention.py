"""Attention under a mask by two products is that of the fused kernel."""

from __future__ import annotations

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
