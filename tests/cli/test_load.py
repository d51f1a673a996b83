"""The verb `bench`: its words, its table, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.stub import Stub
from yibu.bench import BenchSettings
from yibu.cli import app
from yibu.cli.load import seconds, settings_of, with_endpoint
from yibu.core.errors import InputError

FEW = ["bench.rates=[20]", "bench.num_requests=12", "bench.warmup=1", "bench.max_new_tokens=3"]


def test_an_endpoint_is_measured_and_told(tmp_path: Path) -> None:
    with Stub() as stub:
        asked = ["bench", *FEW, "--endpoint", f"{stub.address}/v1", "--model", "m", "--store", str(tmp_path)]
        done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    told = next(table for line in done.stdout.splitlines() if (table := json.loads(line))["event"] == "bench")
    (rate,) = told["latency"]["rates"]
    assert rate["answered"] == 12
    assert told["efficiency"] is None
    assert stub.requests[0][1]["model"] == "m"


def test_an_endpoint_that_dies_is_exit_code_1_and_its_figures_are_shown(tmp_path: Path) -> None:
    # Refused connections end the sweep; here it is the answers that fail, all of them after the first rate.
    with Stub(lambda number: 500 if number > 3 + 13 else 0.0) as stub:
        asked = ["bench", *FEW, "bench.rates=[20,21]", "--endpoint", f"{stub.address}/v1", "--store", str(tmp_path)]
        done = CliRunner().invoke(app, asked, env={"COLUMNS": "160"})
    assert done.exit_code == 1
    words = " ".join(done.output.split())
    assert "Nothing was answered at this rate" in words
    assert "12 status_500" in words
    assert "p99 has no upper limit" in words
    assert "order statistics" in words


def test_words_are_a_name_and_settings(tmp_path: Path) -> None:
    name, settings = settings_of(["clinic", "bench.seed=3"])
    assert (name, settings.seed) == ("clinic", 3)
    assert settings_of([]) == (None, BenchSettings())
    recipe = tmp_path / "r.yaml"
    recipe.write_text("{data: {source: x}, bench: {seed: 5}}")
    assert settings_of([str(recipe), "bench.warmup=0"])[1] == BenchSettings(seed=5, warmup=0)
    with pytest.raises(InputError, match="One model"):
        settings_of(["a", "b"])
    with pytest.raises(InputError, match="Only settings of bench"):
        settings_of(["train.lr=1"])
    with pytest.raises(InputError, match="endpoint"):
        with_endpoint(BenchSettings(), "openai", None, "m")
    with pytest.raises(InputError, match="address"):
        with_endpoint(BenchSettings(), "triton", "localhost", None)


def test_nothing_to_measure_is_wrong_input_or_none_in_the_store(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "--store", str(tmp_path)])
    assert done.exit_code == 1
    assert "no model in the store" in done.output


def test_times_are_said_as_people_read_them() -> None:
    assert [seconds(value) for value in (0.01234, 0.9, 2.5)] == ["12.3 ms", "900 ms", "2.5 s"]
