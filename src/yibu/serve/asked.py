"""What a tuned model is asked: its own task, behind the cleaning that its rows went through.

The ids that the model sees are those that it was trained on, whoever asks: `yibu chat` or the gateway.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yibu import tasks
from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.recipe import parse
from yibu.core.record import Row
from yibu.core.store import Artifact, Store
from yibu.prepare import PrepareConfig
from yibu.prepare.clean import Cleaner, CleanSettings
from yibu.prepare.refine import as_prepared
from yibu.prepare.trace import prepared_from
from yibu.train import Config

if TYPE_CHECKING:
    from yibu.metrics.calibration import Correction

log = get("serve")


@dataclass(frozen=True)
class Corrected:
    """How the scores of labels become probabilities: as the report of the model did it.

    Attributes:
        report: id of its artifact.
        correction: to natural class shares, and of over- or underconfidence.
    """

    report: str
    correction: Correction

    def as_dict(self) -> dict[str, Any]:
        """JSON, for whoever wants to know why the probabilities are not those of the network."""
        return {"report": self.report, "steps": self.correction.steps}


@dataclass(frozen=True)
class Asked:
    """The task of a model.

    Attributes:
        task: of its training. clean: what rows went through.
        fields: of its prompt; none for conversations and raw text.
        corrected: what its report found out about the scores of labels; None where no report of it has a name.
    """

    task: tasks.Task
    fields: tuple[str, ...]
    clean: Callable[[str], str]
    corrected: Corrected | None = None

    def about(self, given: str | Mapping[str, str]) -> list[tasks.Message]:
        """The conversation that a row with these fields would have been.

        Raises:
            DataError: the fields of the prompt are not all there, or others are.
        """
        if not self.fields:
            raise DataError("This model was not trained on a prompt with fields.", do="ask it by /v1/chat/completions")
        if isinstance(given, str):
            given = {self.fields[0]: given} if len(self.fields) == 1 else {}
        if sorted(given) != sorted(self.fields):
            example = json.dumps(dict.fromkeys(self.fields, "..."), ensure_ascii=False)
            raise DataError("The fields of the prompt must be there, and no others.", allowed=example)
        fields = {name: self.clean(text) for name, text in given.items()}
        if not any(text.strip() for text in fields.values()):
            raise DataError("There is nothing to answer.", got="empty fields")
        return self.task.messages(Row(id="", fields=fields))

    def conversation(self, turns: list[dict[str, str]]) -> list[tasks.Message]:
        """Turns as they were in training: cleaned, with the task's system turn, where conversations were trained.

        A model of a task with a prompt of its own gets them as they are: whoever writes the turns writes the prompt.
        """
        if self.fields or self.task.closed_set:
            return [tasks.Message(role=turn["role"], content=turn["content"]) for turn in turns]
        cleaned = [tasks.Message(role=turn["role"], content=self.clean(turn["content"])) for turn in turns]
        row = Row(id="", fields={"messages": [*cleaned, tasks.Message(role="assistant", content="")]})
        try:
            return self.task.messages(row)
        except KeyError:
            return cleaned

    def labels(self) -> tuple[list[str], list[str]]:
        """The closed set, and the words that stand for each label.

        Raises:
            DataError: the task has none.
        """
        if not self.task.closed_set or not self.task.labels:
            raise DataError("This model does not choose a label.", do="ask it by /v1/chat/completions or /v1/extract")
        return self.task.labels, [self.task.answer_text(label) for label in self.task.labels]

    def probabilities(self, scores: Sequence[float]) -> dict[str, float]:
        """Of each label, as the report would have them.

        Args:
            scores: log-likelihood of each label's words, in the order of `labels`.
        """
        return probabilities(self.labels()[0], scores, self.corrected)


def probabilities(labels: Sequence[str], scores: Sequence[float], corrected: Corrected | None) -> dict[str, float]:
    """Of each label; they add up to 1."""
    logs = list(scores)
    if corrected is not None:
        import numpy as np

        logs = corrected.correction.apply(np.array([logs]))[0].tolist()
    best = max(logs)
    shares = [math.exp(one - best) for one in logs]
    total = sum(shares)
    return {label: share / total for label, share in zip(labels, shares, strict=True)}


def asked_of(model: Artifact, store: Store) -> Asked:
    """The task of a model artifact."""
    config = parse(Config, model.manifest.config)
    task = tasks.build(config.task, model.read_json("summary.json")["labels"])
    return Asked(task, prompt_fields(task), cleaning_of(model, store), corrections_of(model, task, store).get("tuned"))


def corrections_of(model: Artifact, task: Any, store: Store) -> dict[str, Corrected]:
    """What a report found out about the scores of ``tuned`` and ``base``; nothing where there is nothing to correct.

    The report is one of this very model that a ref names: of those whose gates were passed, else any. Its decisions and
    probabilities were the ones that people saw and gates let pass, so whoever is answered gets the same.
    """
    if not task.closed_set:
        return {}
    from yibu.metrics import calibration

    refs = store.refs()
    for ref in sorted(refs, key=lambda name: not name.endswith("/passed")):
        report = store.find(refs[ref])
        if report is None or report.manifest.stage != "evaluate" or report.manifest.inputs.get("model") != model.id:
            continue
        found = calibration.corrections_of(report.read_json("metrics.json"), task.labels)
        return {name: Corrected(report.id, correction) for name, correction in found.items()}
    return {}


def prompt_fields(task: Any) -> tuple[str, ...]:
    """The row fields without which a task's prompt cannot be written; none for conversations and raw text."""
    row = dict.fromkeys(task.fields, "")

    def needed(name: str) -> bool:
        try:
            task.messages(Row(id="", fields={key: value for key, value in row.items() if key != name}))
        except DataError:
            return True
        except KeyError:  # a conversation is no template
            return False
        return False

    return tuple(name for name in task.fields if needed(name))


def cleaning_of(model: Artifact, store: Store) -> Callable[[str], str]:
    """What the rows of training went through."""
    data = prepared_from(store, store.find(model.manifest.inputs.get("data", "")))
    if data is None:
        log.warning("the rows that this model was trained on are gone, so what you type is cleaned as `plain`")
        return Cleaner(CleanSettings()).text
    config = parse(PrepareConfig, data.manifest.config)
    return as_prepared(config.data, frozenset(data.read_json("summary.json").get("boilerplate", ())))
