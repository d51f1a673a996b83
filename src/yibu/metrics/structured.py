"""Scores of answers that a program reads: JSON, entities, relations between them.

Answers are read strictly (`yibu.core.strict_json`): who asked for JSON and gets a fence around it has to write a
parser. An answer that cannot be read is wrong in every field and finds nothing; how often that happens stands beside
each score. Legend: N items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yibu.core.errors import DataError
from yibu.core.strict_json import read_json
from yibu.metrics.resample import Additive, FloatArray
from yibu.metrics.scores import f1_of_counts, normalise

_NAMES = {
    "start": ("start", "start_position", "start_idx", "start_offset"),
    "end": ("end", "end_position", "end_idx", "end_offset"),
    "type": ("type", "label", "entity_type", "entity_group", "relation"),
    "text": ("text", "entity_value", "entity", "word", "mention"),
    "head": ("head", "subject", "from", "from_id", "arg1"),
    "tail": ("tail", "object", "to", "to_id", "arg2"),
}


@dataclass(frozen=True, slots=True)
class Fields:
    """Scores of JSON answers.

    Attributes:
        valid: 1.0 where the answer is JSON [N].
        exact: 1.0 where it is the truth: the same names and values, in any order of names [N].
        fields: share of the truth's fields that the answer has with the same value, over all items together.
    """

    valid: FloatArray
    exact: FloatArray
    fields: Additive


@dataclass(frozen=True, slots=True)
class Found:
    """Scores of extracted things: strict F1 over all items together (micro), by what identifies a thing.

    Attributes:
        valid: 1.0 where the answer is JSON of a form that is read [N].
        f1: by ``span`` (type, start and end), ``mention`` (type and text) or ``relation``; what the truth does not
            give (offsets, texts, relations) is not there.
    """

    valid: FloatArray
    f1: dict[str, Additive]


def json_fields(truth: Sequence[str], answers: Sequence[str]) -> Fields:
    """Exact JSON and field accuracy.

    A field is a value that is neither object nor list, or an empty one, under its path of names and places. Texts are
    compared as by `scores.exact_match`, numbers by value (1 is 1.0, and not true). A field too many costs the exactness
    alone.

    Raises:
        DataError: the two are not equally long, or a truth is no JSON.
    """
    wanted, said = _values(truth, answers)
    exact = np.zeros(len(wanted))
    counts = np.zeros((len(wanted), 2))
    for item, (one, other) in enumerate(zip(wanted, said, strict=True)):
        needed = dict(_leaves(one))
        given = {} if other is _INVALID else dict(_leaves(other))
        exact[item] = needed == given
        counts[item] = sum(given.get(path) == value for path, value in needed.items()), len(needed)
    valid = np.array([value is not _INVALID for value in said], dtype=float)
    return Fields(valid, exact, Additive(counts, _share_of_counts))


def entities(truth: Sequence[str], answers: Sequence[str]) -> Found:
    """Strict F1 of entities: type and both borders, or type and text, must be those of the truth.

    Either is a list of objects (``{"type", "start", "end", "text"}`` under the names that usual tools give them, or
    ``[start, end, type]``), an object that holds such a list under ``entities``, or ``{type: [text, ...]}``. One span
    counts once, as in seqeval; a mention as often as it is there. With every text alike it is the strict F1 of
    nervaluate and the exact match of CoNLL.

    Raises:
        DataError: the two are not equally long, a truth is no JSON of these forms, or no truth has offsets or texts.
    """
    wanted, said, valid = _read(truth, answers, _entities_of)
    known = [entity for found in wanted for entity in found]
    f1: dict[str, Additive] = {}
    if all(entity.start is not None and entity.end is not None for entity in known):
        f1["span"] = _f1(wanted, said, lambda found: Counter(set(map(_span, found))))
    if all(entity.text is not None for entity in known):
        f1["mention"] = _f1(wanted, said, lambda found: Counter(map(_mention, found)))
    if not f1:
        raise DataError("An entity of the truth has neither its place nor its text.", allowed="start and end, or text")
    return Found(valid, f1)


def relations(truth: Sequence[str], answers: Sequence[str]) -> Found:
    """Strict F1 of relations: the type and both entities, each with its own type and borders, must be right.

    Either is a list of ``{"type", "head", "tail"}`` (``subject`` and ``object``, and other usual names), or an object
    with such a list under ``relations`` and the entities under ``entities``. Head and tail are entities, or name one
    by its ``id`` or its place in that list; where no entity has that name, it is compared as it is, which is how
    relations between concepts are scored. With both lists in the truth its entities are scored, too.

    Raises:
        DataError: the two are not equally long, or a truth is no JSON of these forms.
    """
    wanted, said, valid = _read(truth, answers, _relations_of)
    f1 = {"relation": _f1(wanted, said, lambda found: Counter(set(found)))}
    if all(isinstance(read_json(one), dict) for one in truth):
        return Found(valid, entities(truth, answers).f1 | f1)
    return Found(valid, f1)


@dataclass(frozen=True, slots=True)
class _Entity:
    type: str | None
    start: int | None
    end: int | None
    text: str | None
    id: str | None
    place: int  # tells malformed ones apart


class _Invalid:
    """The value of what is no JSON; None is the value of ``null``."""


_INVALID = _Invalid()
_Key = tuple[Hashable, ...]
_Reader = Callable[[Any], list[Any]]


def _values(truth: Sequence[str], answers: Sequence[str]) -> tuple[list[Any], list[Any]]:
    if len(truth) != len(answers):
        raise DataError("Truth and answers must be equally long.", got=f"{len(truth)} truths, {len(answers)} answers")
    wanted = [_value(text) for text in truth]
    for item, value in enumerate(wanted):
        if value is _INVALID:
            raise DataError("A truth that is to be scored as JSON is none.", got=f"row {item + 1} of those scored")
    return wanted, [_value(text) for text in answers]


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return _INVALID


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Hashable]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, normalise(name)))
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, place))
    elif isinstance(value, str):
        yield path, ("text", normalise(value))
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield path, ("other", repr(value))
    else:
        yield path, ("number", value)


def _read(
    truth: Sequence[str], answers: Sequence[str], read: _Reader
) -> tuple[list[list[Any]], list[list[Any]], FloatArray]:
    wanted, said = _values(truth, answers)
    found = []
    for item, value in enumerate(wanted):
        try:
            found.append(read(value))
        except ValueError as error:
            raise DataError(
                "A truth has not the form that is to be scored.", got=f"row {item + 1} of those scored: {error}"
            ) from error
    read_answers, valid = [], np.zeros(len(said))
    for item, value in enumerate(said):
        try:
            read_answers.append([] if value is _INVALID else read(value))
            valid[item] = value is not _INVALID
        except ValueError:
            read_answers.append([])
    return found, read_answers, valid


def _entities_of(value: Any) -> list[_Entity]:
    if isinstance(value, dict) and "entities" in value:
        value = value["entities"]
    elif isinstance(value, dict) and all(isinstance(texts, list) for texts in value.values()):
        value = [{"type": kind, "text": text} for kind, texts in value.items() for text in texts]
    if not isinstance(value, list):
        raise ValueError("neither a list of entities nor an object with one")
    return [_entity(given, place) for place, given in enumerate(value)]


def _entity(given: Any, place: int) -> _Entity:
    if isinstance(given, list) and len(given) == 3:
        given = dict(zip(("start", "end", "type"), given, strict=True))
    if not isinstance(given, dict):
        return _Entity(None, None, None, None, None, place)
    start, end = (_whole(_part(given, name)) for name in ("start", "end"))
    kind, text, name = _part(given, "type"), _part(given, "text"), given.get("id")
    return _Entity(
        normalise(kind) if isinstance(kind, str) else None,
        start,
        end,
        normalise(text) if isinstance(text, str) else None,
        str(name) if isinstance(name, str | int) else None,
        place,
    )


def _relations_of(value: Any) -> list[_Key]:
    named: dict[str, list[_Entity]] = {}
    if isinstance(value, dict):
        listed = _entities_of(value) if "entities" in value else []
        for entity in listed:
            named.setdefault(str(entity.place) if entity.id is None else entity.id, []).append(entity)
        value = value.get("relations")
    if not isinstance(value, list):
        raise ValueError("neither a list of relations nor an object with one")
    return [_relation(given, named, place) for place, given in enumerate(value)]


def _relation(given: Any, named: Mapping[str, list[_Entity]], place: int) -> _Key:
    parts = [_part(given, name) for name in ("type", "head", "tail")] if isinstance(given, dict) else [None]
    if any(part is None for part in parts):
        return ("malformed", place)
    kind, head, tail = parts
    return ("relation", normalise(str(kind)), _end(head, named), _end(tail, named))


def _end(given: Any, named: Mapping[str, list[_Entity]]) -> _Key:
    """What identifies one end of a relation. A name that several entities share is a concept, and stays a name."""
    if isinstance(given, dict | list):
        entity = _entity(given, 0)
    else:
        meant = named.get(str(given), ())
        if len(meant) != 1:
            return ("name", normalise(str(given)))
        entity = meant[0]
    return _span(entity) if entity.start is not None and entity.end is not None else _mention(entity)


def _span(entity: _Entity) -> _Key:
    if entity.type is None or entity.start is None or entity.end is None:
        return ("malformed", entity.place)
    return ("span", entity.type, entity.start, entity.end)


def _mention(entity: _Entity) -> _Key:
    if entity.type is None or entity.text is None:
        return ("malformed", entity.place)
    return ("mention", entity.type, entity.text)


def _part(given: Mapping[str, Any], name: str) -> Any:
    return next((given[key] for key in _NAMES[name] if given.get(key) is not None), None)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _f1(wanted: Sequence[list[Any]], said: Sequence[list[Any]], keys: Callable[[list[Any]], Counter[_Key]]) -> Additive:
    counts = np.zeros((len(wanted), 3))
    for item, (one, other) in enumerate(zip(wanted, said, strict=True)):
        needed, given = keys(one), keys(other)
        hits = sum(count for key, count in (needed & given).items() if key[0] != "malformed")
        counts[item] = hits, needed.total(), given.total()
    return Additive(counts, f1_of_counts)


def _share_of_counts(sums: FloatArray) -> FloatArray:
    return np.asarray(np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 1], 1), 1.0))
