"""The report: one HTML file that says whether tuning helped, shows how sure that is, and where the figures come from.

The page needs nothing but itself: no script, no font, no network (a content security policy in its head forbids all
three, so that row text could not reach out even if it got past the escaping). It is whole in light and dark, on paper,
on a telephone, and for a screen reader.

`claims` says what the tests show and what is off; `results`, `examples` and `view` put it in words and numbers; `plots`
draws; `text` has every word in English and Chinese; ``page.html.j2`` and ``page.css`` lay it out, on the ground of
`yibu.pages`.
"""

from __future__ import annotations

from pathlib import Path

from yibu.evaluate.report.shapes import ReportData, TestRow
from yibu.evaluate.report.text import Lang, Text
from yibu.evaluate.report.view import context
from yibu.pages import template, valid_utf8
from yibu.pages.lineage import Lineage

__all__ = ["Lineage", "ReportData", "TestRow", "render"]


def render(data: ReportData, lang: Lang) -> str:
    """The whole page. The same data give the same characters: no clock, no chance, no order of a set.

    Args:
        lang: language of the page; that of the rows is ``data.language``.

    Raises:
        InputError: a language that the report is not written in.
    """
    page = template(Path(__file__).parent).render(context(data, Text(lang)))
    return valid_utf8(page)
