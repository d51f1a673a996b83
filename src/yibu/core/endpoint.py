"""A language model behind any endpoint that speaks the OpenAI protocol (vLLM, llama.cpp, Ollama, ...).

Nothing is sent anywhere unless a recipe names an endpoint. Neither prompts nor answers nor the key are ever logged or
put into an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from yibu.core.errors import InputError, MissingExtra, YibuError
from yibu.core.recipe import Settings

_RETRIED = frozenset({408, 409, 425, 429})
_OUR_FAULT = frozenset({401, 403, 404, 405, 407})
_LONGEST_WAIT = 30.0  # seconds between two tries


class CallSettings(Settings):
    """How an endpoint is called. None of it can change an answer, so none of it is part of an artifact's id."""

    timeout: float = Field(default=60.0, gt=0, description="seconds until a call counts as failed")
    retries: int = Field(default=4, ge=0, description="further tries after a call that failed")
    pause: float = Field(
        default=1.0, ge=0, description="seconds before the second try; doubled before each further one"
    )
    workers: int = Field(default=4, ge=1, le=256, description="calls at once")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, or None and why there is none (a word such as ``cut``; never text)."""

    text: str | None
    refused: str | None = None


def check_endpoint(address: str) -> str:
    """For settings classes: an address up to and with ``/v1``, without a slash at its end.

    Raises:
        ValueError: no such address, or one that holds a password.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://localhost:8000/v1")
    if parts.username or parts.password:
        raise ValueError("must hold no password: it would be written into the artifact; use key_env")
    return address.rstrip("/")


class Endpoint:
    """One client, whose connections are kept, for any number of threads.

    Args:
        address: up to and with ``/v1``.
        model: its name there.
        key_env: environment variable that holds the key.
        calls: how it is called.
        use: what for, as errors say it: "rewriting".
    """

    def __init__(self, address: str, model: str, key_env: str | None, calls: CallSettings, *, use: str) -> None:
        """
        Raises:
            MissingExtra: httpx is not installed.
            InputError: the environment variable of the key is empty.
        """
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("httpx", extra="data", use=f"{use} by an endpoint") from error
        headers = {}
        if key_env is not None:
            key = os.environ.get(key_env, "").strip()
            if not key:
                raise InputError(
                    "The environment variable that holds the key of the endpoint is empty.",
                    got=key_env,
                    do=f"export {key_env}=...",
                )
            headers["Authorization"] = f"Bearer {key}"
        self._address, self._model, self._calls, self._use = address, model, calls, use
        self._httpx = httpx
        self._client = httpx.Client(headers=headers, timeout=calls.timeout)

    def chat(self, messages: Sequence[dict[str, str]], *, temperature: float, max_tokens: int, seed: int) -> Said:
        """The answer to a conversation; tries again, with growing pauses, after time-outs, broken connections and busy.

        Raises:
            YibuError: the endpoint does not answer, or refuses us, after all tries.
        """
        body = {
            "model": self._model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        trouble = ""
        for attempt in range(self._calls.retries + 1):
            if attempt:
                time.sleep(min(_LONGEST_WAIT, self._calls.pause * 2 ** (attempt - 1)))
            try:
                response = self._client.post(f"{self._address}/chat/completions", json=body)
            except self._httpx.TransportError as error:  # its text may hold the address, never the prompt
                trouble = type(error).__name__
                continue
            status = response.status_code
            if status in _RETRIED or status >= 500:
                trouble = f"status {status}"
                continue
            if status in _OUR_FAULT:
                raise self._down(f"status {status}", attempt + 1, "check endpoint, model and key_env of this step")
            return _answer(response) if status == 200 else Said(None, f"status_{status}")
        raise self._down(trouble, self._calls.retries + 1, "run the same command again: what is answered is kept")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _down(self, trouble: str, tries: int, do: str) -> YibuError:
        host = urlsplit(self._address).netloc
        return YibuError(
            f"The endpoint does not answer that is asked for {self._use}.",
            got=f"{host}: {trouble}, {tries} tries",
            do=do,
        )


def _answer(response: Any) -> Said:
    try:
        choice = response.json()["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return Said(None, "no_answer")
    if choice.get("finish_reason") == "length":
        return Said(None, "cut")
    return Said(text) if isinstance(text, str) else Said(None, "no_answer")
