"""What a written note keeps, leaves out and makes up, by rules: one number or two sums per item.

Three texts matter: the reference (what a person wrote), the answer, and the source (what both were written from). What
is *kept* is a share of what the reference states. What is *left out* are facts of the reference that the answer lacks.
What is *unsupported* are facts of the answer that the source does not hold; for dialogues it counts as support where a
question was answered in the negative ("Any fever?" "No."). A person's notes of MTS-Dialog score 15 % unsupported (dates
and sides that the dialogue says otherwise, values that it does not say), those of other dialogues 91 %.

Facts are values with units, concepts of a dictionary (found or denied), what is denied in plain words, and sides of the
body (`yibu.metrics.facts`). Rules see nothing else: a wrong cause or a wrong subject passes. MEDCON (Yim et al. 2023,
ACI-Bench, Scientific Data 10) is the concept score of the same kind over UMLS; this one works with any dictionary and
in Chinese. Legend: N items.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from yibu.core.errors import DataError
from yibu.metrics import facts
from yibu.metrics.resample import Additive, FloatArray
from yibu.terms import Dictionary

_QUESTION = re.compile(r"[^.。！!\n?？]*[?？]")
_BOTH = re.compile(r"\bboth\b|\bbilateral|两侧|双侧|两[只边个]", re.IGNORECASE)
_SPEAKER = r"\s*(?:[\w ]{1,20}[:：])?\s*(?:(?:uh|um|well|oh|okay|嗯|哦)[ ,.，。]*)?"
_NEGATIVE_REPLY = re.compile(
    _SPEAKER
    + r"(?:no|nope|nah|none|never|not|nothing|i (?:do not|don['’]?t|haven['’]?t|have not))(?![a-z])|"
    + _SPEAKER
    + "(?:没|无|不|否)",
    re.IGNORECASE,
)
_POSITIVE_REPLY = re.compile(
    _SPEAKER + r"(?:yes|yeah|yep|yup|sure|correct|right|i (?:do|have|am|did))(?![a-z])|" + _SPEAKER + "(?:有|是|对|嗯)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Stated:
    """What one text states.

    Attributes:
        values: numbers with units.
        concepts: code (or preferred term) of the dictionary -> whether it is denied, for each way it is mentioned.
        denied: words that are denied.
        sides: sides of the body.
    """

    values: frozenset[facts.Value]
    concepts: frozenset[tuple[str, bool]]
    denied: frozenset[str]
    sides: frozenset[facts.Side]


def doses_kept(truth: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Share of the distinct numbers with a unit that the answer has, too, unit and all; NaN without any, [N].

    Units are compared in one spelling (毫克 is mg); values are not converted, so that 1 g is not 1000 mg.

    Raises:
        DataError: the two are not equally long.
    """
    return _kept(truth, answers, lambda text: {value for value in facts.values(text) if value.unit})


