"""Finding the terms of a dictionary in text, and putting one word for each thing.

An Aho-Corasick automaton (A. V. Aho and M. J. Corasick, 1975; pyahocorasick) reports every term at every place in one
pass; of those that stand within their borders the leftmost, and of these the longest, is taken. `iter_long` of
pyahocorasick would take the longest before borders are known, and with it lose the shorter term that stands right.

Borders are those of the script. A Chinese term may stand beside anything (高血压3级, 糖尿病A型). A Latin letter or
digit at the edge of a term must not stand beside another one: MI is not in MILD, B12 not in AB123, CA not in CA125,
but T2DM is in T2DM患者, and CKD in CKD3期, where the number belongs to the word behind it. White space and ``\\b``
play no part.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from yibu.core.edits import Edit
from yibu.core.errors import MissingExtra, RecipeError, nearest
from yibu.core.recipe import Settings
from yibu.terms import icd10cm, tables
from yibu.terms.entries import Entry, build
from yibu.terms.fold import Folded, fold, is_numeral, is_word, key
from yibu.terms.ordinary import ORDINARY
from yibu.terms.replace import edits_of, inside_spans, is_definition
from yibu.terms.table_files import content

# A number that belongs to what follows it: 3级, 10余年, 2次, 1~2个月, 50%; stages (CKD3a期); doses (ASA100mg).
_COUNTED = re.compile(
    r"[0-9]+(?:[.~～-][0-9]+)?(?:[余多几]?[级期年月天日次型度周岁个例分类%]|[a-d][期级型]|(?:m?g|mcg|[μu]g|ml|iu)(?![a-z0-9]))",
    re.IGNORECASE,
)


class TermsSettings(Settings):
    """One word for one thing: which dictionary, and how its terms are found."""

    dictionary: str | list[str] = Field(
        description="icd10cm, or paths of csv, tsv, json or jsonl files; files go before icd10cm where both know a term"
    )
    normalise: bool = Field(default=True, description="replace variants by the preferred term; false: find and report")
    kinds: list[str] | None = Field(default=None, description="only entries of these kinds, e.g. [disease, drug]")
    languages: list[str] | None = Field(default=None, description="only entries of these languages, e.g. [zh]")
    case: Literal["smart", "ignore", "exact"] = Field(
        default="smart",
        description="ignore: COPD is copd; smart: but AS, OR, ALL, AIDS are only found as written; exact: as written",
    )
    min_length: int = Field(default=2, ge=1, description="shorter variants are not looked for, in characters")
    digits_are_borders: bool = Field(
        default=False, description="a Latin term may stand beside any digit (COPD3; but then CA in CA125, too)"
    )
    keep: list[str] = Field(default=[], description="words that hold a term and are none, e.g. [高血压科]; left alone")
    clashes: Literal["refuse", "skip"] = Field(
        default="refuse", description="a variant with two preferred terms: refuse the dictionary, or leave it alone"
    )
    columns: dict[tables.Role, str] = Field(default={}, description="role -> name of the column, for other headers")
    separators: str = Field(default="|;；、", description="the signs that part several variants in one cell")

    @field_validator("dictionary")
    @classmethod
    def _names_one(cls, value: str | list[str]) -> str | list[str]:
        names = [value] if isinstance(value, str) else value
        if not names or not all(name.strip() for name in names):
            raise ValueError("must name at least one dictionary: icd10cm, or a csv, tsv, json or jsonl file")
        return value

    def sources(self) -> list[str]:
        """The dictionaries, each once."""
        return [self.dictionary] if isinstance(self.dictionary, str) else list(dict.fromkeys(self.dictionary))


class Match(NamedTuple):
    """A term that stands in a text: ``text[start:end]`` is ``variant``, a spelling of ``entry``."""

    start: int
    end: int
    entry: Entry
    variant: str


class _Term(NamedTuple):
    size: int  # of the key
    starts_word: bool
    ends_word: bool
    exact: str | None  # the only spelling that counts, where case does
    variant: str
    entry: Entry | None  # None: found, so that nothing else is found there, and left alone


class Dictionary:
    """The entries of all sources, and the automaton that finds them.

    It is built on first use and left out of pickles, so that a worker process builds its own (or shares that of the
    process it was forked from).

    Args:
        entries: preferred terms, no variant in two of them.
        settings: how they are found.
    """

    def __init__(self, entries: Sequence[Entry], settings: TermsSettings) -> None:
        self.settings = settings
        self.entries = _wanted(entries, settings)
        self._all = entries
        self._terms: list[_Term] = []
        self._automaton: Any = None
        self._by_key: dict[str, Entry] = {}

    @staticmethod
    def load(sources: str | Sequence[str] | TermsSettings) -> Dictionary:
        """Read dictionaries; one and the same object for the same settings and the same files within a process.

        Args:
            sources: paths, ``icd10cm``, or the whole settings.

        Raises:
            RecipeError: a source that does not exist or cannot be read, an unknown kind or language.
            DataError: what is wrong in which line of which dictionary.
            MissingExtra: the package behind a built-in dictionary is not installed.
        """
        if not isinstance(sources, TermsSettings):
            sources = TermsSettings(dictionary=sources if isinstance(sources, str) else list(sources))
        sources = sources.model_copy(update={"dictionary": sources.sources()})
        fingerprint = "\n".join(f"{name} {value}" for name, value in digest(sources.sources()).items())
        return _load(sources.model_dump_json(), fingerprint)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_automaton": None, "_terms": [], "_by_key": {}}

    def find(self, text: str) -> list[Match]:
        """The terms in a text: leftmost, then longest, none overlapping another; places in characters.

        Raises:
            MissingExtra: pyahocorasick is not installed.
        """
        if self._automaton is None:
            self._build()
        folded = fold(text, self.settings.case != "exact")
        return self._longest(text, folded, self._standing(text, folded))

    def edits(self, text: str, spans: Sequence[tuple[int, int]] = ()) -> list[Edit]:
        """What makes every term of a text its preferred term; see `yibu.terms.replace` for what stays.

        Args:
            text: any text.
            spans: places that annotations point at; an edit that would cut one in two is left out.
        """
        matches = self.find(text)
        return self._edits(text, matches, spans)

    def normalise(self, text: str, spans: Sequence[tuple[int, int]] = ()) -> tuple[list[Edit], Counter[str]]:
        """The edits (none if ``settings.normalise`` is off) and how often each preferred term is meant in the text."""
        matches = self.find(text)
        counts = Counter(match.entry.preferred for match in matches)
        return (self._edits(text, matches, spans) if self.settings.normalise else []), counts

    def entry(self, term: str) -> Entry | None:
        """The entry that a spelling belongs to, or None."""
        if not self._by_key:
            for entry in self.entries:
                for name in (entry.preferred, *entry.variants):
                    self._by_key[self._key(name)] = entry
        return self._by_key.get(self._key(term))

    def synonyms(self, term: str) -> tuple[str, ...]:
        """All other spellings of the entry of a term, the preferred one first; none for an unknown term."""
        entry = self.entry(term)
        if entry is None or not entry.interchangeable:
            return ()
        own = self._key(term)
        return tuple(name for name in (entry.preferred, *entry.variants) if self._key(name) != own)

    def unmentioned(self, counts: Mapping[str, int] | Collection[str]) -> list[Entry]:
        """The entries whose preferred term is not among those counted (see `normalise`): what no row mentions."""
        seen = {name for name, count in counts.items() if count} if isinstance(counts, Mapping) else set(counts)
        return [entry for entry in self.entries if entry.preferred not in seen]

    def _key(self, term: str) -> str:
        return key(term, self.settings.case != "exact")

    def _standing(self, original: str, folded: Folded) -> list[tuple[int, int, _Term]]:
        """Start, minus end, term: all that stand within their borders in a folded text; leftmost and longest first."""
        found: list[tuple[int, int, _Term]] = []
        text, places = folded.text, folded.places
        terms, size = self._terms, len(text)

        def numeral(place: int) -> bool:
            """CKDⅢ期: the letters that Ⅲ is folded to are no part of the word CKD."""
            return places is not None and is_numeral(original[places[place]])

        for last, number in self._automaton.iter(text):
            term = terms[number]
            end = last + 1
            start = end - term.size
            if term.starts_word and start and self._goes_on(text, start - 1, start) and not numeral(start - 1):
                continue
            if term.ends_word and end < size and self._goes_on(text, end, last) and not numeral(end):
                continue
            found.append((start, -end, term))
        if len(found) > 1:
            found.sort(key=itemgetter(0, 1))
        return found

    def _longest(self, text: str, folded: Folded, found: Sequence[tuple[int, int, _Term]]) -> list[Match]:
        matches: list[Match] = []
        taken = 0
        for start, minus_end, term in found:
            if start < taken:
                continue
            place = folded.original(start, -minus_end)
            if place is None or (term.exact and fold(text[slice(*place)], False).text != term.exact):
                continue
            taken = -minus_end
            if term.entry is not None:
                matches.append(Match(*place, term.entry, term.variant))
        return matches

    def _goes_on(self, text: str, outside: int, edge: int) -> bool:
        """Whether the character outside of a term's edge belongs to the same word or number."""
        beyond, own = text[outside], text[edge]
        if is_word(beyond):
            if outside > edge and beyond.isdigit() and not own.isdigit() and _COUNTED.match(text, outside):
                return False
            return not self.settings.digits_are_borders or beyond.isdigit() == own.isdigit()
        # B12 is not in B12.5; but 1.2型糖尿病 is the first item of a list, so that a point before a term parts.
        return outside > edge and beyond == "." and own.isdigit() and text[outside + 1 : outside + 2].isdigit()

    def _edits(self, text: str, matches: Sequence[Match], spans: Sequence[tuple[int, int]]) -> list[Edit]:
        defined: set[int] = set()
        for number, (one, two) in enumerate(pairwise(matches)):
            if one.entry is two.entry and is_definition(text, one.end, two.start, two.end):
                defined |= {number, number + 1}
        result: list[Edit] = []
        for number, match in enumerate(matches):
            preferred = match.entry.preferred
            variant = None if match.variant == preferred else match.variant
            if variant is not None and (number in defined or not match.entry.interchangeable):
                continue
            # What is annotated right beside the term is another mention, and not a part of this one.
            alone = {end for _, end in spans if end == match.start} | {
                start for start, _ in spans if start == match.end
            }
            edits = edits_of(text, match.start, match.end, preferred, variant, alone)
            result += inside_spans(text, edits, spans) if spans else edits
        return result

    def _build(self) -> None:
        try:
            import ahocorasick
        except ImportError as error:
            raise MissingExtra("pyahocorasick", extra="data", use="Finding the terms of a dictionary") from error
        automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
        wanted = set(map(id, self.entries))
        self._terms = []
        for entry in self._all:
            shown = entry if id(entry) in wanted else None
            for name in (entry.preferred, *entry.variants):
                self._add(automaton, name, shown)
        for word in self.settings.keep:
            self._add(automaton, word, None)
        automaton.make_automaton()
        self._automaton = automaton

    def _add(self, automaton: Any, name: str, entry: Entry | None) -> None:
        small = self._key(name)
        if len(small) < self.settings.min_length and entry is not None:
            return
        exact = key(name, False) if self.settings.case == "smart" and small in ORDINARY else None
        if exact is not None and not exact.isupper():
            exact = None
        automaton.add_word(small, len(self._terms))
        self._terms.append(_Term(len(small), is_word(small[0]), is_word(small[-1]), exact, name, entry))


