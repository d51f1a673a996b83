"""An FP8 base becomes the numbers that it stands for, block by block, whatever its shapes and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tiny import tiny_base, tiny_ids, tiny_model
from yibu.core.errors import BaseModelError, NoSpace
from yibu.core.store import Store
from yibu.model.fp8 import DequantiseSettings, block_of, dequantise, dequantise_folder, dequantised
from yibu.model.resolve import load_model

FP8 = torch.float8_e4m3fn
BLOCK = (128, 128)
TABLE = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [128, 128],
}
# What DeepSeek-V3 keeps in bf16: embedding, head, norms, routers.
PLAIN = ("embed_tokens", "lm_head", "norm", "mlp.gate.")
# Blocks of the tiny base, so that its small matrices have several, and cut ones at the edges.
SMALL = (16, 24)


def quantise(weight: torch.Tensor, block: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Number by number of blocks, as a reader of the paper would write it."""
    rows, columns = weight.shape
    grid = torch.zeros(-(-rows // block[0]), -(-columns // block[1]))
    values = torch.zeros_like(weight, dtype=torch.float32)
    for p in range(grid.shape[0]):
        for q in range(grid.shape[1]):
            part = (slice(p * block[0], (p + 1) * block[0]), slice(q * block[1], (q + 1) * block[1]))
            grid[p, q] = weight[part].float().abs().max() / torch.finfo(FP8).max
            values[part] = weight[part].float() / grid[p, q]
    return values.to(FP8), grid


def expected(values: torch.Tensor, grid: torch.Tensor, block: tuple[int, int]) -> torch.Tensor:
    """fp32, one number after the other."""
    plain = values.float()
    return torch.tensor(
        [
            [float(plain[row, column] * grid[row // block[0], column // block[1]]) for column in range(plain.shape[1])]
            for row in range(plain.shape[0])
        ]
    )


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fp8_base(folder: Path, num_files: int = 3, block: tuple[int, int] = SMALL) -> dict[str, torch.Tensor]:
    """A tiny DeepSeek-V3 as the hub has it: fp8 matrices, factors in other files than their weights, an index.

    Returns:
        What each tensor stands for, in fp32.
    """
    tiny_base(folder, "deepseek_v3")
    (folder / "LICENSE").write_text("terms", encoding="utf-8")
    (folder / "modeling_deepseek.py").write_text("raise SystemExit", encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stored: dict[str, torch.Tensor] = {}
    meant: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim == 2 and not any(part in name for part in PLAIN):
            stored[name], stored[f"{name}_scale_inv"] = quantise(weight, block)
            meant[name] = expected(stored[name], stored[f"{name}_scale_inv"], block)
        else:
            stored[name] = weight.to(torch.bfloat16)
            meant[name] = stored[name].float()
    names = sorted(stored)
    files = {
        name: f"model-{place % num_files + 1:05d}-of-{num_files:05d}.safetensors" for place, name in enumerate(names)
    }
    for file in set(files.values()):
        save_file({name: stored[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}), encoding="utf-8")
    _change_config(folder, quantization_config={**TABLE, "weight_block_size": list(block)}, dtype="bfloat16")
    return meant


def _change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def read_all(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


@pytest.mark.parametrize("shape", [(128, 128), (256, 384), (576, 256), (192, 130), (1, 1), (130, 5)])
def test_every_number_gets_the_factor_of_its_block(shape: tuple[int, int]) -> None:
    weight = random(*shape) * torch.logspace(-3, 3, shape[1])
    values, grid = quantise(weight, BLOCK)
    found = dequantise(values, grid, BLOCK, torch.float32)
    assert torch.equal(found, expected(values, grid, BLOCK))
    # e4m3 has 3 bits behind the point; below its smallest normal number steps are absolute.
    limit = weight.abs() / 16 + grid.max() * 2**-10
    assert bool(((found - weight).abs() <= limit).all())
    assert torch.equal(dequantise(values, grid, BLOCK, torch.bfloat16), found.to(torch.bfloat16))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 17), st.integers(1, 17))
def test_any_shape_and_block(rows: int, columns: int, high: int, wide: int) -> None:
    values, grid = quantise(random(rows, columns, seed=rows), (high, wide))
    assert torch.equal(dequantise(values, grid, (high, wide), torch.float32), expected(values, grid, (high, wide)))


def test_factors_of_another_grid_are_refused() -> None:
    """192 rows in two blocks of 128 would also divide as 2 x 96: other numbers, no error."""
    values, grid = quantise(random(192, 128), BLOCK)
    for wrong in (grid[:1], grid.T.contiguous(), torch.ones(2, 2)):
        with pytest.raises(BaseModelError, match="not those of its blocks"):
            dequantise(values, wrong, BLOCK, torch.float32)


def test_other_kinds_are_refused() -> None:
    values, grid = quantise(random(128, 128), BLOCK)
    for weight, scale in ((values.float(), grid), (values, grid.to(torch.uint8)), (values.view(torch.int8), grid)):
        with pytest.raises(BaseModelError, match="another kind"):
            dequantise(weight, scale, BLOCK, torch.float32)


@pytest.mark.parametrize(("dtype", "kind"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_folder_becomes_plain(dtype: Any, kind: torch.dtype, tmp_path: Path) -> None:
    meant = fp8_base(tmp_path / "fp8")
    done = dequantise_folder(tmp_path / "fp8", tmp_path / "plain", dtype)

    found = read_all(tmp_path / "plain")
    assert found.keys() == meant.keys()
    quantised = {name for name in meant if name.endswith("_proj.weight") or "kv_a_proj" in name}
    assert done.num_dequantised == len(quantised) > 20
    assert done.num_tensors == len(meant)
    for name, value in found.items():
        assert value.dtype == (kind if name in quantised else torch.bfloat16)
        assert torch.equal(value.float(), meant[name].to(value.dtype).float()), name

    config = json.loads((tmp_path / "plain" / "config.json").read_text(encoding="utf-8"))
    assert "quantization_config" not in config
    files = {path.name for path in (tmp_path / "plain").iterdir()}
    assert {"LICENSE", "tokenizer.json", "model.safetensors.index.json"} <= files
    assert not {name for name in files if name.endswith(".py")}, "code is not carried along"
    index = json.loads((tmp_path / "plain" / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["weight_map"].keys() == meant.keys()
    assert set(index["weight_map"].values()) == {name for name in files if name.endswith(".safetensors")}
    assert index["metadata"]["total_size"] == done.num_bytes == sum(value.nbytes for value in found.values())


def test_plain_base_answers_as_its_weights_say(tmp_path: Path) -> None:
    meant = fp8_base(tmp_path / "fp8")
    dequantise_folder(tmp_path / "fp8", tmp_path / "plain", "fp32")
    model = load_model(tmp_path / "plain", torch.float32)
    save_file(meant, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((tmp_path / "plain" / "config.json").read_bytes())
    wanted = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        found = model(input_ids=tiny_ids(), use_cache=False).logits
        assert torch.equal(found, wanted(input_ids=tiny_ids(), use_cache=False).logits)
        original = tiny_model("deepseek_v3")(input_ids=tiny_ids(), use_cache=False).logits
    # A sanity check that nothing is scaled wrongly: fp8 costs some percent.
    assert float((found - original).norm() / original.norm()) < 0.2


def test_memory_holds_one_file_at_a_time(tmp_path: Path) -> None:
    fp8_base(tmp_path / "fp8")
    largest = max(value.numel() * 4 for value in read_all(tmp_path / "fp8").values())
    done = dequantise_folder(tmp_path / "fp8", tmp_path / "small", "fp32", shard_bytes=largest)
    assert done.num_files > 3
    for path in (tmp_path / "small").glob("*.safetensors"):
        assert sum(value.nbytes for value in load_file(path).values()) <= largest
        with safe_open(path, framework="pt") as file:
            assert file.metadata() == {"format": "pt"}
    whole = dequantise_folder(tmp_path / "fp8", tmp_path / "one", "fp32")
    assert whole.num_files == 1
    small, one = read_all(tmp_path / "small"), read_all(tmp_path / "one")
    assert small.keys() == one.keys()
    assert all(torch.equal(small[name], one[name]) for name in one)


def test_one_file_without_an_index(tmp_path: Path) -> None:
    meant = fp8_base(tmp_path / "fp8", num_files=1)
    (tmp_path / "fp8" / "model.safetensors.index.json").unlink()
    dequantise_folder(tmp_path / "fp8", tmp_path / "plain", "fp32")
    assert read_all(tmp_path / "plain").keys() == meant.keys()


def test_a_disk_that_is_too_small_is_found_out_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meant = fp8_base(tmp_path / "fp8")
    needed = dequantise_folder(tmp_path / "fp8", tmp_path / "whole").num_bytes
    assert needed >= 2 * sum(value.numel() for value in meant.values())
    for free in (needed - 1, needed):
        monkeypatch.setattr("shutil.disk_usage", lambda folder, free=free: type("Usage", (), {"free": free}))
        if free < needed:
            with pytest.raises(NoSpace):
                dequantise_folder(tmp_path / "fp8", tmp_path / "out")
            assert not list((tmp_path / "out").iterdir())
        else:
            dequantise_folder(tmp_path / "fp8", tmp_path / "out")


def test_it_is_made_once(tmp_path: Path) -> None:
    fp8_base(tmp_path / "fp8")
    store = Store(tmp_path / "store")
    first = store.run(dequantised, DequantiseSettings(source=str(tmp_path / "fp8"), digest="d"))
    moved = (tmp_path / "fp8").rename(tmp_path / "moved")
    again = store.run(dequantised, DequantiseSettings(source=str(moved), digest="d"))
    assert again.id == first.id
    assert load_model(first.path, torch.bfloat16).config.model_type == "deepseek_v3"


def test_a_plain_base_is_told_from_a_quantised_one() -> None:
    assert block_of({"model_type": "llama"}) is None
    assert block_of({"quantization_config": TABLE}) == (128, 128)
    others: list[dict[str, Any]] = [
        {"quant_method": "gptq", "bits": 4},
        {**TABLE, "fmt": "e5m2"},
        {**TABLE, "weight_block_size": None},
        {**TABLE, "weight_block_size": [128]},
        {**TABLE, "weight_block_size": [0, 128]},
    ]
    for table in others:
        with pytest.raises(BaseModelError, match="cannot undo"):
            block_of({"quantization_config": table})


def test_a_base_that_is_not_quantised_is_left_alone(tmp_path: Path) -> None:
    tiny_base(tmp_path / "plain")
    with pytest.raises(BaseModelError, match="not quantised"):
        dequantise_folder(tmp_path / "plain", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _without(folder: Path, ending: str) -> None:
    """Take the first tensor of this ending out of the files and the index."""
    index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    name = next(name for name in sorted(index["weight_map"]) if name.endswith(ending))
    file = folder / index["weight_map"].pop(name)
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize("ending", ["down_proj.weight", "down_proj.weight_scale_inv"])
def test_half_a_pair_is_refused(ending: str, tmp_path: Path) -> None:
    """Without its factor a weight would be trained as it lies there, hundreds of times too large."""
    fp8_base(tmp_path / "fp8")
    _without(tmp_path / "fp8", ending)
    with pytest.raises(BaseModelError, match="not all there"):
        dequantise_folder(tmp_path / "fp8", tmp_path / "out")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    fp8_base(tmp_path / "fp8")
    next((tmp_path / "fp8").glob("*.safetensors")).unlink()
    with pytest.raises(BaseModelError, match="missing"):
        dequantise_folder(tmp_path / "fp8", tmp_path / "out")
