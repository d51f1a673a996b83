"""Calls to an endpoint: what is sent, what is tried again, what is said when nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from augmenters.endpoint import Endpoint as Stub
from yibu.core.endpoint import CallSettings, Endpoint, Said, check_endpoint
from yibu.core.errors import InputError, YibuError

QUICK = CallSettings(timeout=2, retries=2, pause=0)


def chat(stub: Stub, key_env: str | None = None) -> Said:
    endpoint = Endpoint(stub.address, "m", key_env, QUICK, use="tests")
    try:
        return endpoint.chat([{"role": "user", "content": "secret"}], temperature=0.0, max_tokens=9, seed=1)
    finally:
        endpoint.close()


def test_an_answer_and_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "k")
    with Stub(lambda body, number: "yes") as stub:
        assert chat(stub, "KEY") == Said("yes")
    [body] = stub.requests
    assert (body["model"], body["max_tokens"], body["seed"], body["temperature"]) == ("m", 9, 1, 0.0)
    assert stub.headers[0]["Authorization"] == "Bearer k"


def test_busy_is_tried_again_and_silence_is_told_without_text() -> None:
    with Stub(lambda body, number: 503 if number < 3 else "yes") as stub:
        assert chat(stub) == Said("yes")
    with Stub(lambda body, number: 503) as stub, pytest.raises(YibuError, match="for tests") as caught:
        chat(stub)
    assert len(stub.requests) == 3
    assert "secret" not in caught.value.render()


def test_a_wrong_key_is_not_tried_again() -> None:
    with Stub(lambda body, number: 401) as stub, pytest.raises(YibuError, match="does not answer"):
        chat(stub)
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("said", "refused"),
    [({"choices": []}, "no_answer"), (400, "status_400"), ({"choices": [{"message": {"content": 3}}]}, "no_answer")],
)
def test_no_usable_answer(said: Any, refused: str) -> None:
    with Stub(lambda body, number: said) as stub:
        assert chat(stub) == Said(None, refused)


def test_an_empty_key_is_told() -> None:
    with pytest.raises(InputError, match="environment variable"):
        Endpoint("http://localhost:1/v1", "m", "NO_SUCH_KEY_HERE", QUICK, use="tests")


def test_addresses() -> None:
    assert check_endpoint("http://localhost:8000/v1/") == "http://localhost:8000/v1"
    for wrong in ("localhost:8000", "ftp://x/v1", "http://me:secret@x/v1", ""):
        with pytest.raises(ValueError, match="must"):
            check_endpoint(wrong)
