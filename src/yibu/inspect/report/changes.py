"""What was changed in the texts: by which step, how often, and a few rows before and after; personal data by kind."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from yibu.inspect.report.plots import Bar, bars
from yibu.inspect.report.shapes import DataFigures, Table
from yibu.pages.figures import count
from yibu.pages.layout import Plot
from yibu.pages.text import Text

MOST_COMPARED = 1500  # characters of a text that are compared; the comparison takes their square
MOST_TERMS = 16
MOST_KINDS = 8
CONTEXT = 44  # characters shown on both sides of a change
MOST_CHANGES = 6  # of one example; a row with hundreds of double spaces is not more telling

_SEEN = {"\n": "↵", "\r": "␍", "\t": "⇥", " ": "␣"}


@dataclass(frozen=True)
class Piece:
    """A stretch of text: ``same``, ``changed`` or ``gap`` (left out, its text is an ellipsis)."""

    kind: str
    text: str


@dataclass(frozen=True)
class Example:
    """One row before and after one step."""

    id: str
    step: str
    field: str
    before: list[Piece]
    after: list[Piece]


def examples(data: DataFigures, t: Text) -> list[Example]:
    """Rows before and after, what changed marked."""
    shown = []
    for item in data.examples:
        before, after = str(item.get("before") or ""), str(item.get("after") or "")
        if before:
            is_cut = any(len(text) > MOST_COMPARED or text.endswith("…") for text in (before, after))
            old, new = compared(before[:MOST_COMPARED], after[:MOST_COMPARED], is_cut)
        else:
            old, new = [], shortened([Piece("same", after[:MOST_COMPARED])])
        step = t.known("change", str(item.get("step", "")))
        shown.append(Example(str(item.get("id", "")), step, str(item.get("field", "")), old, new))
    return shown


def compared(before: str, after: str, is_cut: bool = False) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, those that differ marked; long stretches that do not are left out.

    Args:
        before, after: the texts.
        is_cut: both were cut at some length, so that a difference at the very end is none of the row.
    """
    old: list[Piece] = []
    new: list[Piece] = []
    codes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    num_changes = 0
    for place, (tag, a, b, c, d) in enumerate(codes):
        kind = "same" if tag == "equal" else "changed"
        num_changes += kind == "changed"
        if num_changes > MOST_CHANGES or (is_cut and kind == "changed" and place >= len(codes) - 2):
            old.append(Piece("gap", "…"))
            new.append(Piece("gap", "…"))
            break
        if a < b:
            old.append(Piece(kind, before[a:b] if kind == "same" else visible(before[a:b])))
        if c < d:
            new.append(Piece(kind, after[c:d] if kind == "same" else visible(after[c:d])))
    return shortened(old), shortened(new)


def shortened(pieces: list[Piece]) -> list[Piece]:
    """Unchanged stretches cut down to what stands beside a change."""
    result = []
    for place, piece in enumerate(pieces):
        text = piece.text
        first, last = place == 0, place == len(pieces) - 1
        if piece.kind != "same" or len(text) <= 2 * CONTEXT + 8:
            result.append(piece)
        elif first and last:
            result += [Piece("same", text[: 4 * CONTEXT]), *([Piece("gap", "…")] if len(text) > 4 * CONTEXT else [])]
        elif first:
            result += [Piece("gap", "…"), Piece("same", text[-CONTEXT:])]
        elif last:
            result += [Piece("same", text[:CONTEXT]), Piece("gap", "…")]
        else:
            result += [Piece("same", text[:CONTEXT]), Piece("gap", " … "), Piece("same", text[-CONTEXT:])]
    return result


def visible(text: str) -> str:
    """White space and characters that have no shape, as something that can be seen: ␣, ↵, ⟨U+200B⟩."""
    if not text.strip():
        return "".join(_SEEN.get(letter, _named(letter)) for letter in text)
    return "".join(_named(letter) if _has_no_shape(letter) else letter for letter in text)


def _has_no_shape(letter: str) -> bool:
    return letter not in _SEEN and unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zs", "Zl", "Zp")


def _named(letter: str) -> str:
    return f"⟨U+{ord(letter):04X}⟩"


# --- counts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepRow:
    """One step: rows that it changed, and what it did how often."""

    name: str
    rows: str
    share: float
    kinds: str


def steps(data: DataFigures, t: Text) -> list[StepRow]:
    """Every step that changed a row. Kinds of terms and of personal data stand in sections of their own."""
    read = int(data.summary.get("rows_read") or 0) or 1
    rows = []
    for step, done in (data.summary.get("changes") or {}).items():
        what: Mapping[str, int] = done.get("what") or {}
        order = sorted(what, key=lambda kind: (-what[kind], kind))
        kinds = [t("kind.times", kind=_kind(step, kind, t), n=count(what[kind])) for kind in order]
        said = t.some(kinds, MOST_KINDS)
        rows.append(StepRow(t.known("change", step), count(done.get("rows", 0)), done.get("rows", 0) / read, said))
    return rows


def _kind(step: str, kind: str, t: Text) -> str:
    """Terms stand for themselves; kinds of personal data and of cleaning have words."""
    return kind if step == "terms" else t.known("private.kind" if step == "privacy" else "kind", kind)


def terms(data: DataFigures, t: Text) -> tuple[Plot | None, str]:
    """The preferred terms that were found most often, and how many there are; no plot where there is no dictionary."""
    found_terms: Table = data.summary.get("terms") or {}
    found: Mapping[str, int] = found_terms.get("found") or {}
    if not found_terms:
        return None, ""
    order = sorted(found, key=lambda term: (-found[term], term))
    total = int(found_terms.get("n") or sum(found.values()))
    said = [t("terms.line", n=count(total), different=count(found_terms.get("different") or len(found)))]
    if found_terms.get("replaced") is not None:
        said.append(t("terms.replaced", n=count(found_terms["replaced"])))
    items = [Bar(term, found[term], count(found[term])) for term in order[:MOST_TERMS]]
    return bars(items, t("plot.terms")), t("sentences").join(said)


@dataclass(frozen=True)
class PrivateRow:
    """One kind of personal data: how often, in how many rows, and what was done with it. Never what it says."""

    kind: str
    found: str
    rows: str
    mode: str
    share: float


def private(data: DataFigures, t: Text) -> list[PrivateRow]:
    """Personal data by kind, the most frequent first."""
    found = data.privacy
    order = sorted(found, key=lambda kind: (-int(found[kind].get("found") or 0), kind))
    most = max((int(item.get("found") or 0) for item in found.values()), default=0) or 1
    return [
        PrivateRow(
            kind=t.known("private.kind", kind),
            found=count(found[kind].get("found") or 0),
            rows=count(found[kind].get("rows") or 0),
            mode=t.known("mode", str(found[kind].get("mode", ""))),
            share=int(found[kind].get("found") or 0) / most,
        )
        for kind in order
    ]
