"""The gateway as the official OpenAI client sees it, in front of an engine that says what it is told."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from serve.running import FIRST, Says, gateway, wait_for
from yibu import engines
from yibu.engines import Adapter
from yibu.serve.keys import Keys
from yibu.serve.settings import LimitSettings, MarkSettings

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


def test_chat_whole() -> None:
    engine = Says(["Good ", "day"])
    with gateway(engine) as (_, client):
        raw = client.chat.completions.with_raw_response.create(
            model="m", messages=HELLO, max_tokens=7, temperature=0.5, seed=3, stop=["x"]
        )
    answer = raw.parse()
    assert answer.choices[0].message.content == "Good day"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 2)
    assert answer.system_fingerprint == raw.headers["x-yibu-artifact"] == FIRST
    assert len(raw.headers["x-request-id"]) == 16
    prompt, longest, sampling, adapter = engine.asked[0]
    assert (prompt, longest, adapter) == (HELLO, 7, None)
    assert (sampling.temperature, sampling.seed, sampling.stop) == (0.5, 3, ("x",))


def test_chat_as_a_stream() -> None:
    with gateway(Says(["Good ", "day"])) as (_, client):
        pieces = list(
            client.chat.completions.create(
                model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        )
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "Good day"
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "stop"
    assert pieces[-1].usage.total_tokens == 7
    assert {piece.system_fingerprint for piece in pieces} == {FIRST}


def test_completions_and_models() -> None:
    with gateway(Says(["Good ", "day"])) as (_, client):
        assert client.completions.create(model="m", prompt="Hi", max_tokens=3).choices[0].text == "Good day"
        streamed = client.completions.create(model="m", prompt="Hi", stream=True)
        assert "".join(piece.choices[0].text for piece in streamed) == "Good day"
        assert [model.id for model in client.models.list()] == ["m"]
        parts = [{"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}]
        client.chat.completions.create(model="m", messages=parts)


def test_embeddings() -> None:
    engine = Says()
    with gateway(engine) as (_, client):
        found = client.embeddings.create(model="m", input=["one", "three"])  # the client asks for base64
        assert [row.embedding for row in found.data] == [[3.0, 0.5], [5.0, 0.5]]
        assert (found.usage.prompt_tokens, found.model) == (8, "m")
        raw = client.embeddings.with_raw_response.create(model="m", input="one", encoding_format="float")
        assert (raw.parse().data[0].embedding, raw.headers["x-yibu-artifact"]) == ([3.0, 0.5], FIRST)
        for wrong in ({"input": []}, {"input": [[1, 2]]}, {"input": ""}, {"input": "x", "dimensions": 1}):
            with pytest.raises(openai.BadRequestError):
                client.embeddings.create(model="m", **wrong)
        engine.can = frozenset({engines.GENERATE})
        with pytest.raises(openai.InternalServerError) as raised:
            client.embeddings.create(model="m", input="x")
        assert (raised.value.status_code, raised.value.code) == (501, "unable")


def test_a_name_has_another_word_which_is_not_listed() -> None:
    with gateway() as (running, client):
        running.gateway.routes.also("m/model", "m")
        assert client.chat.completions.create(model="m/model", messages=HELLO).model == "m/model"
        assert [model.id for model in client.models.list()] == ["m"]


@pytest.mark.parametrize(
    "name",
    ["../m", "/etc/passwd", "http://x/m", "m/../m", "..", "m\x00", "train-0000000000000001", "M", "m/", "%2e%2e/m"],
)
def test_only_refs_are_models(name: str) -> None:
    with gateway() as (_, client), pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model=name, messages=HELLO)
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages.0"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"extra_body": {"lora_path": "/etc"}}, "lora_path"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_what_is_not_done_is_refused_and_named(changes: dict[str, Any], param: str) -> None:
    with gateway() as (_, client), pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{"model": "m", "messages": HELLO, **changes})
    assert str(raised.value.param).startswith(param)


def test_keys_and_their_scopes(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    with gateway(keys=keys) as (running, client):
        client.chat.completions.create(model="m", messages=HELLO)
        narrow = client.with_options(api_key=keys.add("narrow", ["classify"]))
        assert narrow.models.list().data
        with pytest.raises(openai.PermissionDeniedError):
            narrow.chat.completions.create(model="m", messages=HELLO)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="yibu-0-wrong").models.list()
        missing = httpx.get(f"{running.address}/v1/models")
        assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
        assert httpx.get(f"{running.address}/health").status_code == 200
        assert httpx.get(f"{running.address}/metrics").status_code == 401


def test_wrong_keys_lock_an_address_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = Keys(tmp_path / "keys.json")
    limits = LimitSettings(wrong_keys=50)
    caplog.set_level(logging.INFO, logger="yibu")
    with gateway(keys=keys, limits=limits) as (running, client):
        client.models.list()
        with httpx.Client(base_url=running.address) as guesser:
            found = [
                guesser.get("/v1/models", headers={"authorization": f"Bearer yibu-guess-{number}-secret"})
                for number in range(200)
            ]
        with pytest.raises(openai.RateLimitError):
            client.models.list()  # the address is locked, whoever asks from it
    assert [answer.status_code for answer in found] == [401] * 50 + [429] * 150
    assert 0 < int(found[-1].headers["retry-after"]) <= 300
    assert "guess" not in caplog.text
    assert "locked_out" in caplog.text


def test_allowances_of_requests_and_tokens() -> None:
    engine = Says()
    with gateway(engine, limits=LimitSettings(requests_per_minute=3)) as (_, client):
        for _ in range(3):
            client.chat.completions.create(model="m", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(model="m", messages=HELLO)
    assert int(raised.value.response.headers["retry-after"]) >= 1
    with gateway(engine, limits=LimitSettings(tokens_per_minute=100)) as (_, client):
        for _ in range(8):  # 47 are reserved each time, and 6 used
            client.chat.completions.create(model="m", messages=HELLO, max_tokens=45)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="m", messages=HELLO, max_tokens=90)


def test_long_prompts_are_refused_before_the_engine_sees_them() -> None:
    engine = Says()
    with gateway(engine, max_prompt_chars=100) as (_, client), pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 101}])
    assert raised.value.code == "prompt_too_long"
    assert not engine.asked


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_ten_megabytes_is_refused_at_once(chunked: bool) -> None:
    with gateway() as (running, _), httpx.Client(base_url=running.address) as client:
        body = b"x" * 10_000_000
        parts = (body[place : place + 65536] for place in range(0, len(body), 65536))
        begun = time.monotonic()
        answer = client.post("/v1/chat/completions", content=parts if chunked else body)
        seconds = time.monotonic() - begun
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"
        assert seconds < 2
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model":"m"}', b"\xff\xfe", b"[" * 100_000])
def test_bodies_that_are_none(body: bytes) -> None:
    with gateway() as (running, _):
        answer = httpx.post(f"{running.address}/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_what_is_too_much_is_refused_and_the_rest_is_answered() -> None:
    engine = Says()
    engine.hold = True
    with gateway(engine, running=2, waiting=3) as (running, _), httpx.Client(base_url=running.address) as client:
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(client.post("/v1/chat/completions", json={"model": "m", "messages": HELLO}))

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answers) == 7)
        running.release()
        for thread in threads:
            thread.join()
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200] * 5 + [429] * 7
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
        assert engine.most == 2
        wait_for(lambda: running.gateway.admission.running == 0)


def test_deadline() -> None:
    with gateway(Says(["a", "b"], gap=5), deadline_seconds=0.2) as (running, client):
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="m", messages=HELLO)
        assert raised.value.status_code == 504
        with pytest.raises(openai.APIError):
            list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
        wait_for(lambda: running.gateway.admission.running == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_is_not_worked_for(stream: bool) -> None:
    engine = Says(["word "] * 1000, gap=0.02)
    with gateway(engine) as (running, _):
        body = json.dumps({"model": "m", "messages": HELLO, "stream": stream}).encode()
        port = int(running.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as line:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body)
            wait_for(lambda: engine.under_way == 1)
            if stream:
                assert b"200 OK" in line.recv(4096)
        wait_for(lambda: engine.under_way == 0)
        assert engine.cancelled == 1
        wait_for(lambda: running.gateway.admission.running == 0)
        version = running.gateway.routes.version("m")
        assert version is not None
        wait_for(lambda: version.leases == 0)


def test_an_engine_that_fails_is_said() -> None:
    engine = Says(["a", "b"])
    with gateway(engine) as (running, client):
        engine.fails = "broken"
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="m", messages=HELLO)
        assert raised.value.status_code == 503
        assert raised.value.response.headers["retry-after"]
        with pytest.raises(openai.APIError, match="no whole answer"):
            list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
        engine.fails = "status_413"
        with pytest.raises(openai.BadRequestError) as too_long:
            client.chat.completions.create(model="m", messages=HELLO)
        assert too_long.value.code == "context_length_exceeded"
        running.gateway.ready = False
        assert httpx.get(f"{running.address}/ready").status_code == 503
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="m", messages=HELLO)


def test_names_move_without_mixed_answers() -> None:
    engine = Says(["word "] * 3, gap=0.01)
    with gateway(engine) as (running, client):
        ids = [f"train-{number:016x}" for number in range(10, 31)]
        running.serve_as("m", ids[0], adapter=Adapter(ids[0], Path("x")))
        mixed, errors = [], []

        def ask() -> None:
            for _ in range(25):
                try:
                    raw = client.chat.completions.with_raw_response.create(model="m", messages=HELLO)
                    answer = raw.parse()
                    said = answer.choices[0].message.content.split()[0]
                    if not said == answer.system_fingerprint == raw.headers["x-yibu-artifact"]:
                        mixed.append(said)
                except openai.APIError as error:
                    errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for id in ids[1:]:
            time.sleep(0.02)
            running.serve_as("m", id, adapter=Adapter(id, Path("x")))
            assert client.chat.completions.create(model="m", messages=HELLO).system_fingerprint == id
        for thread in threads:
            thread.join()
        running.run(running.gateway.routes.settle())
    assert not mixed
    assert not errors
    assert engine.loaded == ids
    assert sorted(engine.unloaded) == ids[:-1]


def test_a_name_that_moves_back_is_not_loaded_twice() -> None:
    engine = Says(["a"])
    one, two = "train-000000000000000a", "train-000000000000000b"
    with gateway(engine) as (running, client):
        running.serve_as("m", one, adapter=Adapter(one, Path("x")))
        engine.hold = True
        asked = threading.Thread(target=lambda: client.chat.completions.create(model="m", messages=HELLO))
        asked.start()
        wait_for(lambda: engine.under_way == 1)
        running.serve_as("m", two, adapter=Adapter(two, Path("x")))
        running.serve_as("m", one, adapter=Adapter(one, Path("x")))
        running.release()
        asked.join()
        running.run(running.gateway.routes.settle())
    assert engine.loaded == [one, two]
    assert engine.unloaded == [two]


def test_generated_content_is_marked() -> None:
    mark = MarkSettings(text="（AI生成）", producer="Clinic 91110000")
    with gateway(Says(["Good"]), mark=mark) as (_, client):
        whole = client.chat.completions.create(model="m", messages=HELLO)
        pieces = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert whole.choices[0].message.content == "Good\n\n（AI生成）"
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Good\n\n（AI生成）"
    for told in (whole.model_extra["AIGC"], pieces[-1].model_extra["AIGC"]):
        assert (told["Label"], told["ContentProducer"]) == ("1", "Clinic 91110000")
        assert len(told["ProduceID"]) == 16
    with gateway(Says(["Good"])) as (_, client):
        assert "AIGC" not in (client.chat.completions.create(model="m", messages=HELLO).model_extra or {})


def test_log_and_figures_hold_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="yibu")
    with gateway(Says(["SECRETANSWER"])) as (running, client):
        secret = [{"role": "user", "content": "SECRETPROMPT"}]
        raw = client.chat.completions.with_raw_response.create(
            model="m", messages=secret, extra_headers={"x-request-id": "mine-1"}
        )
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="m", messages=[{"role": "SECRETPROMPT", "content": "x"}])
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="SECRETPROMPT", messages=HELLO)
        figures = httpx.get(f"{running.address}/metrics").text
    assert raw.headers["x-request-id"] == "mine-1"
    line = next(json.loads(record.message) for record in caplog.records if "mine-1" in record.message)
    assert line["status"] == 200
    assert (line["model"], line["artifact"], line["prompt_tokens"], line["completion_tokens"]) == ("m", FIRST, 5, 1)
    assert "SECRET" not in caplog.text
    assert "SECRET" not in figures
    assert 'yibu_requests_total{path="/v1/chat/completions",status="200"} 1' in figures
    assert f'yibu_artifact_info{{model="m",artifact="{FIRST}"}} 1' in figures
    assert 'yibu_request_seconds_bucket{path="/v1/chat/completions",le="+Inf"} 3' in figures
    assert 'yibu_tokens_total{kind="completion"} 1' in figures


def test_the_page_talks_to_its_own_gateway_alone() -> None:
    with gateway() as (running, _):
        page = httpx.get(f"{running.address}/chat")
    assert page.status_code == 200
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_addresses_that_are_none() -> None:
    with gateway() as (running, _):
        for method, path, status in (
            ("GET", "/v1/nothing", 404),
            ("GET", "/v1/completions", 405),
            ("GET", "/docs", 404),
        ):
            answer = httpx.request(method, running.address + path)
            assert answer.status_code == status
            assert answer.json()["error"]["message"]
