"""Triton Inference Server: ``generate_stream`` of its HTTP generate extension, for decoupled models such as vLLM's.

The extension takes one text and knows no chat template: the contents of messages are joined by blank lines, so for a
model that Triton renders no template for, lengths are right and answers may not be. Events carry no token counts; one
event is one token, as vLLM's back end sends them (its last one is empty and not counted).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from yibu import engines
from yibu.engines import (
    CLOCK,
    GREEDY,
    EngineFailed,
    EngineSettings,
    Piece,
    Prompt,
    Sampling,
    is_answered,
    server_sent_events,
    unlimited_client,
)


class Settings(EngineSettings):
    """Table ``{kind: triton, endpoint: http://host:8000, model: name, ...}``."""

    kind: Literal["triton"] = "triton"
    text_input: str = Field("text_input", description="name of the model's input")
    text_output: str = Field("text_output", description="name of its output")
    layout: Literal["vllm", "tensorrt"] = Field(
        "vllm", description="where max_tokens and stream go: vllm, under parameters; tensorrt, beside the input"
    )


class Engine(engines.Engine):
    """See `yibu.engines.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client = unlimited_client(settings)

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """See `yibu.engines.Engine.generate`; an adapter is a model of its own here."""
        settings = self.settings
        text = prompt if isinstance(prompt, str) else "\n\n".join(message["content"] for message in prompt)
        asked: dict[str, Any] = {"max_tokens": max_new_tokens, "stream": True, "temperature": sampling.temperature}
        if sampling != GREEDY:
            given = {"top_p": sampling.top_p, "seed": sampling.seed, "stop": list(sampling.stop) or None}
            asked |= {name: value for name, value in given.items() if value is not None}
        if settings.ignore_eos:
            asked["ignore_eos"] = True
        body: dict[str, Any] = {settings.text_input: text}
        body |= {"parameters": asked} if settings.layout == "vllm" else asked
        address = f"{settings.endpoint}/v2/models/{quote(adapter or settings.model, safe='')}/generate_stream"
        some = False
        async for event in server_sent_events(self._client, address, body):
            at = CLOCK()
            if settings.text_output not in event:
                raise EngineFailed("protocol")
            some = True
            if event[settings.text_output]:
                yield Piece(at, text=str(event[settings.text_output]))
        if not some:
            raise EngineFailed("broken")
        yield Piece(CLOCK(), 0, finish="stop")

    async def is_healthy(self) -> bool:
        """Whether the server says that it is ready, within two seconds."""
        return await is_answered(self._client, f"{self.settings.endpoint}/v2/health/ready")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
