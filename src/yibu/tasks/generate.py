"""Text in, text out: summaries, answers, rewriting, extraction as JSON, whole conversations, raw text.

Which of three forms is meant follows from the table alone, never from the row:

=============== ============ =====================================================================
``prompt``      ``target``   what is learned
=============== ============ =====================================================================
template        template     one question, one answer
none            template     raw text, read without a chat template (continued pretraining)
none            none         a conversation in the field ``messages``; the last assistant turn is the answer
=============== ============ =====================================================================
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from yibu.core.errors import nearest
from yibu.core.recipe import Settings as BaseSettings
from yibu.core.record import Row
from yibu.core.strict_json import read_json
from yibu.tasks import JSON_KINDS, Measure, MeasureKind, Message
from yibu.tasks._template import Template, check_template, text_of

CONVERSATION = "messages"
WHOLE_ANSWER = "answer"


class Settings(BaseSettings):
    """Table ``task: {kind: generate, ...}``.

    Attributes:
        prompt: template of the user's turn, e.g. ``"Summarise.\\n\\n{dialogue}"``.
        target: template of the answer, e.g. ``"{section_header}\\n{section_text}"``.
        system: system turn put first; a conversation that has one of its own keeps it.
        score: how to measure each field of the target template (or ``answer`` for conversations): ``label``, ``exact``,
            ``number``, ``json``, ``spans``, ``relations``, ``concepts``, ``note``; default ``text``.
        max_new_tokens: longest answer when the model is asked.
    """

    kind: Literal["generate"] = "generate"
    prompt: str | None = None
    target: str | None = None
    system: str | None = None
    score: dict[str, MeasureKind] = Field(default_factory=dict)
    max_new_tokens: int = Field(256, ge=1)

    @field_validator("prompt", "target")
    @classmethod
    def _check_template(cls, text: str | None) -> str | None:
        if text is not None:
            check_template(text)
        return text

    @field_validator("target")
    @classmethod
    def _check_readable(cls, text: str | None) -> str | None:
        if text is not None:
            Template.of(text).check_readable()
        return text

    @model_validator(mode="after")
    def _check_form(self) -> Settings:
        if self.prompt is not None and self.target is None:
            raise ValueError('a prompt without a target leaves nothing to learn; add target: "{column}"')
        if self.prompt is None and self.target is not None and self.system is not None:
            raise ValueError("raw text is read without a chat template, so it cannot have a system turn")
        known = (WHOLE_ANSWER,) if self.target is None else Template.of(self.target).fields
        for name in self.score:
            if name not in known:
                close = nearest(name, known)
                hint = f"did you mean {close!r}?" if close else f"its fields: {', '.join(known)}"
                raise ValueError(f"score names {name!r}, which the target does not have; {hint}")
        return self


class Task:
    """See `yibu.tasks.Task`."""

    closed_set = False

    def __init__(self, settings: Settings, labels: list[str] | None = None) -> None:
        self.settings = settings
        self.labels: list[str] | None = None
        self.max_new_tokens = settings.max_new_tokens
        self._prompt = None if settings.prompt is None else Template.of(settings.prompt)
        self._target = None if settings.target is None else Template.of(settings.target)
        prompt_fields = () if self._prompt is None else self._prompt.fields
        target_fields = (CONVERSATION,) if self._target is None else self._target.fields
        self.fields: tuple[str, ...] = tuple(dict.fromkeys((*prompt_fields, *target_fields)))
        measured = (WHOLE_ANSWER,) if self._target is None else target_fields
        self.measures = tuple(Measure(name, settings.score.get(name, "text")) for name in measured)
        self._classes = tuple(measure.field for measure in self.measures if measure.kind == "label")
        self.label_fields: tuple[str, ...] = tuple(name for name in self._classes if name in self.fields)

    def messages(self, row: Row) -> list[Message]:
        if self._prompt is not None:
            turns = [Message(role="user", content=self._prompt.render(row.fields).strip())]
        elif self._target is not None:
            return []
        else:
            turns = _conversation(row)[0]
        if self.settings.system is not None and not any(turn["role"] == "system" for turn in turns):
            turns = [Message(role="system", content=self.settings.system), *turns]
        return turns

    def target(self, row: Row) -> str:
        if self._target is None:
            return _conversation(row)[1].strip()
        return self._target.render(row.fields).strip()

    def prompt_text(self, row: Row) -> str:
        if self._prompt is not None:
            return "\n".join(text_of(row.fields, name) for name in self._prompt.fields).strip()
        if self._target is not None:
            return self.target(row)
        return "\n".join(turn["content"] for turn in _conversation(row)[0]).strip()

    def label(self, row: Row) -> str | None:
        return self.truth(row)[self._classes[0]] if self._classes else None

    def answer_text(self, label: str) -> str:
        return label

    def parse(self, text: str) -> dict[str, str]:
        return {WHOLE_ANSWER: text.strip()} if self._target is None else self._target.read(text)

    def truth(self, row: Row) -> dict[str, str]:
        if self._target is None:
            return {WHOLE_ANSWER: self.target(row)}
        return {name: text_of(row.fields, name).strip() for name in self._target.fields}

    def problem(self, row: Row) -> str | None:
        missing = next((name for name in self.fields if row.fields.get(name) is None), None)
        if missing is not None:
            return f"field {missing!r} is missing"
        if self._target is None and not _is_conversation(row.fields[CONVERSATION]):
            return f"field {CONVERSATION!r} is not a list of turns with role and content"
        is_raw = self._prompt is None and self._target is not None
        if not is_raw and not self.prompt_text(row):
            return "empty prompt"
        truth = self.truth(row)
        empty = next((name for name, value in truth.items() if not value), None)
        if empty is not None:
            return "empty target" if self._target is None else f"empty target (field {empty!r})"
        unread = next((m.field for m in self.measures if m.kind in JSON_KINDS and not _is_json(truth[m.field])), None)
        return None if unread is None else f"field {unread!r} is to be scored as JSON and is none"


def _conversation(row: Row) -> tuple[list[Message], str]:
    """The turns before the last assistant turn, and that turn's text (``""`` if there is none)."""
    turns = row.fields[CONVERSATION]
    for place in range(len(turns) - 1, -1, -1):
        if turns[place]["role"] == "assistant":
            before = [Message(role=turn["role"], content=turn["content"]) for turn in turns[:place]]
            return before, turns[place]["content"]
    return [Message(role=turn["role"], content=turn["content"]) for turn in turns], ""


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in value
    )


EXAMPLE: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "kind": "generate",
        "prompt": "Write the section of the note.\n\n{dialogue}",
        "target": "{section_header}\n{section_text}",
        "score": {"section_header": "label"},
    },
    {"dialogue": "Doctor: Any allergies?\nPatient: None.", "section_header": "ALLERGY", "section_text": "None known."},
)
