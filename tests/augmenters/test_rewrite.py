"""Rewriting by an endpoint: what is taken, what is refused and why, and what happens when it does not answer."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from augmenters.endpoint import Endpoint, asked
from yibu import augmenters
from yibu.augmenters import CallSettings, Rewritten
from yibu.augmenters.rewrite import lost
from yibu.core.errors import InputError, YibuError

TEXT = "Patient denies chest pain, takes 5 mg of aspirin."
QUICK = CallSettings(timeout=2, retries=2, pause=0)


def rewrite(
    endpoint: Endpoint, text: str = TEXT, calls: CallSettings = QUICK, needed: Any = (), **table: Any
) -> Rewritten:
    settings = augmenters.settings_of({"kind": "rewrite", "endpoint": endpoint.address, "model": "m", **table})
    made: Any = augmenters.build(settings, calls)
    try:
        result: Rewritten = made.rewrite(text, random.Random(0), needed)
        return result
    finally:
        made.close()


def test_a_good_rewrite_is_taken_and_the_request_is_what_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-key")
    said = "He takes aspirin, 5 mg, and denies chest pain."
    with Endpoint(lambda body, number: f'<think>hm</think>\n"{said}"') as endpoint:
        assert rewrite(endpoint, key_env="MY_KEY", temperature=0.5, max_tokens=99) == Rewritten(said)
    (body,) = endpoint.requests
    assert asked(body) == TEXT
    assert body["model"] == "m"
    assert (body["temperature"], body["max_tokens"]) == (0.5, 99)
    assert isinstance(body["seed"], int)
    assert endpoint.headers[0]["Authorization"] == "Bearer secret-key"


def test_the_prompt_is_in_the_language_of_the_text() -> None:
    with Endpoint(lambda body, number: "患者不伴胸痛。") as endpoint:
        rewrite(endpoint, "患者无胸痛。")
        rewrite(endpoint)
        rewrite(endpoint, prompt="Say it like a lawyer.")
    prompts = [body["messages"][0]["content"] for body in endpoint.requests]
    assert "改写" in prompts[0]
    assert "Rewrite" in prompts[1]
    assert prompts[2] == "Say it like a lawyer."


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("He takes aspirin, 50 mg, and denies chest pain.", "numbers"),
        ("He takes 5 mg of aspirin and has chest pain.", "negations"),
        ("He takes no aspirin of 5 mg and has chest pain.", "polarity"),
        ("He takes 5 mg of a drug and denies chest pain.", "entities"),
        (TEXT, "unchanged"),
        ("", "empty"),
        ("5 mg, no", "length"),
        ("word " * 60 + "5 no", "length"),
        (400, "status_400"),
        ({"choices": []}, "no_answer"),
        ({"choices": [{"message": {"content": None}}]}, "no_answer"),
        ({"choices": [{"message": {"content": "He takes 5"}, "finish_reason": "length"}]}, "cut"),
        (["not", "a", "table"], "no_answer"),
    ],
)
def test_what_has_lost_something_is_refused(said: Any, reason: str) -> None:
    with Endpoint(lambda body, number: said) as endpoint:
        assert rewrite(endpoint, needed=("aspirin", "chest pain")) == Rewritten(None, reason)
    assert len(endpoint.requests) == 1


def test_terms_of_a_dictionary_must_survive(tmp_path: Path) -> None:
    path = tmp_path / "terms.json"
    path.write_text(json.dumps([{"preferred": "胸痛", "variants": ["胸部疼痛"]}]), encoding="utf-8")
    with Endpoint(lambda body, number: "病人并无胸口疼的症状。") as endpoint:
        assert rewrite(endpoint, "患者无胸痛的症状。", dictionary=str(path)) == Rewritten(None, "entities")
        assert rewrite(endpoint, "患者无胸痛的症状。").text is not None


def test_trouble_is_tried_again() -> None:
    replies = {1: 503, 2: 429, 3: "He takes aspirin, 5 mg; denies chest pain."}
    with Endpoint(lambda body, number: replies[number]) as endpoint:
        assert rewrite(endpoint).text == replies[3]
    assert len(endpoint.requests) == 3


def test_a_time_out_is_tried_again_and_then_told() -> None:
    calls = CallSettings(timeout=0.2, retries=1, pause=0)
    with Endpoint(lambda body, number: "hang", hang=0.5) as endpoint, pytest.raises(YibuError) as told:
        rewrite(endpoint, calls=calls)
    assert len(endpoint.requests) == 2
    assert "ReadTimeout" in told.value.render()
    assert "kept" in str(told.value.do)


def test_what_will_not_get_better_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="yibu")
    with Endpoint(lambda body, number: 401) as endpoint, pytest.raises(YibuError, match="does not answer") as told:
        rewrite(endpoint)
    assert len(endpoint.requests) == 1
    assert "chest" not in told.value.render() + caplog.text


def test_no_endpoint_is_told() -> None:
    with Endpoint(lambda body, number: "x") as endpoint:
        pass
    with pytest.raises(YibuError, match="does not answer"):
        rewrite(endpoint)


def test_the_key_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(InputError, match="NO_KEY"):
        augmenters.build(
            augmenters.settings_of({"kind": "rewrite", "endpoint": "http://a/v1", "model": "m", "key_env": "NO_KEY"})
        )


@pytest.mark.parametrize("endpoint", ["localhost:8000", "ftp://a/v1", "http://user:word@host/v1", ""])
def test_addresses_are_checked(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        augmenters.settings_of({"kind": "rewrite", "endpoint": endpoint, "model": "m"})


def test_full_width_values_are_the_same_values() -> None:
    assert lost("服用２片，无不适。", "吃了2片，没有不舒服。") is None
    assert lost("第三条", "第四条") == "numbers"
    assert lost("否认高血压，有糖尿病", "有高血压，否认糖尿病", ("高血压", "糖尿病")) == "polarity"
