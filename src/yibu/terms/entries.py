"""Rows of dictionaries become entries: chains are followed to their end, contradictions are refused.

Three things are contradictions, each named with its lines: a variant with two preferred terms, a circle (a -> b,
b -> a), and a preferred term with two spellings or two codes. Terms are the same here when they would be found in the
same places: letter case, full width and hyphens make no difference (`yibu.terms.fold`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from yibu.core import log
from yibu.terms.icd10cm import NAME, Concept
from yibu.terms.table_files import refuse
from yibu.terms.tables import TableRow

_logger = log.get("terms")

Key = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A term of the dictionary.

    Attributes:
        preferred: the spelling to use.
        code: in the coding system of the dictionary, if known.
        kind: e.g. ``disease``, if known.
        language: of the preferred term, if known.
        variants: all other spellings, in the order of the dictionary.
        source: file and line, or the name of the built-in dictionary.
        interchangeable: the variants mean what the preferred term means. Otherwise they are kinds of it, as under a
            title of ICD-10-CM for all that has no code of its own: found and counted, never written for each other.
    """

    preferred: str
    code: str | None = None
    kind: str | None = None
    language: str | None = None
    variants: tuple[str, ...] = ()
    source: str = ""
    interchangeable: bool = True


@dataclass(slots=True)
class _Draft:
    preferred: str
    source: str
    code: str | None = None
    kind: str | None = None
    language: str | None = None
    has_two_codes: bool = False
    interchangeable: bool = True
    variants: dict[str, str] = field(default_factory=dict)  # by key

    def entry(self, key: Key) -> Entry:
        own = key(self.preferred)
        others = tuple(name for small, name in self.variants.items() if small != own)
        return Entry(self.preferred, self.code, self.kind, self.language, others, self.source, self.interchangeable)


Link = tuple[str, TableRow]  # a variant as it is spelled, and the row that says what is preferred


def build(rows: Sequence[TableRow], concepts: Sequence[Concept], key: Key, skip_clashes: bool) -> list[Entry]:
    """Entries of all sources, in the order in which they first appear.

    Args:
        rows: of the operator's files; what they say holds.
        concepts: of the built-in dictionary, which gives way to the rows, and lends them its codes.
        key: the form in which two spellings are one term.
        skip_clashes: leave a variant with two preferred terms out (and a code, where a term has two), instead of
            refusing the dictionary.

    Raises:
        DataError: contradictions, with the lines of the dictionary.
    """
    links = _links(rows, key)
    ends = _ends(rows, links, key)
    drafts, problems = _drafts(rows, ends, key)
    for name, reached in ends.items():
        if len(reached) > 1:
            stated = ", ".join(f"{row.preferred!r} ({_where(row, rows)})" for _, row in links[name])
            problems.append(f"{links[name][0][0]!r} leads to more than one preferred term: {stated}")
    if problems and not skip_clashes:
        _refuse(rows, problems)
    if problems:
        _logger.warning("%d contradictions in the dictionary are left alone", len(problems))
    if concepts:
        _lend(drafts, ends, concepts, key)
    return [draft.entry(key) for draft in drafts.values()]


def _links(rows: Sequence[TableRow], key: Key) -> dict[str, list[Link]]:
    """By the key of a variant: each preferred term that is stated for it, once."""
    links: dict[str, list[Link]] = {}
    for row in rows:
        end = key(row.preferred)
        for variant in row.variants:
            name = key(variant)
            if name == end:
                continue
            stated = links.setdefault(name, [])
            if all(key(other.preferred) != end for _, other in stated):
                stated.append((variant, row))
    return links


def _ends(rows: Sequence[TableRow], links: dict[str, list[Link]], key: Key) -> dict[str, list[str]]:
    """By the key of a variant: the keys of the terms at which its chains end; one, where nothing contradicts.

    Depth first, without recursion: a chain may be as long as the dictionary.
    """
    ends: dict[str, list[str]] = {}
    circles: list[str] = []
    for first in links:
        path, below = [first], [iter(links[first])]
        while path and first not in ends:
            following = next(below[-1], None)
            if following is None:
                name = path.pop()
                below.pop()
                nexts = [key(row.preferred) for _, row in links[name]]
                ends[name] = list(dict.fromkeys(end for one in nexts for end in ends.get(one, [one])))
                continue
            name = key(following[1].preferred)
            if name in path:
                circles.append(_circle(path[path.index(name) :], links, rows, key))
            elif name in links and name not in ends:
                path.append(name)
                below.append(iter(links[name]))
    if circles:
        _refuse(rows, circles)
    return ends


