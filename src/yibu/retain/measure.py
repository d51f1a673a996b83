"""Ask one system the items of one set, and count as lm-evaluation-harness 0.4.13 does.

Legend: every measure returns one record per item with ``value`` and ``weight``; the figure is their weighted mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from yibu.model.assemble import Assembled, use_generating_attention, use_packed_attention
from yibu.model.generate import Answer, generate
from yibu.model.likelihood import Asked, Likelihood, likelihoods, tree_fits
from yibu.model.packing import context_length
from yibu.retain import SetSettings
from yibu.retain.refusals import refuses
from yibu.retain.sets import Item

Records = list[dict[str, Any]]

_STRICT = re.compile(r"#### (-?[0-9.,]+)")
_UNTIL = ("Question:", "</s>", "<|im_end|>")


@dataclass(frozen=True)
class Measured:
    """What one system did on one set.

    Attributes:
        metric: name of the figure.
        better: whether more of it or less is better.
        items: one record per item: ``id``, ``group``, ``value``, ``weight`` and what else was seen.
        more: other figures of the set.
    """

    metric: str
    better: Literal["higher", "lower"]
    items: Records
    more: dict[str, float]

    @property
    def value(self) -> float:
        """The mean of the items' values by their weights."""
        weights = [item["weight"] for item in self.items]
        return float(np.average([item["value"] for item in self.items], weights=weights))


