"""From messages to token ids and a loss mask, through the tokenizer's own chat template.

The prompt ids are those that any server builds from the same messages (``apply_chat_template(...,
add_generation_prompt=True)`` and no special tokens on top), so training and serving cannot drift apart. Loss lies on
the answer and on the token that ends the turn, and nowhere else; that token is always trained, since a model that never
saw it never stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yibu.core.errors import TemplateError

# An answer that no template contains, to see what the template writes behind an answer.
_PROBE = "⟦yibu⟧"
_OPEN_THINK = "<think>"
_CLOSE_THINK = "</think>\n\n"


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one conversation and which of them carry loss.

    Attributes:
        ids: the whole conversation.
        trained: same length; True where the token is a target.
        name: id of the row.
        label: class of the row; None where the task has none.
        label_tokens: same length; True where the token says the label. None: every target token does.
        weight: what the loss of the label's tokens is multiplied by, see `yibu.train.balance`.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    name: str = ""
    label: str | None = None
    label_tokens: tuple[bool, ...] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.trained)
        assert self.label_tokens is None or len(self.label_tokens) == len(self.ids)

    @property
    def num_targets(self) -> int:
        return sum(self.trained)


class Renderer:
    """Renders prompts and training examples for one tokenizer.

    Args:
        tokenizer: a transformers tokenizer; its chat template is used as it is.
        stop_tokens: names of end-of-turn tokens that the architecture is known for, used where the template's own
            end of turn is not marked as special in the tokenizer.

    Raises:
        TemplateError: no chat template, or one that writes no stop token behind an answer.
    """

    def __init__(self, tokenizer: Any, stop_tokens: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self._known_stops = {
            token_id
            for token in stop_tokens
            if (token_id := tokenizer.convert_tokens_to_ids(token)) is not None and token_id != tokenizer.unk_token_id
        }
        self._special = set(tokenizer.all_special_ids) | self._known_stops
        self._lead = ""
        self._tail: tuple[int, ...] | None = None
        if tokenizer.chat_template:
            self._lead, self._tail = self._around_an_answer()

    @property
    def stop_ids(self) -> list[int]:
        """Ids at which generation ends: the template's end of turn, and the tokenizer's end of text."""
        stops = {self.tokenizer.eos_token_id} | ({self._tail[-1]} if self._tail else set())
        return sorted(stop for stop in stops if stop is not None)

    @property
    def stop_token(self) -> str:
        """The token that ends a trained answer."""
        stop = self._tail[-1] if self._tail else self.tokenizer.eos_token_id
        return str(self.tokenizer.convert_ids_to_tokens(stop))

    def prompt(self, messages: Sequence[Any]) -> list[int]:
        """Ids up to the answer, equal to what a server builds. No messages: the beginning-of-text token alone."""
        if not messages:
            return list(self.tokenizer("", add_special_tokens=True)["input_ids"])[:1]
        self._need_template()
        return self._encode(self._prompt_text(messages))

    def answer(self, text: str, messages: Sequence[Any] = ()) -> list[int]:
        """Ids of an answer and the end of the turn, as they follow `prompt(messages)`."""
        said, tail = self._answer_parts(text, messages)
        return [*self._encode(said), *tail]

    def _answer_parts(self, text: str, messages: Sequence[Any]) -> tuple[str, tuple[int, ...]]:
        """What is really written for an answer (the text stands at its end), and the ids behind it."""
        if not messages:
            return text, (self.tokenizer.eos_token_id,)
        self._need_template()
        assert self._tail is not None
        opened = self._prompt_text(messages).rstrip().endswith(_OPEN_THINK)
        if opened and "</think>" not in text:
            # The server's prompt opens a thought (R1); the answer must close it, or the model would think for ever.
            text = _CLOSE_THINK + text
        return self._lead + text, self._tail

    def answer_marks(self, text: str, messages: Sequence[Any], span: tuple[int, int]) -> list[bool]:
        """Which ids of `answer(text, messages)` hold a character of ``text[span[0]:span[1]]``.

        Raises:
            TemplateError: the tokenizer does not say which characters its tokens stand for.
        """
        said, tail = self._answer_parts(text, messages)
        shift = len(said) - len(text)
        try:
            encoded = self.tokenizer(said, add_special_tokens=False, return_offsets_mapping=True)
        except NotImplementedError as error:
            raise TemplateError(
                "This base's tokenizer does not say which characters its tokens stand for, so the label's tokens "
                "cannot be told from the others.",
                do="set train.sampler: weighted instead of train.class_weights, or use a base with a fast tokenizer",
            ) from error
        begin, end = span[0] + shift, span[1] + shift
        marks = [first < end and last > begin for first, last in encoded["offset_mapping"]]
        return [*marks, *([False] * len(tail))]

    def example(self, messages: Sequence[Any], target: str, name: str = "") -> Example:
        """Prompt and target of one row; loss on the target and the end of its turn.

        Earlier turns of the assistant in `messages` are targets too, where the template renders them in the
        conversation exactly as they were generated (some templates strip thoughts from the past: those are context).

        Raises:
            TemplateError: two beginning-of-text tokens.
        """
        prompt = self.prompt(messages)
        answer = self.answer(target, messages)
        self._check_start(prompt)
        # The first token of a text has no token before it that could predict it.
        trained = [False] * len(prompt) + [bool(prompt or index) for index in range(len(answer))]
        for position, message in enumerate(messages):
            if message["role"] == "assistant" and position > 0:
                before = self.prompt(messages[:position])
                turn = before + self.answer(message["content"], messages[:position])
                if prompt[: len(turn)] == turn:
                    trained[len(before) : len(turn)] = [True] * (len(turn) - len(before))
        return Example((*prompt, *answer), tuple(trained), name)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer without special tokens; a closed thought in front of it is taken off."""
        kept = [token_id for token_id in ids if token_id not in self._special]
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True))
        return text.rpartition("</think>")[2].strip()

    def pieces(self, example: Example) -> list[tuple[str, bool]]:
        """Text of each token and whether it is trained, for a preview."""
        return [
            (self.tokenizer.decode([token_id]), trained)
            for token_id, trained in zip(example.ids, example.trained, strict=True)
        ]

    def _need_template(self) -> None:
        if self._tail is None:
            raise TemplateError(
                "The base has no chat template, so a prompt cannot be rendered as a server would render it.",
                do="use an instruction-tuned base, or one whose architecture yibu has a template for (docs: bases)",
            )

    def _prompt_text(self, messages: Sequence[Any]) -> str:
        return self._apply(messages, add_generation_prompt=True)

    def _apply(self, messages: Sequence[Any], add_generation_prompt: bool) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        except Exception as error:  # jinja raises what the template's author chose
            roles = [message["role"] for message in messages]
            raise TemplateError(
                "The base's chat template refuses this conversation.",
                got=f"roles {roles}: {error}",
                do="leave out task.system, or check the order of the turns",
            ) from error

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _around_an_answer(self) -> tuple[str, tuple[int, ...]]:
        """What the template writes between the prompt and an answer (DeepSeek V2: a space), and the ids behind it."""
        asked = [{"role": "user", "content": "?"}]
        full = self._apply([*asked, {"role": "assistant", "content": _PROBE}], add_generation_prompt=False)
        before, found, behind = full.rpartition(_PROBE)
        if not found:
            raise TemplateError(
                "The chat template does not write the assistant's answer, so nothing could be trained.",
                do="give the base a template that renders assistant turns",
            )
        prompt = self._prompt_text(asked)
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        ids = self._encode(behind)
        for position, token_id in enumerate(ids):
            if token_id in self._special or token_id == self.tokenizer.eos_token_id:
                return lead, tuple(ids[: position + 1])
        raise TemplateError(
            "The chat template writes no stop token behind an answer: a model tuned with it would never stop.",
            got=f"behind an answer it writes {behind!r}",
            allowed=f"one of the special tokens {self.tokenizer.all_special_tokens}",
            do="add the end-of-turn token to the template, or choose another base",
        )

    def _check_start(self, ids: Sequence[int]) -> None:
        bos = self.tokenizer.bos_token_id
        if bos is not None and len(ids) > 1 and ids[0] == bos and ids[1] == bos:
            raise TemplateError(
                "The prompt begins with two beginning-of-text tokens.",
                got=self.tokenizer.convert_ids_to_tokens(list(ids[:4])),
                do="take the token out of the chat template, or out of the tokenizer's post-processor",
            )
