"""Boilerplate: lines that stand in many rows and say nothing about any of them (letterheads, disclaimers, signatures).

They are learned from the first rows and compared exactly, so a line whose numbers or names vary is never one. What
repeats may carry content all the same ("No known drug allergies."); so a piece counts only if it is long enough, is
no heading, denies nothing (unless it is as long as only disclaimers are), and stands at the top or the end of the
rows with nothing between but what repeats too, as letterheads and disclaimers do. A row is never emptied, and a piece
in which an entity lies stays.

Pieces are the lines of a text; of a text of one line, its sentences.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from yibu.core.edits import Edit

_SENTENCE = re.compile(r"[^。！？!?.；;]*(?:[。！？；;]+|[.!?]+(?=\s|$)|[.!?]|$)[”’」』）)\"']*\s*")
_LINE = re.compile("[^\n]+\n?")
_WIDE = re.compile("[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7a3]")
_LETTERS = re.compile(r"[^\W\d_]")
_DENIAL = re.compile(
    r"(?<![a-z])(?:no|not|non|none|never|without|denies|denied|negative|absent|nil|n't|cannot)(?![a-z])|n't(?![a-z])"
    "|[无無未不非否没沒勿]|阴性|陰性",
    re.IGNORECASE,
)
_MIN_WEIGHT = 20  # letters; a Chinese character is worth two
_SAFE_WEIGHT = 80  # so long a piece may hold a denial and be a disclaimer
_NUM_AT_EDGE = 8  # pieces in which a letterhead must end, and a signature begin
_MIN_EDGE_SHARE = 0.8  # of the texts with a piece, in which it must stand at an edge
_MAX_TEXTS = 20_000  # that are looked at
_MAX_PIECES = 200_000  # that are remembered


class Piece(NamedTuple):
    """A line or sentence: where it lies, its line break included, and the text by which it is compared."""

    start: int
    end: int
    key: str


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a text that are not blank."""
    pattern = _LINE if "\n" in text.strip() else _SENTENCE
    for match in pattern.finditer(text):
        key = " ".join(match[0].split())
        if key:
            yield Piece(*match.span(), key)


def learn(texts: Iterable[str], min_share: float = 0.2, min_rows: int = 20) -> frozenset[str]:
    """The boilerplate of a data set.

    Texts should have gone through the cleaner before, as those from which the pieces are taken out will have. Texts
    that are the same count once. Memory is bounded: 20,000 texts are looked at, and of more than 200,000 different
    pieces those seen once so far are forgotten.

    Args:
        texts: of the first rows, a thousand or more.
        min_share: of the texts that must have the piece.
        min_rows: number of texts that must have it.
    """
    seen: set[int] = set()
    num_texts: Counter[str] = Counter()  # by piece
    edges: list[tuple[list[str], list[str]]] = []
    for text in itertools.islice(texts, _MAX_TEXTS):
        digest = _digest(text)
        if digest in seen:
            continue
        seen.add(digest)
        found = [piece.key for piece in pieces(text)]
        if len(found) < 2:
            continue  # a text that is one piece is its own content
        num_texts.update(set(found))
        edges.append((found[:_NUM_AT_EDGE], found[: -_NUM_AT_EDGE - 1 : -1]))
        if len(num_texts) > _MAX_PIECES:
            num_texts = Counter({key: number for key, number in num_texts.items() if number > 1})
    enough = max(min_rows, min_share * len(seen))
    repeated = {key for key, number in num_texts.items() if number >= enough}
    num_at_edge: Counter[str] = Counter()
    for top, end in edges:
        num_at_edge.update({key for edge in (top, end) for key in itertools.takewhile(repeated.__contains__, edge)})
    return frozenset(key for key in repeated if _may_be(key) and num_at_edge[key] >= _MIN_EDGE_SHARE * num_texts[key])


def edits(text: str, boilerplate: frozenset[str], spans: Sequence[tuple[int, int]] = ()) -> list[Edit]:
    """What takes the boilerplate out of a text; nothing, if nothing else were left.

    Args:
        text: clean but for its white space.
        boilerplate: what `learn` found.
        spans: entities; a piece that holds a part of one stays.
    """
    found: list[Edit] = []
    is_rest = False
    for start, end, key in pieces(text):
        if key in boilerplate and not any(begin < end and start < stop for begin, stop in spans):
            found.append(Edit(start, end, ""))
        else:
            is_rest = True
    return found if is_rest else []


def _may_be(key: str) -> bool:
    """Whether a piece can be boilerplate, by itself."""
    if key[-1] in ":：":
        return False  # a heading
    weight = len(_LETTERS.findall(key)) + len(_WIDE.findall(key))
    return weight >= _MIN_WEIGHT and (weight >= _SAFE_WEIGHT or not _DENIAL.search(key))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
