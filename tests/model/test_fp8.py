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
from typer.testing import CliRunner

from tiny import tiny_base, tiny_ids, tiny_model
from tiny_fp8 import BLOCK, TABLE, change_config, expected, fp8_base, quantise, random
from yibu import pipeline
from yibu.chat.partner import open_partner
from yibu.cli import app
from yibu.cli.history import size
from yibu.core.errors import BaseModelError, NoSpace
from yibu.core.store import Store
from yibu.model.assemble import for_answers, merged
from yibu.model.fp8 import DequantiseSettings, block_of, dequantise, dequantise_folder, dequantised
from yibu.model.resolve import bytes_to_make_plain, load_model, locate, resolve
from yibu.train.replay import base_of


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


# --- the way of a base through the product ----------------------------------------------------------------------------


def rows(path: Path, num: int = 80) -> Path:
    lines = [json.dumps({"text": f"cough {n}", "label": ("lung", "hand")[n % 2]}) for n in range(num)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def recipe(folder: Path, base: Path) -> pipeline.Recipe:
    table = {
        "base": str(base),
        "task": {"kind": "classify", "prompt": "{text}", "label": "{label}"},
        "data": {"source": str(rows(folder / "rows.jsonl"))},
        "train": {"max_steps": 1, "lr": 1e-2, "batch": 4, "threads": 1, "dtype": "fp32"},
    }
    path = folder / "fp8.yaml"
    path.write_text(json.dumps(table), encoding="utf-8")
    return pipeline.load(path)


def test_a_resolved_base_answers_as_its_weights_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meant = fp8_base(tmp_path / "fp8")
    store = Store(tmp_path / "store")
    found = locate(str(tmp_path / "fp8"), store)
    assert found.path == tmp_path / "fp8"
    assert not store.root.exists(), "a base that is only looked for needs no copy"
    foreseen = bytes_to_make_plain(found.path, found.digest, store)
    assert not store.root.exists()

    base = resolve(str(tmp_path / "fp8"), store)
    assert (base.name, base.model_type) == (str(tmp_path / "fp8"), "deepseek_v3")
    assert base.digest == resolve(str(base.path), store).digest != found.digest
    assert foreseen == sum(value.nbytes for value in read_all(base.path).values())
    assert bytes_to_make_plain(found.path, found.digest, store) == 0, "it is there already"

    (tmp_path / "meant").mkdir()
    save_file({name: value.bfloat16() for name, value in meant.items()}, tmp_path / "meant" / "model.safetensors")
    (tmp_path / "meant" / "config.json").write_bytes((base.path / "config.json").read_bytes())
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "meant", dtype=torch.float32).eval()
    with torch.no_grad():
        logits = load_model(base.path, torch.float32)(input_ids=tiny_ids(), use_cache=False).logits
        assert torch.equal(logits, plain(input_ids=tiny_ids(), use_cache=False).logits)

    monkeypatch.setattr("yibu.model.fp8.dequantise_folder", lambda *_: pytest.fail("made a second time"))
    assert resolve(str(tmp_path / "fp8"), store) == base


def test_it_is_trained_merged_and_asked(tmp_path: Path) -> None:
    """By the ways that a user has: a recipe that names the folder in FP8."""
    fp8_base(tmp_path / "fp8")
    store, wanted = Store(tmp_path / "store"), recipe(tmp_path, tmp_path / "fp8")
    data = pipeline.make_data(wanted, store)
    base = pipeline.locate_base(wanted, store)
    assert base.path == str(tmp_path / "fp8")
    assert [a.manifest.stage for a in store.artifacts()] == ["prepare"], "rows are looked at without a copy of the base"

    model = pipeline.make_model(wanted, store, data, pipeline.resolve_base(wanted, store))
    assert model.id == pipeline.make_model(wanted, store, data).id
    summary = model.read_json("summary.json")
    assert summary["steps"] == 1
    assert min(summary["gradient_check"].values()) > 0

    path = resolve(wanted.base, store).path
    tuned = for_answers(path, model.path / "adapter", "lora", "cpu", "fp32").model
    plain = load_model(path, torch.float32)
    merged_model = merged(path, model.path / "adapter", "lora")
    with torch.no_grad():
        answer = tuned(input_ids=tiny_ids(), use_cache=False).logits
        assert not torch.equal(answer, plain(input_ids=tiny_ids(), use_cache=False).logits), "training changed nothing"
        assert torch.allclose(merged_model(input_ids=tiny_ids(), use_cache=False).logits, answer, atol=1e-5)
    assert open_partner(model, store).ask("cough 3").text in {"lung", "hand"}
    assert base_of(model, store).path == str(path), "a replay begins from the same copy"
    assert store.verify() == []


def test_check_states_the_disk_and_makes_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fp8_base(tmp_path / "fp8")
    recipe(tmp_path, tmp_path / "fp8")
    store, arguments = (
        Store(tmp_path / "store"),
        ["check", str(tmp_path / "fp8.yaml"), "--store", str(tmp_path / "store")],
    )
    needed = bytes_to_make_plain(tmp_path / "fp8", locate(str(tmp_path / "fp8"), store).digest, store)
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["disk"]["plain_base"] == needed > 0
    assert told["disk"]["available"] > told["disk"]["checkpoints"] > told["disk"]["adapter"] == 4 * told["trained"]
    assert [a.manifest.stage for a in store.artifacts()] == ["prepare"]
    assert f"made once, since this one is in FP8: {size(needed)}" in " ".join(
        CliRunner().invoke(app, arguments).output.split()
    )

    monkeypatch.setattr("yibu.core.machine.disk_bytes", lambda place: (needed, needed - 1))
    refused = CliRunner().invoke(app, [*arguments, "--json"])
    assert refused.exit_code == 2
    (error,) = json.loads(refused.stdout.splitlines()[-1])["refusals"]
    assert error["error"] == "NoSpace"

    monkeypatch.undo()
    resolve(str(tmp_path / "fp8"), store)
    again = CliRunner().invoke(app, [*arguments, "--json"])
    assert json.loads(again.stdout.splitlines()[-1])["disk"]["plain_base"] == 0


def test_a_base_quantised_otherwise_is_refused_before_its_files_are_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_base(tmp_path / "gptq")
    change_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    monkeypatch.setattr("yibu.model.resolve.digest_file", lambda path: pytest.fail(f"hashed {path}"))
    for find in (locate, resolve):
        with pytest.raises(BaseModelError, match="cannot undo") as caught:
            find(str(folder), Store(tmp_path / "store"))
        assert caught.value.exit_code == 2
