"""Which metrics a measured field has, and the scores of one system's answers in each of them.

============= ==========================================================================================================
``label``     accuracy, macro-F1, micro-F1, Matthews correlation
``exact``     exact match
``text``      ROUGE-1, -2 and -L
``number``    numbers kept
``json``      field accuracy, exact JSON, valid JSON
``spans``     strict F1 of entities by place and by text, valid JSON
``relations`` strict F1 of relations, and of entities where the field holds both; valid JSON
``concepts``  F1 of the concepts of a dictionary, and whether they are still denied or found as they were
``note``      ROUGE; what is kept of numbers, doses, denials and sides; concepts, where there is a dictionary; what the
              prompt does not support and what of the reference is left out
============= ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yibu.core.errors import DataError
from yibu.metrics import notes, scores, structured
from yibu.metrics.resample import Additive, FloatArray, mean
from yibu.tasks import Measure
from yibu.terms import Dictionary

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Kind:
    """One metric of one field; ``field`` is None for metrics of the whole answer."""

    metric: str
    field: str | None
    unit: str
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of one system.

    Attributes:
        measure: over all rows.
        applies: the rows that it has a score for [N].
        outcomes: 0/1 per row, where the metric is a share of rows.
    """

    measure: Additive
    applies: BoolArray
    outcomes: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What scores need beside truth and answer.

    Attributes:
        language: ``"en"`` or ``"zh"``, of tokens.
        sources: per row, what the answer was to be made from; None: nothing is said about support.
        dictionary: its concepts are looked for.
    """

    language: str
    sources: Sequence[str] | None = None
    dictionary: Dictionary | None = None


Figures = dict[str, Figure]
_Scorer = Callable[[Sequence[str], Sequence[str], Context], Figures]

# Metric -> (unit, whether higher is better), in the order in which they are shown; the first is a field's headline.
_ROUGE = {kind: ("F1", True) for kind in scores.ROUGE_KINDS}
_CONCEPTS = {"concept_f1": ("F1", True), "polarity_kept": ("share", True)}
_ENTITIES = {"span_f1": ("F1", True), "mention_f1": ("F1", True)}
_VALID = {"valid_json": ("share", True)}
METRICS: dict[str, dict[str, tuple[str, bool]]] = {
    "label": {
        "accuracy": ("share", True),
        "macro_f1": ("F1", True),
        "micro_f1": ("F1", True),
        "mcc": ("MCC", True),
    },
    "exact": {"exact_match": ("share", True)},
    "text": _ROUGE,
    "number": {"numbers_kept": ("share", True)},
    "json": {"field_accuracy": ("share", True), "exact_json": ("share", True), **_VALID},
    "spans": {**_ENTITIES, **_VALID},
    "relations": {"relation_f1": ("F1", True), **_ENTITIES, **_VALID},
    "concepts": _CONCEPTS,
    "note": {
        **_ROUGE,
        **_CONCEPTS,
        "numbers_kept": ("share", True),
        "doses_kept": ("share", True),
        "negations_kept": ("share", True),
        "laterality_kept": ("share", True),
        "unsupported": ("share", False),
        "omitted": ("share", False),
    },
}
# Of the whole answer.
WHOLE: dict[str, tuple[str, bool]] = {
    "stop_rate": ("share", True),
    "repetition": ("share", False),
    "target_loss": ("nats", False),
    "judge_unsupported": ("statements", False),
    "judge_omitted": ("statements", False),
}


def score(measure: Measure, right: Sequence[str], said: Sequence[str], context: Context) -> dict[Kind, Figure]:
    """Every metric of a field that applies to these rows.

    Raises:
        DataError: an unknown kind or language, a truth that has not the form of its kind, ``concepts`` without a
            dictionary.
    """
    if measure.kind not in _SCORERS:
        raise DataError("There is no measure of that kind.", got=measure.kind, allowed=list(_SCORERS))
    found = _SCORERS[measure.kind](right, said, context)
    return {
        Kind(metric, measure.field, unit, higher): found[metric]
        for metric, (unit, higher) in METRICS[measure.kind].items()
        if metric in found
    }


def share(outcomes: FloatArray) -> Figure:
    """A share of rows, from 0 or 1 of each."""
    return Figure(mean(outcomes), np.ones(len(outcomes), dtype=bool), outcomes)


def average(values: FloatArray) -> Figure:
    """A mean over the rows that have a score; NaN in the others."""
    return Figure(mean(values), np.isfinite(values))


def _whole(measure: Additive) -> Figure:
    return Figure(measure, np.ones(len(measure.parts), dtype=bool))


def _label(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    return {
        "accuracy": share(scores.exact_match(right, said)),
        "macro_f1": _whole(scores.macro_f1(right, said)),
        "micro_f1": _whole(scores.micro_f1(right, said)),
        "mcc": _whole(scores.matthews(right, said)),
    }


def _exact(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    return {"exact_match": share(scores.exact_match(right, said))}


def _text(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    return {kind: average(values) for kind, values in scores.rouge(right, said, context.language).items()}


def _number(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    return {"numbers_kept": average(scores.numbers_kept(right, said))}


def _json(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    found = structured.json_fields(right, said)
    return {
        "field_accuracy": _whole(found.fields),
        "exact_json": share(found.exact),
        "valid_json": share(found.valid),
    }


def _found(found: structured.Found) -> Figures:
    return {f"{kind}_f1": _whole(measure) for kind, measure in found.f1.items()} | {"valid_json": share(found.valid)}


def _spans(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    return _found(structured.entities(right, said))


def _relations(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    return _found(structured.relations(right, said))


def _concepts(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    if context.dictionary is None:
        raise DataError(
            "Concepts are looked for with a dictionary, and there is none.", do="name one in evaluate.terms.dictionary"
        )
    return {
        "concept_f1": average(notes.concept_f1(right, said, context.dictionary)),
        "polarity_kept": average(notes.polarity_kept(right, said, context.dictionary)),
    }


def _note(right: Sequence[str], said: Sequence[str], context: Context) -> Figures:
    found = {
        **_text(right, said, context),
        **_number(right, said, context),
        "doses_kept": average(notes.doses_kept(right, said)),
        "negations_kept": average(notes.negations_kept(right, said)),
        "laterality_kept": average(notes.laterality_kept(right, said)),
        "omitted": _whole(notes.omitted(right, said, context.dictionary)),
    }
    if context.dictionary is not None:
        found |= _concepts(right, said, context)
    if context.sources is not None:
        found["unsupported"] = _whole(notes.unsupported(said, context.sources, context.dictionary))
    return found


_SCORERS: Mapping[str, _Scorer] = {
    "label": _label,
    "exact": _exact,
    "text": _text,
    "number": _number,
    "json": _json,
    "spans": _spans,
    "relations": _relations,
    "concepts": _concepts,
    "note": _note,
}
