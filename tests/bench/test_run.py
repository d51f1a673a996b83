"""The stage, from a model or an endpoint to its files."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.stub import Stub
from tiny import tiny_base
from yibu import pipeline
from yibu.bench import BenchConfig, BenchSettings, bench
from yibu.bench.figures import read_lines
from yibu.bench.own import OwnEngine
from yibu.bench.run import _prompts
from yibu.cli import app
from yibu.core import progress
from yibu.core.errors import InputError, RecipeError, YibuError
from yibu.core.recipe import parse
from yibu.core.store import Artifact, Store
from yibu.engines import transformers


def config(endpoint: str | None, moment: str = "now", **changes: Any) -> BenchConfig:
    table = {"num_requests": 30, "warmup": 3, "max_new_tokens": 4, "timeout": 20.0, **changes}
    if endpoint is not None:
        table["engine"] = {"kind": "openai", "endpoint": f"{endpoint}/v1"}
    return BenchConfig(moment=moment, bench=parse(BenchSettings, table))


def test_rates_are_measured_and_drawn(tmp_path: Path) -> None:
    with Stub(tokens=3, gap=0.01) as stub:
        made = Store(tmp_path).run(bench, config(stub.address, rates=[40, 80], meter={"watts": 10}))
    found = made.read_json("latency.json")
    assert [item["rate"] for item in found["rates"]] == [40, 80]
    assert found["ended"] is None
    assert found["engine"] == {"kind": "openai", "endpoint": f"{stub.address}/v1", "model": "default"}
    for item in found["rates"]:
        assert (item["n"], item["answered"], item["ended"]) == (30, 30, None)
        assert item["e2e"]["p50"]["value"] >= item["ttft"]["p50"]["value"] > 0
        assert item["e2e"]["p50"]["low"] <= item["e2e"]["p50"]["value"] <= item["e2e"]["p50"]["high"]
        assert item["e2e"]["p99"]["high"] is None  # 30 requests know nothing of it
        assert item["client_cpu_share"] > 0
        assert item["tokens"] == 30 * 4
    assert len(read_lines(made.file("requests.jsonl"))) == 2 * 33
    energy = found["energy"]
    assert energy["modelled"] is True
    assert set(energy["phases"]) == {"probe", "rate 40", "rate 80"}
    parts = sum(phase["joules"] for phase in energy["phases"].values())
    assert parts == pytest.approx(energy["total"]["joules"], rel=0.05)
    svg = made.file("latency.svg").read_text()
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "80 requests/s" in root.attrib["aria-label"]


def test_auto_goes_up_to_saturation_and_two_clients_share_the_load(tmp_path: Path) -> None:
    with Stub(lambda number: 0.03, tokens=1, one_at_a_time=True) as stub:  # at most 33 a second
        made = Store(tmp_path).run(bench, config(stub.address, clients=2, num_requests=20))
    rates = made.read_json("latency.json")["rates"]
    assert rates[-1]["saturated"]
    assert not any(item["saturated"] for item in rates[:-1])
    assert rates[-1]["achieved_rate"] < 34
    numbers = [line["number"] for line in read_lines(made.file("requests.jsonl")) if line["rate"] == rates[0]["rate"]]
    assert sorted(numbers) == list(range(23))


def test_endpoint_that_dies_in_the_sweep_leaves_what_was_measured(tmp_path: Path) -> None:
    def dies_later(stub: Stub) -> None:
        while len(stub.requests) < 3 + 33 + 12:  # the probe, the whole first rate, some of the second
            time.sleep(0.02)
        stub.die()

    with Stub() as stub:
        threading.Thread(target=dies_later, args=(stub,), daemon=True).start()
        made = Store(tmp_path).run(bench, config(stub.address, rates=[30, 31, 32]))
    found = made.read_json("latency.json")
    assert found["ended"] == "endpoint_died"
    first, second = found["rates"]
    assert (first["answered"], first["ended"]) == (30, None)
    assert second["ended"] == "endpoint_died"
    assert 0 < second["answered"] < 30
    assert second["errors"]
    assert second["e2e"]["p50"]["value"] > 0
    assert made.file("latency.svg").is_file()


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, also where whoever started the tests turned it off, as a shell does behind ``&``."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("who", ["client", "user"])
def test_client_that_is_killed_and_user_who_stops_leave_what_was_measured(tmp_path: Path, who: str) -> None:
    def later(stub: Stub) -> None:
        while len(stub.requests) < 3 + 10:
            time.sleep(0.02)
        if who == "user":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return
        for child in multiprocessing.active_children():
            child.kill()

    with Stub() as stub:
        threading.Thread(target=later, args=(stub,), daemon=True).start()
        made = Store(tmp_path).run(bench, config(stub.address, rates=[15], num_requests=300))
    found = made.read_json("latency.json")
    assert found["ended"] == {"client": "client_died", "user": "interrupted"}[who]
    (rate,) = found["rates"]
    assert 3 <= rate["answered"] < 300
    assert rate["e2e"]["p50"]["value"] > 0
    assert not multiprocessing.active_children()


def test_nobody_who_answers_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with Stub(lambda number: 503) as stub, pytest.raises(YibuError, match="status_503"):
        Store(tmp_path).run(bench, config(stub.address, rates=[10]))
    assert not Store(tmp_path).artifacts()
    with pytest.raises(InputError, match="nothing to measure"):
        Store(tmp_path).run(bench, config(None))


def test_settings_say_what_is_wrong() -> None:
    for table, words in (
        ({"rates": [4, 2]}, "must rise"),
        ({"engine": {"kind": "opnai", "endpoint": "http://x"}}, "did you mean 'openai'"),
        ({"rats": [1]}, "rates"),
        ({"meter": {"kind": "modelled"}}, "watts"),
    ):
        with pytest.raises(RecipeError, match=words):
            parse(BenchSettings, table)


Made = tuple[Store, Artifact, Artifact, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("bench")
    base, store = tiny_base(root / "base"), Store(root / "store")
    rows = [{"text": f"cough {n}", "label": "lung" if n % 2 else "hand"} for n in range(80)]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = {
        "base": str(base),
        "task": {"kind": "generate", "prompt": "Answer.\n{text}", "target": "{label}", "max_new_tokens": 6},
        "data": {"source": str(root / "rows.jsonl")},
        "train": {"max_steps": 2, "batch": 4, "threads": 1},
        "bench": {"rates": [8], "num_requests": 12, "warmup": 2, "meter": {"watts": 20}, "ignore_eos": True},
    }
    (root / "r.yaml").write_text(json.dumps(table))
    recipe = pipeline.load(root / "r.yaml")
    data = pipeline.make_data(recipe, store)
    return store, data, pipeline.make_model(recipe, store, data), root / "r.yaml"


def test_a_model_of_ours_is_asked_with_its_own_rows(made: Made) -> None:
    store, data, model, path = made
    found = pipeline.measure(pipeline.load(path).bench or BenchSettings(), store, model, data)
    told = found.read_json("latency.json")
    assert told["engine"]["kind"] == "own"
    assert told["engine"]["engine"] == "transformers, up to 16 answers at once"
    assert told["prompts"]["from"].endswith("rows of test")
    (rate,) = told["rates"]
    assert (rate["n"], rate["answered"], rate["errors"]) == (12, 12, {})
    assert rate["tokens"] == 12 * 6  # full length was asked for, and the task says how long that is
    assert rate["prompt_tokens"] > 5
    cost = found.read_json("efficiency.json")
    assert cost["trained"] == sum(row["parameters"] for row in model.read_json("plan.json"))
    assert cost["parameters"] == cost["activated"] > cost["trained"]
    (at,) = cost["rates"]
    assert at["modelled"] is True
    assert at["flops_per_joule"] == pytest.approx(at["flops"] / at["joules"])
    assert at["tokens_per_joule"] == pytest.approx(72 / at["joules"])
    assert found.manifest.inputs == {"model": model.id, "data": data.id}


def test_the_verb_sends_the_rows_of_a_model_to_an_endpoint(made: Made) -> None:
    store, _, _, path = made
    with Stub() as stub:
        asked = [
            "bench",
            str(path),
            "bench.rates=[40]",
            "--engine",
            "triton",
            "--endpoint",
            stub.address,
            "--model",
            "m",
        ]
        done = CliRunner().invoke(app, [*asked, "--store", str(store.root)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "rows of test" in done.output
    assert stub.requests[0][0] == "/v2/models/m/generate_stream"
    assert stub.requests[0][1]["text_input"].startswith("Answer.\ncough")
    assert stub.requests[0][1]["parameters"]["max_tokens"] == 6  # as long as the task's answers


def test_prompts_are_drawn_by_the_seed_and_made_up_without_rows(made: Made) -> None:
    data = made[1]
    wanted = config("http://localhost:1")
    first, where = _prompts(wanted, None, data)
    assert first == _prompts(wanted, None, data)[0]
    assert where == "made up, 64 words"
    assert all(len(prompt.split()) == 64 for prompt in first if isinstance(prompt, str))
    other = config("http://localhost:1", seed=1)
    assert first != _prompts(other, None, data)[0]


def test_own_server_refuses_what_it_cannot_do_and_goes_on(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setattr(progress, "_silent", False)  # the process of a server is silent for good; this one is not
    ours, theirs = multiprocessing.Pipe()
    settings = transformers.Settings(base_path=str(made[3].parent / "base"))
    threading.Thread(target=transformers.serve, args=(theirs, settings), daemon=True).start()
    port, facts = ours.recv()
    at = f"http://127.0.0.1:{port}/v1"
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{at}/models", json={}).status_code == 404
        assert client.post(f"{at}/completions", content=b"no json").status_code == 400
        assert client.post(f"{at}/completions", json={"prompt": "Hi", "max_tokens": 0}).status_code == 400
        chat = client.post(f"{at}/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]}).text
        said = client.post(f"{at}/completions", json={"prompt": "Hi", "max_tokens": 3, "ignore_eos": True}).text
    ours.close()
    assert facts["device"] == "cpu"
    assert '"delta"' in chat
    assert '"completion_tokens": 3' in said
    assert said.rstrip().endswith("[DONE]")


def test_own_process_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no longer"),
        OwnEngine(transformers.Settings(base_path=str(tmp_path / "none"))),
    ):
        pass
    engine = OwnEngine(transformers.Settings(base_path=str(tmp_path), start_seconds=0.01))
    with pytest.raises(YibuError, match="did not start"), engine:
        pass
    assert not engine.is_alive
