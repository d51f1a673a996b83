"""Token ids of training against those of serving, conversation by conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from yibu.model.render import Example, Renderer
from yibu.parity import Check, judged
from yibu.parity.conversations import CONVERSATIONS, Conversation

Serve = Callable[[Sequence[Any]], Sequence[int]]
Train = Callable[[Sequence[Any], str], Example]


def served_by_template(tokenizer: Any) -> Serve:
    """What transformers, vLLM and SGLang make of messages: the tokenizer's own chat template.

    Give it the tokenizer of the exported folder, and what was lost on the way there shows.
    """

    def serve(messages: Sequence[Any]) -> Sequence[int]:
        ids = tokenizer.apply_chat_template(
            list(messages), tokenize=True, add_generation_prompt=True, return_dict=False
        )
        return list(ids)

    return serve


def same_ids(
    renderer: Renderer,
    serve: Serve,
    *,
    stops: Sequence[int] | None = None,
    train: Train | None = None,
    conversations: Sequence[Conversation] = CONVERSATIONS,
) -> list[Check]:
    """Three checks: the prompts are the same, none begins twice, every answer ends in a trained token that stops.

    A conversation that both sides refuse (a template may know no tools) is left out; one that only one side refuses is
    a difference.

    Args:
        renderer: what training renders with.
        serve: token ids that the server makes of messages, up to the answer.
        stops: token ids at which the server stops; default: those of the renderer.
        train: what training makes of messages and a target; default: ``renderer.example``.
    """
    train = renderer.example if train is None else train
    ends = set(renderer.stop_ids if stops is None else stops)
    start = renderer.tokenizer.bos_token_id
    same, differing, doubled, endless, refused = 0, list[str](), list[str](), list[str](), 0
    for one in conversations:
        trained, served = _tried(train, one.messages, one.target), _tried(serve, one.messages)
        if trained is None and served is None:
            refused += 1
            continue
        if trained is None or served is None:
            differing.append(f"{one.name} ({'training' if trained is None else 'serving'} refuses it)")
            continue
        prompt, ids = _prompt_of(trained, renderer, one), list(served)
        if prompt == ids:
            same += 1
        else:
            differing.append(f"{one.name} (token {_first_difference(prompt, ids)})")
        if start is not None and any(side[:2] == [start, start] for side in (prompt, ids)):
            doubled.append(one.name)
        if not (trained.trained[-1] and trained.ids[-1] in ends):
            endless.append(one.name)
    n = len(conversations) - refused
    left_out = f"{refused} refused by both" if refused else ""
    if n == 0:
        return [judged("ids of training = ids of serving", 0.0, 1.0, kind="at least", n=0, detail="all are refused")]
    return [
        judged(
            "ids of training = ids of serving", same / n, 1.0, kind="at least", n=n, detail=_list(differing, left_out)
        ),
        judged("prompts that begin twice", len(doubled), 0, kind="at most", n=n, detail=_list(doubled)),
        judged(
            "answers whose end is not trained or stops nothing",
            len(endless),
            0,
            kind="at most",
            n=n,
            detail=_list(endless),
        ),
    ]


def _tried(make: Callable[..., Any], *arguments: Any) -> Any:
    """What a side makes of a conversation; None if it refuses it, in whatever way a template's author chose."""
    try:
        return make(*arguments)
    except Exception:
        return None


def _prompt_of(example: Example, renderer: Renderer, conversation: Conversation) -> list[int]:
    """The ids of an example up to its answer, as training has them."""
    answer = renderer.answer(conversation.target, conversation.messages)
    return list(example.ids[: len(example.ids) - len(answer)])


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, yours) in pairs if mine != yours), min(len(one), len(other)))


def _list(names: Sequence[str], more: str = "") -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return "; ".join(part for part in (shown, more) if part)
