"""vLLM's own words: prompts as token ids, stop tokens as in training, adapters by their names, scores of answers.

vLLM tells the log probability of each token of a prompt (``prompt_logprobs``), before temperature and any other rule.
An answer is scored as the end of a prompt, so each answer costs a pass over prompt and answer: vLLM takes no prefix
from its cache for such a request. They are one request and run in one batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from yibu import engines
from yibu.core.errors import InputError
from yibu.engines import GREEDY, Adapter, EngineFailed, Piece, Prompt, Sampling, is_answered, openai
from yibu.engines._vllm_process import IDS

BASE = "base"
"""Name under which the base is asked without an adapter."""


class VllmClient(openai.Engine):
    """A running vLLM.

    Args:
        facts: of the process around it, see `yibu.engines._vllm_process.serve`.
        key: that both ask for.
        default: adapter that answers where none is named; None: the base.
    """

    def __init__(self, facts: dict[str, Any], key: str, default: str | None) -> None:
        self._root = f"http://127.0.0.1:{facts['port']}"
        can = frozenset({engines.GENERATE, engines.SCORE, engines.ADAPTERS})
        super().__init__(openai.Settings(endpoint=f"{self._root}/v1", model=default or BASE), can)
        self._client.headers["authorization"] = f"Bearer {key}"
        self._ids_address = f"http://127.0.0.1:{facts['ids_port']}"
        self._stops, self._longest = list(facts["stop_ids"]), int(facts["longest"] or 2**31)

    async def generate(
        self, prompt: Prompt, max_new_tokens: int, sampling: Sampling = GREEDY, adapter: str | None = None
    ) -> AsyncIterator[Piece]:
        """See `yibu.engines.Engine.generate`."""
        ids, _ = await self._ids(prompt)
        room = self._longest - len(ids)
        if room < 1:
            raise EngineFailed("status_413")
        # What the base's own config ends an answer by is not asked: it ends where training ended it.
        ends = {"stop_token_ids": self._stops, "ignore_eos": True}
        body = {**self.asked(adapter, sampling), **ends, "prompt": ids, "max_tokens": min(max_new_tokens, room)}
        async for piece in self.pieces("/completions", body):
            yield piece

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        """See `yibu.engines.Engine.score`."""
        ids, said = await self._ids(prompt, answers)
        rows = [[*ids, *answer] for answer in said]
        if max(map(len, rows)) >= self._longest:  # vLLM writes a token behind each
            raise EngineFailed("status_413")
        body = {**self.asked(adapter, GREEDY), "prompt": rows, "max_tokens": 1, "prompt_logprobs": 0}
        choices = (await self.post("/completions", body)).get("choices") or []
        told = {choice["index"]: choice.get("prompt_logprobs") or [] for choice in choices}
        return [_sum(row, told.get(place, ()), len(ids)) for place, row in enumerate(rows)]

    async def load_adapter(self, adapter: Adapter) -> None:
        """See `yibu.engines.Engine.load_adapter`.

        Raises:
            InputError: vLLM refuses it; says why.
        """
        import httpx

        engines.require_open(self._client)
        body = {"lora_name": adapter.name, "lora_path": str(adapter.path.absolute())}
        try:
            response = await self._client.post(f"{self.settings.endpoint}/load_lora_adapter", json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineFailed("refused") from error
        except httpx.TransportError as error:
            raise EngineFailed("broken") from error
        if response.status_code != 200:
            raise InputError("vLLM does not load this adapter.", got=_message(response))

    async def is_healthy(self) -> bool:
        """Whether its engine lives, by its own word."""
        return await is_answered(self._client, f"{self._root}/health")

    async def _ids(self, prompt: Prompt, answers: Sequence[str] = ()) -> tuple[list[int], list[list[int]]]:
        """Ids of a prompt, and of answers with the end of their turn."""
        asked = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        found = await self.post(IDS, {**asked, "answers": list(answers)}, self._ids_address)
        return found["ids"], found["answers"]


def _sum(row: Sequence[int], told: Sequence[Any], begin: int) -> float:
    """Log probability of what stands behind the first `begin` tokens of a row."""
    try:
        return sum(float(told[place][str(row[place])]["logprob"]) for place in range(begin, len(row)))
    except (IndexError, KeyError, TypeError) as error:
        raise EngineFailed("protocol") from error


def _message(response: Any) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
