"""A merge is proven on validation rows, one that lost the adapter is refused, and what cannot be merged says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tuned import Tuned, tuned
from yibu import pipeline
from yibu.bases import facts_for
from yibu.compress import checks_of
from yibu.compress import run as body
from yibu.core.errors import DataError, GateRefused, InputError
from yibu.model.assemble import load_renderer
from yibu.model.resolve import load_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tuned(tmp_path_factory.mktemp("tuned"), num_rows=240)


def test_the_merged_model_is_the_tuned_one_and_plain(made: Tuned) -> None:
    small = made.small()
    checks = {check["name"]: check for check in checks_of(small)}
    assert all(check["ok"] for check in checks.values()), checks
    assert checks["gain kept"]["measured"] == pytest.approx(1)
    assert checks["adapter = merged: same answers"]["n"] == len(made.data.file("valid.jsonl").read_text().splitlines())
    folder = small.path / "model"
    assert (
        AutoTokenizer.from_pretrained(folder).chat_template
        == AutoTokenizer.from_pretrained(made.recipe.base).chat_template
    )
    merged, base = AutoModelForCausalLM.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(made.recipe.base)
    assert merged.dtype == torch.float32
    assert base.generation_config.repetition_penalty == 3.0
    assert merged.generation_config.repetition_penalty in (None, 1.0), "what was measured is what leaves"
    assert not merged.generation_config.do_sample
    stops = load_renderer(Path(made.recipe.base), facts_for(base.config)).stop_ids
    assert merged.generation_config.eos_token_id == sorted(stops)
    assert not torch.equal(merged.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)
    summary = small.read_json("summary.json")
    assert summary["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    pipeline.pass_parity(made.recipe, made.store, small)
    assert made.store.refs()["tiny/proven"] == small.id
    assert made.small().id == small.id, "made once"


def test_what_is_compared_are_validation_rows_and_never_test(made: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    real = body.read_rows
    monkeypatch.setattr(body, "read_rows", lambda path: seen.append(path) or real(path))
    made.small("compress.rows=7")
    assert {path.name for path in seen} == {"valid.jsonl"}


def test_a_merge_that_lost_the_adapter_is_refused_and_force_is_written_down(
    made: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "merged", lambda base, adapter, kind: load_model(base, torch.float32))
    lost = made.small("compress.rows=60")
    with pytest.raises(GateRefused, match="adapter's effect that is missing: FAILED, 1 "):
        pipeline.pass_parity(made.recipe, made.store, lost)
    assert made.store.refs().get("tiny/proven") != lost.id
    pipeline.pass_parity(made.recipe, made.store, lost, force=True)
    last = made.store.ledger()[-1]
    assert (last.ref, last.after) == ("tiny/proven", lost.id)
    assert "forced past failed checks" in last.why
    assert "adapter's effect that is missing" in last.why


def test_sixteen_bits_are_on_disk_and_judged(made: Tuned) -> None:
    small = made.small("compress.dtype=bf16")
    assert AutoModelForCausalLM.from_pretrained(small.path / "model").dtype == torch.bfloat16
    missing = next(check for check in checks_of(small) if "missing" in check["name"])
    assert 0 < missing["measured"] < 0.5, "bf16 rounds, so something is missing"
    assert missing["ok"] is (missing["measured"] <= missing["bound"])


@pytest.mark.parametrize("kind", ["bottleneck", "lora+bottleneck"])
def test_a_kind_that_cannot_be_merged_says_so(tmp_path: Path, kind: str) -> None:
    other = tuned(tmp_path, num_rows=60, adapter={"kind": kind})
    with pytest.raises(InputError, match="cannot be merged"):
        other.small()


def test_without_validation_rows_nothing_is_proven(tmp_path: Path) -> None:
    split = {"train": 0.8, "valid": 0, "test": 0.2}
    rows: dict[str, Any] = {"source": str(tmp_path / "rows.jsonl"), "split": split}
    other = tuned(tmp_path, num_rows=60, data=rows)
    with pytest.raises(DataError, match="no validation rows"):
        other.small()


@pytest.mark.parametrize(
    ("architecture", "adapter"),
    [
        ("deepseek_v2", {"kind": "lora", "experts": True, "r": 4}),
        ("deepseek_v3", {"kind": "lora", "experts": True, "r": 4}),
        ("deepseek_v3", {"kind": "experts", "experts": {"1": [2, 0]}}),
        ("deepseek_v4", {"kind": "lora", "experts": True, "r": 4}),
        ("qwen2", {"kind": "full"}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_experts_and_whole_weights_are_merged_too(tmp_path: Path, architecture: str, adapter: Any) -> None:
    made = tuned(tmp_path, architecture, num_rows=60, adapter=adapter, train={"lr": 1e-2, "epochs": 1, "threads": 1})
    checks = checks_of(made.small())
    assert [check for check in checks if check["ok"] is False] == []
    assert next(c for c in checks if "missing" in c["name"])["ok"]


def test_a_qlora_goes_into_the_whole_base(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    made = tuned(tmp_path, num_rows=60, adapter={"kind": "qlora", "r": 4})
    checks = checks_of(made.small())
    assert next(c for c in checks if "missing" in c["name"])["ok"]
    assert not [c for c in checks if c["name"] == "adapter = merged: same answers"]
