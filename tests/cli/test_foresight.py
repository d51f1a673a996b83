"""`yibu check` of a base that is not here tells what it would cost, from its published config."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

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


def test_a_base_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    path = recipe(tmp_path, "nobody/nothing")
    assert CliRunner().invoke(app, ["check", str(path), "--store", str(tmp_path / "s")]).exit_code == 2
