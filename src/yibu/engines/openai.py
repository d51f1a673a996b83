"""Any endpoint that speaks the OpenAI protocol: vLLM, SGLang, llama.cpp, Ollama, TensorRT-LLM, and our own engine.

Messages go to ``/chat/completions``, a plain text to ``/completions``. The length of an answer is what the server says
(``stream_options.include_usage``), else one token a piece; a server that puts several tokens into one piece and says
nothing is counted too low.

Beside the protocol: adapters are loaded and unloaded as vLLM has it (``/v1/load_lora_adapter``), and our own process
scores answers (``/v1/score``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from yibu import engines
from yibu.engines import (
    CLOCK,
    GREEDY,
    Adapter,
    Embedded,
    EngineFailed,
    EngineSettings,
    Piece,
    Prompt,
    Sampling,
    is_answered,
    refusal,
    require_open,
    server_sent_events,
    unlimited_client,
)


class Settings(EngineSettings):
    """Table ``{kind: openai, endpoint: http://host:port/v1, model: name}``."""

    kind: Literal["openai"] = "openai"


class Engine(engines.Engine):
    """See `yibu.engines.Engine`.

    Args:
        settings: of the endpoint.
        can: what is known that it can do.
        socket: path of a Unix socket behind which the endpoint's host is.
    """

    def __init__(
        self, settings: Settings, can: frozenset[str] = frozenset({engines.GENERATE}), socket: str | None = None
    ) -> None:
        self.settings, self.can = settings, can
        self._client = unlimited_client(settings, socket)

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """See `yibu.engines.Engine.generate`."""
        body = {**self.asked(adapter, sampling), "max_tokens": max_new_tokens}
        if isinstance(prompt, str):
            path, body["prompt"] = "/completions", prompt
        else:
            path, body["messages"] = "/chat/completions", list(prompt)
        async for piece in self.pieces(path, body):
            yield piece

    async def pieces(self, path: str, body: dict[str, Any]) -> AsyncIterator[Piece]:
        """What comes of a body, as a stream.

        Raises:
            EngineFailed: there is no whole answer.
        """
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        finished = False
        async for event in server_sent_events(self._client, self.settings.endpoint + path, body):
            at = CLOCK()
            choices, usage = event.get("choices") or [], event.get("usage")
            finish = choices[0].get("finish_reason") if choices else None
            finished = finished or bool(finish)
            said = any(_said(choice) for choice in choices)
            if said or usage or finish:
                counts = _count(usage, "completion_tokens"), _count(usage, "prompt_tokens")
                yield Piece(at, int(said), *counts, _text(choices[0]) if said else "", finish)
        if not finished:
            raise EngineFailed("broken")

    def asked(self, adapter: str | None, sampling: Sampling) -> dict[str, Any]:
        """The part of a body that says who shall answer and how tokens are chosen."""
        body: dict[str, Any] = {"model": adapter or self.settings.model, "temperature": sampling.temperature}
        if sampling != GREEDY:
            body |= _sampled(sampling)
        if self.settings.ignore_eos:
            body["ignore_eos"] = True
        return body

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        """See `yibu.engines.Engine.score`; only our own process has an address for it."""
        if engines.SCORE not in self.can:
            raise EngineFailed("unable")
        asked = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        found = await self.post("/score", {"model": adapter or self.settings.model, "answers": list(answers), **asked})
        scores = found.get("scores")
        if not isinstance(scores, list) or len(scores) != len(answers):
            raise EngineFailed("protocol")
        return scores

    async def embed(self, texts: Sequence[str], adapter: str | None = None) -> Embedded:
        """See `yibu.engines.Engine.embed`; what a server of somebody else's has for it is its own."""
        if engines.EMBED not in self.can:
            raise EngineFailed("unable")
        body = {"model": adapter or self.settings.model, "input": list(texts), "encoding_format": "float"}
        found = await self.post("/embeddings", body)
        rows = found.get("data")
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise EngineFailed("protocol")
        rows.sort(key=lambda row: row["index"])
        return Embedded([row["embedding"] for row in rows], _count(found.get("usage"), "prompt_tokens") or 0)

    async def load_adapter(self, adapter: Adapter) -> None:
        """See `yibu.engines.Engine.load_adapter`."""
        self._need_adapters()
        table = {"lora_name": adapter.name, "lora_path": str(adapter.path), "kind": adapter.kind}
        await self.post("/load_lora_adapter", table)

    async def unload_adapter(self, name: str) -> None:
        """See `yibu.engines.Engine.unload_adapter`."""
        self._need_adapters()
        await self.post("/unload_lora_adapter", {"lora_name": name})

    def _need_adapters(self) -> None:
        if engines.ADAPTERS not in self.can:
            raise EngineFailed("unable")

    async def post(self, path: str, body: dict[str, Any], root: str | None = None) -> dict[str, Any]:
        """The table that comes back; ``{}`` where it is none.

        Args:
            root: what the path is below; None: the endpoint.

        Raises:
            EngineFailed: no connection, or another status than 200.
        """
        import httpx

        require_open(self._client)
        try:
            response = await self._client.post((root or self.settings.endpoint) + path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineFailed("refused") from error
        except httpx.TransportError as error:
            raise EngineFailed("broken") from error
        if response.status_code != 200:
            raise EngineFailed(refusal(response.status_code, response.content))
        try:
            table = response.json()
        except ValueError:
            return {}
        return table if isinstance(table, dict) else {}

    async def is_healthy(self) -> bool:
        """Whether the list of models is answered within two seconds."""
        return await is_answered(self._client, f"{self.settings.endpoint}/models")

    async def facts(self) -> dict[str, Any]:
        """Where it is."""
        return {"engine": "openai", "endpoint": self.settings.endpoint, "model": self.settings.model}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _sampled(sampling: Sampling) -> dict[str, Any]:
    given = {"top_p": sampling.top_p, "seed": sampling.seed, "stop": list(sampling.stop) or None}
    return {name: value for name, value in given.items() if value is not None}


def _text(choice: dict[str, Any]) -> str:
    return str(choice.get("text") or (choice.get("delta") or {}).get("content") or "")


def _said(choice: dict[str, Any]) -> bool:
    """Whether a choice holds text; a thought is text, too, and so is a call of a tool."""
    delta = choice.get("delta") or {}
    names = ("content", "reasoning_content", "reasoning", "tool_calls")
    return bool(choice.get("text") or any(delta.get(name) for name in names))


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else None
