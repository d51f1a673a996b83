"""DeepSeek with a LoRA on its experts leaves, merged, for transformers, and as GGUF where llama.cpp knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servers import needs_llama
from tuned import Tuned, tuned
from yibu import pipeline
from yibu.core.errors import InputError
from yibu.core.store import Artifact

EXPERTS = {"kind": "lora", "experts": True, "r": 4}


def with_experts(place: Path, architecture: str) -> Tuned:
    settings: dict[str, Any] = {"lr": 1e-2, "epochs": 1, "threads": 1}
    made = tuned(place, architecture, num_rows=60, adapter=EXPERTS, train=settings)
    assert "expert" in str(made.model.read_json("plan.json"))
    return made


def exported(made: Tuned, table: str) -> Artifact:
    recipe = made.with_sections(f"export=[{table}]")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())
    return bundle


def measured(bundle: Artifact, part: str) -> dict[str, float]:
    checks = bundle.read_json("parity.json")["checks"]
    assert all(check["ok"] for check in checks)
    return {check["name"].removeprefix(f"tuned = {part}: "): check["measured"] for check in checks}


@pytest.mark.parametrize("architecture", ["deepseek_v2", "deepseek_v3", "deepseek_v4"])
def test_plain_transformers_answers_as_the_tuned_model(tmp_path: Path, architecture: str) -> None:
    found = measured(exported(with_experts(tmp_path, architecture), "{kind: safetensors, what: model}"), "model")
    assert found["same answers"] == 1
    assert found["share of the adapter's effect that is missing"] < 0.01


@needs_llama
@pytest.mark.parametrize("architecture", ["deepseek_v2_low_rank_q", "deepseek_v3"])
def test_llama_server_answers_as_the_tuned_model(tmp_path: Path, architecture: str) -> None:
    found = measured(exported(with_experts(tmp_path, architecture), "{kind: gguf, quantise: f16}"), "model")
    assert found["share of the adapter's effect that is missing"] < 0.2


@needs_llama
def test_what_llama_cpp_cannot_take_is_said_before_anything_is_published(tmp_path: Path) -> None:
    made = with_experts(tmp_path, "deepseek_v4")
    with pytest.raises(InputError, match=r"llama\.cpp cannot put this model into GGUF") as caught:
        exported(made, "{kind: gguf, quantise: f16}")
    assert "safetensors" in (caught.value.do or "")
    assert "tiny/gguf" not in made.store.refs()
