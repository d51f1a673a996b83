"""vLLM's own words: prompts as token ids, stop tokens as in training, adapters by their names, scores of answers.

vLLM tells the log probability of named tokens as the next one (``logprob_token_ids``), before temperature and any other
rule. Answers that begin alike share a question: one for each place at which they part or go on, behind a prompt that
vLLM keeps. (Log probabilities of a whole prompt would be fewer requests. They read no prefix from the cache, and end
the engine of vLLM 0.32 on a processor where LoRAs are allowed: its output layer takes the rows for those of a step.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from yibu import engines
from yibu.core.errors import InputError
from yibu.engines import GREEDY, Adapter, EngineFailed, Piece, Prompt, Sampling, is_answered, openai
from yibu.engines._vllm_process import HOST, IDS

BASE = "base"
"""Name under which the base is asked without an adapter."""

_AT_ONCE = 128
"""Tokens that a request may name."""


class VllmClient(openai.Engine):
    """A running vLLM.

    Args:
        facts: of the process around it, see `yibu.engines._vllm_process.serve`.
        key: that both ask for.
        default: adapter that answers where none is named; None: the base.
    """

    def __init__(self, facts: dict[str, Any], key: str, default: str | None) -> None:
        can = frozenset({engines.GENERATE, engines.SCORE, engines.ADAPTERS})
        super().__init__(openai.Settings(endpoint=f"{HOST}/v1", model=default or BASE), can, facts["socket"])
        self._client.headers["authorization"] = f"Bearer {key}"
        self._ids_address = f"http://127.0.0.1:{facts['port']}"
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
        if len(ids) + max(map(len, said)) > self._longest:
            raise EngineFailed("status_413")
        following: dict[tuple[int, ...], set[int]] = {}  # what is written -> tokens that an answer goes on with
        for answer in said:
            for place, token in enumerate(answer):
                following.setdefault(tuple(answer[:place]), set()).add(token)
        first, *others = following
        # The prompt alone comes first: what it computes is there for those that begin with it.
        found = {first: await self._chances(ids, following[first], adapter)}
        tasks = [asyncio.create_task(self._chances([*ids, *begin], following[begin], adapter)) for begin in others]
        try:
            found |= dict(zip(others, await asyncio.gather(*tasks), strict=True))
        finally:
            for task in tasks:
                task.cancel()
        return [sum(found[tuple(answer[:at])][token] for at, token in enumerate(answer)) for answer in said]

    async def _chances(self, ids: Sequence[int], wanted: set[int], adapter: str | None) -> dict[int, float]:
        """Log probability of each wanted token as the next one."""
        tokens, found = sorted(wanted), dict[int, float]()
        for begin in range(0, len(tokens), _AT_ONCE):
            some = tokens[begin : begin + _AT_ONCE]
            told = {"logprobs": len(some), "logprob_token_ids": some, "return_tokens_as_token_ids": True}
            body = {**self.asked(adapter, GREEDY), **told, "prompt": list(ids), "max_tokens": 1}
            answer = await self.post("/completions", body)
            try:
                (chances,) = answer["choices"][0]["logprobs"]["top_logprobs"]
                found |= {token: float(chances[f"token_id:{token}"]) for token in some}
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise EngineFailed("protocol") from error
        return found

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
        return await is_answered(self._client, f"{HOST}/health")

    async def _ids(self, prompt: Prompt, answers: Sequence[str] = ()) -> tuple[list[int], list[list[int]]]:
        """Ids of a prompt, and of answers with the end of their turn."""
        asked = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        found = await self.post(IDS, {**asked, "answers": list(answers)}, self._ids_address)
        return found["ids"], found["answers"]


def _message(response: Any) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
