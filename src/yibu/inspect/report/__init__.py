"""The data report: one HTML file that says what happened to the rows between read and kept, and what to mend first.

People look before they read: a sentence and what is off stand first, then plots, then tables. `cautions` says what is
off; `flow`, `splits`, `changes`, `findings` and `coverage` put the figures of a data artifact in words; `plots` and
`balance` draw; `text` has every word in English and Chinese. The page needs nothing but itself (see `yibu.pages`).
What was taken out is shown by file, line and id only; personal data is counted and never shown.
"""

from __future__ import annotations

from pathlib import Path

from yibu.inspect.report.shapes import DataFigures, Lengths, Loss
from yibu.inspect.report.text import Lang, Text
from yibu.inspect.report.view import context
from yibu.pages import template, valid_utf8
from yibu.pages.lineage import Lineage

__all__ = ["DataFigures", "Lengths", "Lineage", "Loss", "render"]


def render(data: DataFigures, lang: Lang) -> str:
    """The whole page. The same data give the same characters: no clock, no chance, no order of a set.

    Args:
        lang: language of the page; that of the rows is ``data.language``.

    Raises:
        InputError: a language that the report is not written in.
    """
    return valid_utf8(template(Path(__file__).parent).render(context(data, Text(lang))))
