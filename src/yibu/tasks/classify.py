"""One of a closed set of labels, said in the model's own words and scored by likelihood over the set.

Because only the labels are compared, an answer is always a label: there is nothing to parse and nothing to refuse.
The verbaliser ``names`` lets the model say words instead of codes (``{"J": "diseases of the respiratory system"}``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from yibu.core.errors import RecipeError
from yibu.core.recipe import Settings as BaseSettings
from yibu.core.record import Row
from yibu.tasks import Measure, Message
from yibu.tasks._template import Template, check_template, text_of

# YAML reads a label written as 1 as a number; rows render numbers as text, so the two must meet as text.
Label = Annotated[str, Field(coerce_numbers_to_str=True)]


class Settings(BaseSettings):
    """Table ``task: {kind: classify, ...}``.

    Attributes:
        prompt: template of the user's turn.
        label: template of the label, usually one column.
        system: system turn put first.
        names: label -> the words that the model says; must cover every label, each its own.
        labels: the closed set; default: the labels seen in train.
    """

    kind: Literal["classify"] = "classify"
    prompt: str = "{text}"
    label: str = "{label}"
    system: str | None = None
    names: dict[Label, str] = Field(default_factory=dict)
    labels: list[Label] | None = None

    @field_validator("prompt", "label")
    @classmethod
    def _check_template(cls, text: str) -> str:
        check_template(text)
        return text

    @model_validator(mode="after")
    def _check_names(self) -> Settings:
        empty = sorted(label for label, words in self.names.items() if not words.strip())
        if empty:
            raise ValueError(f"names has no words for: {', '.join(empty)}")
        said: dict[str, str] = {}
        for label, words in self.names.items():
            other = said.setdefault(words.strip(), label)
            if other != label:
                raise ValueError(f"names has the same words for {other!r} and {label!r}: they could not be told apart")
        if self.labels is not None:
            if len(set(self.labels)) < len(self.labels):
                raise ValueError("labels holds a label twice")
            if len(self.labels) < 2 or not all(label.strip() for label in self.labels):
                raise ValueError("labels needs at least two labels, none of them empty")
            missing = _without_words(self.labels, self.names)
            if missing:
                raise ValueError(f"names lacks words for: {', '.join(missing)}")
        return self


class Task:
    """See `yibu.tasks.Task`."""

    closed_set = True
    max_new_tokens = 0

    def __init__(self, settings: Settings, labels: list[str] | None = None) -> None:
        """
        Raises:
            RecipeError: ``names`` does not cover the labels.
        """
        self.settings = settings
        self.labels: list[str] | None = labels if settings.labels is None else settings.labels
        missing = _without_words(self.labels or [], settings.names)
        if missing:
            raise RecipeError("task.names lacks words for some labels.", got=missing, allowed=list(settings.names))
        self._prompt = Template.of(settings.prompt)
        self._label = Template.of(settings.label)
        self.fields: tuple[str, ...] = tuple(dict.fromkeys((*self._prompt.fields, *self._label.fields)))
        self.label_fields: tuple[str, ...] = self._label.fields
        # A plain column gives its name to the metric; a label put together from several is just "label".
        self._field = self._label.fields[0] if len(self._label.names) == 1 else "label"
        self.measures = (Measure(self._field, "label"),)

    def messages(self, row: Row) -> list[Message]:
        turn = Message(role="user", content=self._prompt.render(row.fields).strip())
        return [turn] if self.settings.system is None else [Message(role="system", content=self.settings.system), turn]

    def target(self, row: Row) -> str:
        return self.answer_text(self.label(row))

    def prompt_text(self, row: Row) -> str:
        return "\n".join(text_of(row.fields, name) for name in self._prompt.fields).strip()

    def label(self, row: Row) -> str:
        return self._label.render(row.fields).strip()

    def answer_text(self, label: str) -> str:
        return self.settings.names.get(label, label).strip()

    def parse(self, text: str) -> dict[str, str]:
        said = text.strip()
        label = next((label for label, words in self.settings.names.items() if words.strip() == said), said)
        return {self._field: label}

    def truth(self, row: Row) -> dict[str, str]:
        return {self._field: self.label(row)}

    def problem(self, row: Row) -> str | None:
        missing = next((name for name in self.fields if row.fields.get(name) is None), None)
        if missing is not None:
            return f"field {missing!r} is missing"
        if not self.prompt_text(row):
            return "empty prompt"
        if not all(text_of(row.fields, name).strip() for name in self._label.fields):
            return "empty label"
        if self.settings.labels is not None and self.label(row) not in self.settings.labels:
            return "label outside the closed set"
        return None


def _without_words(labels: list[str], names: dict[str, str]) -> list[str]:
    """Labels that a verbaliser leaves out; none if there is no verbaliser."""
    return [label for label in labels if label not in names] if names else []


EXAMPLE: tuple[dict[str, Any], dict[str, Any]] = (
    {"kind": "classify", "prompt": "Which chapter does this term belong to?\n\n{term}", "label": "{chapter}"},
    {"term": "Viral pneumonia", "chapter": "Diseases of the respiratory system"},
)