def negations_kept(truth: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Share of the words denied in the truth that the answer denies, too; NaN where nothing is denied, [N].

    Raises:
        DataError: the two are not equally long.
    """
    return _kept(truth, answers, facts.denied_words)


def laterality_kept(truth: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Share of the sides of the body that the answer gives alike; NaN where the truth names none, [N].

    Raises:
        DataError: the two are not equally long.
    """
    return _kept(truth, answers, facts.sides)


def concept_f1(truth: Sequence[str], answers: Sequence[str], dictionary: Dictionary) -> FloatArray:
    """F1 of the sets of concepts found in truth and answer, whether denied or not; NaN where neither has any, [N].

    Raises:
        DataError: the two are not equally long.
    """
    _check(truth, answers)
    found = np.full(len(truth), np.nan)
    for item, (one, other) in enumerate(zip(truth, answers, strict=True)):
        wanted, said = ({name for name, _ in _concepts(text, dictionary)} for text in (one, other))
        if wanted or said:
            found[item] = 2 * len(wanted & said) / (len(wanted) + len(said))
    return found


def polarity_kept(truth: Sequence[str], answers: Sequence[str], dictionary: Dictionary) -> FloatArray:
    """Of the concepts that both mention, the share that the answer denies, or not, as the truth does; else NaN, [N].

    Raises:
        DataError: the two are not equally long.
    """
    _check(truth, answers)
    found = np.full(len(truth), np.nan)
    for item, (one, other) in enumerate(zip(truth, answers, strict=True)):
        wanted, said = _concepts(one, dictionary), _concepts(other, dictionary)
        both = {name for name, _ in wanted} & {name for name, _ in said}
        if both:
            alike = [{state for state in wanted if state[0] == name} <= said for name in both]
            found[item] = sum(alike) / len(alike)
    return found


def unsupported(answers: Sequence[str], sources: Sequence[str], dictionary: Dictionary | None = None) -> Additive:
    """Share of the facts stated in the answers that their sources do not hold, over all items together.

    A number counts as held where the source has it with the same unit, without a unit, or in words. A side of the body
    where the source has it for that part, or has it and does not name that part. A concept where the source has it, and
    denied only where the source denies it or asks for it and gets a no. Of what is denied in plain words only those
    count that the source mentions outside of questions that nobody answers.

    Raises:
        DataError: not one source per answer.
    """
    _check(answers, sources)
    counts = np.zeros((len(answers), 2))
    for item, (answer, source) in enumerate(zip(answers, sources, strict=True)):
        counts[item] = _count_unsupported(answer, source, dictionary)
    return Additive(counts, _share_of_counts)


def omitted(truth: Sequence[str], answers: Sequence[str], dictionary: Dictionary | None = None) -> Additive:
    """Share of the facts stated in the references that the answers lack, over all items together.

    Raises:
        DataError: the two are not equally long.
    """
    _check(truth, answers)
    counts = np.zeros((len(truth), 2))
    for item, (one, other) in enumerate(zip(truth, answers, strict=True)):
        wanted, said = _facts(one, dictionary), _facts(other, dictionary)
        counts[item] = len(wanted - said), len(wanted)
    return Additive(counts, _share_of_counts)


@lru_cache(maxsize=4096)
def stated(text: str, dictionary: Dictionary | None = None) -> Stated:
    """The facts of one text."""
    return Stated(
        frozenset(facts.values(text)),
        frozenset() if dictionary is None else _concepts(text, dictionary),
        frozenset(facts.denied_words(text)),
        frozenset(facts.sides(text)),
    )


def _facts(text: str, dictionary: Dictionary | None) -> set[Hashable]:
    found = stated(text, dictionary)
    return {*found.values, *found.concepts, *found.denied, *found.sides}


def _count_unsupported(answer: str, source: str, dictionary: Dictionary | None) -> tuple[int, int]:
    """Facts of the answer that the source does not hold, and all whose support rules can tell."""
    said, held = stated(answer, dictionary), stated(source, dictionary)
    asked = _asked(source)
    bare = {value.number for value in held.values if not value.unit} | facts.spoken_numbers(source)
    values = [value for value in said.values if not _holds_value(value, held.values, bare)]
    places, given = {side.site for side in held.sides} - {""}, {side.side for side in held.sides}
    if given >= {"left", "right"} or _BOTH.search(source):
        given.add("both")
    if "both" in given:
        given |= {"left", "right"}
    sides = [side for side in said.sides - held.sides if side.site in places or side.side not in given]
    held_concepts = _concepts_of(asked.rest, dictionary) | {
        (name, True) for name, _ in _concepts_of(asked.denied, dictionary)
    }
    concepts = said.concepts - held_concepts
    affirmed = facts.content_words(asked.statements + " . " + asked.affirmed)
    denied = held.denied | facts.content_words(asked.denied)
    told = said.denied & (affirmed | denied)
    num_bad = len(values) + len(sides) + len(concepts) + len(told - denied)
    return num_bad, len(said.values) + len(said.sides) + len(said.concepts) + len(told)


def _holds_value(value: facts.Value, held: frozenset[facts.Value], bare: set[str]) -> bool:
    if value in held or value.number in bare:
        return True
    return not value.unit and value.number in {other.number for other in held}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A dialogue: questions answered with no, those answered with yes, all that is none, and all but the first."""

    denied: str
    affirmed: str
    statements: str
    rest: str


def _asked(source: str) -> _Asked:
    questions = list(_QUESTION.finditer(source))
    denied = [found for found in questions if _NEGATIVE_REPLY.match(source, found.end())]
    affirmed = [found for found in questions if _POSITIVE_REPLY.match(source, found.end())]
    return _Asked(
        _joined(denied), _joined(affirmed), _QUESTION.sub(" . ", source), _QUESTION.sub(_unless(denied), source)
    )


def _joined(found: Sequence[re.Match[str]]) -> str:
    return " . ".join(match.group() for match in found)


def _unless(found: Sequence[re.Match[str]]) -> Callable[[re.Match[str]], str]:
    """A replacement that takes these out and leaves the others."""
    starts = {match.start() for match in found}
    return lambda match: " . " if match.start() in starts else match.group()


@lru_cache(maxsize=4096)
def _concepts(text: str, dictionary: Dictionary) -> frozenset[tuple[str, bool]]:
    matches = dictionary.find(text)
    denied = facts.denied_spans(text) if matches else []
    return frozenset(
        (
            match.entry.code or match.entry.preferred,
            any(start <= match.start and match.end <= end for start, end in denied),
        )
        for match in matches
    )


def _concepts_of(text: str, dictionary: Dictionary | None) -> frozenset[tuple[str, bool]]:
    return frozenset() if dictionary is None or not text else _concepts(text, dictionary)


def _kept(truth: Sequence[str], answers: Sequence[str], read: Callable[[str], Set[Hashable]]) -> FloatArray:
    _check(truth, answers)
    kept = np.full(len(truth), np.nan)
    for item, (one, other) in enumerate(zip(truth, answers, strict=True)):
        wanted = read(one)
        if wanted:
            kept[item] = len(wanted & read(other)) / len(wanted)
    return kept


def _share_of_counts(sums: FloatArray) -> FloatArray:
    """Counts [..., 2] (such facts, all facts) to their share [...]; 0 where nothing is stated."""
    return np.asarray(np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 1], 1), 0.0))


def _check(one: Sequence[str], other: Sequence[str]) -> None:
    if len(one) != len(other):
        raise DataError("Texts that are compared must be equally many.", got=f"{len(one)} and {len(other)}")
