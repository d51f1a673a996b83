"""The addresses with their description for machines (OpenAPI)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from yibu.serve.protocol import Asked, ChatRequest, CompletionRequest, EmbeddingRequest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from yibu.serve.app import Gateway

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {name: {"type": ["string", "null"]} for name in ("message", "type", "param", "code")},
        }
    },
}


def _object(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_TEXT: dict[str, Any] = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_USAGE = _object(dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _COUNT))
_HEAD = {"id": _TEXT, "object": _TEXT, "created": _COUNT, "model": _TEXT, "system_fingerprint": _TEXT}
_MARKED = {"AIGC": {"type": "object"}}
_MESSAGE = _object({"role": {"const": "assistant"}, "content": _TEXT})
_TASK = {"id": _TEXT, "object": _TEXT, "model": _TEXT, "artifact": _TEXT}


def _choices(**said: Any) -> dict[str, Any]:
    return _list(_object({"index": _COUNT, **said, "finish_reason": {"enum": ["stop", "length"]}}))


_ANSWERS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": _object({**_HEAD, "choices": _choices(message=_MESSAGE), "usage": _USAGE}, **_MARKED),
    "/v1/completions": _object({**_HEAD, "choices": _choices(text=_TEXT), "usage": _USAGE}, **_MARKED),
    "/v1/embeddings": _object(
        {
            **_TASK,
            "data": _list(
                _object(
                    {
                        "object": {"const": "embedding"},
                        "index": _COUNT,
                        # Numbers, or their bytes in base64.
                        "embedding": {"type": ["array", "string"], "items": {"type": "number"}},
                    }
                )
            ),
            "usage": _object(dict.fromkeys(("prompt_tokens", "total_tokens"), _COUNT)),
        }
    ),
    "/v1/classify": _object(
        {
            **_TASK,
            "label": _TEXT,
            "probabilities": {
                "type": "object",
                "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
                "minProperties": 1,
            },
            # By which report, and how; null where no report of the model corrected anything.
            "corrected": {
                **_object({"report": _TEXT, "steps": _list({"enum": ["prior", "temperature", "vector"]})}),
                "type": ["object", "null"],
            },
        }
    ),
    "/v1/extract": _object(
        {
            **_TASK,
            "fields": {"type": "object", "additionalProperties": _TEXT},
            "finish_reason": _TEXT,
            "usage": _USAGE,
        },
        **_MARKED,
    ),
    "/v1/models": _object(
        {
            "object": {"const": "list"},
            "data": {
                "type": "array",
                "items": _object(
                    {"id": _TEXT, "object": {"const": "model"}, "created": _COUNT, "owned_by": _TEXT, "artifact": _TEXT}
                ),
            },
        }
    ),
    "/health": _object({"status": {"const": "alive"}}),
    "/ready": _object({"status": {"const": "ready"}}),
    "/openapi.json": _object({"openapi": _TEXT, "paths": {"type": "object"}}),
}
_REFUSALS = {
    "400": "what is wrong with the request",
    "401": "no key, or one that is not known",
    "403": "a key without the scope",
    "404": "no such model",
    "405": "no such method",
    "408": "the body did not arrive",
    "413": "the body is too long",
    "429": "too much; Retry-After says when to come back",
    "500": "a fault of the gateway",
    "501": "this engine cannot do it",
    "502": "the engine said nothing",
    "503": "the engine is being started",
    "504": "no answer before the deadline",
}


def describe(api: FastAPI, gateway: Gateway, others: Mapping[str, Callable[..., Any]]) -> None:
    """Add every address to the application.

    Args:
        others: the handlers that belong to no model: health, ready, metrics, page, schema.
    """
    asked: list[tuple[str, Any, type[BaseModel], str]] = [
        ("/v1/chat/completions", gateway.chat, ChatRequest, "Answer a conversation"),
        ("/v1/completions", gateway.complete, CompletionRequest, "Go on with a text"),
        ("/v1/embeddings", gateway.embed, EmbeddingRequest, "Texts as vectors"),
        ("/v1/classify", gateway.classify, Asked, "Choose a label of the model's task"),
        ("/v1/extract", gateway.extract, Asked, "Fill the fields of the model's task"),
    ]
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for path, handler, kind, summary in asked:
        schema = kind.model_json_schema(ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
        body = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REF.format(model=kind.__name__)}}},
        }
        _add(api, path, handler, "POST", summary, {"requestBody": body, "security": [{"key": []}]})
    _add(api, "/v1/models", gateway.models, "GET", "Names that may be asked for", {"security": [{"key": []}]})
    _add(api, "/metrics", others["metrics"], "GET", "Figures for Prometheus", {"security": [{"key": []}]}, "text/plain")
    _add(api, "/health", others["health"], "GET", "Whether the process lives")
    _add(api, "/ready", others["ready"], "GET", "Whether requests are answered")
    _add(api, "/chat", others["page"], "GET", "A page to try it in a browser", kind="text/html")
    _add(api, "/openapi.json", others["schema"], "GET", "This description")
    made = api.openapi()
    made.setdefault("components", {})["schemas"] = schemas
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    api.openapi_schema = made


def _add(
    api: FastAPI,
    path: str,
    handler: Callable[..., Any],
    method: str,
    summary: str,
    extra: Mapping[str, Any] | None = None,
    kind: str = "application/json",
) -> None:
    problem = {"application/json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": what, "content": problem} for status, what in _REFUSALS.items()
    }
    shown: dict[str, Any] = {kind: {"schema": _ANSWERS.get(path, _TEXT)}}
    if method == "POST" and path.endswith("completions"):
        shown["text/event-stream"] = {}  # OpenAPI 3.1 has no words for what one event holds
    responses[200] = {"description": summary, "content": shown}
    api.add_api_route(
        path,
        handler,
        methods=[method],
        summary=summary,
        responses=responses,
        response_model=None,
        openapi_extra=dict(extra or {}),
    )
