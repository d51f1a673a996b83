"""`yibu serve` on real models: answers are those of the model alone, names move, the engine may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from bench.stub import Stub
from engines.fake_vllm import fake_python
from serve.running import wait_for
from serve.served import CLASSIFY, ECHO, WRITE, Served, adapters_of, alone, is_running, trained
from servers import needs_llama
from yibu.chat.partner import open_partner
from yibu.cli import app
from yibu.core.store import Artifact, Store
from yibu.engines import Adapter

HELLO: list[Any] = [{"role": "user", "content": "cough and fever"}]
Made = tuple[Store, dict[str, Artifact], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("served")
    store, models = trained(root, {"write": WRITE, "other": ECHO, "sort": CLASSIFY})
    store.set_ref("production", models["write"], "for the test")
    return store, models, root / "base"


def client_of(served: Served, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.address}/v1", api_key=key, max_retries=0, timeout=60)


def test_everything_on_real_models(made: Made) -> None:
    store, models, base = made
    key = CliRunner().invoke(app, ["keys", "add", "test", "--json", "--store", str(store.root)]).stdout
    key = key.split('"key": "')[1].split('"')[0]
    with Served(store, "production", "sort") as served, client_of(served, key) as client:
        assert "transformers" in served.told["why"]
        assert [model.id for model in client.models.list()] == ["production", "sort"]

        # One answer is the same whole, as a stream, and from the model alone.
        adapters = adapters_of(models)
        expected = alone(base, adapters, HELLO, 12)
        assert expected["write"] != expected["other"]
        whole = client.chat.completions.create(model="production", messages=HELLO, max_tokens=12)
        assert whole.choices[0].message.content.strip() == expected["write"]
        assert whole.system_fingerprint == models["write"].id
        stream = client.chat.completions.create(model="sort", messages=HELLO, max_tokens=12, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in stream).strip() == expected["sort"]

        # Vectors by the official client.
        found = client.embeddings.create(model="production", input=["cough", "cough", "blood pressure"])
        one, same, other = (row.embedding for row in found.data)
        assert one == pytest.approx(same, abs=1e-5)
        assert sum(value * value for value in other) == pytest.approx(1, abs=1e-4)
        assert sum(a * b for a, b in zip(one, other, strict=True)) < 0.999
        of_sort = client.embeddings.create(model="sort", input="cough").data[0].embedding
        assert of_sort != pytest.approx(one, abs=1e-3), "each adapter has states of its own"

        # By their own tasks: what `yibu chat` says.
        ask = httpx.Client(base_url=served.address, headers={"authorization": f"Bearer {key}"}, timeout=60)
        found = ask.post("/v1/classify", json={"model": "sort/model", "input": "cough 7"}).json()
        reply = open_partner(models["sort"], store).ask("cough 7")
        assert (found["label"], found["artifact"]) == (reply.text, models["sort"].id)
        assert found["probabilities"] == pytest.approx(dict(reply.choices), abs=1e-4)
        found = ask.post("/v1/extract", json={"model": "production", "input": {"text": "cough 7"}}).json()
        assert found["fields"] == {"label": open_partner(models["write"], store).ask("cough 7").text}
        wrong = ask.post("/v1/classify", json={"model": "production", "input": "cough"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_input")
        wrong = ask.post("/v1/extract", json={"model": "production", "input": {"other": "cough"}})
        assert "Allowed" in wrong.json()["error"]["message"]
        long = [{"role": "user", "content": "cough " * 5000}]
        with pytest.raises(openai.BadRequestError) as raised:
            client.chat.completions.create(model="production", messages=long)
        assert raised.value.code == "context_length_exceeded"

        # The ref moves under load: no error, and each answer is that of the artifact that it names.
        answers, errors = [], []

        def load() -> None:
            while not done.is_set():
                try:
                    said = client.chat.completions.create(model="production", messages=HELLO, max_tokens=12)
                    answers.append((said.system_fingerprint, said.choices[0].message.content.strip()))
                except openai.APIError as error:
                    errors.append(error)

        done = threading.Event()
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        by_id = {model.id: expected[name] for name, model in models.items()}
        for name in ("other", "write", "other"):
            store.set_ref("production", models[name], "a switch")
            wait_for(lambda name=name: bool(answers) and answers[-1][0] == models[name].id)
        done.set()
        for thread in threads:
            thread.join()
        assert not errors
        assert {id for id, _ in answers} == {models["write"].id, models["other"].id}
        assert all(by_id[id] == said for id, said in answers)

        # kill -9 of the engine under load: 503, then it goes on, with the adapter that was loaded later.
        engine, codes = served.engine(), []
        body = {"model": "production", "messages": HELLO, "max_tokens": 12}
        os.kill(engine, signal.SIGKILL)
        end = time.monotonic() + 120
        while not codes or codes[-1] != 200:
            assert time.monotonic() < end
            answer = ask.post("/v1/chat/completions", json=body)
            codes.append(answer.status_code)
            time.sleep(0.05)
        assert set(codes) == {200, 503}
        assert answer.json()["system_fingerprint"] == models["other"].id
        assert answer.json()["choices"][0]["message"]["content"].strip() == expected["other"]
        assert "yibu_engine_starts_total 2" in ask.get("/metrics").text

        # SIGTERM lets a stream come to its end.
        stream = client.chat.completions.create(
            model="production", messages=HELLO, max_tokens=200, stream=True, temperature=1.0, seed=1
        )
        next(iter(stream))
        engine = served.engine()
        served.process.send_signal(signal.SIGTERM)
        pieces = list(stream)
        assert pieces[-1].choices[0].finish_reason in ("stop", "length")
        assert served.process.wait(60) == 0
        wait_for(lambda: not is_running(engine))
        ask.close()
        log = served.log()
        assert "ready: " in log
        assert "cough" not in log
        assert key not in log


@needs_llama
def test_llama_server_is_killed_under_load_and_names_move(made: Made) -> None:
    store, models, base = made
    adapters = {name: Adapter(models[name].id, models[name].path / "adapter") for name in ("write", "other")}
    by_id = {adapters[name].name: said for name, said in alone(base, adapters, HELLO, 12).items()}
    store.set_ref("candidate", models["write"], "for the test")
    engine = "serve.engine={kind: llamacpp, max_batch: 4, context: 256}"
    free = "serve.limits={requests_per_minute: null, tokens_per_minute: null}"
    with Served(store, "candidate", "--open", engine, free) as served:
        assert served.told["why"] == "llamacpp: the recipe asks for it"
        answers: list[httpx.Response] = []
        done = threading.Event()

        def load() -> None:
            body = {"model": "candidate", "messages": HELLO, "max_tokens": 12}
            with httpx.Client(base_url=served.address, timeout=60) as client:
                while not done.is_set():
                    answers.append(client.post("/v1/chat/completions", json=body))

        def answered(name: str) -> bool:
            last = answers[-1]
            return last.status_code == 200 and last.json()["system_fingerprint"] == models[name].id

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: bool(answers) and answered("write"))
            store.set_ref("candidate", models["other"], "a switch")
            wait_for(lambda: answered("other"), 180)  # its adapter is put into GGUF
            assert {answer.status_code for answer in answers} == {200}
            wait_for(lambda: len(served.engines()) == 1)

            os.kill(served.llama(), signal.SIGKILL)
            wait_for(lambda: answers[-1].status_code == 503)
            wait_for(lambda: answered("other"), 180)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        codes = {answer.status_code for answer in answers}
        assert codes == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
            else:
                told = answer.json()
                assert told["choices"][0]["message"]["content"].strip() == by_id[told["system_fingerprint"]]
        llama = served.llama()
        code, log = served.end()
        assert code == 0, log
        wait_for(lambda: not is_running(llama))


def test_an_endpoint_of_somebody_else(made: Made) -> None:
    store, _, _ = made
    with Stub(tokens=3) as theirs:
        engine = f"serve.engine={{kind: openai, endpoint: '{theirs.address}/v1', model: theirs}}"
        with Served(store, "write", "--open", engine) as served, client_of(served) as client:
            assert "only its owner knows" in served.told["why"]
            (listed,) = client.models.list().data
            assert (listed.id, listed.model_extra["artifact"]) == ("write", "openai:theirs")
            answer = client.chat.completions.create(model="write", messages=HELLO, max_tokens=5)
            assert answer.choices[0].message.content == "word word word "
            assert answer.system_fingerprint == "openai:theirs"  # no claim of what may not run there
            found = httpx.post(f"{served.address}/v1/extract", json={"model": "write", "input": "cough 7"}, timeout=60)
            assert found.json()["fields"]["label"].startswith("word")
        (path, chat), (_, extract) = theirs.requests
    assert (path, chat["model"], chat["messages"]) == ("/v1/chat/completions", "theirs", HELLO)
    assert extract["messages"][0]["content"] == "Answer.\ncough 7"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nothing"], "Only what a ref names"),
        (["../x", "--open"], "Only what a ref names"),
        (["production", "--open", "serve.host=0.0.0.0"], "loopback"),
        (["production", "serve.rning=3"], "running"),
        (["production", "train.lr=3"], "Only settings of serve"),
        (["production", "--open", "serve.port=1"], "cannot listen"),
        (["production", "sort", "--open", "serve.engine={kind: openai, endpoint: 'http://x/v1'}"], "for one model"),
        (["write/data", "--open"], "no model"),
    ],
)
def test_wrong_input_is_refused(made: Made, words: list[str], what: str) -> None:
    if os.geteuid() == 0 and "serve.port=1" in words:
        words = [word.replace("serve.port=1", "serve.host=192.0.2.1") for word in words if word != "--open"]
        CliRunner().invoke(app, ["keys", "add", "any", "--store", str(made[0].root)])
    done = subprocess.run(
        [sys.executable, "-m", "yibu", "serve", *words, "--store", str(made[0].root)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert what in done.stderr


def test_no_keys_no_service(made: Made, tmp_path: Path) -> None:
    store, models, _ = made
    empty = CliRunner().invoke(app, ["serve", "write", "--store", str(tmp_path)])
    assert empty.exit_code == 2
    (store.root / "serve" / "keys.json").unlink(missing_ok=True)
    refused = CliRunner().invoke(app, ["serve", "write", "--store", str(store.root)])
    assert refused.exit_code == 2
    listed = CliRunner().invoke(app, ["keys", "--store", str(store.root)])
    assert "no key yet" in listed.stdout
    assert models


def test_a_ref_moves_in_vllm(made: Made, tmp_path: Path) -> None:
    """What vLLM itself does with adapters, `tests/engines/test_vllm.py` asks; its stub says who answers."""
    store, models, _ = made
    home = fake_python(tmp_path)
    first, second = models["write"].id, models["other"].id
    store.set_ref("fleet", models["write"], "for the test")
    body = {"model": "fleet", "messages": HELLO, "max_tokens": 12}
    with Served(store, "fleet", "--open", f"serve.engine={{kind: vllm, python: {home}}}") as served:
        assert served.told["why"] == "vllm: the recipe asks for it"

        def answered() -> dict[str, Any]:
            answer: dict[str, Any] = httpx.post(f"{served.address}/v1/chat/completions", json=body, timeout=60).json()
            assert answer["choices"][0]["message"]["content"].split()[0] == answer["system_fingerprint"]
            return answer

        assert answered()["system_fingerprint"] == first
        store.set_ref("fleet", models["other"], "a switch")
        wait_for(lambda: answered()["system_fingerprint"] == second)
        wait_for(lambda: "/v1/unload_lora_adapter" in (home / "asked.jsonl").read_text())
        code, log = served.end()
        assert code == 0, log
    core = int((home / "core.pid").read_text())
    wait_for(lambda: not is_running(core))
    asked = [json.loads(line) for line in (home / "asked.jsonl").read_text().splitlines()]
    named = [(path, table["lora_name"]) for path, table in asked if "lora_name" in table]
    assert named == [("/v1/load_lora_adapter", second), ("/v1/unload_lora_adapter", first)]
