"""Two real processes over gloo: the gradient of a step is that of one, summed and sharded, for each kind of adapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ranks_at_work import KINDS
from yibu import adapters
from yibu.core.errors import RecipeError
from yibu.train.shard import clip, own, put, refuse_unshardable, whole

SCRIPT = Path(__file__).parents[1] / "ranks_at_work.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(rank), "2", *KINDS],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"errors-{rank}").open("w"),
        )
        for rank in range(2)
    ]
    try:
        for rank, process in enumerate(ranks):
            assert process.wait(300) == 0, (folder / f"errors-{rank}").read_text()[-3000:]
    finally:
        for process in ranks:
            process.kill()
    names = ("words", *KINDS)
    return {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(2)] for name in names}


def test_all_hear_the_same(found: dict[str, list[dict[str, Any]]]) -> None:
    first, second = found["words"]
    assert first["heard"] == second["heard"]
    assert first["heard"] == [{"rank": 0, "loss": 0.1, "text": ""}, {"rank": 1, "loss": 1.1, "text": "咳咳咳"}]
    assert first["first"] == second["first"] == ["from", 0]
    assert first["stop"] == second["stop"] == 15, "a signal that one process got stops both at the same step"
    assert first["began"] == second["began"] == [7.0, 7.0]
    for rank in found["words"]:
        assert "data of rank 1 (process" in rank["apart"]
        assert "data: of rank 1" in rank["apart"]
        assert rank["none"], "what nobody has a gradient for stays without one, as AdamW would move it"
        assert rank["one"] == [3.0, 3.0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_two_processes_is_that_of_one(kind: str, found: dict[str, list[dict[str, Any]]]) -> None:
    for rank in found[kind]:
        assert rank["summed"] < 1e-6, "all on every process"
        assert rank["sharded"] < 1e-6, "cut over both"
        assert rank["losses"] == pytest.approx([rank["losses"][0]] * 3, rel=1e-9)
        assert rank["norms"] == pytest.approx([rank["norms"][0]] * 3, rel=1e-6)
        assert rank["valid"] == pytest.approx([rank["valid"][0]] * 2, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_layers_is_sharded_and_not_only_said_to_be(
    kind: str, found: dict[str, list[dict[str, Any]]]
) -> None:
    for rank in found[kind]:
        assert rank["plain"] == [], "every one is a DTensor"
        assert rank["held"] == pytest.approx(0.5, abs=0.02)


def test_a_process_without_a_pass_takes_part(found: dict[str, list[dict[str, Any]]]) -> None:
    # Where the base is sharded it runs one that adds nothing: the others need its shards.
    assert [rank["passes"] for rank in found["lora_bf16"]] == [[1, 1], [0, 1]]


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_sharded_run_goes_on_to_the_same_bits_and_in_one_process(
    kind: str, found: dict[str, list[dict[str, Any]]]
) -> None:
    first, second = found[kind]
    assert first["same_bits"]
    assert first["from_alone"] < 1e-5
    if kind == "full":  # what is sharded is kept by the first rank alone
        assert second["kept"] < first["kept"]


def test_plain_tensors_pass_through() -> None:
    tensor = torch.ones(3)
    assert whole(tensor) is tensor
    assert own(tensor) is tensor
    assert torch.equal(put(tensor, torch.zeros(3)), torch.zeros(3))
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.full((4,), 2.0)
    assert clip([parameter], 1.0) == pytest.approx(4.0)
    assert float(parameter.grad.norm()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("adapter", "dtype", "word"),
    [
        ({"kind": "qlora"}, torch.bfloat16, "four bits"),
        ({"kind": "experts"}, torch.bfloat16, "score experts"),
        ({"kind": "full"}, torch.float16, "fp16"),
    ],
)
def test_what_cannot_be_sharded_is_refused(adapter: dict[str, Any], dtype: torch.dtype, word: str) -> None:
    settings = adapters.FAMILY.load(adapter["kind"]).Settings(**adapter)
    with pytest.raises(RecipeError, match=word):
        refuse_unshardable(settings, dtype)


def test_what_can_be_sharded_is_not_refused() -> None:
    lora = adapters.FAMILY.load("lora").Settings(kind="lora")
    refuse_unshardable(lora, torch.float16)
    refuse_unshardable(adapters.FAMILY.load("experts").Settings(kind="experts", experts={1: (0,)}), torch.bfloat16)
