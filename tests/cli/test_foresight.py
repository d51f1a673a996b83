"""`yibu check` of a base that is not here tells what it would cost, from its published config."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tiny import tiny_base
from yibu.cli import app


def recipe(folder: Path, base: str) -> Path:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"row {i}", "label": "ab"[i % 2]}) + "\n" for i in range(200)))
    path = folder / "r.yaml"
    path.write_text(json.dumps({"base": base, "data": {"source": str(rows)}}))
    return path


def test_a_published_base_is_foreseen_without_its_weights(tmp_path: Path) -> None:
    path = recipe(tmp_path, "deepseek-ai/DeepSeek-V2-Lite")
    done = CliRunner().invoke(app, ["check", str(path), "--store", str(tmp_path / "s"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["event"] == "foresight"
    assert told["parameters"] == 15_706_484_224
    assert [card["cards"] for card in told["memory"]] == [1, 8]
    shown = CliRunner().invoke(app, ["check", str(path), "--store", str(tmp_path / "s")])
    assert "15,706,484,224 parameters" in shown.output
    assert "could not be found" in " ".join(shown.output.split())


def test_many_cards_and_the_disk_of_a_large_base(tmp_path: Path) -> None:
    path = recipe(tmp_path, "deepseek-ai/DeepSeek-V3")
    shown = CliRunner().invoke(app, ["check", str(path), "--store", str(tmp_path / "s")])
    assert shown.exit_code == 0
    words = " ".join(shown.output.split())
    assert "64 cards are enough with train.recompute=true" in words
    assert "its copy in bf16, made once because it is in FP8, 1.4 TB" in words
    assert "1.3 TB 168 GB 21.0 GB" in words, "a column for 1, for 8, and for as many as are enough"
    assert "`hf download deepseek-ai/DeepSeek-V3`" in words


def test_an_adapter_that_does_not_fit_is_an_error_and_not_a_missing_base(tmp_path: Path) -> None:
    path = recipe(tmp_path, "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B")
    done = CliRunner().invoke(app, ["check", str(path), "adapter.kind=experts", "--store", str(tmp_path / "s")])
    assert done.exit_code == 2
    assert "no routed experts" in done.output
    assert "use adapter.kind: lora" in done.output


def test_a_base_that_is_here_is_told_on_cards_too(tmp_path: Path) -> None:
    path = recipe(tmp_path, str(tiny_base(tmp_path / "base", "deepseek_v3")))
    arguments = ["check", str(path), "adapter.kind=experts", "--store", str(tmp_path / "s")]
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout.splitlines()[-1])
    assert told["event"] == "outlook"
    assert told["refusals"] == [], "experts that are to be scored are no reason to refuse"
    assert told["cards"]["needed"]["cards"] == 1
    assert told["cards"]["trained"] == told["trained"] > 0
    assert "on cards of 80.0 GB: 1 card is enough" in CliRunner().invoke(app, arguments).output


def test_a_base_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    path = recipe(tmp_path, "nobody/nothing")
    assert CliRunner().invoke(app, ["check", str(path), "--store", str(tmp_path / "s")]).exit_code == 2
