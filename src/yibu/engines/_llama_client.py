"""llama-server's own words: the OpenAI protocol with a scale for each adapter, and exact scores of given answers.

llama-server tells the probability of the token that it chose, before any rule was put on the choice. A grammar of token
ids that allows one answer makes it choose that answer, so what it tells is ``p(token | prompt and tokens before)``, one
request for each answer behind a prompt that its slot keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yibu import engines
from yibu.engines import EngineFailed, Prompt, Sampling, openai
from yibu.exporters._llama import PLAIN

_LEAST = -87.0
"""Log of the least probability that 32 bits tell; what is told as nothing is taken for it."""


class LlamaClient(openai.Engine):
    """A llama-server.

    Args:
        address: up to ``/v1``.
        names: of the adapters, in the order of their ids.
        default: the one that answers where none is named.
    """

    def __init__(self, address: str, names: tuple[str, ...], default: str | None) -> None:
        super().__init__(openai.Settings(endpoint=address), frozenset({engines.GENERATE, engines.SCORE}))
        # It promises to keep a connection and closes it behind each stream: one that is used again may be gone.
        self._client.headers["connection"] = "close"
        self._names, self._default = names, default
        self._ids: dict[str, list[int]] = {}

    def asked(self, adapter: str | None, sampling: Sampling) -> dict[str, Any]:
        """See `yibu.engines.openai.Engine.asked`; nothing is sampled by llama.cpp's own defaults."""
        drawn = {} if sampling.temperature <= 0 else {"top_k": 0, "min_p": 0.0, "top_p": 1.0}
        return {**PLAIN, **drawn, **super().asked(adapter, sampling), **self._scales(adapter)}

    def _scales(self, adapter: str | None) -> dict[str, Any]:
        """The adapter by its scale, and all others by none.

        Raises:
            EngineFailed: there is none of this name.
        """
        wanted = adapter or self._default
        if wanted is not None and wanted not in self._names:
            raise EngineFailed("status_404")
        scales = [{"id": place, "scale": float(name == wanted)} for place, name in enumerate(self._names)]
        return {"lora": scales} if scales else {}

    async def score(self, prompt: Prompt, answers: Sequence[str], adapter: str | None = None) -> list[float]:
        """See `yibu.engines.Engine.score`.

        Raises:
            EngineFailed: ``unable``, too, where the template does not write an answer as it is and a token behind it.
        """
        if isinstance(prompt, str):
            raise EngineFailed("unable")
        scales, text = self._scales(adapter), await self._rendered(prompt, True)
        ids = await self._tokens(text, True, begin=True)
        for answer in answers:
            if answer not in self._ids:
                self._ids[answer] = await self._answer(prompt, text, answer)
        return [await self._one(ids, self._ids[answer], scales) for answer in answers]

    async def _one(self, prompt: Sequence[int], answer: Sequence[int], scales: dict[str, Any]) -> float:
        body = {
            "prompt": list(prompt),
            "n_predict": len(answer),
            "n_probs": 1,
            "temperature": -1.0,
            **PLAIN,
            # At its end a grammar allows every token that ends a turn; the bias says which, and is not in what is told.
            "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in answer[:-1]),
            "logit_bias": [[answer[-1], 1e4]],
            **scales,
        }
        found = (await self._post("/completion", body)).get("completion_probabilities") or []
        if [entry.get("id") for entry in found] != list(answer):
            raise EngineFailed("protocol")
        return sum(max(_LEAST, float(entry["logprob"])) for entry in found)

    async def _answer(self, prompt: Sequence[dict[str, str]], begin: str, answer: str) -> list[int]:
        """Ids of an answer and of the token that ends its turn, as the template writes them."""
        whole = await self._rendered([*prompt, {"role": "assistant", "content": answer}], False)
        said = await self._tokens(answer, False)
        rest = await self._tokens(whole[len(begin) :], True)
        if not whole.startswith(begin) or rest[: len(said)] != said or len(rest) == len(said) or not said:
            raise EngineFailed("unable")
        return rest[: len(said) + 1]

    async def _rendered(self, messages: Sequence[dict[str, str]], ask: bool) -> str:
        body = {"messages": list(messages), "add_generation_prompt": ask}
        return str((await self._post("/apply-template", body)).get("prompt", ""))

    async def _tokens(self, text: str, special: bool, begin: bool = False) -> list[int]:
        body = {"content": text, "add_special": begin, "parse_special": special}
        return [int(token) for token in (await self._post("/tokenize", body)).get("tokens") or ()]

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self.post(path, body, self.settings.endpoint.removesuffix("/v1"))
