"""The pieces that a page is put together from: pairs of a name and a value, tiles, plots in two widths."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

WIDE, NARROW = 900, 350
"""Widths in pixels that plots are drawn in; CSS chooses, so nothing shrinks to unreadable letters on a telephone."""

Pairs = list[tuple[str, str]]
"""(name, value), as a list of facts shows them."""


@dataclass(frozen=True)
class Tile:
    """A figure that one reads from afar, its name, and what it is compared with."""

    value: str
    name: str
    note: str


@dataclass(frozen=True)
class Plot:
    """One plot in the two widths that the page chooses from."""

    wide: Markup
    narrow: Markup
