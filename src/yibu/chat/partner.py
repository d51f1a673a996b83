"""A tuned model that is asked line by line.

What is typed goes through the task of the model's own training (cleaning, prompt template, chat template), so the ids
that the model sees are those that it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yibu import tasks
from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.recipe import parse
from yibu.core.record import Row
from yibu.core.store import Artifact, Store
from yibu.serve.asked import Corrected, cleaning_of, corrections_of, probabilities, prompt_fields
from yibu.train import Config

if TYPE_CHECKING:
    from yibu.model.assemble import Assembled

log = get("chat")
NUM_CHOICES = 3

Show = Callable[[str], None]


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        text: the answer, or the most likely label.
        stopped: the model ended its turn by itself.
        choices: the likeliest labels with their probabilities, for a task over a closed set.
    """

    text: str
    stopped: bool
    choices: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        choices = {label: round(probability, 6) for label, probability in self.choices}
        return {"answer": self.text, "stopped": self.stopped, **({"probabilities": choices} if choices else {})}


class Partner:
    """A tuned model and its base, asked line by line.

    Args:
        system: base with the adapter attached.
        task: of the model's training.
        clean: what the rows of training went through.
        max_new_tokens: longest answer.
        corrections: of the scores of labels, for ``tuned`` and ``base``, as the report did it.
    """

    def __init__(
        self,
        system: Assembled,
        task: Any,
        clean: Callable[[str], str],
        max_new_tokens: int | None = None,
        corrections: Mapping[str, Corrected] | None = None,
    ) -> None:
        self.system = system
        self.task = task
        self.fields = prompt_fields(task)
        self.max_new_tokens = max_new_tokens or task.max_new_tokens
        self._clean = clean
        self._corrections = corrections or {}
        self._tree: bool | None = None  # whether labels may be scored as a tree; asked at the first question
        self._turns: dict[bool, list[tasks.Message]] = {True: [], False: []}

    def ask(self, line: str, tuned: bool = True, show: Show = lambda text: None) -> Reply:
        """The answer to a line.

        Args:
            line: the text, or a JSON object where the prompt has several fields.
            tuned: False asks the base without its adapter.
            show: called with each new piece of a written answer.

        Raises:
            DataError: nothing was said, or the fields of the prompt are not all there.
        """
        if tuned:
            return self._ask(line, True, show)
        with self.system.model.disable_adapter():
            return self._ask(line, False, show)

    def forget(self) -> None:
        """Begin a new conversation."""
        self._turns = {True: [], False: []}

    def _ask(self, line: str, tuned: bool, show: Show) -> Reply:
        if not line.strip():
            raise DataError("There is nothing to answer.", got="an empty line")
        messages, prompt = self._prompt(line, tuned)
        if self.task.closed_set:
            return self._choose(messages, prompt, self._corrections.get("tuned" if tuned else "base"))
        reply = self._write(prompt, show)
        if not self.fields and messages:
            turns = (
                tasks.Message(role="user", content=self._clean(line)),
                tasks.Message(role="assistant", content=reply.text),
            )
            self._turns[tuned] += turns
        return reply

    def _prompt(self, line: str, tuned: bool) -> tuple[list[tasks.Message], list[int]]:
        renderer = self.system.renderer
        if self.fields:
            messages = self.task.messages(Row(id="", fields=self._read(line)))
        else:
            # The last turn of a conversation is what the model is to say; the task leaves it out of the prompt.
            turns = [
                *self._turns[tuned],
                tasks.Message(role="user", content=self._clean(line)),
                tasks.Message(role="assistant", content=""),
            ]
            messages = self.task.messages(Row(id="", fields=dict.fromkeys(self.task.fields, turns)))
        if messages:
            return messages, renderer.prompt(messages)
        return [], list(renderer.tokenizer(self._clean(line), add_special_tokens=True)["input_ids"])

    def _read(self, line: str) -> dict[str, str]:
        """The fields of the prompt."""
        if len(self.fields) == 1:
            return {self.fields[0]: self._clean(line)}
        try:
            table = json.loads(line)
        except ValueError:
            table = None
        if not isinstance(table, dict) or any(not isinstance(table.get(name), str) for name in self.fields):
            example = json.dumps(dict.fromkeys(self.fields, "..."), ensure_ascii=False)
            raise DataError(
                "The prompt of this task has several fields, so a line must be a JSON object that has them all.",
                allowed=example,
            )
        return {name: self._clean(table[name]) for name in self.fields}

    def _choose(self, messages: Sequence[tasks.Message], prompt: list[int], corrected: Corrected | None) -> Reply:
        from yibu.model.score import score_answers, tree_is_exact

        system, labels = self.system, self.task.labels
        words = [system.renderer.answer(self.task.answer_text(label), messages) for label in labels]
        if self._tree is None:
            self._tree = system.packed and tree_is_exact(system.model, prompt, words)
        scores = score_answers(system.model, [prompt], words, tree=self._tree, title="choosing a label")[0]
        shares = probabilities(labels, scores.tolist(), corrected)
        choices = tuple(sorted(shares.items(), key=lambda one: -one[1])[:NUM_CHOICES])
        return Reply(choices[0][0], True, choices)

    def _write(self, prompt: list[int], show: Show) -> Reply:
        import torch

        from yibu.model.assemble import use_generating_attention

        system, renderer = self.system, self.system.renderer
        use_generating_attention(system.model, system.facts)
        stops = renderer.stop_ids
        ids = torch.tensor([prompt], device=system.device)
        with torch.no_grad():
            output = system.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self.max_new_tokens,
                eos_token_id=stops,
                pad_token_id=stops[0],
                streamer=_stream(renderer, show),
            )
        new = output[0, len(prompt) :].tolist()
        return Reply(renderer.decode(new), bool(new) and new[-1] in stops)


def _stream(renderer: Any, show: Show) -> Any:
    """Hands each piece of an answer on as soon as it is whole (a character may span tokens)."""
    from transformers import TextStreamer

    # End-of-turn tokens are not always special in the tokenizer; a reasoning model's answer closes a thought first.
    marks = {str(renderer.tokenizer.decode([stop])) for stop in renderer.stop_ids} | {"</think>"}

    class Streamer(TextStreamer):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            for mark in marks:
                text = text.replace(mark, "")
            if text:
                show(text)

    return Streamer(renderer.tokenizer, skip_prompt=True, skip_special_tokens=True)


def open_partner(model: Artifact, store: Store, max_new_tokens: int | None = None) -> Partner:
    """Load base and adapter of a model artifact.

    Raises:
        BaseModelError: the base is no longer where it was, and cannot be found again.
    """
    from yibu.model.assemble import for_answers

    config = parse(Config, model.manifest.config)
    path = Path(config.base.path)
    if not path.is_dir():
        from yibu.model.resolve import resolve

        path = resolve(config.base.name, store).path
    summary = model.read_json("summary.json")
    kind = str(getattr(config.adapter, "kind", ""))
    system = for_answers(path, model.path / "adapter", kind, config.train.device, config.train.dtype)
    task = tasks.build(config.task, summary["labels"])
    return Partner(system, task, cleaning_of(model, store), max_new_tokens, corrections_of(model, task, store))
