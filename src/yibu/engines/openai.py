"""Any endpoint that speaks the OpenAI protocol: vLLM, SGLang, llama.cpp, Ollama, TensorRT-LLM, and our own engine.

Messages go to ``/chat/completions``, a plain text to ``/completions``. The length of an answer is what the server says
(``stream_options.include_usage``), else one token a piece; a server that puts several tokens into one piece and says
nothing is counted too low.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

from yibu.engines import CLOCK, EngineFailed, EngineSettings, Piece, Prompt, server_sent_events, unlimited_client


class Settings(EngineSettings):
    """Table ``{kind: openai, endpoint: http://host:port/v1, model: name}``."""

    kind: Literal["openai"] = "openai"


class Engine:
    """See `yibu.engines`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client = unlimited_client(settings)

    async def generate(self, prompt: Prompt, max_new_tokens: int) -> AsyncIterator[Piece]:
        """Ask, and yield what comes as it comes.

        Raises:
            EngineFailed: there is no whole answer.
        """
        body: dict[str, Any] = {
            "model": self.settings.model,
            "max_tokens": max_new_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.settings.ignore_eos:
            body["ignore_eos"] = True
        if isinstance(prompt, str):
            path, body["prompt"] = "/completions", prompt
        else:
            path, body["messages"] = "/chat/completions", list(prompt)
        finished = False
        async for event in server_sent_events(self._client, self.settings.endpoint + path, body):
            at = CLOCK()
            choices, usage = event.get("choices") or [], event.get("usage")
            if choices and choices[0].get("finish_reason"):
                finished = True
            text = any(_said(choice) for choice in choices)
            if text or usage:
                yield Piece(at, int(text), _count(usage, "completion_tokens"), _count(usage, "prompt_tokens"))
        if not finished:
            raise EngineFailed("broken")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _said(choice: dict[str, Any]) -> bool:
    """Whether a choice holds text; a thought is text, too, and so is a call of a tool."""
    delta = choice.get("delta") or {}
    names = ("content", "reasoning_content", "reasoning", "tool_calls")
    return bool(choice.get("text") or any(delta.get(name) for name in names))


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else None
