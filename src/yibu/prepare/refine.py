"""From a record to a usable row: a pure function of the record and the settings.

Nothing here looks at another row, so records can be refined in any process, on any machine, in any order; `Refined`
carries all that the passes over the whole table need to know. The steps, in their order::

    layout     a record becomes a row of the task
    review     what people decided about it
    clean      profile, HTML, mojibake, boilerplate
    units      one way of writing each unit
    terms      one word per thing
    privacy    personal data masked, hashed, replaced
    filter     too short, too long, another language
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from yibu.core.chance import exact_key
from yibu.core.edits import Edit, apply, edit_field, spans_in
from yibu.core.record import Row, Split
from yibu.prepare.clean import Cleaner
from yibu.prepare.flags import flags, refusal
from yibu.prepare.layout import Layout
from yibu.prepare.near import signatures_of
from yibu.prepare.privacy import Privacy
from yibu.prepare.review import Review
from yibu.prepare.same import fold, key
from yibu.prepare.settings import DataSettings, PrepareConfig
from yibu.prepare.shingles import shingles
from yibu.prepare.sieve import heads_by_text
from yibu.prepare.table import NOTHING
from yibu.readers import Bad, Raw

Item = tuple[Split | None, Raw | Bad]
"""A record, or a place that holds none, with the split that its source fixes."""

STRATA = "\x1f"
"""Between the labels of a row that has several."""

_EXAMPLE_CHARACTERS = 1000

_Normalise = Callable[[str, Sequence[tuple[int, int]]], tuple[list[Edit], Counter[str]]]


class Example(NamedTuple):
    """One field before and after one step; before is empty where it would show personal data."""

    step: str
    field: str
    before: str
    after: str


@dataclass(slots=True)
class Refined:
    """A usable row and what is remembered of it.

    Attributes:
        line: the row as JSON.
        prompt, target, answer, group: keys of texts (see `yibu.prepare.same`), or `NOTHING`.
        stratum: values whose shares a split keeps, joined by `STRATA`.
        signature: see `yibu.prepare.near`; empty for a text that is too short.
        heads: see `yibu.prepare.sieve`; likewise.
        changes: step -> what it did how often.
        terms: terms of the dictionary that the row mentions.
        reviewed: a decision of people was applied.
    """

    id: str
    source: str
    position: int
    given: Split | None
    line: str
    unit: str
    prompt: int
    target: int
    answer: int
    group: int
    label: str | None
    stratum: str | None
    prompt_characters: int
    target_characters: int
    time: str | None
    signature: bytes = b""
    heads: bytes = b""
    changes: dict[str, Counter[str]] = field(default_factory=dict)
    terms: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    flags: tuple[str, ...] = ()
    reviewed: bool = False


class Refused(NamedTuple):
    """A record that cannot be used (`step` is ``rejected``), or is left out by a decision of the recipe."""

    step: str
    reason: str
    source: str
    position: int
    id: str = ""
    reviewed: bool = False


class Refiner:
    """Refines records. Built once in each process, from what can be sent there.

    Args:
        config: of the stage.
        layout: how a record becomes a row.
        language: of most rows.
        boilerplate: lines that are taken out.
    """

    def __init__(
        self, config: PrepareConfig, layout: Layout, language: str, boilerplate: frozenset[str] = frozenset()
    ) -> None:
        data = config.data
        self._layout = layout
        self._data = data
        self._language = language
        self._cleaner = Cleaner(data.clean, boilerplate)
        self._review = None if data.review is None else Review.read(Path(data.review))
        self._normalise = _normalisers(data)
        self._privacy = None if data.privacy is None else Privacy(data.privacy)
        self._secret = b"" if data.privacy is None else data.privacy.secret() or b""

    def __call__(self, items: Sequence[Item], with_examples: bool = False) -> list[Refined | Refused]:
        """One result for each item, in their order."""
        found = [self._one(item, given, with_examples) for given, item in items]
        wants_signatures, wants_heads = self._data.duplicates.near != "off", self._data.contamination.enabled
        if wants_signatures or wants_heads:
            usable = [row for row, _ in found if isinstance(row, Refined)]
            made = shingles([folded for row, folded in found if isinstance(row, Refined)], folded=True)
            if wants_signatures:
                for row, signature in zip(usable, signatures_of(made), strict=True):
                    row.signature = signature
            if wants_heads:
                for row, heads in zip(usable, heads_by_text(made), strict=True):
                    row.heads = heads
        return [one for one, _ in found]

    def _one(self, item: Raw | Bad, given: Split | None, with_examples: bool) -> tuple[Refined | Refused, str]:
        """The result for one item, and the prompt as it is compared."""

        def refuse(step: str, reason: str, id: str = "", reviewed: bool = False) -> tuple[Refused, str]:
            return Refused(step, reason, item.source, item.line, id, reviewed), ""

        if isinstance(item, Bad):
            return refuse("rejected", item.reason)
        row = self._layout.row(item, given)
        if isinstance(row, str):
            return refuse("rejected", row)
        reviewed = False
        if self._review is not None and row.id in self._review:
            reviewed = True
            decided = self._review.apply(row, self._layout.task)
            if isinstance(decided, str):
                return refuse("reviewed", decided, row.id, True)
            row = decided
        strata = self._layout.strata(row, item)
        changes: dict[str, Counter[str]] = {}
        examples: list[Example] = []
        terms: Counter[str] = Counter()
        try:
            refined = self._steps(row, changes, terms, examples if with_examples else None)
        except ValueError as error:
            return refuse("rejected", str(error))
        task = self._layout.task
        problem = None if refined.fields == row.fields else task.problem(refined)
        if problem is not None:
            return refuse("rejected", f"{problem} after {' and '.join(changes)}")
        prompt, target = task.prompt_text(refined), task.target(refined)
        left_out = refusal(prompt, self._data.clean)
        if left_out is not None:
            return refuse("filtered", left_out, row.id, reviewed)
        noticed = flags(prompt, target, self._language)
        if noticed:
            refined = replace(refined, flags=(*refined.flags, *noticed))
        folded = fold(prompt)
        prompt_key = exact_key(folded)
        target_key = prompt_key if target == prompt else key(target)
        free_text = "\n".join(text for name, text in task.truth(refined).items() if name not in task.label_fields)
        # Without a group or an id of the user's, rows with one prompt stay together: split, they would be a leak.
        unit = row.group if row.group is not None else row.id if self._data.id is not None else f"{prompt_key:016x}"
        result = Refined(
            id=row.id,
            source=item.source,
            position=item.line,
            given=given,
            line=refined.to_json(),
            unit=unit,
            prompt=prompt_key,
            target=target_key,
            answer=NOTHING if not free_text else target_key if free_text == target else key(free_text),
            group=NOTHING if row.group is None else exact_key(row.group),
            label=row.label,
            stratum=STRATA.join(strata) if strata else None,
            prompt_characters=len(prompt),
            target_characters=len(target),
            time=row.time,
            changes=changes,
            terms=terms,
            examples=examples,
            flags=noticed,
            reviewed=reviewed,
        )
        return result, folded

    def _steps(
        self, row: Row, changes: dict[str, Counter[str]], terms: Counter[str], examples: list[Example] | None
    ) -> Row:
        """The row after cleaning, units, terms and privacy; notes what each did.

        Raises:
            ValueError: why the row is lost: an entity is no longer there.
        """
        names = self._layout.cleaned
        fields, what = self._cleaner.fields(row.fields, names)
        self._note("clean", row.fields, fields, what, names, changes, examples, row)
        for step, normalise in self._normalise.items():
            before = fields
            counts, num_edits = Counter[str](), 0
            for name in names:
                fields, more = _normalised(fields, name, normalise, counts)
                num_edits += more
            if step == "terms":  # what a text mentions is a figure of its own; a change is what was replaced
                terms.update(counts)
                counts = Counter(replaced=num_edits) if num_edits else Counter()
            self._note(step, before, fields, counts, names, changes, examples, row)
        if self._privacy is None:
            return row if fields is row.fields else row.with_fields(fields)
        before = {name: value for name, value in fields.items() if name in self._layout.kept}
        fields, found = self._privacy.fields(before, names, self._person(row))
        self._note("privacy", before, fields, found, names, changes, examples, row)
        # A patient's number is personal data too, wherever it stands.
        return replace(row, fields=fields, group=None if row.group is None else pseudonym(row.group, self._secret))

    def _person(self, row: Row) -> str:
        return row.id if row.group is None else row.group

    def _note(
        self,
        step: str,
        before: dict[str, Any],
        after: dict[str, Any],
        what: Counter[str],
        names: Iterable[str],
        changes: dict[str, Counter[str]],
        examples: list[Example] | None,
        row: Row,
    ) -> None:
        if what:
            changes[step] = what
        if examples is None or before is after:
            return
        for name in names:
            old, new = before.get(name), after.get(name)
            if isinstance(old, str) and isinstance(new, str) and old != new:
                examples.append(Example(step, name, self._shown(step, old, row), self._shown("", new, row)))

    def _shown(self, step: str, text: str, row: Row) -> str:
        """A text as the report may show it."""
        if self._privacy is not None:
            if step == "privacy":
                return ""
            text = apply(text, self._privacy.edits(text, self._person(row))[0])
        return text if len(text) <= _EXAMPLE_CHARACTERS else text[:_EXAMPLE_CHARACTERS] + "…"


def as_prepared(data: DataSettings, boilerplate: frozenset[str] = frozenset()) -> Callable[[str], str]:
    """What makes of a text that is typed what prepare made of the texts of rows, so that a model sees what it knows.

    Args:
        data: of the data artifact that the model was trained on.
        boilerplate: lines that were taken out of its rows.
    """
    cleaner = Cleaner(data.clean, boilerplate)
    steps = _normalisers(data)
    privacy = None if data.privacy is None else Privacy(data.privacy)

    def prepared(text: str) -> str:
        text = cleaner.text(text)
        for normalise in steps.values():
            text = apply(text, normalise(text, ())[0])
        return text if privacy is None else apply(text, privacy.edits(text)[0])

    return prepared


def _normalisers(data: DataSettings) -> dict[str, _Normalise]:
    """The steps that work by a dictionary: units and terms, in this order."""
    found: dict[str, _Normalise] = {}
    if data.units is not None:
        from yibu.terms import Units

        found["units"] = Units(data.units).normalise
    if data.terms is not None:
        from yibu.terms import Dictionary

        found["terms"] = Dictionary.load(data.terms).normalise
    return found


def pseudonym(group: str, secret: bytes = b"") -> str:
    """A name for a group that does not say which patient or account it is to whoever reads the rows.

    Rows of one group keep one name. Without a secret, whoever knows all possible numbers could try them.
    """
    told = f"group\0{group}".encode("utf-8", "surrogatepass")
    return hmac.new(secret, told, hashlib.sha256).hexdigest()[:16]


def _normalised(
    fields: dict[str, Any], name: str, normalise: _Normalise, counts: Counter[str]
) -> tuple[dict[str, Any], int]:
    """The fields with one of them normalised, and the number of edits; adds what was found to the counts."""
    value = fields.get(name)
    if isinstance(value, str):
        edits, found = normalise(value, spans_in(fields, name))
        counts.update(found)
        return edit_field(fields, name, edits), len(edits)
    if isinstance(value, list) and any(isinstance(turn, dict) and "content" in turn for turn in value):
        turns, num_edits = [], 0
        for turn in value:
            if isinstance(turn, dict) and isinstance(turn.get("content"), str):
                edits, found = normalise(turn["content"], ())
                counts.update(found)
                num_edits += len(edits)
                turn = {**turn, "content": apply(turn["content"], edits)}
            turns.append(turn)
        return {**fields, name: turns}, num_edits
    return fields, 0
