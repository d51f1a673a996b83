"""What plots are drawn with: a canvas that escapes its text, a scale, ticks, bars for tables.

Colours are CSS classes, so that one plot serves light, dark and paper; text stays text in the browser's own fonts,
Chinese included. Everything that comes from outside passes through `Canvas` or `escape`; only then is it marked safe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

FONT = 12.5


@dataclass
class Canvas:
    """Elements of one SVG; y runs downwards, pixels everywhere."""

    width: float
    height: float
    label: str
    parts: list[str] = field(default_factory=list)

    def add(self, tag: str, kind: str, content: str | None = None, **attributes: float | str) -> None:
        """One element with a CSS class; an attribute's ``_`` stands for ``-``."""
        pairs = "".join(f' {name.replace("_", "-")}="{plain(value)}"' for name, value in attributes.items())
        inner = "" if content is None else escape(content)
        self.parts.append(f'<{tag} class="{escape(kind)}"{pairs}>{inner}</{tag}>')

    def text(self, x: float, y: float, content: str, kind: str = "t", anchor: str = "start") -> None:
        """A line of text with its baseline at y; `anchor` says which of its ends (or its middle) lies at x."""
        self.add("text", kind, content, x=x, y=y, text_anchor=anchor)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self.add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points (x, y); nothing where there are none."""
        if points:
            self.add("path", kind, d="M" + "L".join(f"{plain(x)} {plain(y)}" for x, y in points))

    def svg(self, kind: str = "plot") -> Markup:
        """The whole element, named for those who cannot see it by `label`."""
        size = f'width="{plain(self.width)}" height="{plain(self.height)}"'
        box = f'viewBox="0 0 {plain(self.width)} {plain(self.height)}"'
        head = f'<svg class="{kind}" role="img" aria-label="{escape(self.label)}" {size} {box}>'
        return Markup(head + "".join(self.parts) + "</svg>")


def plain(value: float | str) -> str:
    """A value of an attribute: text escaped, numbers with at most two decimals."""
    if isinstance(value, str):
        return escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Scale:
    """A straight line from data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) that cover low to high, about so many."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def text_width(text: str, size: float = FONT) -> float:
    """About how wide a text is in pixels: the browser's fonts are not ours to measure."""
    return size * sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> float:
    """In parts of the font's size: Chinese fills its square, arrows nearly, capitals are wider than small letters."""
    if ord(letter) > 0x2E80:
        return 1.0
    if "\u2190" <= letter <= "\u21ff":
        return 0.9
    return 0.72 if letter.isupper() or letter in "mw%@" else 0.56


def shorten(text: str, room: float, size: float = FONT) -> str:
    """The text, cut with an ellipsis where it is wider than so many pixels."""
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def bar(share: float, kind: str = "") -> Markup:
    """A bar for a table cell, as long as its share of the cell; the number beside it is what is read out."""
    full = max(0.0, min(1.0, share)) * 100
    return Markup(
        '<svg class="cellbar" aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f'<rect class="track" width="100" height="10"></rect>'
        f'<rect class="fill {escape(kind)}" width="{plain(full)}" height="10"></rect></svg>'
    )


def stacked(parts: Sequence[tuple[str, str, int]], label: str) -> Markup:
    """One bar of several counts: (CSS class, name, count); its legend is a list in the page."""
    total = sum(size for _, _, size in parts) or 1
    place = 0.0
    rects = []
    for kind, _, size in parts:
        share = 1000 * size / total
        if size:
            rects.append(
                f'<rect class="{escape(kind)}" x="{plain(place)}" width="{plain(max(share, 2))}" height="20"></rect>'
            )
        place += share
    return Markup(
        f'<svg class="stacked" role="img" aria-label="{escape(label)}" viewBox="0 0 1000 20" '
        f'preserveAspectRatio="none">{"".join(rects)}</svg>'
    )
