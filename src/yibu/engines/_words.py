"""Tokens become text as they come: a character may span tokens, and a stop text may span pieces."""

from __future__ import annotations

from typing import Any


class Words:
    """The text of one answer.

    Args:
        renderer: of the model.
        job: has ``sampling.stop``.
    """

    def __init__(self, renderer: Any, job: Any) -> None:
        self._tokenizer, self._special = renderer.tokenizer, set(renderer.stop_ids)
        self._stops = job.sampling.stop
        self._ids: list[int] = []
        self._begin = self._read = 0  # decoded from `begin`; up to `read` it was said
        self._held = ""  # what may be the beginning of a stop text

    def add(self, token: int | None) -> tuple[str, bool]:
        """What can be said now, and whether a stop text ends the answer here; None adds nothing."""
        if token is None or token in self._special:
            return "", False
        self._ids.append(token)
        before = self._decode(self._ids[self._begin : self._read])
        now = self._decode(self._ids[self._begin :])
        if now.endswith("\ufffd") or len(now) <= len(before):  # half a character
            return "", False
        self._begin, self._read = self._read, len(self._ids)
        return self._said(now[len(before) :])

    def rest(self) -> str:
        """What was held back, at the end."""
        held, self._held = self._held, ""
        if self._read < len(self._ids):
            before = self._decode(self._ids[self._begin : self._read])
            held += self._decode(self._ids[self._begin :])[len(before) :]
            self._read = len(self._ids)
        return held

    def _said(self, text: str) -> tuple[str, bool]:
        if not self._stops:
            return text, False
        text = self._held + text
        ends = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if ends:
            self._held = ""
            return text[: min(ends)], True
        kept = max(
            (size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def say(job: Any, words: Words, token: int, stops: frozenset[int]) -> bool:
    """Hand a token of a `yibu.engines._job.Job` on; True where the answer ends."""
    job.num_tokens += 1
    stopped = token in stops and not job.ignore_eos
    text, cut = words.add(None if stopped else token)
    last = stopped or cut or job.gone or job.num_tokens >= job.max_new_tokens
    if last and not cut:
        text += words.rest()
    if text or not stopped:
        job.said.put((text, 1))
    if last:
        job.finish = "stop" if stopped or cut else "length"
        job.end()
    return last
