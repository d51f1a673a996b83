"""ICD-10-CM as data: the inclusion terms of every code, from the package ``simple-icd-10-cm``.

An inclusion term is another name of the condition that a code stands for ("Classical cholera" for A00.0), so that term
-> chapter is a real, openly licensed coding task. One row for each term of each code, in the order of the tabular list:

    term              the inclusion term
    code              its code, e.g. ``A00.0``
    category          the code's first three characters, e.g. ``A00``
    category_title    the category's title
    chapter           the chapter's official title without its range of codes ("(A00-B99)")
    chapter_number    "1" to "22"

The release of April 2026 (package 1.5.0) has 12,569 such rows in 22 chapters. Counting only codes for which the
package's ``is_block`` is false gives 12,554: that leaves out the 15 terms of F99, P84, R97, R99, Z66 and Z68, which are
the sole category of a section of the same name. Five notes on sections ("X71-X83") belong to no code and are no rows.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator

from yibu.core.errors import MissingExtra
from yibu.readers._records import Bad, Raw

FORMATS = "package:simple-icd-10-cm"
FILES = False

_PACKAGE = "simple-icd-10-cm"
_RANGE = re.compile(r"\s*\([A-Z][0-9A-Z]{2}-[A-Z][0-9A-Z]{2}\)$")


def accepts(address: str) -> bool:
    return address == FORMATS


def digest(address: str) -> dict[str, str]:
    """The version of the package, which fixes its tables.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        return {address: f"{_PACKAGE}=={importlib.metadata.version(_PACKAGE)}"}
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(_PACKAGE, "icd10", f"The data source {address}") from error


def read(address: str) -> Iterator[Raw | Bad]:
    """Rows numbered from 1.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        import simple_icd_10_cm as icd
    except ImportError as error:
        raise MissingExtra(_PACKAGE, "icd10", f"The data source {address}") from error
    number = 0
    # A category that is alone in its section is listed under both, with the same name.
    for code in dict.fromkeys(icd.get_all_codes(with_dots=True)):
        if not icd.is_category_or_subcategory(code):
            continue
        terms = icd.get_inclusion_term(code)
        if not terms:
            continue
        chapter = icd.get_ancestors(code)[-1]
        category = code[:3]
        for term in terms:
            number += 1
            record = {
                "term": term,
                "code": code,
                "category": category,
                "category_title": icd.get_description(category),
                "chapter": _RANGE.sub("", icd.get_description(chapter)),
                "chapter_number": chapter,
            }
            yield Raw(address, number, record)
