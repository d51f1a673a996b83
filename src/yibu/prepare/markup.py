"""HTML to text, and where entities are in it.

selectolax parses; what only looks like markup (``a < b``) is escaped before, so that no value is taken for a tag.
"""

from __future__ import annotations

import re
from collections import Counter
from html.entities import html5
from itertools import count
from typing import TYPE_CHECKING

from yibu.core.edits import Edit, SpanLost, apply

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NAMES = _words(
    "a abbr acronym address article aside audio b base basefont bdi bdo big blockquote body br button canvas caption "
    "center cite code col colgroup data dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure "
    "font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label "
    "legend li link main map mark menu meta nav nobr noscript object ol optgroup option output p param picture pre q s "
    "samp script section select small source span strike strong style sub summary sup svg table tbody td template "
    "textarea tfoot th thead time title tr tt u ul var video wbr"
)
_ATTRIBUTES = "(?:\\s(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+)?+"
TAG = re.compile(
    "<!--(?:(?!<!--).)*?-->|<!doctype[^<>]*>|<\\?xml[^<>]*>"
    f"|<(?P<close>/?)(?P<name>{'|'.join(sorted(_NAMES, reverse=True))}|[ovw]:[a-z]+){_ATTRIBUTES}\\s*/?>",
    re.IGNORECASE | re.DOTALL,
)
_ALONE = _words("br hr img input")  # one is enough to tell HTML by
_UNCLOSED = _words("p li dt dd tr td th option")  # two are
_REFERENCE = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPECIAL = re.compile(f"{_REFERENCE.pattern}|[&<]")
_ROW = _words("table thead tbody tfoot tr caption")
_BLOCKS = _words(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre section summary "
    "table td textarea th tr ul"
)
_DROPPED = _words("script style head title template iframe object svg canvas audio video")
_RAISED = str.maketrans("0123456789+-\u2212=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-\u2212=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_ORDINAL = _words("st nd rd th TM SM ® © ™")
_MARKS = re.compile("[\U000f0000-\U0010ffff]")
_HTML_SPACE = re.compile("[ \t\n\r\f]+")


def is_html(tags: list[re.Match[str]]) -> bool:
    """Whether a text with such tags really holds HTML: an element that is closed, or one that needs no end."""
    opened: Counter[str] = Counter()
    for tag in tags:
        name = (tag["name"] or "").lower()
        if not name:
            if tag[0][:9].lower() == "<!doctype":
                return True
        elif tag["close"]:
            if opened[name]:
                return True
        else:
            opened[name] += 1
            if name in _ALONE or (name in _UNCLOSED and opened[name] > 1):
                return True
    return False


def references(text: str) -> list[Edit]:
    """Character references such as ``&lt;`` and ``&#176;``; only those that end in a semicolon are meant."""
    found = ((match, _referred(match[0])) for match in _REFERENCE.finditer(text))
    return [Edit(*match.span(), new) for match, new in found if new is not None]


def _referred(reference: str) -> str | None:
    if reference[1] != "#":
        return html5.get(reference[1:])
    from html import unescape

    return unescape(reference) or None


def unmarked(text: str, spans: list[tuple[int, int]] | None) -> tuple[str, list[tuple[int, int]] | None]:
    """The text of HTML, and where spans of the source are in it.

    Raises:
        SpanLost: a span holds no text, or ends within a tag.
    """
    plain = _page(text)
    if not spans:
        return plain, spans
    # The parser does not tell where a text stood. Characters that nobody uses mark the borders and go through it.
    tags = [match.span() for match in TAG.finditer(text)]
    free = (chr(code) for code in count(0xF0000) if chr(code) not in text and code & 0xFFFE != 0xFFFE)
    borders: list[tuple[int, str]] = []
    pairs = []
    for start, end in spans:
        start, end = _within_tags(text, start, end, tags)
        pair = next(free), next(free)
        pairs.append(pair)
        borders += [(start, pair[0]), (end, pair[1])]
    borders.sort(key=lambda border: border[0])
    marked = apply(text, [Edit(place, place, mark) for place, mark in borders])
    places: dict[str, int] = {}
    letters: list[str] = []
    names = {mark for _, mark in borders}
    for letter in _page(marked):
        if letter in names:
            places[letter] = len(letters)
        else:
            letters.append(letter)
    if "".join(letters) != plain or len(places) != len(names):
        raise SpanLost("a span cannot be followed through HTML")
    return plain, [(places[opens], places[closes]) for opens, closes in pairs]


def _within_tags(text: str, start: int, end: int, tags: list[tuple[int, int]]) -> tuple[int, int]:
    """The span without tags and white space at its ends, so that a mark there stands beside a letter."""
    opening = dict(tags)
    closing = {stop: begin for begin, stop in tags}
    while start < end and (start in opening or text[start].isspace()):
        start = opening.get(start, start + 1)
    while end > start and (end in closing or text[end - 1].isspace()):
        end = closing.get(end, end - 1)
    if start >= end:
        raise SpanLost("a span holds no text")
    return start, end


def _page(text: str) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tags = [*TAG.finditer(text)]
    page = _Page(keeps_lines=not any((tag["name"] or "").lower() in _BLOCKS for tag in tags))
    stack: list[LexborNode | str | None] = [LexborHTMLParser(_source(text, tags), is_fragment=True).root]
    while stack:
        node = stack.pop()
        if node is None:
            continue
        if isinstance(node, str):
            page.leave(node)
            continue
        stack.append(node.next)
        name = node.tag or ""
        if node.is_text_node:
            page.write(node.text_content or "")
        elif name in ("sup", "sub"):
            page.write(_shifted(node.text(), raised=name == "sup"))
        elif name not in _DROPPED:
            page.enter(name, node)
            stack += [name, node.first_child]
    return "".join(page.parts)


def _source(text: str, tags: list[re.Match[str]]) -> str:
    """The text as HTML that a parser cannot misread: a ``<`` or ``&`` that begins no tag or reference is escaped, and
    for tables there are elements that it does not move about or drop where a table is broken."""
    parts, end = [], 0
    cells = _cells(tags)
    for index, tag in enumerate(tags):
        parts.append(_SPECIAL.sub(_escaped, text[end : tag.start()]))
        end = tag.end()
        name = (tag["name"] or "").lower()
        if name in _ROW:
            parts.append("<x-row></x-row>")
        elif name in ("td", "th"):
            if not tag["close"]:
                parts.append("<x-cell></x-cell>" if cells[index] > 1 else "<x-row></x-row>")
        elif name in ("ol", "br") or (name and tag["close"]):
            parts.append(tag[0])
        elif name and ":" not in name:
            parts.append(f"<{name}>")
    return "".join([*parts, _SPECIAL.sub(_escaped, text[end:])])


def _escaped(match: re.Match[str]) -> str:
    if len(match[0]) > 1 and _referred(match[0]) is not None:
        return match[0]
    return match[0].replace("&", "&amp;").replace("<", "&lt;")


def _cells(tags: list[re.Match[str]]) -> dict[int, int]:
    """For each cell, by its index, how many its row has. A row of one is layout, and its lines stay lines."""
    cells: dict[int, int] = {}
    row: list[int] = []
    for index, tag in enumerate(tags):
        name = (tag["name"] or "").lower()
        if name in _ROW:
            row = []
        elif name in ("td", "th") and not tag["close"]:
            row.append(index)
            cells.update(dict.fromkeys(row, len(row)))
    return cells


def _shifted(text: str, raised: bool) -> str:
    """What stands above or below the line. 10<sup>9</sup> must not become 109."""
    text = text.strip()
    bare = _MARKS.sub("", text)
    moved = text.translate(_RAISED if raised else _LOWERED)
    if not any(was == now for was, now in zip(text, moved, strict=True) if not _MARKS.match(was)):
        return moved
    return text if not raised or bare in _ORDINAL else f"^{text}"


class _Page:
    """Text as a browser shows it, roughly: blocks on lines of their own, the cells of a row apart, lists with marks.

    Args:
        keeps_lines: line breaks of the source are meant, since it has no blocks.
    """

    def __init__(self, keeps_lines: bool) -> None:
        self.parts: list[str] = []
        self._keeps_lines = keeps_lines
        self._num_pre = 0
        self._num_cells = 0
        self._lists: list[int | None] = []  # the number of the next item; None for one without numbers

    def write(self, text: str) -> None:
        if not self._num_pre:
            if not self._keeps_lines:
                text = _HTML_SPACE.sub(" ", text)
                if self._last() in " \n":
                    text = text.lstrip(" ")
            elif self.parts and self._last() == "\n":
                text = re.sub("^[ \t\r]*\n", "", text)  # a line break after <br> is no second one
        if text:
            self.parts.append(text)

    def enter(self, name: str, node: LexborNode) -> None:
        if name == "x-row":
            self._num_cells = 0
            self._line()
        elif name == "x-cell":
            if self._num_cells:
                self.parts.append(" | ")
            self._num_cells += 1
        elif name == "br":
            self.parts.append(" " if self._num_cells else "\n")
        elif name in _BLOCKS:
            self._line()
            self._num_pre += name == "pre"
            if name in ("ol", "ul", "menu", "dir"):
                start = (node.attributes.get("start") or "1") if name == "ol" else ""
                self._lists.append(None if name != "ol" else int(start) if re.fullmatch("[0-9]{1,9}", start) else 1)
            elif name == "li":
                self._item()

    def leave(self, name: str) -> None:
        if name in _BLOCKS:
            self._line()
            self._num_pre -= name == "pre"
            if name in ("ol", "ul", "menu", "dir"):
                self._lists.pop()

    def _item(self) -> None:
        number = self._lists[-1] if self._lists else None
        if number is None:
            self.parts.append("• ")  # no hyphen: before a number it would be a sign
        else:
            self.parts.append(f"{number}. ")
            self._lists[-1] = number + 1

    def _line(self) -> None:
        if self.parts and self._last() != "\n":
            self.parts.append(" " if self._num_cells else "\n")

    def _last(self) -> str:
        return self.parts[-1][-1] if self.parts else "\n"
