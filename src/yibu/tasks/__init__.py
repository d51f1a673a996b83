"""Tasks: what is asked of the model, what it must answer, and how an answer is read back.

One file is one task. A plug defines ``Settings`` (its table in the recipe, with a literal ``kind``), ``Task`` (keeps
the protocol below) and ``EXAMPLE`` (a table and the fields of one row, which the contract test and the docs use).
The same plug serves prepare (which rows are usable), train (prompt and target), evaluate (what to compare) and
serve (prompt), so that the four cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict, cast

from yibu.core.errors import RecipeError
from yibu.core.plugs import Family
from yibu.core.recipe import Settings, parse
from yibu.core.record import Row

FAMILY = Family(__name__, requires=("Settings", "Task", "EXAMPLE"))

MeasureKind = Literal["label", "text", "exact", "number", "json", "spans", "relations", "concepts", "note"]
# Kinds whose truth must be JSON.
JSON_KINDS: frozenset[MeasureKind] = frozenset({"json", "spans", "relations"})


class Message(TypedDict):
    """One turn of a conversation, as chat templates read it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Measure:
    """How one field of the answer is scored.

    Attributes:
        field: key of `Task.parse` and `Task.truth`.
        kind: ``label`` (accuracy, macro-F1), ``text`` (ROUGE), ``exact`` (equal text), ``number`` (equal value),
            ``json`` (its fields), ``spans`` (entities as JSON), ``relations`` (as JSON), ``concepts`` (those of a
            dictionary), ``note`` (text whose facts count); all in `yibu.evaluate.scoring`.
    """

    field: str
    kind: MeasureKind


class Task(Protocol):
    """What a plug's ``Task`` offers. Built as ``Task(settings, labels)``.

    Attributes:
        closed_set: the answer is always one of a set of labels, so it is scored by likelihood over that set.
        max_new_tokens: longest answer of free text; 0 for a closed set, where nothing is generated.
        labels: that set, once known; None for free text.
        fields: row fields that the templates use; a row without one of them is rejected.
        label_fields: those of `fields` that hold a class; cleaning leaves them alone.
        measures: what evaluate computes.
    """

    closed_set: bool
    max_new_tokens: int
    labels: list[str] | None
    fields: tuple[str, ...]
    label_fields: tuple[str, ...]
    measures: tuple[Measure, ...]

    def __init__(self, settings: Any, labels: list[str] | None = None) -> None: ...

    def messages(self, row: Row) -> list[Message]:
        """The conversation up to the answer; [] means raw text, to be read without a chat template."""

    def target(self, row: Row) -> str:
        """What the model must say, stripped."""

    def prompt_text(self, row: Row) -> str:
        """What varies in the prompt: for duplicates, leaks and TF-IDF. For raw text it is the text itself."""

    def label(self, row: Row) -> str | None:
        """The row's class, for stratifying and the balance table; None where the task has none."""

    def answer_text(self, label: str) -> str:
        """The words that stand for a label."""

    def parse(self, text: str) -> dict[str, str]:
        """An answer, taken apart into the fields that are measured. Never fails: what is not there is ``""``."""

    def truth(self, row: Row) -> dict[str, str]:
        """The same keys, from the row."""

    def problem(self, row: Row) -> str | None:
        """Why this row cannot be used (a short reason without row text), or None."""


def build(settings: Settings, labels: list[str] | None = None) -> Task:
    """The task of a settings table.

    Args:
        settings: of any plug of this family.
        labels: the labels seen in train, for a task over a closed set whose settings do not name them.
    """
    kind: str = getattr(settings, "kind", "")
    return cast(Task, FAMILY.load(kind).Task(settings, labels))


def settings_of(table: Mapping[str, Any]) -> Settings:
    """A checked settings object from a table such as ``summary["task"]`` of a data artifact.

    Raises:
        RecipeError: a key, a value or a template is wrong.
    """
    plug = FAMILY.load(str(table.get("kind", "generate")))
    return parse(cast(type[Settings], plug.Settings), table)


_CHAT = {"kind": "generate"}
_ENTITIES = {"kind": "generate", "prompt": "List the entities as JSON.\n\n{text}", "target": "{entities}"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "alpaca": _CHAT,
    "sharegpt": _CHAT,
    "messages": _CHAT,
    "prompt_completion": {"kind": "generate", "prompt": "{prompt}", "target": "{completion}"},
    "text_label": {"kind": "classify", "prompt": "{text}", "label": "{label}"},
    "text": {"kind": "generate", "target": "{text}"},
    "ner_tags": _ENTITIES,
    "spans": _ENTITIES,
}


def default_for(shape: str) -> dict[str, Any]:
    """The task table that is meant when the recipe has none.

    Raises:
        RecipeError: rows of this shape do not say what is to be learned from them.
    """
    if shape not in _DEFAULTS:
        raise RecipeError(
            "Rows of this shape do not say what is to be learned, so the recipe must.",
            got=shape,
            allowed=sorted(_DEFAULTS),
            do='add e.g. task: {kind: generate, prompt: "{question}", target: "{answer}"} with your column names',
        )
    return dict(_DEFAULTS[shape])
