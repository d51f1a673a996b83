"""What every page of yibu is made with: one look, two languages, plots, numbers as people read them.

A page is a folder with ``page.html.j2`` (which extends ``base.html.j2`` of this one), ``page.css`` (what it alone
needs, after ``base.css``) and a table of words (`text`). It needs nothing but itself: no script, no font, no network; a
content security policy in its head forbids all three, so that row text could not reach out even if it got past the
escaping. `svg` draws, `figures` writes numbers, `lineage` says where they come from.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

__all__ = ["breakable", "template", "valid_utf8"]

_JOINTS = re.compile("([_/])")


@cache
def template(folder: Path) -> Template:
    """``page.html.j2`` of a folder. Everything put into it is escaped, and a name that it lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("page.html.j2")


def breakable(name: str) -> Markup:
    """A name such as ``card_payment_fee`` that may be broken after its ``_`` and ``/``, not in a word."""
    # A plain text to `sub`: a Markup would escape what is put between its parts.
    return Markup(_JOINTS.sub(r"\1<wbr>", str(escape(name))))


def valid_utf8(page: str) -> str:
    """The page without halves of surrogate pairs: JSON allows them, UTF-8 does not, and they must not cost a report."""
    return page.encode("utf-8", "replace").decode("utf-8")
