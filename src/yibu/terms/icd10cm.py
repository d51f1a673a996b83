"""The built-in dictionary ``icd10cm``: titles and inclusion terms of ICD-10-CM -> the code's title -> the code.

It comes from the package simple-icd-10-cm, in English. A title that a category shares with one below it stands for the
category, which covers both. An inclusion term that is listed under several codes says nothing about which, so that it
is left out; a title that is also an inclusion term elsewhere is the title. The release of April 2026 (package 1.5.0)
gives 97,449 titles with 12,486 of its 12,569 inclusion terms.

Terms under a title for the rest ("Other microdeletions": Smith-Magenis syndrome) are kinds of the title and not other
names for it. They lead to its code, but neither is written for the other
(`Concept.interchangeable`; 7,746 terms are). Single words under injuries (axis, atlas) mean a fractured vertebra only
where they stand in the list, and are left out.

Kinds: ``disease``, ``symptom`` (R), ``injury`` (S, T), ``external_cause`` (V to Y) and ``health_factor`` (Z). External
causes hold ordinary words (flood, explosion), so that they are seldom wanted in text.
"""

from __future__ import annotations

import importlib.metadata
import re
from typing import NamedTuple

from yibu.core.errors import MissingExtra

NAME = "icd10cm"
_RESIDUAL = re.compile(r"\b(?:other|others|unspecified|elsewhere|NOS|NEC)\b", re.IGNORECASE)
_PACKAGE = "simple-icd-10-cm"
_KINDS = {"R": "symptom", "S": "injury", "T": "injury", "Z": "health_factor"} | dict.fromkeys("VWXY", "external_cause")


class Concept(NamedTuple):
    """A title with its code and the terms that it includes."""

    title: str
    code: str
    kind: str
    terms: tuple[str, ...]
    interchangeable: bool


def version() -> str:
    """Name and version of the package, which fix its tables.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        return f"{_PACKAGE}=={importlib.metadata.version(_PACKAGE)}"
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(_PACKAGE, "icd10", f"The dictionary {NAME!r}") from error


def concepts() -> list[Concept]:
    """One for each title, in the order of the tabular list.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        import simple_icd_10_cm as icd
    except ImportError as error:
        raise MissingExtra(_PACKAGE, "icd10", f"The dictionary {NAME!r}") from error
    codes = [code for code in dict.fromkeys(icd.get_all_codes(with_dots=True)) if icd.is_category_or_subcategory(code)]
    titles: dict[str, tuple[str, str]] = {}  # by the title in small letters: parents come before their children
    below: dict[str, dict[str, str]] = {}
    owners: dict[str, set[str]] = {}
    for code in codes:
        title = icd.get_description(code)
        name = title.lower()
        titles.setdefault(name, (title, code))
        for term in icd.get_inclusion_term(code):
            below.setdefault(name, {})[term.lower()] = term
            owners.setdefault(term.lower(), set()).add(name)
    return [
        Concept(
            title,
            code,
            _KINDS.get(code[0], "disease"),
            tuple(
                term
                for small, term in below.get(name, {}).items()
                if small not in titles
                and len(owners[small]) == 1
                and (" " in term or _KINDS.get(code[0]) not in ("injury", "external_cause"))
            ),
            not _RESIDUAL.search(title),
        )
        for name, (title, code) in titles.items()
    ]
