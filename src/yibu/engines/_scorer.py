"""Closed sets of answers, scored behind a beginning of the prompt whose keys and values are kept between requests.

All requests to one task begin alike (system turn, instruction). What two requests in a row have in common is kept once,
for each adapter, and used for as long as requests begin so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SHORTEST = 4
"""Tokens below which a common beginning is not worth keeping."""


@dataclass
class _Kept:
    """What is known of the requests that name one adapter and one set of answers."""

    tree: Any
    exact: bool
    last: Sequence[int]
    prefix: Sequence[int] = ()
    cache: Any = None


class Scorers:
    """Scores of all adapters.

    Args:
        max_tokens: of one forward pass.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._kept: dict[str | None, dict[tuple[tuple[int, ...], ...], _Kept]] = {}

    def forget(self, name: str) -> None:
        """Drop what was computed with an adapter."""
        self._kept.pop(name, None)

    def score(
        self,
        system: Any,
        model: Any,
        adapter: str | None,
        prompts: Sequence[Sequence[int]],
        answers: tuple[tuple[int, ...], ...],
    ) -> list[list[float]]:
        """``log p(answer | prompt)``, one list for each prompt.

        Args:
            system: see `yibu.model.assemble.Assembled`.
            model: with the adapter switched on.
        """
        from yibu.model import score
        from yibu.model.assemble import use_generating_attention, use_packed_attention

        use_packed_attention(model) if system.packed else use_generating_attention(model, system.facts)
        of_adapter = self._kept.setdefault(adapter, {})
        kept = of_adapter.get(answers)
        if kept is None:
            exact = system.packed and score.tree_is_exact(model, prompts[0], answers)
            if len(of_adapter) >= 16:  # sets of answers that were asked once must not fill the memory
                of_adapter.pop(next(iter(of_adapter)))
            kept = of_adapter[answers] = _Kept(score.AnswerTree.of(answers), exact, prompts[0])
        if not kept.exact:
            return score.score_answers(model, prompts, answers, tree=False, title="scoring").tolist()
        self._keep(model, kept, prompts)
        found: list[list[float]] = []
        length = len(kept.prefix)
        for batch in self._batches(prompts, length, len(kept.tree.tokens)):
            if kept.cache is not None and all(_begins(prompt, kept.prefix) for prompt in batch):
                found += score.score_after(model, batch, kept.tree, length, kept.cache).tolist()
            else:
                found += score.score_answers(model, batch, answers, max_tokens=self._max_tokens).tolist()
        return found

    def _keep(self, model: Any, kept: _Kept, prompts: Sequence[Sequence[int]]) -> None:
        """Keep what these requests and the one before them begin with, unless what is kept serves them."""
        from yibu.model.score import keep_prefix

        seen = [prompt for prompt in [kept.last, *prompts] if list(prompt) != list(kept.last)]
        kept.last = prompts[-1]
        if not seen or (kept.cache is not None and all(_begins(prompt, kept.prefix) for prompt in prompts)):
            return
        common = _common([kept.last, *seen])
        if len(common) >= _SHORTEST:
            kept.prefix, kept.cache = common, keep_prefix(model, common)

    def _batches(self, prompts: Sequence[Sequence[int]], prefix: int, tree: int) -> list[Sequence[Sequence[int]]]:
        longest = max(len(prompt) for prompt in prompts) - prefix + tree
        size = max(1, self._max_tokens // max(1, longest))
        return [prompts[begin : begin + size] for begin in range(0, len(prompts), size)]


def _begins(prompt: Sequence[int], prefix: Sequence[int]) -> bool:
    """Whether a prompt begins so and has at least one token of its own."""
    return len(prompt) > len(prefix) and list(prompt[: len(prefix)]) == list(prefix)


def _common(prompts: Sequence[Sequence[int]]) -> list[int]:
    shortest = min(prompts, key=len)
    length = next(
        (place for place in range(len(shortest) - 1) if len({prompt[place] for prompt in prompts}) > 1),
        len(shortest) - 1,
    )
    return list(shortest[:length])
