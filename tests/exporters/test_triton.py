"""The repository runs in a real tritonserver: the model's own answers by HTTP and gRPC, batched by Triton itself."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import needs_triton
from tuned import Tuned
from yibu import pipeline
from yibu.core.errors import InputError
from yibu.core.record import read_rows
from yibu.core.store import Artifact
from yibu.exporters import Source, triton
from yibu.exporters._tritonserver import Running, TritonServer


@pytest.fixture(scope="module")
def bundle(made: Tuned) -> Artifact:
    recipe = made.with_sections("export=[{kind: triton, queue_ms: 5}]")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, made.small())
    return bundle


@pytest.fixture(scope="module")
def server(bundle: Artifact) -> Iterator[Running]:
    with TritonServer.find().serve(bundle.path / "bundle" / "repository", "tiny") as running:
        yield running


@needs_triton
def test_it_was_proven_in_tritonserver(bundle: Artifact) -> None:
    parity = bundle.read_json("parity.json")
    assert parity["engine"].startswith("tritonserver 2.")
    checks = {check["name"]: check for check in parity["checks"]}
    assert all(check["ok"] for check in checks.values())
    assert checks["tuned = model: labels: same answers"]["measured"] == 1
    assert checks["model: ids of training = ids of serving"]["n"] == 50


def settled(server: Running) -> dict[str, Any]:
    """Triton's statistics once they no longer change: it counts a request after it has answered."""
    found = server.statistics()
    while True:
        time.sleep(0.3)
        before, found = found, server.statistics()
        if found == before:
            return found


@needs_triton
def test_a_thousand_requests_are_batched_and_right(made: Tuned, server: Running) -> None:
    texts = [str(row.fields["text"]) for row in read_rows(made.data.file("train.jsonl"))][:40]
    alone = [server.ask(text) for text in texts]
    before = settled(server)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda number: server.ask(texts[number % len(texts)]), range(1000)))
    assert [one["answer"] for one in found] == [alone[number % len(texts)]["answer"] for number in range(1000)]
    after = settled(server)
    requests = after["inference_count"] - before["inference_count"]
    executions = after["execution_count"] - before["execution_count"]
    assert requests == 1000
    assert executions < requests / 2, "Triton's own statistics: requests were put together"
    sizes = {int(batch["batch_size"]) for batch in after["batch_stats"]}
    assert max(sizes) > 4
    assert max(sizes) <= triton.MAX_BATCH


CLIENT = """
import json, sys
import numpy
import tritonclient.grpc, tritonclient.http
http, grpc, name, *texts = sys.argv[1:]
found = []
for client, address in ((tritonclient.http, http), (tritonclient.grpc, grpc)):
    asked = client.InferInput("REQUEST", [len(texts), 1], "BYTES")
    asked.set_data_from_numpy(numpy.array([[text.encode()] for text in texts], dtype=object))
    answers = client.InferenceServerClient(address).infer(name, [asked]).as_numpy("ANSWER")
    found.append([json.loads(one)["answer"] for one in answers[:, 0]])
print(json.dumps(found))
"""


@needs_triton
def test_nvidias_own_client_gets_the_same_answers_by_http_and_grpc(server: Running) -> None:
    """tritonclient comes with nvidia-pytriton, into its environment."""
    texts = ["chest pain", "a cough", "broken thumb"]
    python = TritonServer.find().home.parents[4] / "bin" / "python"
    address = server.address.removeprefix("http://")
    arguments = [str(python), "-c", CLIENT, address, server.grpc, server.name, *texts]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    by_http, by_grpc = json.loads(done.stdout)
    assert by_http == by_grpc == [server.ask(text)["answer"] for text in texts]


@needs_triton
def test_a_request_that_cannot_be_read_is_refused_alone(server: Running) -> None:
    with pytest.raises(InputError, match="refuses"):
        server.ask({"fields": {"nobody": "x"}})
    probabilities = server.ask({"text": "chest pain"})["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1)


def source(folder: Path, **changes: Any) -> Source:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text("{}")
    values: dict[str, Any] = {
        "name": "notes",
        "model": folder / "model",
        "quantised": None,
        "adapter": None,
        "base": folder,
        "base_name": "base",
        "task": {},
        "labels": None,
        "label_ids": (),
        "correction": None,
        "prompt": "{text}",
        "system": None,
        "max_new_tokens": 8,
        "stop_ids": (1,),
    }
    return Source(**{**values, **changes})


def test_generation_gets_the_decoupled_back_end_without_batching(tmp_path: Path) -> None:
    triton.write(source(tmp_path), tmp_path / "out", triton.Settings(versions=3))
    config = (tmp_path / "out" / "repository" / "notes" / "config.pbtxt").read_text()
    assert "decoupled: true" in config
    assert "dynamic_batching" not in config, "vLLM batches by itself"
    engine = json.loads((tmp_path / "out" / "repository" / "notes" / "3" / "model.json").read_text())
    assert engine["model"] == "/models/notes/3/model"
    assert engine["enforce_eager"] is False, "CUDA graphs"


def test_a_task_without_a_prompt_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prompt"):
        triton.write(source(tmp_path, prompt=None), tmp_path / "out", triton.Settings(back_end="python"))


def test_without_tritonserver_the_command_that_brings_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("YIBU_TRITON", str(tmp_path))
    with pytest.raises(InputError) as caught:
        TritonServer.find()
    assert "make triton" in (caught.value.do or "")
