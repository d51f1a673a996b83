"""Ten test rows side by side: which ones, and what of them is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from yibu.evaluate.report.marks import legend_mark, system_class
from yibu.evaluate.report.results import shown_systems
from yibu.evaluate.report.shapes import ReportData, Table, TestRow
from yibu.evaluate.report.text import Text
from yibu.metrics.scores import normalise

MOST_EXAMPLES = 10
_QUOTA = {"fixed": 4, "broken": 2, "both_wrong": 2, "both_right": 2}
_PROMPT, _ANSWER = 420, 260  # characters of a text that are always visible
_EQUALITY = frozenset({"accuracy", "exact_match"})  # metrics that call a single answer right or wrong


@dataclass(frozen=True)
class Excerpt:
    """A text and the part of it that is folded away."""

    text: str
    rest: str = ""


@dataclass(frozen=True)
class FieldText:
    """One field of an answer (or of the truth); ``right`` is None where nobody judges it."""

    name: str
    excerpt: Excerpt
    right: bool | None


@dataclass(frozen=True)
class Answer:
    """What one system said; ``cut`` where it ran into the length limit."""

    system: str
    mark: Markup
    fields: list[FieldText]
    cut: bool


@dataclass(frozen=True)
class Example:
    """One row: prompt, truth, and an answer per system."""

    id: str
    group: str
    prompt: Excerpt
    truth: list[FieldText]
    answers: list[Answer]


@dataclass(frozen=True)
class Examples:
    """The rows on the page, and how many rows each group has in the whole split."""

    shown: list[Example]
    totals: dict[str, int]


def examples(data: ReportData, t: Text) -> Examples | None:
    """Ten rows of all kinds, drawn by the hash of their id; None without answers."""
    systems = shown_systems(data)
    by_row: dict[str, dict[str, Table]] = {}
    for item in data.predictions:
        if item["id"] in data.rows and item["system"] in systems:
            by_row.setdefault(item["id"], {})[item["system"]] = item
    by_row = {row_id: found for row_id, found in by_row.items() if len(found) == len(systems)}
    if not by_row or "tuned" not in systems:
        return None
    judged = {m["field"] for m in data.metrics.get("metrics", ()) if m["metric"] in _EQUALITY and m.get("field")}
    groups: dict[str, list[str]] = {}
    for row_id in sorted(by_row, key=lambda name: hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()):
        groups.setdefault(_group(by_row[row_id], data.rows[row_id], judged), []).append(row_id)
    chosen = _choose(groups)
    shown = [
        Example(
            id=row_id,
            group=group,
            prompt=excerpt(data.rows[row_id].prompt, _PROMPT),
            truth=[FieldText(name, excerpt(text, _ANSWER), None) for name, text in data.rows[row_id].truth.items()],
            answers=[_answer(by_row[row_id][name], name, data, judged, t) for name in systems],
        )
        for group, row_id in chosen
    ]
    return Examples(shown, {group: len(ids) for group, ids in groups.items()})


def _group(found: Mapping[str, Table], row: TestRow, judged: set[str]) -> str:
    if not judged or "base" not in found:
        return "sample"
    before, after = (_row_right(found[name], row, judged) for name in ("base", "tuned"))
    if before == after:
        return "both_right" if after else "both_wrong"
    return "fixed" if after else "broken"


def _row_right(item: Table, row: TestRow, judged: set[str]) -> bool:
    return all(_right(item, field, row, judged) for field in judged)


def _right(item: Table, field: str, row: TestRow, judged: set[str]) -> bool | None:
    """Whether one field is right, as accuracy and exact match have it; None where it is neither right nor wrong.

    Not by ``correct`` of the prediction, which is about all fields together, free texts among them.
    """
    if field not in judged:
        return None
    return normalise(str(item.get("fields", {}).get(field, ""))) == normalise(row.truth.get(field, ""))


def _choose(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(group, id) of the rows to show: each group's quota, then what is left in the order of the groups."""
    take = {group: min(quota, len(groups.get(group, ()))) for group, quota in _QUOTA.items()}
    take["sample"] = min(MOST_EXAMPLES, len(groups.get("sample", ())))
    for group in ("fixed", "both_right", "both_wrong", "broken"):
        room = MOST_EXAMPLES - sum(take.values())
        take[group] += min(room, len(groups.get(group, ())) - take[group])
    return [(group, row_id) for group, n in take.items() for row_id in groups.get(group, ())[:n]]


def _answer(item: Table, system: str, data: ReportData, judged: set[str], t: Text) -> Answer:
    row = data.rows[item["id"]]
    said: Mapping[str, Any] = item.get("fields") or {}
    # A baseline may answer one field only (a class, a text), and is not to be blamed for the others.
    measured = {m["field"] for m in data.metrics.get("metrics", ()) if system in m.get("values", {}) and m.get("field")}
    names = [name for name in row.truth if name in measured] or list(row.truth)
    if any(str(said.get(name, "")).strip() for name in names):
        fields = [
            FieldText(name, excerpt(str(said.get(name, "")), _ANSWER), _right(item, name, row, judged))
            for name in names
        ]
    else:  # nothing could be read from the answer, so it is shown as it came
        right = _row_right(item, row, judged) if judged & set(names) else None
        fields = [FieldText("", excerpt(str(item.get("answer", "")), _ANSWER), right)]
    mark = legend_mark(system_class(system, data.metrics.get("systems", ())))
    return Answer(t.system(system), mark, fields, item.get("stopped") is False)


def excerpt(text: str, most: int) -> Excerpt:
    """The first so many characters of a text and its rest, parted at white space where there is some."""
    text = text.strip()
    if len(text) <= most * 1.25:
        return Excerpt(text)
    end = max(text.rfind(" ", 0, most), text.rfind("\n", 0, most))
    end = end if end > most // 2 else most
    return Excerpt(text[:end], text[end:].lstrip())