def measure(system: Assembled, settings: SetSettings, items: Sequence[Item], batch_size: int = 16) -> Measured:
    """One system on one set."""
    return _MEASURES[settings.kind](system, settings, list(items), batch_size)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text as the tokenizer begins texts, without a second beginning-of-text token."""
    start = tokenizer.bos_token
    plain = bool(start) and text.startswith(start)
    return list(tokenizer(text, **({"add_special_tokens": False} if plain else {}))["input_ids"])


def asked(tokenizer: Any, context: str, continuation: str, longest: int) -> Asked:
    """The continuation's tokens after the context's, cut where the text of both is cut.

    Spaces that end the context go to the continuation. Without a context the beginning-of-text token stands for it, or
    the end-of-text token where there is no other. What is longer than `longest` loses its beginning.
    """
    if not context:
        ids = list(tokenizer(continuation, add_special_tokens=False)["input_ids"])
        first = first_id(tokenizer)
        before, after = ([first], ids) if ids[:1] != [first] else (ids[:1], ids[1:])
    else:
        bare = context.rstrip()
        before = encode(tokenizer, bare)
        after = encode(tokenizer, bare + context[len(bare) :] + continuation)[len(before) :]
    before = before[max(0, len(before) + len(after) - longest - 1) :] or [first_id(tokenizer)]
    return Asked(tuple(before), tuple(after))


def first_id(tokenizer: Any) -> int:
    """What stands before the first token of a text."""
    return int(tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id)


def windows(ids: Sequence[int], first: int, window: int) -> list[Asked]:
    """A long text in disjoint windows; each token is scored once.

    A window begins with the token before it; the last one with as many as fill it.
    """
    parts = []
    for begin in range(0, len(ids), window):
        end = min(begin + window, len(ids))
        context = [first] if begin == 0 else ids[max(0, end - window - 1) : begin]
        parts.append(Asked(tuple(context), tuple(ids[begin:end])))
    return parts


def number_of(answer: str) -> str:
    """The number behind ``####``, without thousands' commas, dollar sign and closing point; empty if there is none.

    lm-evaluation-harness calls this the strict match.
    """
    for stop in _UNTIL:
        answer = answer.partition(stop)[0]
    found = _STRICT.search(answer)
    return "" if found is None else _bare(found.group(1))


def _bare(number: str) -> str:
    return re.sub(r"\.$", "", number.replace(",", "").replace("$", "")).lower()


def _score(system: Assembled, wanted: Sequence[Asked], title: str) -> list[Likelihood]:
    if system.packed:
        use_packed_attention(system.model)
    return likelihoods(system.model, wanted, tree=tree_fits(system.model, wanted), title=title)


def _corpus(system: Assembled, settings: SetSettings, items: list[Item], batch_size: int) -> Measured:
    tokenizer, window = system.renderer.tokenizer, min(settings.window, context_length(system.model))
    wanted: list[Asked] = []
    names: list[tuple[str, str]] = []
    for item in items:
        parts = windows(encode(tokenizer, item.text), first_id(tokenizer), window)
        wanted += parts
        names += [(f"{item.id}-{number}", item.id) for number in range(len(parts))]
    scored = _score(system, wanted, settings.name)
    records = [
        {
            "id": id,
            "group": document,
            "value": -found.log_prob / len(part.continuation),
            "weight": len(part.continuation),
        }
        for (id, document), found, part in zip(names, scored, wanted, strict=True)
    ]
    total = -sum(found.log_prob for found in scored)
    words = sum(len(re.split(r"\s+", item.text)) for item in items)
    num_bytes = sum(len(item.text.encode()) for item in items)
    more = {
        "word_perplexity": math.exp(min(total / words, 700.0)),
        "byte_perplexity": math.exp(total / num_bytes),
        "bits_per_byte": total / num_bytes / math.log(2),
    }
    return Measured("loss per token", "lower", records, more)


def _choices(system: Assembled, settings: SetSettings, items: list[Item], batch_size: int) -> Measured:
    tokenizer, longest = system.renderer.tokenizer, context_length(system.model)
    wanted = [
        asked(tokenizer, context, continuation, longest)
        for item in items
        for context, continuation in zip(item.contexts, item.continuations, strict=True)
    ]
    scored = iter(_score(system, wanted, settings.name))
    records = []
    for item in items:
        log_probs = np.array([next(scored).log_prob for _ in item.choices])
        by_length = log_probs / np.array([max(1, len(choice)) for choice in item.choices])
        records.append(
            {
                "id": item.id,
                "group": item.group,
                "value": float(int(log_probs.argmax()) == item.gold),
                "weight": 1,
                "value_by_length": float(int(by_length.argmax()) == item.gold),
                "log_probs": [round(float(one), 4) for one in log_probs],
            }
        )
    partial = all(len(set(item.continuations)) == 1 for item in items)
    more = {} if partial else {"accuracy_by_length": float(np.mean([one["value_by_length"] for one in records]))}
    return Measured("accuracy", "higher", records, more)


def _pairs(system: Assembled, settings: SetSettings, items: list[Item], batch_size: int) -> Measured:
    """Sentences share their first tokens, which both have with one probability: only the rest is scored."""
    tokenizer, longest = system.renderer.tokenizer, context_length(system.model)
    wanted = []
    for item in items:
        good, bad = (asked(tokenizer, "", sentence, longest) for sentence in item.continuations)
        pairs = zip(good.continuation, bad.continuation, strict=False)
        alike = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
        if alike is None:
            alike = min(len(good.continuation), len(bad.continuation))
        wanted += [Asked(one.context + one.continuation[:alike], one.continuation[alike:]) for one in (good, bad)]
    scored = _score(system, wanted, settings.name)
    records = []
    for item, good_one, bad_one in zip(items, scored[::2], scored[1::2], strict=True):
        margin = good_one.log_prob - bad_one.log_prob
        records.append(
            # Equal ones go to the first, as in lm-evaluation-harness.
            {"id": item.id, "group": item.group, "value": float(margin >= 0), "weight": 1, "margin": round(margin, 5)}
        )
    return Measured("accuracy", "higher", records, {})


def _cloze(system: Assembled, settings: SetSettings, items: list[Item], batch_size: int) -> Measured:
    tokenizer, longest = system.renderer.tokenizer, context_length(system.model)
    wanted = [asked(tokenizer, item.text, item.target, longest) for item in items]
    scored = _score(system, wanted, settings.name)
    records = [
        {"id": item.id, "group": None, "value": float(one.greedy), "weight": 1, "log_prob": round(one.log_prob, 4)}
        for item, one in zip(items, scored, strict=True)
    ]
    perplexity = math.exp(min(-float(np.mean([one.log_prob for one in scored])), 700.0))
    return Measured("accuracy", "higher", records, {"perplexity": perplexity})


def _problems(system: Assembled, settings: SetSettings, items: list[Item], batch_size: int) -> Measured:
    shown, counted = items[: settings.shots], items[settings.shots :]
    before = "".join(f"Question: {item.text}\nAnswer: {item.solution}\n\n" for item in shown)
    room = context_length(system.model) - settings.max_new_tokens
    prompts = [
        encode(system.renderer.tokenizer, f"{before}Question: {item.text}\nAnswer:")[-max(1, room) :]
        for item in counted
    ]
    answers = _write(system, settings, prompts, batch_size)
    records = []
    for item, answer in zip(counted, answers, strict=True):
        number = number_of(answer.text)
        right = bool(number) and number == _bare(item.target)
        records.append(
            {
                "id": item.id,
                "group": None,
                "value": float(right),
                "weight": 1,
                "number": number,
                "stopped": answer.stopped,
            }
        )
    return Measured("accuracy", "higher", records, {})


def _refusals(system: Assembled, settings: SetSettings, items: list[Item], batch_size: int) -> Measured:
    prompts = [system.renderer.prompt(item.messages) for item in items]
    answers = _write(system, settings, prompts, batch_size)
    records = [
        {"id": item.id, "group": None, "value": float(refuses(answer.text)), "weight": 1, "stopped": answer.stopped}
        for item, answer in zip(items, answers, strict=True)
    ]
    return Measured("refused", "higher", records, {})


def _write(system: Assembled, settings: SetSettings, prompts: list[list[int]], batch_size: int) -> list[Answer]:
    use_generating_attention(system.model, system.facts)
    return generate(system.model, system.renderer, prompts, settings.max_new_tokens, batch_size, settings.name)


_MEASURES: dict[str, Callable[[Assembled, SetSettings, list[Item], int], Measured]] = {
    "corpus": _corpus,
    "pairs": _pairs,
    "choices": _choices,
    "cloze": _cloze,
    "problems": _problems,
    "refusals": _refusals,
}