def digest(sources: Sequence[str]) -> dict[str, str]:
    """What fixes the content of dictionaries, for artifact ids: SHA-256 of a file, version of a package.

    Raises:
        RecipeError: a file that cannot be read.
        MissingExtra: the package behind a built-in dictionary is not installed.
    """
    found: dict[str, str] = {}
    for source in sources:
        if source == icd10cm.NAME:
            found[source] = icd10cm.version()
        else:
            found[source] = hashlib.sha256(content(source)).hexdigest()
    return found


@lru_cache(maxsize=4)
def _load(settings_json: str, fingerprint: str) -> Dictionary:
    """``fingerprint`` makes a changed file another dictionary."""
    settings = TermsSettings.model_validate_json(settings_json)
    rows = [
        row
        for source in settings.sources()
        if source != icd10cm.NAME
        for row in tables.read(source, settings.columns, settings.separators)
    ]
    concepts = icd10cm.concepts() if icd10cm.NAME in settings.sources() else []
    ignore_case = settings.case != "exact"
    entries = build(rows, concepts, lambda term: key(term, ignore_case), settings.clashes == "skip")
    return Dictionary(entries, settings)


def _wanted(entries: Sequence[Entry], settings: TermsSettings) -> list[Entry]:
    """The entries of the kinds and languages that were asked for."""
    wanted = list(entries)
    for name, asked in (("kind", settings.kinds), ("language", settings.languages)):
        if asked is None:
            continue
        known = sorted({str(getattr(entry, name)) for entry in entries if getattr(entry, name)})
        for value in asked:
            if value not in known:
                close = nearest(value, known)
                raise RecipeError(
                    f"No entry of the dictionary has this {name}.",
                    got=value,
                    allowed=known or f"the dictionary has no column {name!r}",
                    do=f"did you mean {close!r}?" if close else f"correct data.terms.{name}s",
                )
        wanted = [entry for entry in wanted if getattr(entry, name) in asked]
    return wanted
