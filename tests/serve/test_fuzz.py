"""Requests that nobody would write: what the gateway describes of itself is true, and nothing makes it fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.running import FREE, Running, Says
from yibu import tasks
from yibu.serve.asked import Asked
from yibu.serve.keys import Keys
from yibu.serve.settings import LimitSettings, ServeSettings

schemathesis = pytest.importorskip("schemathesis")
OPERATIONS = [
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "POST /v1/classify",
    "POST /v1/extract",
    "GET /v1/models",
    "GET /metrics",
    "GET /health",
    "GET /ready",
    "GET /chat",
    "GET /openapi.json",
]
TASKS: dict[str, dict[str, Any]] = {
    "chooses": {"kind": "classify", "prompt": "{text}", "label": "{kind}", "labels": ["a", "b"]},
    "fills": {"kind": "generate", "prompt": "{text}", "target": "{who}"},
}


def _asked(table: dict[str, Any]) -> Asked:
    plug = tasks.FAMILY.load(table["kind"])
    task = tasks.build(plug.Settings(**table), table.get("labels"))
    return Asked(task, ("text",), str)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    free = ServeSettings(limits=FREE, max_prompt_chars=2000, max_new_tokens=64)
    with Running(Says(["ok"]), free) as made:
        made.serve_as("m")
        for place, (name, table) in enumerate(TASKS.items()):
            made.serve_as(name, f"train-000000000000001{place}", asked=_asked(table))
        yield made


@pytest.fixture(scope="module")
def schema(running: Running) -> Any:
    found = httpx.get(f"{running.address}/openapi.json").json()
    for table in found["components"]["schemas"].values():
        wanted = table.get("properties", {})
        if "model" in wanted:  # of those that are served, so that requests come to the engine; others are fuzzed below
            wanted["model"] = {"enum": ["m", *TASKS]}
        for name in {"max_tokens", "max_completion_tokens"} & wanted.keys():
            wanted[name] = {"type": "integer", "minimum": 1, "maximum": 64}
    made = schemathesis.openapi.from_dict(found)
    made.config.update(base_url=running.address)
    return made


def test_every_address_is_described(schema: Any) -> None:
    assert sorted(one.ok().label for one in schema.get_all_operations()) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_makes_it_fail_and_every_answer_is_as_described(schema: Any, label: str, mode: str) -> None:
    """Bodies that keep to the schema, and bodies that do not."""
    method, path = label.split()
    if mode == "negative" and method == "GET":
        pytest.skip("there is nothing in it that could be wrong")
    operation = schema[path][method]
    checks = schemathesis.checks
    wanted = [
        checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    seen: set[int] = set()

    @settings(
        max_examples=40 if method == "POST" else 3,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def ask(case: Any) -> None:
        answer = case.call()
        seen.add(answer.status_code)
        case.validate_response(answer, checks=wanted)
        assert answer.status_code < 500

    ask()
    if method == "GET" or mode == "positive":
        assert 200 in seen, "no request came through"
    else:
        assert 400 in seen


NAMES = st.one_of(
    st.sampled_from(
        [
            "../m",
            "/etc/passwd",
            "file:///etc/passwd",
            "http://127.0.0.1/m",
            "m/../m",
            "m\x00",
            "./m",
            "~/m",
            "m/",
            "．．/m",
        ]
    ),
    st.text(min_size=1, max_size=200),
    st.lists(
        st.sampled_from(["..", ".", "m", "train-0000000000000001", "adapter", "%2e%2e", "\\", "～"]), min_size=2
    ).map("/".join),
)


def test_only_the_names_of_refs_are_models(running: Running, tmp_path: Path) -> None:
    """Paths, addresses, ids of artifacts and links that exist are no names; the engine is never asked for one."""
    (tmp_path / "link").symlink_to("/etc/passwd")
    engine: Any = running.gateway.engine
    before = len(engine.asked)
    asked: list[str] = [str(tmp_path), str(tmp_path / "link"), "train-0000000000000001", "link"]

    def ask(client: httpx.Client, name: str) -> None:
        body = {"model": name, "messages": [{"role": "user", "content": "x"}]}
        answer = client.post(f"{running.address}/v1/chat/completions", content=json.dumps(body))
        known = name in {"m", *TASKS}
        assert answer.status_code == (200 if known else 404 if len(name) <= 200 else 400), name
        assert known or "passwd" not in answer.text, "what was asked is not repeated"

    with httpx.Client() as client:
        for name in asked:
            ask(client, name[:200])

        @settings(max_examples=150, deadline=None, derandomize=True, database=None)
        @given(NAMES.filter(lambda name: name not in {"m", *TASKS}))
        def fuzz(name: str) -> None:
            ask(client, name)

        fuzz()
    assert len(engine.asked) == before


def test_without_a_key_nothing_is_read_of_any_body(schema: Any, tmp_path: Path) -> None:
    limits = LimitSettings(requests_per_minute=None, tokens_per_minute=None, wrong_keys=10_000)
    with Running(Says(), ServeSettings(limits=limits), Keys(tmp_path / "keys.json")) as locked:
        locked.serve_as("m")
        operation = schema["/v1/chat/completions"]["POST"]

        @settings(
            max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            assert case.call(base_url=locked.address, headers={"authorization": "Bearer wrong"}).status_code == 401

        ask()
        assert locked.gateway.engine.asked == []  # type: ignore[attr-defined]
