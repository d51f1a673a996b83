"""Continuous batching: every step of the model serves all answers that are being written.

Requests of one adapter form a group with one cache of keys and values. A newcomer's prompt is read alone (with other
newcomers) and its cache is then put beside the group's, padded on the left and masked; who is done leaves. Caches that
cannot be put side by side (sliding windows, compressed keys) keep a group each, and the groups take turns.

Legend: B answers of a group, T tokens of its cache.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from yibu.engines import Adapter
from yibu.engines._bank import Bank
from yibu.engines._embedder import batches, embed
from yibu.engines._job import Call, Job, ScoreJob, tell
from yibu.engines._scorer import Scorers
from yibu.engines._words import Words, say


@dataclass(eq=False)
class _Row:
    """One answer that is being written."""

    job: Job
    words: Words
    chance: torch.Generator | None
    last: int = 0


@dataclass(eq=False)
class _Group:
    """Answers that share a cache; ``mask_BT`` says which of its places are somebody's."""

    adapter: str | None
    rows: list[_Row]
    cache: Any
    mask_BT: torch.Tensor


class Schedule(threading.Thread):
    """The thread that owns the models.

    Args:
        bank: base and adapters.
        max_batch: answers at once.
        max_tokens: tokens of one forward pass over prompts.
    """

    def __init__(self, bank: Bank, max_batch: int, max_tokens: int) -> None:
        super().__init__(daemon=True, name="schedule")
        self.bank, self._max_batch, self._max_tokens = bank, max_batch, max_tokens
        self._system = bank.system
        self._waiting: queue.SimpleQueue[Job | ScoreJob | Call] = queue.SimpleQueue()
        self._jobs: list[Job] = []
        self._scores: list[ScoreJob] = []
        self._groups: list[_Group] = []
        self._scorers = Scorers(max_tokens)
        self._stops = frozenset(bank.system.renderer.stop_ids)

    def put(self, wanted: Job | ScoreJob | Call) -> None:
        """Hand something over; any thread may."""
        self._waiting.put(wanted)

    def call(self, do: Any) -> Any:
        """What ``do(bank)`` returns, run between two steps.

        Raises:
            Exception: what it raises.
        """
        call = Call(do)
        self.put(call)
        call.done.wait()
        if call.error is not None:
            raise call.error
        return call.result

    def embed(self, texts: Sequence[Sequence[int]], adapter: str | None) -> list[list[float]]:
        """Vectors of texts, see `yibu.engines._embedder`; one pass at a time, so that answers go on between two."""
        found: dict[int, list[float]] = {}
        for batch in batches(texts, self._max_tokens):

            def made(bank: Bank, batch: list[int] = batch) -> list[list[float]]:
                with bank.using(adapter) as model:
                    return embed(self._system, model, [texts[place] for place in batch])

            found |= dict(zip(batch, self.call(made), strict=True))
        return [found[place] for place in range(len(texts))]

    @property
    def names(self) -> list[str]:
        """Adapters that may be asked for."""
        return self.bank.names

    def load(self, adapter: Adapter) -> None:
        """One more adapter; see `Bank.load`."""
        self.call(lambda bank: bank.load(adapter))

    def forget(self, name: str) -> None:
        """Unload an adapter and what was computed with it."""

        def both(bank: Bank) -> None:
            bank.unload(name)
            self._scorers.forget(name)

        self.call(both)

    def run(self) -> None:
        """Body of the thread."""
        with torch.inference_mode():
            while True:
                self._take()
                self._score()
                self._admit()
                for group in list(self._groups):
                    self._step(group)

    # --- what waits ---------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """All that came; waits only where nothing else is to be done."""
        idle = not (self._groups or self._jobs or self._scores)
        while idle or not self._waiting.empty():
            wanted = self._waiting.get()
            idle = False
            if isinstance(wanted, Job):
                self._jobs.append(wanted)
            elif isinstance(wanted, ScoreJob):
                self._scores.append(wanted)
            else:
                try:
                    wanted.result = wanted.do(self.bank)
                except Exception as error:  # the caller's
                    wanted.error = error
                wanted.done.set()

    def _score(self) -> None:
        """All that asks the same of the same adapter, in passes that they share."""
        while self._scores:
            first = self._scores[0]
            alike = [job for job in self._scores if (job.adapter, job.answers) == (first.adapter, first.answers)]
            self._scores = [job for job in self._scores if job not in alike]
            try:
                with self.bank.using(first.adapter) as model:
                    found = self._scorers.score(
                        self._system, model, first.adapter, [job.ids for job in alike], first.answers
                    )
                for job, scores in zip(alike, found, strict=True):
                    job.result = scores
            except Exception as error:
                tell(error)
                for job in alike:
                    job.error = error
            for job in alike:
                job.done.set()

    def _admit(self) -> None:
        """Read prompts while there is room: those of one adapter together, as many as a pass may have tokens."""
        while self._jobs:
            room = self._max_batch - sum(len(group.rows) for group in self._groups)
            if room <= 0:
                return
            first = self._jobs[0]
            batch: list[Job] = []
            for job in self._jobs:
                longest = max(len(other.ids) for other in [*batch, job])
                fits = len(batch) < room and (not batch or longest * (len(batch) + 1) <= self._max_tokens)
                if job.adapter == first.adapter and fits:
                    batch.append(job)
            self._jobs = [job for job in self._jobs if job not in batch]
            batch = [job for job in batch if not job.gone]
            if not batch:
                continue
            try:
                self._begin(batch)
            except Exception as error:  # one bad request must not end the others
                tell(error)
                for job in batch:
                    job.end(failed=True)

    def _begin(self, batch: Sequence[Job]) -> None:
        """Read prompts, and put their answers beside those of the group, where caches can be."""
        from transformers import DynamicCache

        from yibu.model.packing import causal_model

        # Padding is only known to be harmless where keys are plain; a trial with one prompt tells what the cache is.
        with self.bank.using(batch[0].adapter) as model:
            causal = causal_model(model)
            if len(batch) > 1 and not _is_plain(DynamicCache(config=causal.config)):
                for job in batch:
                    self._begin([job])
                return
            width = max(len(job.ids) for job in batch)
            ids_BT = torch.zeros(len(batch), width, dtype=torch.long)
            mask_BT = torch.zeros(len(batch), width, dtype=torch.long)
            for row, job in enumerate(batch):
                ids_BT[row, width - len(job.ids) :] = torch.tensor(job.ids)
                mask_BT[row, width - len(job.ids) :] = 1
            mask_BT = mask_BT.to(self._system.device)
            cache = DynamicCache(config=causal.config)
            logits_BV = self._forward(model, ids_BT.to(self._system.device), mask_BT, cache)
        rows = [_Row(job, Words(self._system.renderer, job), _chance(job, self._system.device)) for job in batch]
        group = _Group(batch[0].adapter, rows, cache, mask_BT)
        self._choose(group, logits_BV)
        if not group.rows:
            return
        other = next((known for known in self._groups if known.adapter == group.adapter), None)
        if other is not None and _is_plain(other.cache) and _is_plain(cache):
            _merge(other, group)
        else:
            self._groups.append(group)

    # --- what runs ----------------------------------------------------------------------------------------------------

    def _step(self, group: _Group) -> None:
        """One more token for all of a group."""
        try:
            ids_B1 = torch.tensor([[row.last] for row in group.rows], device=self._system.device)
            group.mask_BT = torch.nn.functional.pad(group.mask_BT, (0, 1), value=1)
            with self.bank.using(group.adapter) as model:
                logits_BV = self._forward(model, ids_B1, group.mask_BT, group.cache)
            self._choose(group, logits_BV)
        except Exception as error:
            tell(error)
            for row in group.rows:
                row.job.end(failed=True)
            group.rows = []
        if not group.rows:
            self._groups.remove(group)

    def _forward(self, model: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor, cache: Any) -> torch.Tensor:
        """``[B, V]`` logits of the last place, in fp32."""
        from yibu.model.assemble import use_generating_attention
        from yibu.model.packing import causal_model

        if causal_model(model).config._attn_implementation != self._system.facts.attention:  # after a score
            use_generating_attention(model, self._system.facts)
        positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)[:, -ids_BT.shape[1] :]
        padded = not bool(mask_BT.all())
        output = model(
            input_ids=ids_BT,
            attention_mask=mask_BT if padded else None,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _choose(self, group: _Group, logits_BV: torch.Tensor) -> None:
        """Pick tokens, say them, and let go of who is done."""
        likeliest = logits_BV.argmax(dim=-1).tolist()
        kept = []
        for place, row in enumerate(group.rows):
            token = likeliest[place] if row.chance is None else _draw(logits_BV[place], row)
            if not self._say(row, token):
                kept.append(place)
        if len(kept) == len(group.rows):
            return
        group.rows = [group.rows[place] for place in kept]
        if kept:
            index = torch.tensor(kept, device=group.mask_BT.device)
            group.cache.batch_select_indices(index)
            group.mask_BT = group.mask_BT[index]
            _trim(group)

    def _say(self, row: _Row, token: int) -> bool:
        """Hand a token on; True where the answer ends."""
        row.last = token
        return say(row.job, row.words, token, self._stops)


def _chance(job: Job, device: torch.device) -> torch.Generator | None:
    if job.sampling.temperature <= 0:
        return None
    chance = torch.Generator(device)
    if job.sampling.seed is None:
        chance.seed()
    else:
        chance.manual_seed(job.sampling.seed)
    return chance


def _draw(logits_V: torch.Tensor, row: _Row) -> int:
    """A token by temperature and nucleus (Holtzman et al. 2020, arXiv 1904.09751)."""
    sampling = row.job.sampling
    shares_V = torch.softmax(logits_V / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ordered, places = shares_V.sort(descending=True)
        ordered[ordered.cumsum(0) - ordered >= sampling.top_p] = 0
        return int(places[torch.multinomial(ordered, 1, generator=row.chance)])
    return int(torch.multinomial(shares_V, 1, generator=row.chance))


def _is_plain(cache: Any) -> bool:
    """Whether every layer keeps all keys and values as they are, so that two caches can be put side by side."""
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in cache.layers)


def _merge(group: _Group, other: _Group) -> None:
    """Put the rows of `other` under those of `group`."""
    longest = max(group.mask_BT.shape[1], other.mask_BT.shape[1])
    for each in (group, other):
        missing = longest - each.mask_BT.shape[1]
        if missing:
            each.mask_BT = torch.nn.functional.pad(each.mask_BT, (missing, 0))
            for layer in each.cache.layers:
                layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, missing, 0))
                layer.values = torch.nn.functional.pad(layer.values, (0, 0, missing, 0))
    for layer, new in zip(group.cache.layers, other.cache.layers, strict=True):
        layer.keys = torch.cat([layer.keys, new.keys])
        layer.values = torch.cat([layer.values, new.values])
    group.mask_BT = torch.cat([group.mask_BT, other.mask_BT])
    group.rows += other.rows


def _trim(group: _Group) -> None:
    """Take off places at the left that are nobody's any more."""
    if not _is_plain(group.cache):
        return
    unused = int(group.mask_BT.any(dim=0).int().argmax())
    if unused:
        group.mask_BT = group.mask_BT[:, unused:]
        for layer in group.cache.layers:
            layer.keys, layer.values = layer.keys[:, :, unused:], layer.values[:, :, unused:]