def _circle(names: list[str], links: dict[str, list[Link]], rows: Sequence[TableRow], key: Key) -> str:
    steps = []
    for one, two in zip(names, [*names[1:], names[0]], strict=True):
        spelling, row = next(link for link in links[one] if key(link[1].preferred) == two)
        steps.append(f"{spelling!r} ({_where(row, rows)})")
    return f"a circle, in which no term is the preferred one: {' -> '.join(steps)} -> {links[names[0]][0][0]!r}"


def _drafts(rows: Sequence[TableRow], ends: dict[str, list[str]], key: Key) -> tuple[dict[str, _Draft], list[str]]:
    """By key of the preferred term, and what contradicts itself in spelling or code."""
    drafts: dict[str, _Draft] = {}
    problems: list[str] = []
    first: dict[str, TableRow] = {}
    coded: dict[str, TableRow] = {}
    for row in rows:  # the rows that state a preferred term themselves
        name = key(row.preferred)
        if name in ends:
            continue
        draft = drafts.setdefault(name, _Draft(row.preferred, row.place))
        stated = first.setdefault(name, row)
        if stated.preferred != row.preferred:
            lines = f"{stated.preferred!r} ({_where(stated, rows)}), {row.preferred!r} ({_where(row, rows)})"
            problems.append(f"one preferred term in two spellings: {lines}")
        if row.code is not None and coded.setdefault(name, row).code != row.code:
            other = coded[name]
            lines = f"{other.code!r} ({_where(other, rows)}), {row.code!r} ({_where(row, rows)})"
            problems.append(f"{row.preferred!r} has two codes: {lines}")
            draft.code, draft.has_two_codes = None, True
        elif not draft.has_two_codes:
            draft.code = draft.code or row.code
        draft.kind, draft.language = draft.kind or row.kind, draft.language or row.language
    for row in rows:
        reached = ends.get(key(row.preferred), [key(row.preferred)])
        if len(reached) > 1:
            continue
        draft = drafts[reached[0]]
        if row.code and not draft.code and not draft.has_two_codes:
            draft.code = row.code  # of a link of the chain, where its end has none
        for variant in row.variants:
            if len(ends.get(key(variant), reached)) == 1:
                draft.variants.setdefault(key(variant), variant)
    return drafts, problems


def _lend(drafts: dict[str, _Draft], ends: dict[str, list[str]], concepts: Sequence[Concept], key: Key) -> None:
    """Add the built-in terms that the operator's rows say nothing about, and its codes where they have none."""
    own = set(drafts)
    titles = [key(concept.title) for concept in concepts]
    taken = set(ends) | own | set(titles)
    for title, concept in zip(titles, concepts, strict=True):
        reached = ends.get(title, [title])
        if len(reached) > 1:
            continue
        draft = drafts.setdefault(reached[0], _Draft(concept.title, NAME, concept.code, concept.kind, "en"))
        if reached[0] not in own:
            draft.interchangeable = concept.interchangeable
        elif not draft.has_two_codes:
            draft.code, draft.kind = draft.code or concept.code, draft.kind or concept.kind
        for term in concept.terms:
            name = key(term)
            if name in own:
                draft_of_term = drafts[name]
                draft_of_term.code = draft_of_term.code or (None if draft_of_term.has_two_codes else concept.code)
            elif name not in taken and (concept.interchangeable or reached[0] not in own):
                taken.add(name)
                draft.variants[name] = term


def _where(row: TableRow, rows: Sequence[TableRow]) -> str:
    """The line, with the file where there are several."""
    return f"line {row.line}" if rows[0].path == rows[-1].path else row.place


def _refuse(rows: Sequence[TableRow], problems: list[str]) -> None:
    refuse(", ".join(dict.fromkeys(row.path for row in rows)), problems)
