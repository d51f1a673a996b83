"""The report: one HTML file that says whether tuning helped, shows how sure that is, and where the figures come from.

The page needs nothing but itself: no script, no font, no network (a content security policy in its head forbids all
three, so that row text could not reach out even if it got past the escaping). It is whole in light and dark, on paper,
on a telephone, and for a screen reader.

`claims` says what the tests show and what is off; `results`, `examples` and `view` put it in words and numbers; `plots`
draws with `svg`; `text` has every word in English and Chinese; ``page.html.j2`` and ``page.css`` lay it out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from yibu.evaluate.report.shapes import Lineage, ReportData, TestRow
from yibu.evaluate.report.text import Lang, Text
from yibu.evaluate.report.view import context

__all__ = ["Lineage", "ReportData", "TestRow", "render"]


def render(data: ReportData, lang: Lang) -> str:
    """The whole page. The same data give the same characters: no clock, no chance, no order of a set.

    Args:
        lang: language of the page; that of the rows is ``data.language``.

    Raises:
        InputError: a language that the report is not written in.
    """
    page = _template().render(context(data, Text(lang)))
    # Half a surrogate pair (JSON allows it) has no UTF-8; it must not cost the report.
    return page.encode("utf-8", "replace").decode("utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")
