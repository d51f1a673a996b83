"""Entities as one tag a token: ``tokens`` and ``ner_tags`` in the schemes BIO (IOB1, IOB2), BIOES, BILOU or BMES.

Tokens are joined to a text: with spaces, or without them where the tokens are single characters with Chinese among
them, or most of them are Chinese words (there a space stays between two Latin words). Offsets are made in the same
pass, so that they always agree with the text.
"""

from __future__ import annotations

import re
from typing import Any

from yibu.shapes import most

COLUMNS = "tokens, ner_tags (texts such as B-PER, or numbers with a names file)"
RANK = 1

_TAG = re.compile(r"([BIMELSU])[-_](.+)")
_BEGINS, _ENDS = "BSU", "ELSU"
_CHINESE = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


def fits(records: list[dict[str, Any]]) -> bool:
    return most(records, lambda record: all(isinstance(record.get(name), list) for name in ("tokens", "ner_tags")))


def to_fields(record: dict[str, Any]) -> dict[str, Any]:
    tokens, tags = record.get("tokens"), record.get("ner_tags")
    if not isinstance(tokens, list) or not isinstance(tags, list):
        raise ValueError("missing field: " + ("ner_tags" if isinstance(tokens, list) else "tokens"))
    if not tokens:
        raise ValueError("empty prompt: tokens")
    if len(tokens) != len(tags):
        raise ValueError(f"{len(tokens)} tokens but {len(tags)} tags")
    if not all(isinstance(token, str) and token for token in tokens):
        raise ValueError("a token that is empty or no text")
    text, starts = _join(tokens)
    entities = []
    for first, last, kind in _spans([_tag(tag) for tag in tags]):
        start, end = starts[first], starts[last] + len(tokens[last])
        entities.append({"start": start, "end": end, "type": kind, "text": text[start:end]})
    return {"text": text, "entities": entities}


def _tag(tag: Any) -> tuple[str, str]:
    """(prefix, type); ("O", "") outside of entities."""
    if isinstance(tag, int):
        raise ValueError("tags are numbers without names; put their names in a file labels.txt beside the data")
    if tag is None or tag in ("O", ""):
        return "O", ""
    match = _TAG.fullmatch(tag) if isinstance(tag, str) else None
    if match is None:
        raise ValueError("a tag that is neither O nor like B-PER")
    return match[1], match[2]


def _spans(tags: list[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """(first token, last token, type) of each entity."""
    spans: list[tuple[int, int, str]] = []
    is_open = False
    for place, (prefix, kind) in enumerate(tags):
        if prefix == "O":
            is_open = False
            continue
        if is_open and prefix not in _BEGINS and spans[-1][2] == kind:
            spans[-1] = (spans[-1][0], place, kind)
        else:
            spans.append((place, place, kind))
        is_open = prefix not in _ENDS
    return spans


def _join(tokens: list[str]) -> tuple[str, list[int]]:
    """The text, and where each token starts in it."""
    share = sum(bool(_CHINESE.search(token)) for token in tokens) / len(tokens)
    by_character = all(len(token) == 1 for token in tokens)
    chinese = share > (0 if by_character else 0.5)
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for place, token in enumerate(tokens):
        latin = place > 0 and token[0].isascii() and tokens[place - 1][-1].isascii()
        if place > 0 and (not chinese or (latin and not by_character)):
            parts.append(" ")
            length += 1
        starts.append(length)
        parts.append(token)
        length += len(token)
    return "".join(parts), starts
