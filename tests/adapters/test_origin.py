"""The mark of a base, and a header that is the same bytes for the same content."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tiny import tiny_model
from yibu.adapters._origin import check_mark, mark_of, read_header, write_tensors
from yibu.core.errors import BaseModelError


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_does_not_hide_a_base(dtype: torch.dtype) -> None:
    check_mark(tiny_model("llama").to(dtype), mark_of(tiny_model("llama")))


def test_noise_of_four_bits_does_not_hide_a_base() -> None:
    model = tiny_model("llama")
    mark = mark_of(model)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        weight += torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 0.1 * weight.std()
    check_mark(model, mark)


def test_other_bases_are_refused() -> None:
    mark = mark_of(tiny_model("llama"))
    for other, what in (
        (tiny_model("llama", seed=1), "another checkpoint"),
        (tiny_model("qwen2"), "another kind"),
        (tiny_model("llama", num_hidden_layers=1), "another kind"),
        (tiny_model("llama", vocab_size=256), "another checkpoint"),
    ):
        with pytest.raises(BaseModelError, match=what):
            check_mark(other, mark)
    check_mark(tiny_model("llama", seed=1), None)  # another tool's adapter says nothing


def test_header_is_the_same_bytes_and_hides_no_tensor(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.ones(4, dtype=torch.bfloat16)}
    table = {"base": {"model_type": "llama"}, "note": '基座 "quoted"'}
    written = set()
    for turn in range(8):
        write_tensors(tensors, tmp_path / f"{turn}.safetensors", table)
        written.add((tmp_path / f"{turn}.safetensors").read_bytes())
    assert len(written) == 1
    assert read_header(tmp_path / "0.safetensors") == table
    again = load_file(tmp_path / "0.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
